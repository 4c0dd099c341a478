//! A fleet of schedulers under test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Coordinator;
use leasehold_core::testing::TestFleet;
use leasehold_spec::Spec;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::seen::Seen;
use super::{TestSetup, When};
use crate::ledger::Timing;
use crate::scheduler::{Entry, Shared};
use crate::{Builder, Error, Outcome, Scheduler, TickRecord, Via};

/// How long a run that was asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Schedulers of several nodes in one process, in virtual time, for tests of your own jobs.
///
/// Use it in a test with paused time: `#[tokio::test(start_paused = true)]`, or in
/// [`in_virtual_time`](leasehold_core::testing::in_virtual_time), which brings a runtime. Handlers really run, and may
/// sleep: that costs nothing. The same seed gives the same run.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use leasehold_scheduler::testing::{TestScheduler, unix};
/// use leasehold_scheduler::{BoxError, Outcome, jobs, singleton_job};
/// use std::time::Duration;
///
/// // Users of `leasehold` leave `crate = ..` out.
/// #[singleton_job("0 2 * * *", name = "nightly", crate = leasehold_scheduler)]
/// async fn nightly() -> Result<(), BoxError> {
///     Ok(())
/// }
///
/// let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z").jobs(jobs![nightly]);
/// let mut test = setup.nodes(2).start().await?;
/// test.advance(Duration::from_secs(2 * 86_400)).await;
/// assert_eq!(test.ran("nightly").len(), 2);
/// assert_eq!(test.ran("nightly")[0].end, unix("2026-03-28T02:00:00Z"));
///
/// // Nobody is there at the next tick.
/// test.lose_node(0);
/// test.lose_node(1);
/// test.advance(Duration::from_secs(86_400)).await;
/// test.add_node().await?;
/// test.advance_to("2026-03-31T12:00:00Z").await;
/// let outcomes: Vec<_> = test.history("nightly").iter().map(|record| record.outcome).collect();
/// assert_eq!(outcomes, [Outcome::Ran, Outcome::Ran, Outcome::Missed, Outcome::Ran]);
/// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
/// ```
///
/// Other faults are the [`fleet`](Self::fleet)'s: nodes that stand still or are cut off, a store that is away or loses
/// its data.
pub struct TestScheduler {
    pub(super) fleet: TestFleet,
    pub(super) seen: Seen,
    pub(super) setup: TestSetup,
    pub(super) nodes: Vec<Node>,
    /// What jobs are in the store, by name.
    ids: BTreeMap<String, String>,
}

pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    stop: CancellationToken,
    /// Until it was stopped or lost.
    pub(super) task: Option<JoinHandle<Result<(), Error>>>,
}

impl TestScheduler {
    /// Begins a test whose clock starts then: RFC 3339 text, seconds since 1970, or a `SystemTime`.
    ///
    /// # Panics
    /// If that is no instant after 1970.
    #[track_caller]
    pub fn starting_at(start: impl When) -> TestSetup {
        TestSetup::new(start)
    }

    pub(super) fn new(fleet: TestFleet, seen: Seen, setup: TestSetup) -> Self {
        Self {
            fleet,
            seen,
            setup,
            nodes: Vec::new(),
            ids: BTreeMap::new(),
        }
    }

    /// One more node with the settings that the test began with; says its number, from 0.
    ///
    /// # Errors
    /// What [`Builder::build`] refuses.
    pub async fn add_node(&mut self) -> Result<usize, Error> {
        let setup = self.setup.clone();
        self.add_node_with(|builder| setup.apply(builder)).await
    }

    /// One more node with settings of its own, and none of those that the test began with: another version of the
    /// program, in a deploy.
    ///
    /// # Errors
    /// What [`Builder::build`] refuses.
    pub async fn add_node_with(
        &mut self,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Result<usize, Error> {
        let number = self.fleet.add_node().await;
        let coord = self.fleet.node(number);
        let scheduler = settings(Scheduler::builder(coord)).build()?;
        let shared = scheduler.shared();
        for entry in &shared.entries() {
            let id = entry.id().to_owned();
            self.ids.insert(entry.job().to_owned(), id);
        }
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let running = async move { scheduler.run_until(stopped).await };
        let task = Some(self.fleet.node_env(number).spawn(running));
        self.nodes.push(Node { shared, stop, task });
        Ok(number)
    }

    /// Stops a node as a deploy does: it drains, and leaves. Takes as long as its runs do, the drain time at most.
    ///
    /// # Errors
    /// What [`Scheduler::run_until`] ended with.
    ///
    /// # Panics
    /// If it is not running.
    pub async fn stop_node(&mut self, node: usize) -> Result<(), Error> {
        let task = self.leaving(node);
        self.nodes[node].stop.cancel();
        let ended = task.await;
        self.fleet.node(node).shutdown(Duration::ZERO).await;
        ended.unwrap_or_else(|error| panic!("the scheduler of node {node} panicked: {error}"))
    }

    /// Loses a node without a word, as SIGKILL does. The fleet learns of it when its leases end.
    ///
    /// # Panics
    /// If it is not running.
    pub fn lose_node(&mut self, node: usize) {
        drop(self.leaving(node));
        self.fleet.kill(node);
    }

    fn leaving(&mut self, node: usize) -> JoinHandle<Result<(), Error>> {
        let count = self.nodes.len();
        let task = self.nodes.get_mut(node).and_then(|node| node.task.take());
        task.unwrap_or_else(|| {
            panic!("node {node} of {count} is not running: it was stopped, or lost, before")
        })
    }

    /// The number of the node that leads, if one does.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say.
    ///
    /// # Panics
    /// If no node is running.
    pub async fn leader(&self) -> Result<Option<usize>, Error> {
        let leader = Scheduler::leader(&self.running().coord).await?;
        // Each node of a fleet under test has a label of its own.
        let leads = |node: &Node| {
            let leader = leader.as_ref();
            leader.is_some_and(|leader| leader.label == node.shared.coord.label())
        };
        Ok(self.nodes.iter().position(leads))
    }

    /// The fleet: for partitions, nodes that stand still, and a store that fails.
    pub fn fleet(&self) -> &TestFleet {
        &self.fleet
    }

    /// A node's client.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn node(&self, node: usize) -> &Coordinator {
        self.fleet.node(node)
    }

    fn running(&self) -> &Shared {
        let running = self.nodes.iter().find(|node| node.task.is_some());
        let running = running.expect("no node is running: call `add_node`");
        &running.shared
    }

    #[track_caller]
    fn id<'a>(&'a self, job: &'a str) -> &'a str {
        let known = || {
            let names: Vec<_> = self.ids.keys().map(String::as_str).collect();
            names.join("`, `")
        };
        // One that is defined in the store has no other name.
        let of_store = || self.seen.ledger(job).map(|_| job);
        let id = self.ids.get(job).map(String::as_str).or_else(of_store);
        id.unwrap_or_else(|| panic!("no job is named `{job}`; there are `{}`", known()))
    }

    /// What became of all of a job's ticks so far, oldest first: each attempt at a tick that ran, and ranges of ticks
    /// that did not.
    ///
    /// # Panics
    /// If there is no such job; the message says which there are.
    #[track_caller]
    pub fn history(&self, job: &str) -> Vec<TickRecord> {
        self.seen.records(self.id(job))
    }

    /// The runs that ended well, oldest first.
    ///
    /// # Panics
    /// If there is no such job.
    #[track_caller]
    pub fn ran(&self, job: &str) -> Vec<TickRecord> {
        let mut records = self.history(job);
        records.retain(|record| record.outcome == Outcome::Ran);
        records
    }

    /// The next ticks of a job, in seconds since 1970.
    ///
    /// # Panics
    /// If there is no such job, or no node is running.
    #[track_caller]
    pub fn next_ticks(&self, job: &str, count: usize) -> Vec<i64> {
        let entry = self.entry(job);
        let spec = self.spec_of(&entry);
        let timing: Timing<'_> = entry.timing(&spec);
        let ticks = std::iter::successors(timing.next(self.now()), |tick| timing.next(*tick));
        ticks.take(count).collect()
    }

    /// What a program says of its job, and the store of one that is defined there.
    fn spec_of(&self, entry: &Entry) -> Arc<Spec> {
        let ledger = self
            .seen
            .ledger(entry.id())
            .filter(|_| entry.kind.is_some());
        let stored = ledger.and_then(|ledger| entry.spec_of(&ledger).ok());
        stored.unwrap_or_else(|| Arc::clone(&entry.spec))
    }

    #[track_caller]
    fn entry(&self, job: &str) -> Arc<Entry> {
        let id = self.id(job);
        let entry = self
            .running()
            .entries()
            .into_iter()
            .find(|entry| entry.id() == id);
        entry.unwrap_or_else(|| panic!("no running node has the job `{job}`"))
    }

    /// Lets time pass until the next tick of a job is over, with all its attempts, and says what became of it.
    ///
    /// # Panics
    /// If there is no such job, it has no next tick, or that is not over within a day of its start.
    pub async fn next_tick(&self, job: &str) -> TickRecord {
        let entry = self.entry(job);
        let spec = self.spec_of(&entry);
        let timing = entry.timing(&spec);
        let tick = timing.next(self.now());
        let tick = tick.unwrap_or_else(|| panic!("job `{job}` has no next tick"));
        let start_us = timing.start_ms(tick).saturating_mul(1000);
        self.play(start_us.max(self.now_us())).await;
        let is_it = |record: &TickRecord| record.is_about(tick) && record.via == Via::Schedule;
        self.outcome(job, is_it).await
    }

    /// Asks for a run of a job now, lets time pass until it is over, with all its attempts, and says what became of it.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't be asked.
    ///
    /// # Panics
    /// If there is no such job, or its run is not over within a day.
    pub async fn trigger(&self, job: &str) -> Result<TickRecord, Error> {
        let ledger = &self.entry(job).ledger;
        let chance = self.fleet.env().random(u64::MAX);
        let id = format!("test-{chance:016x}");
        let stored = ledger.read().await?.value;
        assert!(
            stored.is_some(),
            "no node has looked at the job `{job}` yet: call `settle` first"
        );
        let now_ms = self.now_us() / 1000;
        let entered = ledger.update(stored, |ledger, _| {
            ledger.trigger(&id, now_ms).unwrap_or(false)
        });
        entered.await?;
        for node in &self.nodes {
            let entries = node.shared.entries();
            let entries = entries.iter();
            let at = entries
                .enumerate()
                .find(|(_, entry)| entry.id() == ledger.job.as_ref());
            if let Some((at, _)) = at {
                node.shared.wake(at);
            }
        }
        let is_it = |record: &TickRecord| record.id.as_deref() == Some(&id);
        Ok(self.outcome(job, is_it).await)
    }

    /// The last word on what `is_it` says.
    async fn outcome(&self, job: &str, is_it: impl Fn(&TickRecord) -> bool) -> TickRecord {
        let found = |test: &Self| {
            let mut records = test.history(job).into_iter();
            records.find(|record| is_it(record) && !record.retry && !record.late)
        };
        self.advance_until(PATIENCE, |test| found(test).is_some())
            .await;
        found(self).unwrap_or_else(|| {
            panic!("`{job}` was not over within {PATIENCE:?}: did it start? does it end?")
        })
    }
}

/// Nothing of a test's fleet goes on after it.
impl Drop for TestScheduler {
    fn drop(&mut self) {
        for number in 0..self.nodes.len() {
            self.fleet.kill(number);
        }
    }
}

impl fmt::Debug for TestScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.nodes.iter().filter(|node| node.task.is_some());
        write!(f, "TestScheduler({} nodes running)", running.count())
    }
}
