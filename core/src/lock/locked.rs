//! What the expansions of `#[locked]` and `#[permit]` use. Nobody's API.

pub use std::time::Duration;

pub use super::{Hold, Lease, Permit};
use super::{MutexGuard, ReadGuard};
pub use crate::client::Coordinator;
use crate::error::{Error, Lost};

/// What a body runs under.
pub trait Guard: Sized {
    /// Gives it back.
    fn release(self) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Guard for MutexGuard {
    async fn release(self) -> Result<(), Error> {
        self.release().await
    }
}

impl Guard for ReadGuard {
    async fn release(self) -> Result<(), Error> {
        self.release().await
    }
}

impl Guard for Permit {
    async fn release(self) -> Result<(), Error> {
        self.release().await
    }
}

/// The result of a function that is locked, or needs a permit.
#[diagnostic::on_unimplemented(
    message = "a `#[locked]` or `#[permit]` function returns a `Result` whose error converts from `leasehold::Error`",
    label = "not `Result<_, E>` with `E: From<leasehold::Error>`",
    note = "the lock can be busy, the store unavailable, the lease lost: give the error type `impl From<leasehold::Error>` \
            (as with thiserror's `#[from]`), or return `Result<_, leasehold::Error>`"
)]
pub trait LockedResult {
    /// It was not locked, or not for long enough.
    fn refused(error: Error) -> Self;

    /// Whether the body did what it was to do.
    fn is_done(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> LockedResult for Result<T, E> {
    fn refused(error: Error) -> Self {
        Err(error.into())
    }

    fn is_done(&self) -> bool {
        self.is_ok()
    }
}

/// What became of a call.
#[derive(Debug)]
pub struct Ended<R> {
    /// What the body returned, or why it did not run or was stopped.
    output: Result<R, Error>,
    /// The lease was gone when the body had ended.
    lost: Option<Lost>,
}

/// The body did not run.
pub fn refused<R>(error: Error) -> Ended<R> {
    Ended {
        output: Err(error),
        lost: None,
    }
}

/// The body has ended, or was stopped: releases. As with [`Mutexes::with`](super::Mutexes::with), an acknowledgement that
/// does not come is no error, since the lease was held until the body had ended.
pub async fn release<R>(guard: impl Guard, output: Result<R, Error>) -> Ended<R> {
    let lost = match guard.release().await {
        Err(Error::Lost(lost)) => Some(lost),
        _ => None,
    };
    Ended { output, lost }
}

/// What the call returns.
pub fn result<R: LockedResult>(ended: Ended<R>) -> R {
    match (ended.output, ended.lost) {
        (Err(error), _) => R::refused(error),
        // An error of the body's own says more.
        (Ok(output), Some(lost)) if output.is_done() => R::refused(lost.into()),
        (Ok(output), _) => output,
    }
}

/// Never called: says of which type a body is.
pub fn never<R>() -> R {
    unreachable!("it stands where nothing runs")
}
