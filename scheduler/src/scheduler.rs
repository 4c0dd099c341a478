//! The scheduler: one a process.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::Membership;
use leasehold_core::{Class, Coordinator, Election, Leader, NodeId, ResourceName};
use leasehold_cron::Schedule;
use leasehold_spec::Spec;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::States;
use crate::handler::Handler;
use crate::registers::LedgerRegister;
use crate::{Builder, Error, dispatch, house};

/// After the drain time is over, a cancelled run has this long to come to an await.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Runs jobs on this node, as one of the fleet. Build it with [`Scheduler::builder`].
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

/// What the scheduler's tasks share.
pub(crate) struct Shared {
    pub(crate) coord: Coordinator,
    pub(crate) entries: Vec<Entry>,
    pub(crate) states: Arc<States>,
    pub(crate) grace: Duration,
    pub(crate) run_ttl: Duration,
    pub(crate) drain: Duration,
    pub(crate) election: Election,
    /// No claims from now on.
    pub(crate) stop: CancellationToken,
    /// Runs end now.
    pub(crate) force: CancellationToken,
    pub(crate) runs: TaskTracker,
}

/// A registered job.
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) ledger: LedgerRegister,
    pub(crate) spec: Spec,
    pub(crate) handler: Arc<Handler>,
}

impl Entry {
    /// Its name, for people: logs, metrics, the context of a run.
    pub(crate) fn job(&self) -> &str {
        &self.name
    }

    /// What it is in the store and to other nodes, whatever it is called today.
    pub(crate) fn id(&self) -> &str {
        &self.ledger.job
    }

    /// Its cron expression; `-` if it is never due by itself.
    pub(crate) fn expression(&self) -> &str {
        let schedule = self.spec.schedule.as_ref();
        schedule.map_or("-", Schedule::expression)
    }

    /// Under which a node announces which schedule of the job it was built with.
    pub(crate) fn announcement(&self) -> String {
        format!("job:{}", self.id())
    }

    /// Under which a node announces the latest tick it knows to be claimed.
    pub(crate) fn tick_announcement(&self) -> String {
        format!("tick:{}", self.id())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let jobs: Vec<_> = self.entries.iter().map(Entry::job).collect();
        f.debug_struct("Shared")
            .field("coord", &self.coord)
            .field("jobs", &jobs)
            .finish_non_exhaustive()
    }
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

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
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
        for entry in &shared.entries {
            let expression = entry.expression();
            shared.coord.announce(&entry.announcement(), expression);
        }
        let announced = Announced(shared);
        // Dropped with this future, whatever ends it.
        let _stop = shared.stop.clone().drop_guard();
        let _force = shared.force.clone().drop_guard();
        let first_term = house::try_lead(shared).await;
        let house = env.spawn(house::keep(Arc::clone(shared), first_term));
        let dispatch = env.spawn(dispatch::run(Arc::clone(shared)));
        stop.await;

        tracing::info!(
            "draining: no more claims, {} runs under way",
            shared.runs.len()
        );
        shared.stop.cancel();
        drop(announced);
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
    /// What the live members say of a job.
    fn said_of<'a>(
        members: &'a Membership,
        key: &'a str,
    ) -> impl Iterator<Item = (NodeId, &'a str)> {
        let members = members.members.iter();
        members.filter_map(move |member| Some((member.node, member.meta.get(key)?.as_str())))
    }

    /// The nodes that have the job.
    pub(crate) fn nodes_with(&self, entry: &Entry) -> Vec<NodeId> {
        let members = self.coord.members();
        Self::said_of(&members, &entry.announcement())
            .map(|(node, _)| node)
            .collect()
    }

    /// The latest tick of the job that a live node knows to be claimed.
    pub(crate) fn known_tick(&self, entry: &Entry) -> Option<i64> {
        let members = self.coord.members();
        let key = entry.tick_announcement();
        Self::said_of(&members, &key)
            .filter_map(|(_, tick)| tick.parse().ok())
            .max()
    }

    /// Whether a live node was built with this schedule of the job.
    pub(crate) fn is_announced(&self, entry: &Entry, expression: &str) -> bool {
        let members = self.coord.members();
        Self::said_of(&members, &entry.announcement()).any(|(_, said)| said == expression)
    }
}

/// Takes back, when it is dropped, what this node said of its jobs: nobody waits any more for it to claim first.
struct Announced<'a>(&'a Shared);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        for entry in &self.0.entries {
            self.0.coord.retract(&entry.announcement());
        }
    }
}
