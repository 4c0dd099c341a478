//! Running a simulation from many seeds, and one of them again.

use std::ops::Range;

/// Runs `case` once for each seed, each in a runtime of its own with paused time. When one panics its seed is printed;
/// the environment variable `LEASEHOLD_SEED` runs that one alone.
///
/// ```
/// use leasehold_core::{Env, replay};
/// replay(0..10, async |seed| {
///     let env = Env::simulated(seed);
///     assert!(env.random(6) < 6);
/// });
/// ```
///
/// # Panics
/// As `case`; and if `LEASEHOLD_SEED` is no number, or inside a runtime.
pub fn replay(seeds: Range<u64>, case: impl AsyncFn(u64)) {
    let seeds = match std::env::var("LEASEHOLD_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("LEASEHOLD_SEED is a number");
            seed..seed + 1
        }
        Err(_) => seeds,
    };
    for seed in seeds {
        let _shown = Shown(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(case(seed));
    }
}

/// Prints its seed when a panic drops it.
struct Shown(u64);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "failed with seed {0}; LEASEHOLD_SEED={0} replays it",
                self.0
            );
        }
    }
}
