//! The errors of the scheduler.

use leasehold_spec::SpecError;

use crate::manifest::difference;

/// Overrides [`Builder::revision`](crate::Builder::revision).
pub(crate) const REVISION_VARIABLE: &str = "LEASEHOLD_REVISION";

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job asks for state that the scheduler was not given.
    #[error(
        "job `{job}` needs State<{type_name}>, which the scheduler was not given: add `.state(..)` with a value of \
         that type before `.build()`"
    )]
    MissingState {
        /// The job.
        job: String,
        /// The type its `State` argument names.
        type_name: &'static str,
    },
    /// Two jobs have one name, or one of them had the other's.
    #[error(
        "`{job}` is a name of two jobs:\n  {first}\n  {second}\na name is a job's identity in the store: give one of them \
         another (`name = \"..\"`); if they are the same job, list it once"
    )]
    DuplicateJob {
        /// The name.
        job: String,
        /// What the one is: its name, former ones, and its specification.
        first: String,
        /// What the other is.
        second: String,
    },
    /// The jobs are not those of the manifest.
    #[error(
        "the jobs of this scheduler are not those of its manifest:{}",
        difference(missing, unlisted, renamed)
    )]
    Manifest {
        /// Jobs of the manifest that the scheduler was not given.
        missing: Vec<String>,
        /// Jobs of the scheduler that are not in the manifest.
        unlisted: Vec<String>,
        /// Names in the manifest that a job had before, with the name it has now.
        renamed: Vec<(String, String)>,
    },
    /// A job's specification cannot be meant.
    #[error("job `{job}`, `{word}`: {error}", word = error.word)]
    Spec {
        /// The job.
        job: String,
        /// What is wrong with it, and with which of its words.
        error: SpecError,
    },
    /// The grace time is too short to claim anything in.
    #[error("the grace time of {grace:?} cannot be used: choose at least 1 s")]
    Grace {
        /// What was asked for.
        grace: std::time::Duration,
    },
    /// The build's revision cannot be read.
    #[error("{REVISION_VARIABLE} is `{text}`: make it a whole number, or take it away")]
    Revision {
        /// What it is set to.
        text: String,
    },
    /// A node's label cannot be one.
    #[error(
        "`{label}` is no label: it must not be empty, nor have commas, control characters or spaces around it"
    )]
    Label {
        /// The label.
        label: String,
    },
    /// Runs could go on for longer than their leases are sure to.
    #[error(
        "the drain time of {drain:?} is not shorter than the TTL of runs, {run_ttl:?}: shorten `drain`, or lengthen `run_ttl`"
    )]
    Drain {
        /// How long runs may go on after the stop signal.
        drain: std::time::Duration,
        /// The TTL of their leases.
        run_ttl: std::time::Duration,
    },
    /// A job that is to be watched is none of the scheduler's.
    #[error("the scheduler has no job `{job}` to watch{}", watch_hint(nearest))]
    WatchedJob {
        /// The name.
        job: String,
        /// The names that it is nearest to, the nearest first.
        nearest: Vec<String>,
    },
    /// A job would always be overdue.
    #[error(
        "a limit of 0 s makes job `{job}` always overdue: give `watch` one above the longest pause between its ticks"
    )]
    WatchLimit {
        /// The job.
        job: String,
    },
    /// A job's ledger was written by a newer version of leasehold.
    #[error(
        "the ledger of job `{job}` has format {found}, newer than {supported}: upgrade leasehold here"
    )]
    LedgerTooNew {
        /// The job.
        job: String,
        /// The format found.
        found: u32,
        /// The newest this build knows.
        supported: u32,
    },
    /// A job's ledger cannot be read.
    #[error("the ledger of job `{job}` is damaged: {error}")]
    LedgerDamaged {
        /// The job.
        job: String,
        /// What is wrong with it.
        error: String,
    },
    /// No job is called so.
    #[error("no job `{job}` is known in this namespace{}", hint(nearest))]
    NoSuchJob {
        /// The name.
        job: String,
        /// The names that it is nearest to, the nearest first.
        nearest: Vec<String>,
    },
    /// There is nothing to resume.
    #[error("{what} is not paused: there is nothing to resume")]
    NotPaused {
        /// What was to be resumed.
        what: String,
    },
    /// A job without a schedule has no ticks.
    #[error("job `{job}` has no schedule, and so no ticks to run later: trigger it")]
    NoSchedule {
        /// The job.
        job: String,
    },
    /// A range has more ticks than can wait for their turn.
    #[error(
        "the range has more ticks of job `{job}` than the {most} that can wait at a time: end it at {shown}, and ask for \
         the rest when those have run"
    )]
    TooManyTicks {
        /// The job.
        job: String,
        /// How many ticks can wait at a time.
        most: usize,
        /// The last tick that could be had.
        until: i64,
        /// The same, by the clocks of the job's zone.
        shown: String,
    },
    /// So much is pending that nothing more can wait.
    #[error("job `{job}` has {most} runs to come, and takes no more until some of them have run")]
    TooManyPending {
        /// The job.
        job: String,
        /// How many can wait at a time.
        most: usize,
    },
    /// A range ends before it begins.
    #[error("the range ends before it begins: exchange its ends")]
    ReversedRange,
    /// What a job was defined with is not what its handler reads.
    #[error("the payload of job `{job}` is not what its kind takes: {error}")]
    Payload {
        /// The job.
        job: String,
        /// What is wrong with it.
        error: String,
    },
    /// A job of this name is defined elsewhere.
    #[error(
        "job `{job}` is defined in programs, not in the store: choose another name, or change it where it is defined"
    )]
    NotDefined {
        /// The job.
        job: String,
    },
    /// A job was taken out of the store.
    #[error("job `{job}` was taken out of the store: define it again to have it run")]
    TakenOut {
        /// The job.
        job: String,
    },
    /// An id cannot be used.
    #[error("an id has 1 to 100 bytes and no control characters")]
    AskedId,
    /// A lease or a register failed.
    #[error(transparent)]
    Core(#[from] leasehold_core::Error),
}

impl From<leasehold_core::NameError> for Error {
    fn from(error: leasehold_core::NameError) -> Self {
        Error::Core(error.into())
    }
}

fn watch_hint(nearest: &[String]) -> String {
    match nearest {
        [] => ": list it in `jobs`, or the kind of a job of the store in `kinds`".to_owned(),
        nearest => hint(nearest),
    }
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => ": a job is known once a node has started that has it".to_owned(),
        nearest => format!(": did you mean `{}`?", nearest.join("` or `")),
    }
}
