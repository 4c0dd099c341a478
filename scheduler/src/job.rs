//! A job: its names, its specification, and what to run.

use std::fmt;
use std::sync::Arc;

use leasehold_core::{Class, NameError, ResourceName};
use leasehold_spec::{Spec, SpecError};

use crate::context::Requirement;
use crate::handler::{BoxError, Handler};
use crate::{Error, JobContext};

/// A job. Made by `#[singleton_job]` and [`jobs!`](crate::jobs), or by [`Job::builder`].
#[derive(Clone)]
pub struct Job {
    pub(crate) name: Arc<str>,
    /// Former names, newest first.
    pub(crate) aliases: Vec<Arc<str>>,
    pub(crate) spec: Result<Spec, SpecError>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) handler: Arc<Handler>,
}

/// What `#[singleton_job]` implements on the struct it puts beside the function.
pub trait JobDefinition {
    /// The jobs, one for each attribute, in the order in which they are written.
    fn jobs() -> Vec<Job>;
}

/// Lists jobs by the paths of their functions, as a `Vec<Job>`.
///
/// A job that nobody lists does not run: nothing is registered behind the scenes, so nothing can get lost when a crate
/// is linked. The compiler warns that its function is never used, unless it is `pub`; a manifest
/// ([`Builder::registered_jobs`](crate::Builder::registered_jobs)) says which jobs the list must have.
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
    ($($job:path),+ $(,)?) => { [$(<$job as $crate::JobDefinition>::jobs()),+].concat() };
}

impl Job {
    /// A job by code, of which nothing but its schedule is to be said; [`Job::builder`] says more.
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
        Self::from_macro(name, &[], &[("schedule", expression)], Vec::new(), handler)
    }

    /// What the attribute calls.
    #[doc(hidden)]
    pub fn from_macro<F, Fut>(
        name: &str,
        aliases: &[&str],
        words: &[(&str, &str)],
        requirements: Vec<Option<Requirement>>,
        handler: F,
    ) -> Self
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self {
            name: name.into(),
            aliases: aliases.iter().map(|alias| Arc::from(*alias)).collect(),
            spec: Spec::from_words(words.iter().copied()),
            requirements: requirements.into_iter().flatten().collect(),
            handler: Arc::new(move |ctx| Box::pin(handler(ctx))),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that it had before, newest first.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(|alias| &**alias)
    }

    /// Its name, former ones, and specification, for an error.
    pub(crate) fn described(&self) -> String {
        let name = format!("`{}`", self.name);
        let text =
            (self.aliases.iter()).fold(name, |text, alias| text + ", before `" + alias + "`");
        match &self.spec {
            Ok(spec) => format!("{text}: {spec}"),
            Err(error) => format!("{text}: {error}"),
        }
    }

    /// What it is in the store, and stays when it is renamed: its first name, which is its last alias; or its name, if it
    /// never had another. Its ledger, its history, its leases and its runs' ids go by it.
    ///
    /// ```
    /// use leasehold_scheduler::{BoxError, Job};
    /// let job = Job::new("nightly", "0 2 * * *", |_| async { Ok::<(), BoxError>(()) });
    /// assert_eq!(job.id(), "nightly");
    /// ```
    pub fn id(&self) -> &str {
        self.aliases.last().unwrap_or(&self.name)
    }

    /// When it is due, and what to do when things go wrong.
    ///
    /// # Errors
    /// [`Error::Spec`] with the word that is wrong; the scheduler's `build()` gives the same.
    pub fn spec(&self) -> Result<&Spec, Error> {
        self.spec.as_ref().map_err(|error| Error::Spec {
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
            .field("aliases", &self.aliases)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
