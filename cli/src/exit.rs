//! What `leasehold` ends with. The codes follow `sysexits.h` where it has one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use leasehold::scheduler::Error as JobsError;
use leasehold::{ConnectError, Error, LostCause};

/// Someone else has it: `EX_TEMPFAIL`, unless `--conflict-exit-code` says another.
pub(crate) const BUSY: u8 = 75;
/// The store can't be reached, or does not answer: `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;
/// The lease was lost, or about to be, and the command was stopped.
const LOST: u8 = 76;
/// The store or this machine is not set up for it: `EX_CONFIG`.
const SETUP: u8 = 78;
/// There is no such job: `EX_NOINPUT`.
const NO_JOB: u8 = 66;
/// Wrong arguments, as everywhere.
const USAGE: u8 = 2;
/// Something else failed here: `EX_IOERR`.
const IO: u8 = 74;
/// As shells say it.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNALLED: i32 = 128;

/// Why `leasehold` ends with a code of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Lease(#[from] Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Busy(String),
    #[error(
        "neither XDG_STATE_HOME nor HOME says where this user's state is kept: set one of them, or name a store with \
         --store"
    )]
    NoHome,
    #[error("cannot create {}: {source}; name another store with --store", path.display())]
    StateFolder { path: PathBuf, source: io::Error },
    #[error("cannot run {}: {source}", program.display())]
    Command {
        program: OsString,
        source: io::Error,
    },
    #[error("the lease on `{name}` is lost ({cause}); the command was stopped before")]
    Lost { name: String, cause: LostCause },
    #[error(
        "the lease on `{name}` was running out, since the store did not answer; the command was stopped before it could \
         pass on"
    )]
    RunningOut { name: String },
    #[error("the lease on `{name}` was revoked ({reason}); the command was stopped")]
    Revoked { name: String, reason: String },
    #[error("stopped by signal {0} while it waited")]
    Interrupted(i32),
    #[error("the floor of a Redis lock cannot be measured on {0}: name a redis:// store")]
    NoFloor(String),
    #[error("the Redis server of the floor: {0}")]
    Redis(String),
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
}

impl Failure {
    /// The exit code; `busy` is that of a conflict.
    pub(crate) fn code(&self, busy: u8) -> u8 {
        match self {
            Failure::Lease(error) | Failure::Connect(ConnectError::Store(error)) => {
                of_lease(error, busy)
            }
            Failure::Jobs(error) => of_jobs(error, busy),
            Failure::Connect(_) | Failure::Usage(_) | Failure::NoFloor(_) => USAGE,
            Failure::Busy(_) => busy,
            Failure::NoHome | Failure::StateFolder { .. } => SETUP,
            Failure::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                NOT_FOUND
            }
            Failure::Command { .. } => NOT_EXECUTABLE,
            Failure::Lost { .. } | Failure::RunningOut { .. } | Failure::Revoked { .. } => LOST,
            Failure::Interrupted(signal) => of_signal(*signal),
            Failure::Redis(_) => UNAVAILABLE,
            Failure::Io(..) => IO,
        }
    }
}

fn of_lease(error: &Error, busy: u8) -> u8 {
    match error {
        Error::Busy(_) => busy,
        Error::Unavailable { .. } => UNAVAILABLE,
        Error::Lost(_) => LOST,
        Error::Name(_)
        | Error::Ttl(_)
        | Error::Relock(_)
        | Error::TooHeavy(_)
        | Error::Permits(_) => USAGE,
        Error::Store(_) | Error::StoreTooNew(_) => SETUP,
        _ => IO,
    }
}

fn of_jobs(error: &JobsError, busy: u8) -> u8 {
    match error {
        JobsError::Core(error) => of_lease(error, busy),
        JobsError::NoSuchJob { .. } => NO_JOB,
        JobsError::TooManyPending { .. } => busy,
        JobsError::LedgerTooNew { .. } | JobsError::Spec { .. } => SETUP,
        JobsError::LedgerDamaged { .. } => IO,
        _ => USAGE,
    }
}

/// 128 and the signal's number, as shells say it.
pub(crate) fn of_signal(signal: i32) -> u8 {
    u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX)
}
