//! The simulation as a test: a first few seeds. `cargo xtask sim` plays as many as one likes.

use leasehold_sim::{play, report, run};

#[test]
fn every_promise_holds_whatever_goes_wrong() {
    let summary = play(0..60);
    if let Some((seed, outcome)) = &summary.failed {
        panic!("{}", report(*seed, outcome));
    }
    // The storm is one: all of its ends were met.
    assert_eq!(summary.seeds, 60);
    assert!(summary.tally.grants > 60 * 20, "{summary}");
    assert!(summary.tally.losses > 60 * 2, "{summary}");
    assert!(summary.tally.faults > 60 * 20, "{summary}");
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
