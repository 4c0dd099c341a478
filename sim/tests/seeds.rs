//! The simulations as a test: a first few seeds. `cargo xtask sim` plays as many as one likes.

use leasehold_sim::{Simulation, Summary, play, run, schedules};

fn played(simulation: Simulation, seeds: u64) -> Summary {
    let summary = play(simulation, 0..seeds);
    if let Some(broken) = &summary.broken {
        panic!("{}", broken.text);
    }
    assert_eq!(summary.seeds, seeds);
    summary
}

#[test]
fn every_promise_of_locks_holds_whatever_goes_wrong() {
    let summary = played(Simulation::Locks, 60);
    // The storm is one: all of its ends were met.
    for (what, at_least) in [("grants", 20), ("losses", 2), ("faults", 20)] {
        assert!(summary.tally.of_name(what) > 60 * at_least, "{summary}");
    }
}

#[test]
fn every_tick_is_accounted_for_whatever_goes_wrong() {
    let summary = played(Simulation::Schedulers, 30);
    for (what, at_least) in [("nodes", 4), ("starts", 60), ("faults", 20)] {
        assert!(summary.tally.of_name(what) > 30 * at_least, "{summary}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..12 {
        let (first, again) = (run(seed).history, run(seed).history);
        assert_eq!(first.len(), again.len(), "seed {seed}");
        for (one, other) in first.iter().zip(&again) {
            assert_eq!(one, other, "seed {seed}");
        }
    }
}

#[test]
fn a_seed_of_schedulers_replays_exactly() {
    for seed in 0..6 {
        let (first, again) = (schedules::run(seed).history, schedules::run(seed).history);
        assert_eq!(first.setting, again.setting);
        assert_eq!(first.events.len(), again.events.len(), "seed {seed}");
        for (one, other) in first.events.iter().zip(&again.events) {
            assert_eq!(one, other, "seed {seed}");
        }
    }
}
