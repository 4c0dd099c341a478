//! Many seeds, on all cores.

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::{Outcome, Tally, run};

/// What became of many seeds.
#[derive(Debug)]
pub struct Summary {
    /// How many were played.
    pub seeds: u64,
    /// How much happened in them.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
    /// The first of them that broke a promise.
    pub failed: Option<(u64, Outcome)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            calls,
            grants,
            losses,
            faults,
        } = self.tally;
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.seeds as f64 / seconds.max(0.001);
        write!(
            f,
            "{} seeds, {calls} calls, {grants} grants, {losses} losses, {faults} faults, in {seconds:.1} s ({rate:.0} \
             seeds/s)",
            self.seeds
        )
    }
}

struct Progress {
    tally: Tally,
    played: u64,
    failed: Option<(u64, Outcome)>,
    shown: Instant,
}

/// Plays `seeds` on as many threads as there are cores, and stops at one that breaks a promise. The smallest such seed
/// is answered, whatever the threads' order. A line on a terminal tells how far it is.
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is a matter of real time"
)]
pub fn play(seeds: Range<u64>) -> Summary {
    let (start, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let progress = Mutex::new(Progress {
        tally: Tally::default(),
        played: 0,
        failed: None,
        shown: start,
    });
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let has_failed = lock(&progress).failed.is_some();
                    if seed >= seeds.end || has_failed {
                        return;
                    }
                    lock(&progress).take(seed, run(seed), &seeds);
                }
            });
        }
    });
    let progress = progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    Summary {
        seeds: progress.played,
        tally: progress.tally,
        took: start.elapsed(),
        failed: progress.failed,
    }
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn take(&mut self, seed: u64, outcome: Outcome, seeds: &Range<u64>) {
        self.played += 1;
        self.tally.add(outcome.tally);
        let is_first = self.failed.as_ref().is_none_or(|(first, _)| seed < *first);
        if !outcome.violations.is_empty() && is_first {
            self.failed = Some((seed, outcome));
        }
        let mut screen = std::io::stderr();
        if screen.is_terminal() && self.shown.elapsed() > Duration::from_millis(200) {
            self.shown = Instant::now();
            let of = seeds.end - seeds.start;
            // A line that is not shown is no failure.
            drop(write!(screen, "\r\x1b[K{} of {of} seeds", self.played));
        }
    }
}
