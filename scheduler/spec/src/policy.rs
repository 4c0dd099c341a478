//! What to do with ticks that were missed, that overlap, and whose node went away.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::words;

/// Ticks a `run_all` catches up at most, unless it says otherwise, and ticks a queue holds.
const CAP: u32 = 100;
/// Runs that may overlap, unless it says otherwise.
const ALLOWED: u32 = 10;
/// How far back a `run_all` reaches, unless it says otherwise.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What to do with ticks that no node could start in time: within the scheduler's `grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Misfire {
    /// `skip`: they are recorded as missed.
    #[default]
    Skip,
    /// `run_once`: the latest of them runs, the others are recorded as missed.
    RunOnce,
    /// `run_all`, `run_all(1h)`, `run_all(1h, 20)`: the latest ones run, oldest first.
    RunAll {
        /// How old they may be (default 24 h).
        window: Duration,
        /// How many (default 100).
        cap: u32,
    },
}

/// What to do with a tick that comes due while a run of the job is under way, or waits to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// `skip`: it is recorded as skipped.
    #[default]
    Skip,
    /// `queue_one`: it runs afterwards, if none waits yet; else it is skipped.
    QueueOne,
    /// `queue_all`, `queue_all(20)`: each runs afterwards, in order.
    QueueAll {
        /// How many may wait (default 100); those beyond are skipped.
        cap: u32,
    },
    /// `cancel_running`: the run is cancelled, and the tick starts when it has ended. Of several only the latest.
    CancelRunning,
    /// `allow`, `allow(3)`: it runs beside the others.
    Allow {
        /// How many may run at a time (default 10); those beyond are skipped.
        cap: u32,
    },
}

/// What to do with a run whose node went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnCrash {
    /// `skip`: nothing; a tick starts at most once.
    #[default]
    Skip,
    /// `retry`: it is tried again, as after a failure, at least once. The run has to bear being done twice.
    Retry,
}

impl fmt::Display for Misfire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfire::Skip => f.write_str("skip"),
            Misfire::RunOnce => f.write_str("run_once"),
            Misfire::RunAll { window, cap } => {
                write!(f, "run_all({}, {cap})", words::duration_text(*window))
            }
        }
    }
}

impl FromStr for Misfire {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let call = words::Call::parse(text)?;
        match call.name {
            "skip" => call.without_arguments(Misfire::Skip),
            "run_once" => call.without_arguments(Misfire::RunOnce),
            "run_all" => {
                let (window, cap) = match call.arguments[..] {
                    [] => (WINDOW, CAP),
                    [window] => (words::duration(window)?, CAP),
                    [window, cap] => (words::duration(window)?, words::cap(cap)?),
                    _ => return Err("write `run_all(WINDOW, CAP)`, as in `run_all(1h, 20)`".into()),
                };
                if window.is_zero() {
                    return Err("a window of nothing catches nothing up: write `skip`".into());
                }
                Ok(Misfire::RunAll { window, cap })
            }
            _ => Err(format!(
                "unknown misfire policy `{text}`: write `skip`, `run_once`, `run_all` or `run_all(1h, 20)`"
            )),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Overlap::Skip => f.write_str("skip"),
            Overlap::QueueOne => f.write_str("queue_one"),
            Overlap::QueueAll { cap } => write!(f, "queue_all({cap})"),
            Overlap::CancelRunning => f.write_str("cancel_running"),
            Overlap::Allow { cap } => write!(f, "allow({cap})"),
        }
    }
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let call = words::Call::parse(text)?;
        match call.name {
            "skip" => call.without_arguments(Overlap::Skip),
            "queue_one" => call.without_arguments(Overlap::QueueOne),
            "queue_all" => Ok(Overlap::QueueAll {
                cap: call.one_cap(CAP)?,
            }),
            "cancel_running" => call.without_arguments(Overlap::CancelRunning),
            "allow" => Ok(Overlap::Allow {
                cap: call.one_cap(ALLOWED)?,
            }),
            _ => Err(format!(
                "unknown overlap policy `{text}`: write `skip`, `queue_one`, `queue_all(20)`, `cancel_running` or \
                 `allow(3)`"
            )),
        }
    }
}

impl fmt::Display for OnCrash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnCrash::Skip => "skip",
            OnCrash::Retry => "retry",
        })
    }
}

impl FromStr for OnCrash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "skip" => Ok(OnCrash::Skip),
            "retry" => Ok(OnCrash::Retry),
            _ => Err(format!(
                "unknown crash policy `{text}`: write `skip` or `retry`"
            )),
        }
    }
}
