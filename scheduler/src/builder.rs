//! Building a scheduler: everything that can be wrong with it is said here, before anything is claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use leasehold_core::Coordinator;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::States;
use crate::control::wake_name;
use crate::error::REVISION_VARIABLE;
use crate::fleet::{self, Fleet, Listed};
use crate::ledger::{version_of, words_of};
use crate::registers::{LedgerRegister, ledger_name};
use crate::scheduler::{Entry, Shared, control_name, leader_name};
use crate::watchdog::{self, Callback};
use crate::{Error, Job, Manifest, Overdue, Scheduler, metrics};

/// How long runs may go on after the stop signal, unless it is said.
const DRAIN: Duration = Duration::from_secs(20);

/// Settings of a scheduler. Made by [`Scheduler::builder`].
#[derive(Debug)]
#[must_use = "call `build` or `run_until`"]
pub struct Builder {
    coord: Coordinator,
    states: States,
    jobs: Vec<Job>,
    kinds: Vec<Job>,
    manifest: Option<Manifest>,
    grace: Duration,
    run_ttl: Duration,
    leader_ttl: Duration,
    drain: Option<Duration>,
    concurrency: Option<usize>,
    labels: BTreeSet<String>,
    revision: Option<u64>,
    watched: BTreeMap<String, Duration>,
    on_overdue: Option<Callback>,
}

impl Builder {
    pub(crate) fn new(coord: &Coordinator) -> Self {
        Self {
            coord: coord.clone(),
            states: States::default(),
            jobs: Vec::new(),
            kinds: Vec::new(),
            manifest: None,
            grace: Duration::from_secs(5),
            run_ttl: Duration::from_secs(30),
            leader_ttl: Duration::from_secs(15),
            drain: None,
            concurrency: None,
            labels: BTreeSet::new(),
            revision: None,
            watched: BTreeMap::new(),
            on_overdue: None,
        }
    }

    /// A value for every job that has `State<T>` of its type as an argument. One value a type; the last one counts.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// Jobs: `jobs![report::nightly, cache::refresh]`. May be called again; jobs add up.
    pub fn jobs(mut self, jobs: impl IntoIterator<Item = Job>) -> Self {
        self.jobs.extend(jobs);
        self
    }

    /// The names of the jobs that this scheduler must have, all of them and no others: `build()` refuses to start if a job
    /// was forgotten in `jobs![..]`, lost in a merge, or compiled out, and says which. May be called again; manifests add
    /// up.
    ///
    /// A list, or the text of a file that is checked in, with a name a line: what runs where is then seen in each review.
    ///
    /// ```
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # use leasehold_scheduler::{Scheduler, jobs};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let forgotten = Scheduler::builder(&coord)
    ///     .jobs(jobs![])
    ///     .registered_jobs(["billing::nightly"]) // or include_str!("jobs.txt")
    ///     .build();
    /// assert!(forgotten.unwrap_err().to_string().contains("add its function to `jobs![..]`"));
    /// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
    /// ```
    pub fn registered_jobs(mut self, manifest: impl Into<Manifest>) -> Self {
        self.manifest.get_or_insert_default().add(manifest.into());
        self
    }

    /// What this node can run of the jobs that are defined in the store, with [`Jobs::define`](crate::Jobs::define): each by
    /// the name of its kind. Of a kind only name, handler and what it `needs` count.
    ///
    /// ```
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// use leasehold_scheduler::{Job, Scheduler};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let report = Job::builder("report").run(|ctx| async move {
    ///     let customer: String = ctx.payload()?;
    ///     println!("a report for {customer}");
    ///     Ok::<(), leasehold_scheduler::Error>(())
    /// });
    /// let scheduler = Scheduler::builder(&coord).kinds([report]).build()?;
    /// # drop(scheduler);
    /// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
    /// ```
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = Job>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// How old a job's last success may be before it is overdue: more than the longest pause between its ticks, a weekend
    /// say, and a run. Of a job that is not listed here, two ticks in a row may end otherwise than well. A job that is paused
    /// is never overdue, nor is one that was taken out of the store.
    ///
    /// Jobs of the store are watched, too, and by their names. What is wrong with a name or limit is said by `build()`; but a
    /// scheduler with [`kinds`](Self::kinds) takes any name.
    ///
    /// Every node looks, the leader each 5 s and the others each minute, also when no run can start at all. The gauge
    /// `leasehold_job_overdue_seconds` says for how long; [`on_overdue`](Self::on_overdue) calls.
    pub fn watch(mut self, job: &str, limit: Duration) -> Self {
        self.watched.insert(job.to_owned(), limit);
        self
    }

    /// What to call when a job is overdue: on one of the nodes that were told what to call, once until the job ends well or
    /// is paused. (After a lost answer of the store maybe twice; and not at all if that node dies right then, or while the
    /// store is away: watch the gauges, too.) It must not block.
    ///
    /// ```
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # use leasehold_scheduler::{BoxError, Job, Scheduler};
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// # let nightly = Job::new("nightly", "0 2 * * *", |_| async { Ok::<(), BoxError>(()) });
    /// let scheduler = Scheduler::builder(&coord)
    ///     .jobs([nightly])
    ///     .watch("nightly", Duration::from_secs(26 * 3600))
    ///     .on_overdue(|overdue| eprintln!("{overdue}"))
    ///     .build()?;
    /// # drop(scheduler);
    /// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
    /// ```
    pub fn on_overdue(mut self, tell: impl Fn(Overdue) + Send + Sync + 'static) -> Self {
        self.on_overdue = Some(Callback(Arc::new(tell)));
        self
    }

    /// How many runs this node may have under way at a time (default: any number, at least 1). Ticks beyond it are left to
    /// other nodes, or start when one of the runs has ended, if that is in time.
    pub fn concurrency(mut self, runs: usize) -> Self {
        self.concurrency = Some(runs.max(1));
        self
    }

    /// A label of this node, such as `gpu`: jobs that are pinned to nodes that have it (`only_on`) may run here.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.insert(label.into());
        self
    }

    /// Which build this is: of two specifications of a job, that of the higher revision is in force. Without it the one
    /// that appeared later counts as the higher one, which a roll-back has to wait for (25 s). The environment variable
    /// `LEASEHOLD_REVISION` overrides it.
    pub fn revision(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// How late a tick may start (default 5 s, at least 1 s). With a later one its job's misfire
    /// policy decides: unless it says otherwise, the tick is recorded as missed.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The TTL of a run's lease (default 30 s): how long the fleet waits before it takes a silent node's run for lost.
    pub fn run_ttl(mut self, ttl: Duration) -> Self {
        self.run_ttl = ttl;
        self
    }

    /// The TTL of leadership (default 15 s).
    pub fn leader_ttl(mut self, ttl: Duration) -> Self {
        self.leader_ttl = ttl;
        self
    }

    /// How long runs may go on after the stop signal (default 20 s, or two thirds of [`run_ttl`](Self::run_ttl) if that is
    /// less); then they are cancelled. It is shorter than `run_ttl`: however a drain ends, a run's lease outlasts it.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = Some(drain);
        self
    }

    /// Checks everything; claims nothing yet.
    ///
    /// # Errors
    /// [`Error::Drain`], [`Error::WatchedJob`], [`Error::WatchLimit`], [`Error::Manifest`], [`Error::DuplicateJob`], [`Error::MissingState`], [`Error::Spec`], [`Error::Label`],
    /// [`Error::Revision`], and names or TTLs that cannot be used.
    pub fn build(self) -> Result<Scheduler, Error> {
        metrics::describe();
        if self.grace < Duration::from_secs(1) {
            return Err(Error::Grace { grace: self.grace });
        }
        for ttl in [self.run_ttl, self.leader_ttl] {
            self.coord.check_ttl(ttl)?;
        }
        let drain = self.drain.unwrap_or(DRAIN.min(self.run_ttl * 2 / 3));
        if drain >= self.run_ttl {
            let run_ttl = self.run_ttl;
            return Err(Error::Drain { drain, run_ttl });
        }
        let is_bad = |label: &&String| {
            label.is_empty()
                || label.trim() != *label
                || label.contains(',')
                || label.chars().any(char::is_control)
        };
        if let Some(label) = self.labels.iter().find(is_bad) {
            let label = label.clone();
            return Err(Error::Label { label });
        }
        let revision = revision_said(std::env::var_os(REVISION_VARIABLE))?.or(self.revision);
        if let Some(manifest) = &self.manifest {
            manifest.check(&self.jobs)?;
        }
        check_names(&self.jobs)?;
        check_names(&self.kinds)?;
        let watched = watchdog::limits(self.watched, &self.jobs, &self.kinds)?;
        for job in self.jobs.iter().chain(&self.kinds) {
            let missing = job.requirements.iter().find(|need| !self.states.has(need));
            if let Some(missing) = missing {
                return Err(Error::MissingState {
                    job: job.name.to_string(),
                    type_name: missing.type_name,
                });
            }
        }
        let mut entries = Vec::new();
        for job in self.jobs {
            let spec = job.spec()?.clone();
            let id: Arc<str> = job.id().into();
            let name = ledger_name(&id)?;
            let words = words_of(&spec);
            entries.push(Entry {
                ledger: LedgerRegister {
                    job: id,
                    register: self.coord.register_of(name),
                    coord: self.coord.clone(),
                },
                name: job.name,
                version: version_of(&words),
                words,
                spec: Arc::new(spec),
                in_force: Mutex::default(),
                handler: job.handler,
                kind: None,
                is_out: AtomicBool::new(false),
            });
        }
        let listed = entries
            .iter()
            .map(|entry| (entry.id().to_owned(), listed(entry)));
        let kinds: BTreeMap<_, _> = (self.kinds.into_iter())
            .map(|job| (job.name.to_string(), job.handler))
            .collect();
        let mut manifest = fleet::Manifest::new(revision, listed.collect());
        manifest.kinds = kinds.keys().cloned().collect();
        let fleet = Fleet::new(&self.coord, manifest, &self.labels);
        let election = self.coord.election_of(leader_name()).ttl(self.leader_ttl);
        let (wake, wakes) = mpsc::unbounded_channel();
        let shared = Shared {
            control: self.coord.register_of(control_name()),
            changes: self.coord.register_of(wake_name()),
            slots: self.concurrency.map(|n| Arc::new(Semaphore::new(n))),
            labels: self.labels,
            away: Mutex::default(),
            watched,
            on_overdue: self.on_overdue,
            unwanted: Mutex::default(),
            wakes: wake,
            coord: self.coord,
            entries: RwLock::new(entries.into_iter().map(Arc::new).collect()),
            kinds,
            states: Arc::new(self.states),
            grace: self.grace,
            run_ttl: self.run_ttl,
            drain,
            election,
            fleet,
            stop: CancellationToken::new(),
            force: CancellationToken::new(),
            runs: TaskTracker::new(),
        };
        Ok(Scheduler::new(shared, wakes))
    }

    /// [`build`](Self::build), and [`Scheduler::run_until`].
    ///
    /// # Errors
    /// As both.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), Error> {
        self.build()?.run_until(stop).await
    }
}

/// No name, of today or of before, is that of two jobs: they would share a ledger, now or after a renaming. A job may have
/// gone back to a name that it had.
fn check_names(jobs: &[Job]) -> Result<(), Error> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, job) in jobs.iter().enumerate() {
        for name in std::iter::once(job.name()).chain(job.aliases()) {
            ledger_name(name)?;
            let other = *taken.entry(name).or_insert(place);
            if other != place {
                return Err(Error::DuplicateJob {
                    job: name.to_owned(),
                    first: jobs[other].described(),
                    second: job.described(),
                });
            }
        }
    }
    Ok(())
}

fn listed(entry: &Entry) -> Listed {
    let is_named = entry.job() != entry.id();
    Listed {
        spec: entry.version.clone(),
        name: is_named.then(|| entry.job().to_owned()),
        on: entry.spec.only_on.clone(),
    }
}

/// What the environment says of the revision.
fn revision_said(text: Option<std::ffi::OsString>) -> Result<Option<u64>, Error> {
    let Some(text) = text else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    let number = text.trim().parse();
    number.map(Some).map_err(|_| Error::Revision {
        text: text.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_in_the_environment_is_a_whole_number() {
        let said = |text: &str| revision_said(Some(text.into()));
        assert!(matches!(revision_said(None), Ok(None)));
        assert!(matches!(said(" 42 "), Ok(Some(42))));
        for text in ["", "v2", "-1", "1.5"] {
            let error = said(text).unwrap_err().to_string();
            let wrong =
                format!("LEASEHOLD_REVISION is `{text}`: make it a whole number, or take it away");
            assert_eq!(error, wrong);
        }
    }
}
