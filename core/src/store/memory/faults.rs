//! What tests do to a memory store: lose its data, step its clocks, stop it, watch it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::quotas::Kept;
use super::{MemoryStore, Space};
use crate::env::Env;
use crate::name::{Bucket, ResourceName};
use crate::protocol::{
    Entry, NodeId, Now, Op, Record, Register, RegisterReply, RegisterWrite, Reply, Rid,
};
use crate::store::{Event, EventSender, QuotaCall, QuotaReply, WeakEventSender};

/// What one step of the store did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The resource or register.
    pub name: &'a ResourceName,
    /// The store's time.
    pub now: Now,
    /// What was done.
    pub done: Done<'a>,
}

/// What was done in a [`Step`].
#[derive(Debug)]
pub enum Done<'a> {
    /// A lease's operation.
    Lease {
        /// What was asked.
        op: &'a Op,
        /// What stood there.
        before: Option<&'a Record>,
        /// What was known below it.
        floor: u64,
        /// What stands there now.
        after: Option<&'a Record>,
        /// The answer.
        reply: &'a Reply,
    },
    /// An operation on quotas.
    Quota {
        /// What was asked.
        call: &'a QuotaCall,
        /// The answer.
        reply: &'a QuotaReply,
    },
    /// A register's write.
    Write {
        /// What was asked.
        write: &'a RegisterWrite,
        /// The answer.
        reply: &'a RegisterReply,
    },
}

/// A [`MemoryStore`]'s data, as they were: without its members, who tell again who they are.
#[derive(Debug, Clone)]
pub struct Snapshot(BTreeMap<String, Copied>);

#[derive(Debug, Clone, Default)]
struct Copied {
    records: BTreeMap<ResourceName, Record>,
    floors: BTreeMap<Bucket, u64>,
    registers: HashMap<ResourceName, Register>,
    quotas: Kept,
}

pub(super) type Watch = dyn Fn(&Step<'_>) + Send + Sync;

/// How the store fails, for all its namespaces.
#[derive(Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    lease_step_us: i64,
    wall_step_us: i64,
    stopped: bool,
    /// Requests that came while it is stopped, in the order in which it will take them: not that of their coming.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    watch: Option<Arc<Watch>>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step(&self, now: Now) -> Now {
        let state = self.state();
        Now {
            lease_us: now.lease_us.saturating_add_signed(state.lease_step_us),
            wall_us: now.wall_us.saturating_add_signed(state.wall_step_us),
            ..now
        }
    }

    /// Waits until the store answers requests.
    pub(super) async fn answering(&self, env: &Env) {
        loop {
            let started = {
                let mut state = self.state();
                if !state.stopped {
                    return;
                }
                let (start, started) = oneshot::channel();
                let place = (env.random(u64::MAX), state.waiting.len() as u64);
                state.waiting.insert(place, start);
                started
            };
            // Also if it was dropped: look again.
            drop(started.await);
        }
    }

    pub(super) fn watch(&self) -> Option<Arc<Watch>> {
        self.state().watch.clone()
    }
}

/// Where clients hear, also those that did not ask for pushes.
#[derive(Default)]
pub(super) struct Sessions(Vec<(NodeId, WeakEventSender)>);

impl Sessions {
    pub(super) fn add(&mut self, node: NodeId, events: &EventSender) {
        self.0.retain(|(_, events)| events.upgrade().is_some());
        self.0.push((node, events.downgrade()));
    }

    fn tell(&self, rid: Rid) {
        let own = self.0.iter().filter(|(node, _)| *node == rid.node);
        for events in own.filter_map(|(_, events)| events.upgrade()) {
            events.send(Event::Revoked(rid));
        }
    }
}

impl Space {
    /// All is gone, but the connections.
    fn forget(&mut self) {
        self.records.clear();
        self.floors.clear();
        self.registers.clear();
        self.quotas = Kept::default();
        self.members.clear();
        self.incarnation.clear();
        self.recheck();
    }

    fn recheck(&self) {
        for listener in self.listeners.values().flatten() {
            listener.send(Event::Recheck);
        }
    }
}

/// Faults of the store itself, for tests. Those of the network are [`FaultyStore`](crate::store::FaultyStore)'s.
impl MemoryStore {
    /// Restarts it without its data: leases, registers, members and incarnation of every namespace are gone. Clients
    /// stay connected, and are told to look again.
    pub fn restart(&self) {
        for space in self.spaces().values() {
            let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
            space.forget();
        }
    }

    /// Its data, as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let copy = |space: &Arc<Mutex<Space>>| {
            let space = space.lock().unwrap_or_else(PoisonError::into_inner);
            Copied {
                records: space.records.clone(),
                floors: space.floors.clone(),
                registers: space.registers.clone(),
                quotas: space.quotas.clone(),
            }
        };
        let spaces = self.spaces();
        let copies = spaces
            .iter()
            .map(|(name, space)| (name.clone(), copy(space)));
        Snapshot(copies.collect())
    }

    /// Restarts it with data that are older, as a server does that was saved a while ago. Clients stay connected, and are
    /// told to look again; what was written since is gone.
    pub fn restore(&self, snapshot: &Snapshot) {
        for (name, space) in self.spaces().iter() {
            let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
            let old = snapshot.0.get(name).cloned().unwrap_or_default();
            space.records = old.records;
            space.floors = old.floors;
            space.registers = old.registers;
            space.quotas = old.quotas;
            space.recheck();
        }
    }

    /// Steps the clock that leases expire on, by so many µs.
    pub fn step_lease_clock(&self, by_us: i64) {
        self.0.faults.state().lease_step_us += by_us;
    }

    /// Steps the wall clock, which fences and versions come from, by so many µs.
    pub fn step_wall_clock(&self, by_us: i64) {
        self.0.faults.state().wall_step_us += by_us;
    }

    /// Sets the wall clock to so many µs since 1970. Clients that are connected see it step.
    pub fn set_wall_clock(&self, env: &Env, unix_us: u64) {
        let by = i128::from(unix_us) - i128::from(self.time(env).wall_us);
        self.step_wall_clock(i64::try_from(by).unwrap_or(i64::MAX));
    }

    /// Stops answering, as after SIGSTOP: requests wait.
    pub fn stop(&self) {
        self.0.faults.state().stopped = true;
    }

    /// Whether it does not answer.
    pub fn is_stopped(&self) -> bool {
        self.0.faults.state().stopped
    }

    /// Answers again. The requests that waited are taken in an order that chance chose: those of two connections have
    /// none.
    pub fn start(&self) {
        let waiting = {
            let mut state = self.0.faults.state();
            state.stopped = false;
            std::mem::take(&mut state.waiting)
        };
        for start in waiting.into_values() {
            // A request that was given up waits no more.
            let _given_up = start.send(());
        }
    }

    /// Calls `watch` in each step from now on, before anyone hears of what the step did. It must not use the store.
    pub fn watch(&self, watch: impl Fn(&Step<'_>) + Send + Sync + 'static) {
        self.0.faults.state().watch = Some(Arc::new(watch));
    }

    /// Collects now what it collects from time to time: records whose time is over.
    pub fn collect(&self, env: &Env) {
        let now = self.now(env);
        for space in self.spaces().values() {
            let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
            space.collect(now);
        }
    }

    /// Its time.
    pub fn time(&self, env: &Env) -> Now {
        self.now(env)
    }

    /// What stands in a namespace, as it is stored: nothing expires by looking.
    pub fn records(&self, namespace: &str) -> BTreeMap<ResourceName, Record> {
        let Some(space) = self.spaces().get(namespace).cloned() else {
            return BTreeMap::new();
        };
        let space = space.lock().unwrap_or_else(PoisonError::into_inner);
        let records = space.records.iter();
        records.map(|(n, r)| (n.clone(), r.clone())).collect()
    }

    /// How many keys of a namespace have quotas to remember.
    pub fn quota_keys(&self, namespace: &str) -> usize {
        let Some(space) = self.spaces().get(namespace).cloned() else {
            return 0;
        };
        let space = space.lock().unwrap_or_else(PoisonError::into_inner);
        space.quotas.len()
    }

    /// Takes a resource's holders away, as an operator who deletes them does. They are told to look, as if revoked, and
    /// find that the store does not have them any more; its waiters are told to look again. Returns whether anybody held
    /// it.
    pub fn delete_holders(&self, namespace: &str, name: &ResourceName) -> bool {
        let Some(space) = self.spaces().get(namespace).cloned() else {
            return false;
        };
        let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = space.records.get_mut(name) else {
            return false;
        };
        let (held, rest) = std::mem::take(&mut record.entries)
            .into_iter()
            .partition::<Vec<_>, _>(Entry::holds);
        record.entries = rest;
        for entry in &held {
            space.sessions.tell(entry.rid);
        }
        space.recheck();
        !held.is_empty()
    }
}
