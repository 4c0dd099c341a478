//! The scheduler: one a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use leasehold_core::{
    Class, Coordinator, Election, Leader, Moment, NodeId, RegisterHandle, ResourceName,
};
use leasehold_spec::{Spec, SpecError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::States;
use crate::fleet::Fleet;
use crate::handler::Handler;
use crate::ledger::{Ledger, Running, Timing, Words};
use crate::planted::{Bug, planted};
use crate::registers::LedgerRegister;
use crate::watchdog::Callback;
use crate::{Builder, Error, dispatch, house, metrics};

/// After the drain time is over, a cancelled run has this long to come to an await.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Runs jobs on this node, as one of the fleet. Build it with [`Scheduler::builder`].
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    wakes: mpsc::UnboundedReceiver<usize>,
}

/// What the scheduler's tasks share.
pub(crate) struct Shared {
    pub(crate) coord: Coordinator,
    /// Only ever more: a job keeps its number.
    pub(crate) entries: RwLock<Vec<Arc<Entry>>>,
    /// What runs jobs that are defined in the store, by kind.
    pub(crate) kinds: BTreeMap<String, Arc<Handler>>,
    pub(crate) states: Arc<States>,
    pub(crate) grace: Duration,
    pub(crate) run_ttl: Duration,
    pub(crate) drain: Duration,
    pub(crate) election: Election,
    pub(crate) fleet: Fleet,
    /// No claims from now on.
    pub(crate) stop: CancellationToken,
    /// Runs end now.
    pub(crate) force: CancellationToken,
    pub(crate) runs: TaskTracker,
    /// How many jobs this node may run at a time.
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) labels: BTreeSet<String>,
    /// Since when the store does not answer.
    pub(crate) away: Mutex<Option<Moment>>,
    /// How old the last success of a job may be.
    pub(crate) watched: BTreeMap<String, Duration>,
    pub(crate) on_overdue: Option<Callback>,
    /// What the fleet is told.
    pub(crate) control: RegisterHandle,
    /// Which ledgers people changed lately.
    pub(crate) changes: RegisterHandle,
    /// Runs of this node, and what ends them when a later tick wants that. By the ids of their leases: runs of several jobs
    /// may have one fence.
    pub(crate) unwanted: Mutex<BTreeMap<String, CancellationToken>>,
    /// Jobs that the dispatcher is to look at, now.
    pub(crate) wakes: mpsc::UnboundedSender<usize>,
}

/// A registered job.
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) ledger: LedgerRegister,
    /// What this node was built with; what counts is the ledger's.
    pub(crate) spec: Arc<Spec>,
    pub(crate) words: Words,
    /// What it is called for short.
    pub(crate) version: String,
    /// The ledger's specification, as it was read last.
    pub(crate) in_force: Mutex<Option<(Words, Arc<Spec>)>>,
    pub(crate) handler: Arc<Handler>,
    /// Of a job that is defined in the store.
    pub(crate) kind: Option<String>,
    /// It was taken out of the store: nobody keeps house for it, nor its ledger from expiring.
    pub(crate) is_out: AtomicBool,
}

impl Entry {
    /// The specification in force.
    pub(crate) fn spec_of(&self, ledger: &Ledger) -> Result<Arc<Spec>, SpecError> {
        let mut known = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.spec == self.words || planted(Bug::OwnSchedule) {
            return Ok(Arc::clone(&self.spec));
        }
        if let Some((words, spec)) = &*known
            && *words == ledger.spec
        {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new(Spec::from_words(ledger.words())?);
        *known = Some((ledger.spec.clone(), Arc::clone(&spec)));
        Ok(spec)
    }

    pub(crate) fn timing<'a>(&'a self, spec: &'a Spec) -> Timing<'a> {
        Timing {
            job: self.id(),
            spec,
        }
    }

    pub(crate) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Its name, for people: logs, metrics, the context of a run.
    pub(crate) fn job(&self) -> &str {
        &self.name
    }

    /// What it is in the store and to other nodes, whatever it is called today.
    pub(crate) fn id(&self) -> &str {
        &self.ledger.job
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.entries();
        let jobs: Vec<_> = entries.iter().map(|entry| entry.job()).collect();
        f.debug_struct("Shared")
            .field("coord", &self.coord)
            .field("jobs", &jobs)
            .finish_non_exhaustive()
    }
}

pub(crate) fn control_name() -> ResourceName {
    let name = Class::internal("~control").resource("fleet");
    name.expect("a constant that is a valid name")
}

pub(crate) fn leader_name() -> ResourceName {
    let name = Class::internal("~leader").resource("scheduler");
    name.expect("a constant that is a valid name")
}

impl Scheduler {
    /// Begins a scheduler on `coord`.
    pub fn builder(coord: &Coordinator) -> Builder {
        Builder::new(coord)
    }

    pub(crate) fn new(shared: Shared, wakes: mpsc::UnboundedReceiver<usize>) -> Self {
        let shared = Arc::new(shared);
        Self { shared, wakes }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Who leads the fleet of this coordinator's namespace.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say.
    pub async fn leader(coord: &Coordinator) -> Result<Option<Leader>, Error> {
        Ok(coord.election_of(leader_name()).leader().await?)
    }

    /// Runs jobs until `stop` resolves, then drains: claims nothing more, lets runs end within the drain time, cancels
    /// those that don't, records what became of all, and resigns if this node leads.
    ///
    /// A store that is away for a while is waited for; ticks that could not be claimed in time are recorded as missed.
    ///
    /// # Errors
    /// None after a successful `build`, today; a store that refuses this version is logged and asked again.
    ///
    /// # Cancel safety
    /// Dropped, it stops claiming at once; runs have a second to heed their cancellation, are then dropped at their next
    /// await, and recorded as failed. Resolve `stop` instead.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let shared = &self.shared;
        let env = shared.coord.env().clone();
        // Dropped with this future, whatever ends it.
        let _stop = shared.stop.clone().drop_guard();
        let _force = shared.force.clone().drop_guard();
        if let Some(slots) = &shared.slots {
            shared.fleet.say_slots(slots.available_permits());
        }
        let following = Arc::clone(shared);
        let follow = async move { following.fleet.follow(following.stop.clone()).await };
        let follow = env.spawn(follow);
        let first_term = house::try_lead(shared).await;
        let house = env.spawn(house::keep(Arc::clone(shared), first_term));
        let dispatch = env.spawn(dispatch::run(Arc::clone(shared), self.wakes));
        stop.await;

        tracing::info!(
            "draining: no more claims, {} runs under way",
            shared.runs.len()
        );
        shared.stop.cancel();
        drop(follow.await);
        // It ended, one way or another; a claim under way has become a run by now.
        drop(dispatch.await);
        shared.runs.close();
        if env.timeout(shared.drain, shared.runs.wait()).await.is_err() {
            shared.force.cancel();
            let ended = env.timeout(LAST_GRACE * 3, shared.runs.wait()).await;
            if ended.is_err() {
                tracing::warn!(
                    "runs that do not yield are left behind; the fleet records them as lost"
                );
            }
        }
        drop(house.await);
        Ok(())
    }
}

impl Shared {
    /// A job of this node.
    pub(crate) fn entry(&self, job: usize) -> Arc<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&entries[job])
    }

    /// All of them, by their numbers.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more job; its number.
    pub(crate) fn add_entry(&self, entry: Entry) -> usize {
        let entries = self.entries.write();
        let mut entries = entries.unwrap_or_else(PoisonError::into_inner);
        entries.push(Arc::new(entry));
        entries.len() - 1
    }

    /// The store's time.
    pub(crate) fn now_ms(&self) -> u64 {
        self.coord.store_now().wall_us / 1000
    }

    /// Whether this node has the labels that a job wants.
    pub(crate) fn may_run(&self, spec: &Spec) -> bool {
        (spec.only_on.iter()).all(|label| self.labels.contains(label))
    }

    /// Leave to run one more job.
    pub(crate) fn slot(&self) -> Slot {
        let Some(slots) = &self.slots else {
            return Slot::Free(None);
        };
        match Arc::clone(slots).try_acquire_owned() {
            Ok(permit) => Slot::Free(Some(permit)),
            Err(_) => Slot::Full,
        }
    }

    /// The store did not answer what was asked then.
    pub(crate) fn store_away(&self, asked: Moment) {
        let away = self.away.lock();
        let mut away = away.unwrap_or_else(PoisonError::into_inner);
        let since = *away.get_or_insert(asked);
        metrics::store_away(self.coord.env().now().since(since));
    }

    pub(crate) fn store_answered(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        metrics::store_away(Duration::ZERO);
    }

    /// Has the dispatcher look at a job.
    pub(crate) fn wake(&self, job: usize) {
        // It is gone only when the scheduler stops.
        let _ = self.wakes.send(job);
    }

    /// Enters a run of this node; it is taken out when that is dropped.
    pub(crate) fn unwanted<'a>(&'a self, lease: &'a str) -> Unwanted<'a> {
        let token = CancellationToken::new();
        let mut unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        unwanted.insert(lease.to_owned(), token.clone());
        Unwanted(token, lease, self)
    }

    /// Whether a run is this node's, and its end not recorded yet.
    pub(crate) fn is_running_here(&self, lease: &str) -> bool {
        let unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        unwanted.contains_key(lease)
    }

    /// Ends the runs of this node that a later tick wants to end.
    pub(crate) fn cancel_unwanted(&self, running: &[Running]) {
        let unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        for run in running.iter().filter(|run| run.cancelled) {
            if let Some(token) = unwanted.get(&run.lease) {
                token.cancel();
            }
        }
    }

    /// The nodes that may run the job.
    pub(crate) fn nodes_with(&self, entry: &Entry) -> Vec<NodeId> {
        match &entry.kind {
            None => self.fleet.nodes_with(entry.id()),
            Some(kind) => self.fleet.nodes_with_kind(kind),
        }
    }

    /// The latest tick that a live node which has the job, too, knows to be claimed, of any job.
    pub(crate) fn known_tick(&self, entry: &Entry) -> Option<i64> {
        self.fleet.known_tick(entry.id())
    }
}

/// Whether one more job may run on this node.
pub(crate) enum Slot {
    /// It may; with its permit, if their number is bounded.
    Free(Option<OwnedSemaphorePermit>),
    Full,
}

/// A run of this node, while it lasts; the token is cancelled when a later tick wants it to end.
pub(crate) struct Unwanted<'a>(pub(crate) CancellationToken, &'a str, &'a Shared);

impl Drop for Unwanted<'_> {
    fn drop(&mut self) {
        let unwanted = &self.2.unwanted;
        let mut unwanted = unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        unwanted.remove(self.1);
    }
}
