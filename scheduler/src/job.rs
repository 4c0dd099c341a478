//! A job: a name, a schedule, and what to run.

use std::fmt;
use std::sync::Arc;

use leasehold_core::{Class, NameError, ResourceName};
use leasehold_cron::{ParseError, Schedule};

use crate::context::Requirement;
use crate::handler::{BoxError, Handler};
use crate::{Error, JobContext};

/// A job. Made by `#[singleton_job]` and [`jobs!`](crate::jobs), or by [`Job::new`].
#[derive(Clone)]
pub struct Job {
    pub(crate) name: Arc<str>,
    schedule: Result<Schedule, ParseError>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) handler: Arc<Handler>,
}

/// What `#[singleton_job]` implements on the struct it puts beside the function.
pub trait JobDefinition {
    /// The job.
    fn job() -> Job;
}

/// Lists jobs by the paths of their functions, as a `Vec<Job>`.
///
/// A job that nobody lists does not run: nothing is registered behind the scenes, so nothing can get lost when a crate
/// is linked. The compiler warns that its function is never used, unless it is `pub`.
///
/// ```
/// mod mail {
///     use leasehold_scheduler::singleton_job;
///
///     // Users of `leasehold` leave `crate = ..` out.
///     #[singleton_job("@daily", crate = leasehold_scheduler)]
///     pub async fn send_reminders() {}
/// }
/// assert_eq!(leasehold_scheduler::jobs![mail::send_reminders].len(), 1);
/// ```
#[macro_export]
macro_rules! jobs {
    () => { ::std::vec::Vec::<$crate::Job>::new() };
    ($($job:path),+ $(,)?) => { ::std::vec![$(<$job as $crate::JobDefinition>::job()),+] };
}

impl Job {
    /// A job by code. Its name is its identity in the store: a renamed job is a new one.
    ///
    /// ```
    /// use leasehold_scheduler::{BoxError, Job};
    /// let job = Job::new("nightly", "0 2 * * *", |ctx| async move {
    ///     println!("{}", ctx.run_id());
    ///     Ok::<(), BoxError>(())
    /// });
    /// assert_eq!(job.name(), "nightly");
    /// ```
    ///
    /// What is wrong with the name or the expression is said by the scheduler's `build()`.
    pub fn new<F, Fut>(name: &str, expression: &str, handler: F) -> Self
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self::from_macro(name, expression, Vec::new(), handler)
    }

    /// What the attribute calls.
    #[doc(hidden)]
    pub fn from_macro<F, Fut>(
        name: &str,
        expression: &str,
        requirements: Vec<Option<Requirement>>,
        handler: F,
    ) -> Self
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self {
            name: name.into(),
            schedule: Schedule::parse(expression),
            requirements: requirements.into_iter().flatten().collect(),
            handler: Arc::new(move |ctx| Box::pin(handler(ctx))),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn schedule(&self) -> Result<&Schedule, Error> {
        self.schedule.as_ref().map_err(|error| Error::Expression {
            job: self.name.to_string(),
            error: error.clone(),
        })
    }
}

pub(crate) fn history_name(job: &str) -> Result<ResourceName, NameError> {
    Class::internal("~history").resource(job)
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}
