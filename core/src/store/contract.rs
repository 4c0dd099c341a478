//! The traits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Capabilities, StoreError};
use crate::env::Env;
use crate::name::{Bucket, Namespace, ResourceName};
use crate::protocol::{NodeId, Now, Op, Register, RegisterReply, RegisterWrite, Reply, Rid};

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
/// - The store reads its own time once it can no longer be made to wait; a client's time never enters.
/// - Waiters that a call made holders are told with [`Event::Granted`], after the change is visible. A push may be
///   lost; it must never be early.
/// - An `Err` of kind *unknown* means that any prefix of the calls may have taken effect, now or later.
/// - Every record has an expiry or is collected: nothing is left behind.
/// - Dropping the future leaves each call either undone or done whole.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Applies the calls.
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError>;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;
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

/// A push. A hint, never the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This waiter was made holder.
    Granted(Rid),
    /// Pushes may have been missed (a new connection, a poll): look again.
    Recheck,
}

/// Where a store's pushes go. Sending never blocks.
pub type EventSender = mpsc::UnboundedSender<Event>;

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
    /// Members.
    pub members: Arc<dyn Members>,
    /// Events.
    pub events: Arc<dyn Events>,
}

impl StoreHandle {
    /// All from one store.
    pub fn of<S: Leases + Registers + Members + Events + 'static>(store: Arc<S>) -> Self {
        Self {
            leases: store.clone(),
            registers: store.clone(),
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
