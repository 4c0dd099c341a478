//! A job by code, with everything that the attribute can say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_cron::Dst;
use leasehold_spec::{Misfire, OnCrash, Overlap, Spec, duration_text};

use crate::context::{FromRun, Requirement};
use crate::handler::IntoJobResult;
use crate::{Job, JobContext, State};

/// A job that is being put together. Made by [`Job::builder`]; [`run`](Self::run) makes it whole.
///
/// Nothing is refused here: what is wrong is said by the scheduler's `build()`, with the job and the word.
#[derive(Debug, Clone)]
#[must_use = "a job is made by `run`"]
pub struct JobBuilder {
    name: String,
    aliases: Vec<String>,
    words: BTreeMap<String, String>,
    labels: Vec<String>,
    requirements: Vec<Option<Requirement>>,
}

impl Job {
    /// Begins a job by code. [`schedule`](JobBuilder::schedule) is the only setting that it has to have.
    ///
    /// ```
    /// use leasehold_scheduler::{Job, Misfire, OnCrash, Overlap};
    /// use std::time::Duration;
    ///
    /// # #[derive(Clone)] struct Db;
    /// # impl Db { async fn close_books(&self, _: String) -> Result<(), std::io::Error> { Ok(()) } }
    /// let job = Job::builder("close_books")
    ///     .schedule("0 2 * * *")
    ///     .tz("Europe/Berlin")
    ///     .misfire(Misfire::RunOnce)
    ///     .timeout(Duration::from_secs(600))
    ///     .retries(3)
    ///     .needs::<Db>()
    ///     .run(|ctx| async move { ctx.state::<Db>().close_books(ctx.run_id()).await });
    /// assert_eq!(job.spec()?.misfire, Misfire::RunOnce);
    /// # Ok::<(), leasehold_scheduler::Error>(())
    /// ```
    pub fn builder(name: &str) -> JobBuilder {
        JobBuilder {
            name: name.to_owned(),
            aliases: Vec::new(),
            words: BTreeMap::new(),
            labels: Vec::new(),
            requirements: Vec::new(),
        }
    }
}

impl JobBuilder {
    /// When it is due: a cron expression, or `-` if it is never by itself.
    pub fn schedule(self, expression: &str) -> Self {
        self.word("schedule", expression)
    }

    /// The time zone whose clocks count (default UTC), such as `Europe/Berlin`.
    pub fn tz(self, zone: &str) -> Self {
        self.word("tz", zone)
    }

    /// What becomes of a fixed time that the zone's clocks skip or repeat (default: it runs once).
    pub fn dst(self, dst: Dst) -> Self {
        self.word("dst", &dst.to_string())
    }

    /// What to do with ticks that no node could start in time (default: they are missed).
    pub fn misfire(self, misfire: Misfire) -> Self {
        self.word("misfire", &misfire.to_string())
    }

    /// What to do with a tick while a run is under way (default: it is skipped).
    pub fn overlap(self, overlap: Overlap) -> Self {
        self.word("overlap", &overlap.to_string())
    }

    /// Each tick starts up to this much later (default 0 s), always the same for the same job and tick.
    pub fn jitter(self, jitter: Duration) -> Self {
        self.word("jitter", &duration_text(jitter))
    }

    /// A run is cancelled after this (default: never).
    pub fn timeout(self, timeout: Duration) -> Self {
        self.word("timeout", &duration_text(timeout))
    }

    /// How often a tick that failed is tried again (default 0).
    pub fn retries(self, retries: u32) -> Self {
        self.word("retries", &retries.to_string())
    }

    /// The pause before the first of them (default 10 s); it doubles each time, up to an hour.
    pub fn backoff(self, backoff: Duration) -> Self {
        self.word("backoff", &duration_text(backoff))
    }

    /// What to do with a run whose node went away (default: nothing).
    pub fn on_crash(self, on_crash: OnCrash) -> Self {
        self.word("on_crash", &on_crash.to_string())
    }

    /// Only nodes that have this label run it. May be called again: a node has to have all of them.
    pub fn only_on(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        let labels = self.labels.join(", ");
        self.word("only_on", &labels)
    }

    /// Settings in words, as [`Spec::from_words`] reads them: from a file, say. The last one of a word counts.
    ///
    /// ```
    /// use leasehold_scheduler::{Job, Overlap};
    ///
    /// let job = Job::builder("refresh")
    ///     .words([("schedule", "*/5 * * * *"), ("overlap", "queue_one"), ("jitter", "30s")])
    ///     .run(|_ctx| async {});
    /// assert_eq!(job.spec()?.overlap, Overlap::QueueOne);
    /// # Ok::<(), leasehold_scheduler::Error>(())
    /// ```
    pub fn words<W: AsRef<str>, T: AsRef<str>>(
        self,
        words: impl IntoIterator<Item = (W, T)>,
    ) -> Self {
        let words = words.into_iter();
        words.fold(self, |job, (word, text)| {
            job.word(word.as_ref(), text.as_ref())
        })
    }

    /// A specification that was read before; it takes the place of all that was set.
    pub fn spec(mut self, spec: &Spec) -> Self {
        let words = spec.words().into_iter();
        self.words = words.map(|(word, text)| (word.to_owned(), text)).collect();
        self.labels.clone_from(&spec.only_on);
        self
    }

    /// A name that the job had before. Given again for each, newest first: the last one stays its [`id`](Job::id), so give
    /// all that it ever had, and never drop the oldest.
    pub fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// Declares that the body asks for [`ctx.state::<T>()`](JobContext::state): if the scheduler was not given one, its
    /// `build()` says so, and not the first run.
    pub fn needs<T: Clone + Send + Sync + 'static>(mut self) -> Self {
        self.requirements.push(State::<T>::requirement());
        self
    }

    /// The job, with its body: called for each attempt, and given what the run knows. It returns `()` or a
    /// `Result<(), E>` whose error converts into a boxed one.
    pub fn run<F, Fut>(self, body: F) -> Job
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoJobResult> + Send + 'static,
    {
        let words = self.words.iter();
        Job {
            name: self.name.into(),
            aliases: self.aliases.into_iter().map(Into::into).collect(),
            spec: Spec::from_words(words.map(|(word, text)| (word.as_str(), text.as_str()))),
            requirements: self.requirements.into_iter().flatten().collect(),
            handler: Arc::new(move |ctx| {
                let run = body(ctx);
                Box::pin(async move { run.await.into_job_result() })
            }),
        }
    }

    fn word(mut self, word: &str, text: &str) -> Self {
        self.words.insert(word.to_owned(), text.to_owned());
        self
    }
}
