//! Plants each bug in turn, and plays seeds until one of them shows it.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_core::planted::{Bug, plant};

use crate::run::run;

/// What became of a planted bug.
#[derive(Debug)]
pub struct Caught {
    /// The bug.
    pub bug: Bug,
    /// The first seed that showed it, and the promise that it broke there; `None` if it survived.
    pub by: Option<(u64, &'static str)>,
    /// How long that took.
    pub took: Duration,
}

/// Plants each of `bugs`, plays at most `seeds` seeds with it, and tells what became of it.
pub fn hunt(bugs: &[Bug], seeds: u64, tell: impl Fn(&Caught) + Sync) -> Vec<Caught> {
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(at) else {
                        return;
                    };
                    let row = hunt_one(*bug, seeds);
                    let mut caught = caught.lock().unwrap_or_else(PoisonError::into_inner);
                    tell(&row);
                    caught.push(row);
                }
            });
        }
    });
    caught.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is a matter of real time"
)]
fn hunt_one(bug: Bug, seeds: u64) -> Caught {
    let start = Instant::now();
    plant(Some(bug));
    let by = (0..seeds).find_map(|seed| {
        let first = run(seed).violations.into_iter().next()?;
        Some((seed, first.rule))
    });
    plant(None);
    Caught {
        bug,
        by,
        took: start.elapsed(),
    }
}
