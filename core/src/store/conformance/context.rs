//! What a case stands on: a store, a namespace of its own, sessions, and short forms of requests.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::env::Env;
use crate::name::{Class, Namespace, ResourceName};
use crate::protocol::{
    Acquire, Capacity, Handed, NodeId, Now, Op, Record, Release, Renew, Reply, Rid, Was, Weight,
};
use crate::store::{
    Capabilities, Connector, Event, EventSender, LeaseCall, Session, Stamped, StoreError,
    StoreHandle,
};

/// A lease that no case waits out.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// How much longer than a TTL a case waits for its end.
pub(super) const SLACK: Duration = Duration::from_millis(5);
/// How long a push may take before a case fails.
const PUSH_WITHIN: Duration = Duration::from_secs(2);

/// One case's store, time and namespace.
pub struct Context {
    connector: Arc<dyn Connector>,
    env: Env,
    namespace: Namespace,
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Context({}, {})",
            self.connector.address(),
            self.namespace
        )
    }
}

impl<C: Connector + 'static> From<C> for Context {
    fn from(connector: C) -> Self {
        Self::new(Arc::new(connector), Env::system())
    }
}

impl Context {
    /// A fresh namespace of this store.
    pub fn new(connector: Arc<dyn Connector>, env: Env) -> Self {
        let namespace = format!("conformance-{}", env.uuid().simple());
        Self {
            connector,
            namespace: Namespace::new(&namespace).expect("a uuid is a fine name"),
            env,
            guard: None,
        }
    }

    /// Keeps something (a folder, a server) for as long as the case runs.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// Time.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The case's namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A new client's session.
    pub async fn session(&self) -> Opened {
        self.session_in(&self.namespace).await
    }

    /// A new client's session in another namespace.
    pub async fn session_in(&self, namespace: &Namespace) -> Opened {
        self.session_as(namespace, NodeId::new(self.env.uuid()))
            .await
    }

    /// Another session of a client: a client opens two.
    pub async fn session_as(&self, namespace: &Namespace, node: NodeId) -> Opened {
        let (sender, events) = mpsc::unbounded_channel();
        let session = Session {
            namespace: namespace.clone(),
            node,
            env: self.env.clone(),
            events: EventSender::new(sender),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
        };
        let handle = self.connector.open(&session).await;
        let handle = handle.unwrap_or_else(|e| panic!("{} opens: {e}", self.connector.address()));
        let mut opened = Opened {
            handle,
            events,
            node,
            env: self.env.clone(),
            seq: AtomicU64::new(0),
            since_us: 0,
        };
        opened.since_us = opened.now().await.lease_us;
        opened
    }
}

/// An open session, and short forms of requests: each panics if the store fails or answers something else.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub handle: StoreHandle,
    /// Its pushes.
    pub events: UnboundedReceiver<Event>,
    /// The client.
    pub node: NodeId,
    env: Env,
    seq: AtomicU64,
    since_us: u64,
}

/// The fields of [`Reply::Granted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// First fence of the block.
    pub first: u64,
    /// Last fence of the block.
    pub end: u64,
    /// How long the lease still lasts.
    pub remaining_us: u64,
    /// Whether the full TTL is claimed.
    pub claimed: bool,
}

impl Grant {
    /// The fields, if it is one.
    pub fn of(reply: &Reply) -> Option<Self> {
        match *reply {
            Reply::Granted {
                first,
                end,
                remaining_us,
                claimed,
                ..
            } => Some(Self {
                first,
                end,
                remaining_us,
                claimed,
            }),
            _ => None,
        }
    }
}

/// The resource `id`.
pub(super) fn name(id: &str) -> ResourceName {
    let class = Class::new("case").expect("a fine class");
    class.resource(id).expect("a fine name")
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a test's duration")
}

impl Opened {
    /// What the store can do.
    pub fn capabilities(&self) -> Capabilities {
        self.handle.leases.capabilities()
    }

    /// A TTL that a case can wait out.
    pub fn short_ttl(&self) -> Duration {
        self.capabilities().min_ttl.max(Duration::from_millis(300))
    }

    /// A new request id.
    pub fn rid(&self) -> Rid {
        Rid {
            node: self.node,
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// A deadline on the store's clock that no case reaches.
    pub fn not_after_us(&self) -> u64 {
        self.since_us + micros(Duration::from_secs(600))
    }

    /// Applies operations on names of one bucket.
    pub async fn batch(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        self.handle.leases.execute(calls).await
    }

    /// Applies one operation.
    pub async fn run(&self, name: &ResourceName, op: Op) -> Reply {
        self.run_stamped(name, op).await.value
    }

    /// Applies one operation; the answer with the store's time.
    pub async fn run_stamped(&self, name: &ResourceName, op: Op) -> Stamped<Reply> {
        let call = LeaseCall {
            name: name.clone(),
            op,
        };
        let answer = self.batch(std::slice::from_ref(&call)).await;
        let Stamped { now, mut value } = answer.unwrap_or_else(|e| panic!("{call:?}: {e}"));
        assert_eq!(value.len(), 1, "one answer a call");
        let value = value.remove(0);
        Stamped { now, value }
    }

    /// The store's time.
    pub async fn now(&self) -> Now {
        self.run_stamped(&name("clock"), Op::Inspect).await.now
    }

    /// An acquire that can be changed before it is sent.
    pub fn ask(&self, ttl: Duration) -> Acquire {
        Acquire {
            rid: self.rid(),
            not_after_us: self.not_after_us(),
            weight: Weight::All,
            capacity: Capacity::ONE,
            ttl_us: micros(ttl),
            wait: true,
            want: 1,
            seen: 0,
            label: format!("client of {}", self.node).into(),
        }
    }

    /// Sends an acquire that must be granted.
    pub async fn granted(&self, name: &ResourceName, ask: &Acquire) -> Grant {
        let reply = self.run(name, Op::Acquire(ask.clone())).await;
        Grant::of(&reply).unwrap_or_else(|| panic!("{name} is granted, not {reply:?}"))
    }

    /// Sends an acquire that must be queued; answers how many stand before it.
    pub async fn queued(&self, name: &ResourceName, ask: &Acquire) -> u32 {
        match self.run(name, Op::Acquire(ask.clone())).await {
            Reply::Queued { ahead, check_in_us } => {
                assert!(
                    check_in_us > 0,
                    "a waiter that asks at once again and again"
                );
                ahead
            }
            other => panic!("{name} is queued for, not {other:?}"),
        }
    }

    /// Takes a free resource.
    pub async fn take(&self, name: &ResourceName, ttl: Duration) -> (Rid, Grant) {
        let ask = self.ask(ttl);
        (ask.rid, self.granted(name, &ask).await)
    }

    /// Stands in the queue.
    pub async fn enqueue(&self, name: &ResourceName, ttl: Duration) -> Acquire {
        let ask = self.ask(ttl);
        self.queued(name, &ask).await;
        ask
    }

    /// Renews.
    pub async fn renew(&self, name: &ResourceName, rid: Rid, renewal: u64) -> Reply {
        let not_after_us = self.not_after_us();
        let renew = Renew {
            rid,
            not_after_us,
            renewal,
        };
        self.run(name, Op::Renew(renew)).await
    }

    /// Ends a hold or a wait of a request that was sent once.
    pub async fn release(&self, name: &ResourceName, rid: Rid) -> Was {
        self.end(name, rid, 0).await
    }

    /// Ends a hold or a wait, and has late copies of the request refused.
    pub async fn close(&self, name: &ResourceName, rid: Rid) -> Was {
        self.end(name, rid, self.not_after_us()).await
    }

    async fn end(&self, name: &ResourceName, rid: Rid, close_until_us: u64) -> Was {
        let release = Release {
            rid,
            not_after_us: self.not_after_us(),
            used: 0,
            close_until_us,
        };
        match self.run(name, Op::Release(release)).await {
            Reply::Released { was } => was,
            other => panic!("{name} is released, not {other:?}"),
        }
    }

    /// What stands there.
    pub async fn inspect(&self, name: &ResourceName) -> Option<Record> {
        match self.run(name, Op::Inspect).await {
            Reply::Inspected(record) => record,
            other => panic!("{name} is inspected, not {other:?}"),
        }
    }

    /// Has pushes sent here.
    pub async fn listen(&self, name: &ResourceName) {
        let listening = self.handle.events.listen(name.bucket()).await;
        listening.unwrap_or_else(|e| panic!("listens: {e}"));
    }

    /// Waits for the push that this request was granted.
    pub async fn pushed(&mut self, rid: Rid) -> Handed {
        self.event(|event| match event {
            Event::Granted(handed) if handed.rid == rid => Some(handed),
            _ => None,
        })
        .await
    }

    /// Waits for an event; others are passed over.
    pub async fn event<T: Send>(&mut self, wanted: impl Fn(Event) -> Option<T> + Send + Sync) -> T {
        let events = &mut self.events;
        let arrival = async {
            while let Some(event) = events.recv().await {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            panic!("the store stopped pushing");
        };
        let arrived = self.env.timeout(PUSH_WITHIN, arrival).await;
        arrived.unwrap_or_else(|_| panic!("no such push within {PUSH_WITHIN:?}"))
    }
}
