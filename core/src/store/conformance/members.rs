//! Members and the incarnation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::{LONG, SLACK, micros};
use super::{Context, Opened};
use crate::protocol::NodeId;
use crate::store::{Beat, Membership};

fn beat_of(node: NodeId, label: &str, ttl: Duration) -> Beat {
    let meta = [("version", "1.0 {\"β\"}"), ("empty", "")];
    Beat {
        node,
        label: label.into(),
        meta: BTreeMap::from(meta.map(|(key, value)| (key.into(), value.into()))),
        ttl_us: micros(ttl),
    }
}

async fn beat(session: &Opened, beat: &Beat) -> Membership {
    let listed = session.handle.members.beat(beat).await;
    listed
        .unwrap_or_else(|e| panic!("a beat is answered: {e}"))
        .value
}

fn nodes(membership: &Membership) -> Vec<NodeId> {
    membership.members.iter().map(|m| m.node).collect()
}

/// It renews and lists in one step.
pub async fn a_member_is_listed_from_its_first_beat(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let alone = beat(&one, &beat_of(one.node, "Zoë's host", LONG)).await;
    assert_eq!(nodes(&alone), [one.node]);
    assert_eq!(alone.members[0].label, "Zoë's host");
    assert_eq!(alone.members[0].meta, beat_of(one.node, "", LONG).meta);
    let both = beat(&two, &beat_of(two.node, "two", LONG)).await;
    let mut expected = [one.node, two.node];
    expected.sort();
    assert_eq!(nodes(&both), expected, "ordered by id");
}

/// The last beat counts.
pub async fn a_beat_renews_and_updates(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    // Beyond its TTL in all, with room for a busy machine in each step.
    let ttl = Duration::from_secs(2);
    for turn in 0..5 {
        let mut renewed = beat_of(one.node, &format!("turn {turn}"), ttl);
        renewed.meta.insert("turn".into(), turn.to_string());
        beat(&one, &renewed).await;
        cx.env().sleep(ttl / 4).await;
        let listed = beat(&two, &beat_of(two.node, "two", LONG)).await;
        let member = listed.members.iter().find(|m| m.node == one.node);
        let member = member.expect("it was renewed in time");
        assert_eq!(
            (&member.label, &member.meta),
            (&renewed.label, &renewed.meta)
        );
    }
}

/// After its TTL, also if the process is gone.
pub async fn a_member_without_beats_expires(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let ttl = one.short_ttl();
    beat(&one, &beat_of(one.node, "one", ttl)).await;
    cx.env().sleep(ttl + SLACK).await;
    let listed = beat(&two, &beat_of(two.node, "two", LONG)).await;
    assert_eq!(nodes(&listed), [two.node]);
}

/// Leaving is known at once, concerns the node only, and may be repeated.
pub async fn a_node_that_leaves_is_gone_at_once(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    beat(&one, &beat_of(one.node, "one", LONG)).await;
    beat(&two, &beat_of(two.node, "two", LONG)).await;
    for _ in 0..2 {
        let left = one.handle.members.leave(one.node).await;
        left.unwrap_or_else(|e| panic!("a node leaves: {e}"));
    }
    let listed = beat(&two, &beat_of(two.node, "two", LONG)).await;
    assert_eq!(nodes(&listed), [two.node]);
    let back = beat(&one, &beat_of(one.node, "one", LONG)).await;
    assert_eq!(back.members.len(), 2, "it may come back");
}

/// It is written once a namespace.
pub async fn sessions_agree_on_the_incarnation(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let first = beat(&one, &beat_of(one.node, "one", LONG)).await;
    assert!(!first.incarnation.is_empty());
    let second = beat(&two, &beat_of(two.node, "two", LONG)).await;
    assert_eq!(first.incarnation, second.incarnation);
    let again = beat(&one, &beat_of(one.node, "one", LONG)).await;
    assert_eq!(first.incarnation, again.incarnation);
}
