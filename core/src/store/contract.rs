//! The traits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Capabilities, StoreError};
use crate::env::Env;
use crate::name::{Bucket, Namespace, ResourceName};
use crate::protocol::{
    Acquire, Charge, Charged, Handed, NodeId, Notice, Now, Op, Quota, Record, Register,
    RegisterReply, RegisterWrite, Reply, Rid, Settle, Settled, Standing,
};

/// An answer, and the store's time at which it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped<T> {
    /// The store's time.
    pub now: Now,
    /// The answer.
    pub value: T,
}

/// An operation on a named resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseCall {
    /// The resource.
    pub name: ResourceName,
    /// What to do.
    pub op: Op,
}

/// Leases.
///
/// # Contract
/// - All `calls` are of one bucket, at most 128 of them. They are applied in order, each as
///   [`protocol::apply`](crate::protocol::apply) says, atomically with respect to every other client; the answers come
///   in the same order.
/// - A resource without a record starts from its bucket's floor, read in the same step.
/// - The store reads its own time once it can no longer be made to wait; a client's time never enters.
/// - The clients of a call's [`Notice`]s are told with [`Event`]s, after the change is visible. A push may be lost; it
///   must never be early.
/// - An `Err` of kind *unknown* means that any prefix of the calls may have taken effect, now or later.
/// - Every record has an expiry or is collected: nothing is left behind.
/// - Dropping the future leaves each call either undone or done whole.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Applies the calls.
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError>;

    /// Raises floors: each to the given fence, if it is lower. A floor is kept for 30 days after its last use.
    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError>;

    /// Lists resources that someone holds, waits for, or lately did; as stored, expired or not.
    ///
    /// One that stands there throughout a listing is on one of its pages at least; one may be on two.
    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError>;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;
}

/// Which resources, and from where on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// What their whole names begin with.
    pub prefix: String,
    /// Where the page before ended; `None` for the first.
    pub after: Option<String>,
    /// How many at most, about: a store may come a few over or stay under.
    pub limit: usize,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Resources, in no order.
    pub resources: Vec<(ResourceName, Record)>,
    /// Where the next page begins; `None` if this was the last.
    pub next: Option<String>,
}

/// Registers.
///
/// # Contract
/// - `read` answers in the order of `names`, which may be of any buckets (at most 128); an expired register reads as
///   absent.
/// - `write` is [`protocol::write`](crate::protocol::write), atomic with respect to every other client.
/// - Versions never repeat while the store keeps its data, also after expiry.
/// - An `Err` of kind *unknown* leaves open whether a write took effect; its author repeats it and reads.
#[async_trait]
pub trait Registers: Send + Sync + fmt::Debug {
    /// Reads several.
    async fn read(
        &self,
        names: &[ResourceName],
    ) -> Result<Stamped<Vec<Option<Register>>>, StoreError>;

    /// Compares and sets one.
    async fn write(
        &self,
        name: &ResourceName,
        write: &RegisterWrite,
    ) -> Result<Stamped<RegisterReply>, StoreError>;
}

/// An operation on quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaCall {
    /// Charges one key or several, and takes a lease, or none of them.
    Take(Take),
    /// Corrects a charge.
    Settle {
        /// The key.
        name: ResourceName,
        /// How.
        ask: Settle,
    },
    /// Looks, and changes nothing.
    Peek {
        /// The key.
        name: ResourceName,
        /// Its quota, as this client takes it.
        quota: Quota,
        /// For how many units.
        cost: u64,
    },
}

impl QuotaCall {
    /// The key, or the first of several: they are of one bucket. `None` for a take of nothing.
    pub fn name(&self) -> Option<&ResourceName> {
        match self {
            QuotaCall::Take(take) => take.charges.first().map(|(name, _)| name),
            QuotaCall::Settle { name, .. } | QuotaCall::Peek { name, .. } => Some(name),
        }
    }
}

/// What is taken all or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// After this instant of the store's lease clock the store refuses it.
    pub not_after_us: u64,
    /// How far ahead a single charge may be made, in turn behind those made before; several are made now or not at all.
    pub longest_wait_us: u64,
    /// What is charged: keys of the bucket, each once.
    pub charges: Vec<(ResourceName, Charge)>,
    /// A lease that must be granted at once. It is asked for only if all the charges pass.
    pub lease: Option<(ResourceName, Acquire)>,
}

/// The answer to a [`QuotaCall`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaReply {
    /// What became of a [`Take`].
    Taken {
        /// Of each charge. If one has no units none has: then nothing was charged.
        charged: Vec<Charged>,
        /// What the lease's request was answered, if it was made. If that is no grant nothing was charged, whatever
        /// `charged` says would have passed.
        lease: Option<Reply>,
    },
    /// What became of a [`Settle`].
    Settled(Settled),
    /// How a key stands.
    Standing(Standing),
    /// The request came after its `not_after`.
    Stale,
}

/// Quotas.
///
/// # Contract
/// - All `calls` are of one bucket, at most 128 of them. They are applied in order, as
///   [`protocol::charge_all`](crate::protocol::charge_all), [`protocol::settle`](crate::protocol::settle) and
///   [`protocol::peek`](crate::protocol::peek) say, each atomically with respect to every other client.
/// - The time is the store's, read once it can no longer be made to wait.
/// - A settlement is remembered by its id until its `not_after` and a second: sent again it gets the same answer and changes
///   nothing.
/// - Every key expires once its whole burst is there again: nothing is left behind.
/// - An `Err` of kind *unknown* leaves open whether the calls took effect. A take that is sent again is charged again.
#[async_trait]
pub trait Quotas: Send + Sync + fmt::Debug {
    /// Applies the calls.
    async fn quotas(&self, calls: &[QuotaCall]) -> Result<Stamped<Vec<QuotaReply>>, StoreError>;
}

/// What a node says of itself with each heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The node.
    pub node: NodeId,
    /// Who it is, for people.
    pub label: String,
    /// What it wants others to know.
    pub meta: BTreeMap<String, String>,
    /// For how long it is a member without another heartbeat, in µs.
    pub ttl_us: u64,
}

/// A live node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Who it is, for people.
    pub label: String,
    /// What it said.
    pub meta: BTreeMap<String, String>,
}

/// The namespace's live nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// A random id, written once per namespace: another one means that the store lost its data.
    pub incarnation: String,
    /// Live nodes, ordered by id.
    pub members: Vec<Member>,
}

/// Members: one renewed lease a node.
///
/// # Contract
/// - A member is listed from its first beat until its TTL has passed on the store's clock without another, or it left.
/// - `beat` renews and lists in one step; with no incarnation stored it writes a new one.
#[async_trait]
pub trait Members: Send + Sync + fmt::Debug {
    /// Says that a node lives, and lists all that do.
    async fn beat(&self, beat: &Beat) -> Result<Stamped<Membership>, StoreError>;

    /// Ends a node's membership.
    async fn leave(&self, node: NodeId) -> Result<(), StoreError>;
}

/// A push. It may be lost, late or repeated; whoever acts on one knows how to date it, or asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This waiter was made holder.
    Granted(Handed),
    /// Someone began to wait for what this holder has.
    Contended(Rid),
    /// This holder is to go: a renewal tells why.
    Revoked(Rid),
    /// Something became of this waiter.
    Look(Rid),
    /// Pushes may have been missed on a new connection, and its server may be another: look again.
    Recheck,
}

impl Event {
    /// Whether a waiter should look what became of it.
    pub fn may_be_for(&self, waiter: Rid) -> bool {
        match self {
            Event::Granted(Handed { rid, .. }) | Event::Look(rid) => *rid == waiter,
            Event::Contended(_) | Event::Revoked(_) => false,
            Event::Recheck => true,
        }
    }
}

impl From<Notice> for Event {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Granted(handed) => Event::Granted(handed),
            Notice::Contended(rid) => Event::Contended(rid),
            Notice::Revoked(rid) => Event::Revoked(rid),
        }
    }
}

/// Who hears a store's pushes.
pub trait Listener: Send + Sync {
    /// Takes one in, at once: a store may call this from its connection's driver, or with a lock of its own held.
    fn hear(&self, event: Event);

    /// Whether nobody hears any more.
    fn is_gone(&self) -> bool;
}

impl Listener for mpsc::UnboundedSender<Event> {
    fn hear(&self, event: Event) {
        // A client that went away needs no push.
        let _ = self.send(event);
    }

    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

/// Where a store's pushes go. (Not a channel: another task between the push and the waiter it wakes would cost the waiter
/// two more thread switches.)
#[derive(Clone)]
pub struct EventSender(Arc<dyn Listener>);

/// One that keeps nobody listening.
#[derive(Clone, Debug)]
pub struct WeakEventSender(Weak<dyn Listener>);

impl EventSender {
    /// To a listener.
    pub fn new(listener: impl Listener + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Sends. Never blocks.
    pub fn send(&self, event: Event) {
        self.0.hear(event);
    }

    /// Whether nobody hears any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_gone()
    }

    /// Whether both go to the same listener.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same, but it keeps nobody listening.
    pub fn downgrade(&self) -> WeakEventSender {
        WeakEventSender(Arc::downgrade(&self.0))
    }
}

impl WeakEventSender {
    /// If the listener is still there.
    pub fn upgrade(&self) -> Option<EventSender> {
        self.0.upgrade().map(EventSender)
    }
}

impl fmt::Debug for dyn Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSender")
    }
}

/// Events.
///
/// # Contract
/// - When `listen` has returned, pushes for this node's waiters in `bucket` reach [`Session::events`]; so it is called
///   before the first enqueue there. It may be called again, at no cost.
/// - After a reconnect the store listens again by itself and then sends [`Event::Recheck`].
#[async_trait]
pub trait Events: Send + Sync + fmt::Debug {
    /// Makes sure that pushes of this bucket come.
    async fn listen(&self, bucket: Bucket) -> Result<(), StoreError>;
}

/// What a connection is opened for.
#[derive(Debug, Clone)]
pub struct Session {
    /// The application's part of the store.
    pub namespace: Namespace,
    /// The client.
    pub node: NodeId,
    /// Time.
    pub env: Env,
    /// Where pushes go.
    pub events: EventSender,
    /// How long opening may take in all.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// One open connection's capabilities; they may come from different stores.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    /// Leases.
    pub leases: Arc<dyn Leases>,
    /// Registers.
    pub registers: Arc<dyn Registers>,
    /// Quotas.
    pub quotas: Arc<dyn Quotas>,
    /// Members.
    pub members: Arc<dyn Members>,
    /// Events.
    pub events: Arc<dyn Events>,
}

impl StoreHandle {
    /// All from one store.
    pub fn of<S: Leases + Registers + Quotas + Members + Events + 'static>(store: Arc<S>) -> Self {
        Self {
            leases: store.clone(),
            registers: store.clone(),
            quotas: store.clone(),
            members: store.clone(),
            events: store,
        }
    }
}

/// A store that can be opened: what an address becomes.
///
/// # Contract
/// - `open` checks that the store can be used (there, writable, format not newer) within the session's connect
///   timeout, and fails with an error that names the address without its password.
/// - A client opens it twice: on the caller's runtime and on its background thread; the two share no connection.
/// - A store's own requests end within the session's request timeout.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// Opens a connection on the current runtime.
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError>;

    /// The address, without its password.
    fn address(&self) -> String;
}
