//! Why a call was not made, or failed.

use std::fmt;
use std::time::Duration;

use crate::Error;

/// Why a call through a layer was not made, or failed. The kinds never turn into each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The limiter: limited, or unavailable; [`Error::is_limited`] tells. The service was not called.
    #[error("{0}")]
    Limit(Error),
    /// The server said in its last answers to come back only then, which is longer than the limiter's longest wait. The
    /// service was not called.
    #[error("not called: the server asked to be left alone for {left:.1?} more")]
    Paused {
        /// In how long.
        left: Duration,
    },
    /// No permit: busy, or unavailable; the service was not called. Or the permit was lost, and the call stopped.
    #[error("{0}")]
    Permit(leasehold_core::Error),
    /// The service.
    #[error("{0}")]
    Service(E),
}

impl<E> CallError<E> {
    /// Whether it may be called later: all works, and others have what there is.
    pub fn is_limited(&self) -> bool {
        match self {
            CallError::Limit(error) => error.is_limited(),
            CallError::Permit(error) => error.is_busy(),
            CallError::Paused { .. } => true,
            CallError::Service(_) => false,
        }
    }

    /// Whether nobody can say.
    pub fn is_unavailable(&self) -> bool {
        match self {
            CallError::Limit(error) => error.is_unavailable(),
            CallError::Permit(error) => error.is_unavailable(),
            CallError::Paused { .. } | CallError::Service(_) => false,
        }
    }

    /// What a server answers with if this is why it cannot serve: 429 if [limited](Self::is_limited), else 503; the service's
    /// own error is its own to tell.
    pub fn status(&self) -> Option<::http::StatusCode> {
        match self {
            CallError::Service(_) => None,
            _ if self.is_limited() => Some(::http::StatusCode::TOO_MANY_REQUESTS),
            _ => Some(::http::StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The service's error.
    pub fn into_service(self) -> Option<E> {
        match self {
            CallError::Service(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> From<Error> for CallError<E> {
    fn from(error: Error) -> Self {
        CallError::Limit(error)
    }
}
