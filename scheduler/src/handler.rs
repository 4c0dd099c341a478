//! What a job runs.

use std::pin::Pin;

use crate::JobContext;

/// Any error a job may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type BodyFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
pub(crate) type Handler = dyn Fn(JobContext) -> BodyFuture + Send + Sync;

/// What a job's function may return: nothing, or a result.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a job can return",
    label = "a job returns `()` or `Result<(), E>`, where E: Into<Box<dyn Error + Send + Sync>>"
)]
pub trait IntoJobResult {
    /// As a result.
    fn into_job_result(self) -> Result<(), BoxError>;
}

impl IntoJobResult for () {
    fn into_job_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> IntoJobResult for Result<(), E> {
    fn into_job_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
