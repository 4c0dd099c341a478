//! Plants each bug in turn, and plays seeds until one of them shows it.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_core::planted as core;
use leasehold_scheduler::planted as scheduler;

use crate::many::Simulation;

/// A bug, in one of the crates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// In the protocol or its client.
    Core(core::Bug),
    /// In the scheduler.
    Scheduler(scheduler::Bug),
}

/// No client of a simulation changes its weight: a test of the protocol shows what these break.
const NOT_PLAYED: &[core::Bug] = &[
    core::Bug::AbsorbedStays,
    core::Bug::ReweighOutOfOrder,
    core::Bug::ReweighCountsTwice,
    core::Bug::GrowthOvertakes,
];

impl Bug {
    /// All of them, but for those that no simulation can show.
    pub fn all() -> impl Iterator<Item = Self> {
        let shown = |bug: &core::Bug| !NOT_PLAYED.contains(bug) && !bug.is_of_quotas();
        let core = core::Bug::ALL.iter().copied().filter(shown);
        let schedulers = scheduler::Bug::ALL.iter().copied().map(Self::Scheduler);
        core.map(Self::Core).chain(schedulers)
    }

    /// What is broken, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Core(bug) => bug.what(),
            Self::Scheduler(bug) => bug.what(),
        }
    }

    /// Where it must show.
    pub fn simulation(self) -> Simulation {
        match self {
            Self::Core(_) => Simulation::Locks,
            Self::Scheduler(_) => Simulation::Schedulers,
        }
    }

    fn plant(self) {
        match self {
            Self::Core(bug) => core::plant(Some(bug)),
            Self::Scheduler(bug) => scheduler::plant(Some(bug)),
        }
    }

    fn pull_out(self) {
        match self {
            Self::Core(_) => core::plant(None),
            Self::Scheduler(_) => scheduler::plant(None),
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(bug) => write!(f, "{bug:?}"),
            Self::Scheduler(bug) => write!(f, "{bug:?}"),
        }
    }
}

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
    bug.plant();
    let by = (0..seeds).find_map(|seed| {
        let broken = bug.simulation().play(seed).broken?;
        Some((seed, broken.rule))
    });
    bug.pull_out();
    Caught {
        bug,
        by,
        took: start.elapsed(),
    }
}
