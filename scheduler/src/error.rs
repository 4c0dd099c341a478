//! The errors of the scheduler.

use leasehold_spec::SpecError;

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
    /// Two jobs have one name.
    #[error(
        "two jobs are named `{job}`: a name is a job's identity in the store; give one of them `name = \"..\"`"
    )]
    DuplicateJob {
        /// The name.
        job: String,
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
    /// A lease or a register failed.
    #[error(transparent)]
    Core(#[from] leasehold_core::Error),
}

impl From<leasehold_core::NameError> for Error {
    fn from(error: leasehold_core::NameError) -> Self {
        Error::Core(error.into())
    }
}
