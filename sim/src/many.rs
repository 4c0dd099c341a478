//! Many seeds, on all cores.

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::tally::Tally;
use crate::{report, run, schedules};

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulation {
    /// Clients that lock.
    Locks,
    /// Schedulers that run jobs.
    Schedulers,
}

impl Simulation {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Locks, Self::Schedulers];

    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Locks => "locks",
            Self::Schedulers => "schedulers",
        }
    }

    /// Plays one seed.
    ///
    /// # Panics
    /// Inside a tokio runtime.
    pub fn play(self, seed: u64) -> Played {
        let (violation, text, tally) = match self {
            Self::Locks => {
                let outcome = run(seed);
                let text = report(seed, &outcome);
                (outcome.violations.into_iter().next(), text, outcome.tally)
            }
            Self::Schedulers => {
                let outcome = schedules::run(seed);
                let text = schedules::report(seed, &outcome);
                (outcome.violations.into_iter().next(), text, outcome.tally)
            }
        };
        let rule = violation.map(|violation| violation.rule);
        Played {
            broken: rule.map(|rule| Broken { seed, rule, text }),
            tally,
        }
    }
}

/// What became of a seed.
#[derive(Debug)]
pub struct Played {
    /// The promise that it broke first.
    pub broken: Option<Broken>,
    /// How much happened.
    pub tally: Tally,
}

/// A broken promise.
#[derive(Debug)]
pub struct Broken {
    /// The seed that broke it.
    pub seed: u64,
    /// The promise.
    pub rule: &'static str,
    /// What happened, for people.
    pub text: String,
}

/// What became of many seeds.
#[derive(Debug)]
pub struct Summary {
    /// What was simulated.
    pub simulation: Simulation,
    /// How many were played.
    pub seeds: u64,
    /// How much happened in them.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
    /// The first of them that broke a promise.
    pub broken: Option<Broken>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.seeds as f64 / seconds.max(0.001);
        write!(
            f,
            "{}: {} seeds, {}, in {seconds:.1} s ({rate:.0} seeds/s)",
            self.simulation.name(),
            self.seeds,
            self.tally
        )
    }
}

struct Progress {
    tally: Tally,
    played: u64,
    broken: Option<Broken>,
    shown: Instant,
}

/// Plays `seeds` on as many threads as there are cores, and stops at one that breaks a promise. The smallest such seed
/// is answered, whatever the threads' order. A line on a terminal tells how far it is.
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is a matter of real time"
)]
pub fn play(simulation: Simulation, seeds: Range<u64>) -> Summary {
    let (start, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let progress = Mutex::new(Progress {
        tally: Tally::default(),
        played: 0,
        broken: None,
        shown: start,
    });
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let has_failed = lock(&progress).broken.is_some();
                    if seed >= seeds.end || has_failed {
                        return;
                    }
                    let played = simulation.play(seed);
                    lock(&progress).take(played, &seeds);
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
        simulation,
        seeds: progress.played,
        tally: progress.tally,
        took: start.elapsed(),
        broken: progress.broken,
    }
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn take(&mut self, played: Played, seeds: &Range<u64>) {
        self.played += 1;
        self.tally.add(&played.tally);
        if let Some(broken) = played.broken
            && (self.broken.as_ref()).is_none_or(|first| broken.seed < first.seed)
        {
            self.broken = Some(broken);
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
