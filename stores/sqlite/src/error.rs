//! What SQLite's failures mean, and what to do about them.

use std::path::Path;

use leasehold_core::protocol::TooNew;
use leasehold_core::store::{StoreError, StoreErrorKind};

/// Why a job came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The transaction failed, and all in it.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// What this job read cannot be used; others in the transaction are not touched by that.
    #[error(transparent)]
    Format(#[from] TooNew),
}

/// A failure of a whole transaction, to be told to each of its jobs.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    kind: StoreErrorKind,
    context: String,
    busy: bool,
}

impl Verdict {
    /// From SQLite's result code: <https://www.sqlite.org/rescode.html>.
    pub(crate) fn of(error: &sqlx::Error, path: &Path) -> Self {
        use StoreErrorKind::{Config, Refused, Unknown};
        let code = result_code(error);
        let (kind, advice) = match code {
            // Nothing was done, but asking again helps, and that is what callers do on `Unknown`.
            Some(5 | 6) => (
                Unknown,
                "another process kept its write lock for too long; look for a long transaction on this file",
            ),
            Some(8) => (Refused, "it is read-only; make it and its folder writable"),
            Some(10) => (Unknown, "the disk failed"),
            Some(11) => (Refused, "the database is damaged; replace the file"),
            Some(13) => (
                Refused,
                "the disk is full, or the size limit is reached; nothing was changed",
            ),
            Some(14) => (
                Config,
                "it cannot be opened; check that the folder exists and is writable",
            ),
            Some(26) => (Config, "it is not a SQLite database; choose another file"),
            Some(_) => (Refused, "SQLite refused"),
            None => (Unknown, "the connection to the file failed"),
        };
        Self {
            kind,
            context: format!("{}: {advice}: {error}", path.display()),
            busy: matches!(code, Some(5 | 6)),
        }
    }

    /// Whether the file was only locked, so that nothing has begun.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// As the answer to `operation`.
    pub(crate) fn to_error(&self, operation: &'static str) -> StoreError {
        StoreError::new(self.kind, operation, self.context.clone())
    }
}

impl From<StoreError> for Verdict {
    fn from(error: StoreError) -> Self {
        Self {
            kind: error.kind(),
            context: error.to_string(),
            busy: false,
        }
    }
}

/// SQLite's primary result code.
pub(crate) fn result_code(error: &sqlx::Error) -> Option<u32> {
    let extended = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(extended & 0xff)
}
