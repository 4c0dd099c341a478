//! The memory store: one process; what tests and simulations run on, and the plainest reading of the contracts.

#[cfg(feature = "test-util")]
mod faults;
mod quotas;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Beat, Capabilities, ClockSource, Connector, Event, EventSender, Events, LeaseCall, Leases,
    ListQuery, Member, Members, Membership, Page, Registers, Safety, Session, Stamped, StoreError,
    StoreHandle,
};
use crate::env::{Env, Moment};
use crate::name::{Bucket, Namespace, ResourceName};
use crate::protocol::{self, NodeId, Now, Record, Register, RegisterReply, RegisterWrite, Reply};

#[cfg(feature = "test-util")]
pub use faults::{Done, Snapshot, Step};

/// A store in this process's memory. Clones share it.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use leasehold_core::{Coordinator, store::MemoryStore};
/// let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let guard = coord.mutexes("invoice")?.lock(7).await?;
/// assert!(guard.is_held());
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    spaces: Mutex<Spaces>,
    #[cfg(feature = "test-util")]
    faults: faults::Faults,
}

type Spaces = BTreeMap<String, Arc<Mutex<Space>>>;

/// A namespace's data. One lock: each operation is a step.
#[derive(Default)]
struct Space {
    records: BTreeMap<ResourceName, Record>,
    floors: BTreeMap<Bucket, u64>,
    registers: HashMap<ResourceName, Register>,
    quotas: quotas::Kept,
    members: BTreeMap<NodeId, (Beat, u64)>,
    listeners: BTreeMap<NodeId, Vec<EventSender>>,
    #[cfg(feature = "test-util")]
    sessions: faults::Sessions,
    /// Empty until the first heartbeat.
    incarnation: String,
    calls: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn spaces(&self) -> MutexGuard<'_, Spaces> {
        (self.0.spaces.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn space(&self, namespace: &Namespace) -> Arc<Mutex<Space>> {
        let mut spaces = self.spaces();
        Arc::clone(spaces.entry(namespace.as_str().to_owned()).or_default())
    }

    /// The store's time. It is this process's, which for a store in this process is the store's own.
    fn now(&self, env: &Env) -> Now {
        let lease_us = env.now().as_nanos() / 1000;
        let wall_us = if env.is_simulated() {
            SIMULATED_START_US + lease_us
        } else {
            wall_clock_us()
        };
        let now = Now {
            lease_us,
            wall_us,
            epoch: 0,
        };
        #[cfg(feature = "test-util")]
        let now = self.0.faults.step(now);
        now
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

#[async_trait]
impl Connector for MemoryStore {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let space = self.space(&session.namespace);
        #[cfg(feature = "test-util")]
        (space
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sessions)
            .add(session.node, &session.events);
        Ok(StoreHandle::of(Arc::new(Connection {
            store: self.clone(),
            space,
            origin: session.env.now(),
            session: session.clone(),
        })))
    }

    fn address(&self) -> String {
        "memory://".into()
    }
}

struct Connection {
    store: MemoryStore,
    space: Arc<Mutex<Space>>,
    origin: Moment,
    session: Session,
}

/// Wall time of a simulation's start: 2025-01-01 00:00 UTC.
const SIMULATED_START_US: u64 = 1_735_689_600_000_000;
/// Every so many calls the spent records are collected.
const COLLECT_EVERY: u64 = 1024;

impl Connection {
    /// The data, once the store answers.
    async fn space(&self) -> MutexGuard<'_, Space> {
        #[cfg(feature = "test-util")]
        self.store.0.faults.answering(&self.session.env).await;
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        self.store.now(&self.session.env)
    }

    /// One operation on a lease, and tells whom it concerns.
    fn apply(&self, space: &mut Space, call: &LeaseCall, now: Now) -> Reply {
        let record = space.records.remove(&call.name);
        #[cfg(feature = "test-util")]
        let watch = self.store.0.faults.watch();
        #[cfg(feature = "test-util")]
        let before = watch.as_ref().and_then(|_| record.clone());
        let floor = space.floors.get(&call.name.bucket()).copied();
        let floor = floor.unwrap_or_default();
        let outcome = protocol::apply(record, floor, &call.op, now);
        #[cfg(feature = "test-util")]
        if let Some(watch) = &watch {
            let done = Done::Lease {
                op: &call.op,
                before: before.as_ref(),
                floor,
                after: outcome.record.as_ref(),
                reply: &outcome.reply,
            };
            let name = &call.name;
            watch(&Step { name, now, done });
        }
        if let Some(record) = outcome.record {
            space.records.insert(call.name.clone(), record);
        }
        for notice in outcome.notices {
            let node = notice.rid().node;
            for listener in space.listeners.get(&node).into_iter().flatten() {
                listener.send(Event::from(notice));
            }
        }
        outcome.reply
    }
}

// The memory store is the store: its wall clock is this process's.
#[allow(clippy::disallowed_methods)]
fn wall_clock_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MemoryStore({}, {:?})",
            self.session.namespace, self.origin
        )
    }
}

#[async_trait]
impl Leases for Connection {
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        let mut space = self.space().await;
        let now = self.now();
        let replies = calls.iter().map(|call| self.apply(&mut space, call, now));
        let replies = replies.collect();
        space.called(now);
        drop(space);
        Ok(Stamped {
            now,
            value: replies,
        })
    }

    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError> {
        let mut space = self.space().await;
        for (bucket, floor) in floors {
            let stored = space.floors.entry(*bucket).or_default();
            *stored = (*stored).max(*floor);
        }
        Ok(())
    }

    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        let (space, now) = (self.space().await, self.now());
        let after = query.after.as_deref().unwrap_or_default();
        let found = (space.records.iter())
            .filter(|(name, _)| name.as_str().starts_with(&query.prefix) && name.as_str() > after)
            .take(query.limit.max(1));
        let resources: Vec<_> = found.map(|(n, r)| (n.clone(), r.clone())).collect();
        let is_full = resources.len() >= query.limit.max(1);
        let last = resources.last().map(|(name, _)| name.to_string());
        let value = Page {
            resources,
            next: last.filter(|_| is_full),
        };
        Ok(Stamped { now, value })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            Safety::BestEffort,
            ClockSource::Monotonic,
            Duration::from_millis(20),
        )
        .in_process()
    }
}

impl Space {
    /// Counts a request: now and then one collects what is spent.
    fn called(&mut self, now: Now) {
        self.calls += 1;
        if self.calls.is_multiple_of(COLLECT_EVERY) {
            self.collect(now);
        }
    }

    fn collect(&mut self, now: Now) {
        // Not `apply`: collecting must not hand over, since nobody would be told.
        (self.records).retain(|_, r| r.keep_for_us(now) > 0 || r.last >= now.wall_us);
        self.registers.retain(|_, r| r.expires_us > now.wall_us);
        self.quotas.collect(now);
    }
}

#[async_trait]
impl Registers for Connection {
    async fn read(
        &self,
        names: &[ResourceName],
    ) -> Result<Stamped<Vec<Option<Register>>>, StoreError> {
        let (space, now) = (self.space().await, self.now());
        let live = |name| (space.registers.get(name)).filter(|r| r.expires_us > now.wall_us);
        let value = names.iter().map(|name| live(name).cloned()).collect();
        Ok(Stamped { now, value })
    }

    async fn write(
        &self,
        name: &ResourceName,
        write: &RegisterWrite,
    ) -> Result<Stamped<RegisterReply>, StoreError> {
        let (mut space, now) = (self.space().await, self.now());
        let stored = space.registers.get(name).cloned();
        let (value, register) = protocol::write(stored, write, now);
        #[cfg(feature = "test-util")]
        if let Some(watch) = self.store.0.faults.watch() {
            let reply = &value;
            let done = Done::Write { write, reply };
            watch(&Step { name, now, done });
        }
        if let Some(register) = register {
            space.registers.insert(name.clone(), register);
        }
        Ok(Stamped { now, value })
    }
}

#[async_trait]
impl Members for Connection {
    async fn beat(&self, beat: &Beat) -> Result<Stamped<Membership>, StoreError> {
        let (mut space, now) = (self.space().await, self.now());
        space.members.retain(|_, (_, until)| *until > now.lease_us);
        let until = now.lease_us + beat.ttl_us;
        if space.incarnation.is_empty() {
            space.incarnation = self.session.env.uuid().simple().to_string();
        }
        space.members.insert(beat.node, (beat.clone(), until));
        let members = (space.members.values())
            .map(|(beat, _)| Member {
                node: beat.node,
                label: beat.label.clone(),
                meta: beat.meta.clone(),
            })
            .collect();
        let value = Membership {
            incarnation: space.incarnation.clone(),
            members,
        };
        Ok(Stamped { now, value })
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        let mut space = self.space().await;
        space.members.remove(&node);
        space.listeners.remove(&node);
        Ok(())
    }
}

#[async_trait]
impl Events for Connection {
    async fn listen(&self, _bucket: Bucket) -> Result<(), StoreError> {
        let mut space = self.space().await;
        let listeners = space.listeners.entry(self.session.node).or_default();
        listeners.retain(|listener| !listener.is_closed());
        if !(listeners.iter()).any(|l| l.is_same(&self.session.events)) {
            listeners.push(self.session.events.clone());
        }
        Ok(())
    }
}
