use super::*;

const SECOND: u64 = 1_000_000;
const OLD: &str = "old";
const NEW: &str = "new";

/// A node with this version, that has lived for so many seconds.
fn node(hash: &str, lived: u64) -> Announced {
    Announced {
        hash: Some(hash.to_owned()),
        revision: None,
        lived: Duration::from_secs(lived),
    }
}

fn revised(hash: &str, lived: u64, revision: u64) -> Announced {
    let revision = Some(revision);
    Announced {
        revision,
        ..node(hash, lived)
    }
}

fn unread() -> Announced {
    Announced {
        hash: None,
        ..node("", 3600)
    }
}

fn up(hash: &str) -> Decision {
    let hash = hash.to_owned();
    Decision::Up {
        hash,
        revision: None,
    }
}

fn down(hash: &str) -> Decision {
    let hash = hash.to_owned();
    Decision::Down {
        hash,
        revision: None,
    }
}

/// The old one in force, the new one known.
fn deploying() -> Versions {
    let mut versions = Versions::new(OLD, None, None);
    assert!(versions.appear(NEW, None));
    versions
}

/// The new one in force.
fn deployed() -> Versions {
    let mut versions = deploying();
    versions.apply(&up(NEW), 0);
    assert_eq!((&*versions.current, versions.order), (NEW, 2));
    versions
}

/// Decides at each second, and enters what was decided; what was decided, other than to keep it, and when.
fn play(
    versions: &mut Versions,
    seconds: std::ops::Range<u64>,
    nodes: impl Fn(u64) -> Vec<Announced>,
) -> Vec<(u64, Decision)> {
    let mut decided = Vec::new();
    for second in seconds {
        let decision = decide(versions, &nodes(second), second * SECOND);
        versions.apply(&decision, second * SECOND);
        if decision != Decision::Keep {
            decided.push((second, decision));
        }
    }
    decided
}

#[test]
fn a_deploy_goes_up_once_a_new_node_has_lived_for_30_s_and_never_back() {
    let mut versions = deploying();
    // The last old node goes a minute later.
    let nodes = |second: u64| {
        let mut nodes = vec![node(NEW, second), node(NEW, second.saturating_sub(20))];
        nodes.extend((second < 90).then(|| node(OLD, 1000 + second)));
        nodes
    };
    assert_eq!(play(&mut versions, 0..600, nodes), [(30, up(NEW))]);
    assert_eq!(versions.current, NEW);
}

#[test]
fn it_goes_up_at_once_if_nobody_has_the_old_one() {
    assert_eq!(decide(&deploying(), &[node(NEW, 0)], 0), up(NEW));
}

#[test]
fn an_old_pod_that_crashes_again_and_again_does_not_undo_a_deploy() {
    let mut versions = deployed();
    let nodes = |second: u64| {
        let mut nodes = vec![node(NEW, 100 + second)];
        nodes.extend((second % 10 < 8).then(|| node(OLD, second % 10)));
        nodes
    };
    assert_eq!(play(&mut versions, 0..600, nodes), []);
    // Nor if the only new node restarts: it is away for less than two TTLs.
    let nodes = |second: u64| {
        let restarting = (100..120).contains(&second);
        let mut nodes = vec![node(OLD, second)];
        nodes.extend((!restarting).then(|| node(NEW, second)));
        nodes
    };
    let decided = play(&mut versions, 0..600, nodes);
    assert_eq!(
        decided,
        [(100, Decision::NoteGone), (120, Decision::NoteBack)]
    );
    assert_eq!(versions, deployed());
}

#[test]
fn a_new_pod_that_crashes_again_and_again_changes_nothing() {
    let mut versions = deploying();
    let nodes = |second: u64| {
        let mut nodes = vec![node(OLD, 1000 + second)];
        nodes.extend((second % 30 < 29).then(|| node(NEW, second % 30)));
        nodes
    };
    assert_eq!(play(&mut versions, 0..600, nodes), []);
    assert_eq!(versions.current, OLD);
}

#[test]
fn a_roll_back_goes_down_two_ttls_after_the_last_new_node() {
    let mut versions = deployed();
    let nodes = |second: u64| {
        let mut nodes = vec![node(OLD, second)];
        nodes.extend((second < 40).then(|| node(NEW, 100 + second)));
        nodes
    };
    let decided = play(&mut versions, 0..600, nodes);
    assert_eq!(decided, [(40, Decision::NoteGone), (65, down(OLD))]);
    // The new one again: it still is the later one.
    let nodes = |second: u64| vec![node(OLD, 1000), node(NEW, second)];
    assert_eq!(play(&mut versions, 0..600, nodes), [(30, up(NEW))]);
}

#[test]
fn of_three_versions_the_highest_that_has_lived_is_in_force() {
    let mut versions = deploying();
    versions.appear("newest", None);
    let nodes = |second: u64| {
        let mut nodes = vec![node(OLD, 1000), node(NEW, second)];
        nodes.extend((second >= 20).then(|| node("newest", second - 20)));
        nodes
    };
    assert_eq!(
        play(&mut versions, 0..600, nodes),
        [(30, up(NEW)), (50, up("newest"))]
    );
    // And down to the highest of those that are left.
    let nodes = |_| vec![node(OLD, 1000), node(NEW, 1000)];
    let decided = play(&mut versions, 600..700, nodes);
    assert_eq!(decided, [(600, Decision::NoteGone), (625, down(NEW))]);
}

#[test]
fn a_version_that_an_old_node_cannot_read_is_kept_by_it_word_for_word() {
    // What an old node does to the ledger of a new one: reads it, decides, and writes it back.
    let stored = r#"{"current":"new","order":2,"known":[{"hash":"old","order":1},{"hash":"new","order":2,
        "words":{"schedule":"0 25 * * *","moon":"full"}}]}"#;
    let mut versions: Versions = serde_json::from_str(stored).unwrap();
    assert!(!versions.appear(OLD, None));
    let nodes = |_| vec![node(OLD, 1000), node(NEW, 5)];
    assert_eq!(play(&mut versions, 0..600, nodes), []);
    let written = serde_json::to_string(&versions).unwrap();
    let read: Versions = serde_json::from_str(&written).unwrap();
    assert_eq!(read, versions);
    assert_eq!(read.words(NEW).unwrap()["moon"], "full");
    // Any node can put it in force again: the words are in the ledger.
    versions.apply(&down(OLD), 0);
    assert_eq!(
        decide(&versions, &[node(OLD, 60), node(NEW, 60)], 0),
        up(NEW)
    );
}

#[test]
fn a_version_that_has_not_appeared_in_the_ledger_is_not_chosen() {
    let versions = Versions::new(OLD, None, None);
    assert_eq!(decide(&versions, &[node(NEW, 60)], 0), Decision::Keep);
}

#[test]
fn a_revision_by_hand_decides_whichever_came_first() {
    // The one that appeared first is the higher one.
    let mut versions = deployed();
    let nodes = |second| vec![revised(OLD, second, 8), revised(NEW, 1000, 7)];
    let decided = play(&mut versions, 0..600, nodes);
    let revision = Some(8);
    let hash = OLD.to_owned();
    assert_eq!(decided, [(30, Decision::Up { hash, revision })]);
    // It is remembered, also when its nodes are gone: a lower one is a roll-back.
    let nodes = |_| vec![revised(NEW, 1000, 7)];
    let decided = play(&mut versions, 600..700, nodes);
    assert_eq!(decided.len(), 2, "{decided:?}");
    assert_eq!((decided[0].0, decided[1].0), (600, 625));
    assert_eq!(versions.current, NEW);
}

#[test]
fn an_old_node_of_a_newer_build_does_not_vouch_for_a_young_one() {
    // Both have the specification; only the young one is of the build that is higher.
    let mut versions = Versions::new("changed", Some(2), None);
    versions.appear(OLD, None);
    let nodes = [
        revised("changed", 90, 2),
        revised(OLD, 90, 1),
        revised(OLD, 3, 3),
    ];
    assert_eq!(decide(&versions, &nodes, 0), Decision::Keep);
}

#[test]
fn who_cannot_be_read_may_have_the_version_in_force() {
    let mut versions = deployed();
    let nodes = |_| vec![node(OLD, 1000), unread()];
    assert_eq!(play(&mut versions, 0..600, nodes), []);
    // Nor does it go up at once because of that.
    assert_eq!(
        decide(&deploying(), &[node(NEW, 3), unread()], 0),
        Decision::Keep
    );
    assert_eq!(decide(&deploying(), &[node(NEW, 30), unread()], 0), up(NEW));
    // Noted, and then unread: the time goes on, and nothing is undone.
    versions.gone_since_us = Some(0);
    assert_eq!(play(&mut versions, 0..600, nodes), []);
    assert_eq!(
        decide(&versions, &[node(OLD, 1000)], 600 * SECOND),
        down(OLD)
    );
}

#[test]
fn the_last_eight_are_kept_and_the_one_in_force_among_them() {
    let mut versions = Versions::new(OLD, None, None);
    for number in 0..20 {
        assert!(versions.appear(&format!("{number}"), None));
    }
    assert_eq!(versions.known.len(), KEPT);
    assert_eq!(versions.known[0].hash, OLD);
    let orders: Vec<_> = versions.known.iter().map(|known| known.order).collect();
    assert_eq!(orders, [1, 15, 16, 17, 18, 19, 20, 21]);
}
