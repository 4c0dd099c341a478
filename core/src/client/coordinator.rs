//! The handle that users clone freely.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Builder, Core};
use crate::env::{Background, Env};
use crate::error::Error;
use crate::fence::Fence;
use crate::lock::{Election, Mutexes};
use crate::name::{Class, Namespace, ResourceName};
use crate::protocol::{NodeId, Now, Op, Record, Reply};
use crate::register::RegisterHandle;
use crate::store::{Capabilities, Connector, LeaseCall, Membership, Stamped, StoreHandle};

/// A client of a store: makes locks, elections and registers. Cheap to clone; one connection and one background thread
/// for all clones.
///
/// When the last clone and the last guard are gone, what was dropped is still released in the background, as long as
/// the process lives; [`shutdown`](Self::shutdown) waits for it.
#[derive(Clone)]
pub struct Coordinator {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    pub(crate) store: StoreHandle,
    background: Mutex<(Option<Background>, Vec<JoinHandle<()>>)>,
}

impl Inner {
    pub(super) fn new(
        core: Arc<Core>,
        store: StoreHandle,
        background: Background,
        finishing: Vec<JoinHandle<()>>,
    ) -> Self {
        Self {
            core,
            store,
            background: Mutex::new((Some(background), finishing)),
        }
    }

    /// The background thread and the tasks that finish their work once the core is stopped; empty the second time.
    fn take_background(&self) -> (Option<Background>, Vec<JoinHandle<()>>) {
        let mut background = self
            .background
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *background)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.stop.cancel();
        if let (Some(background), tasks) = self.take_background() {
            background.finish(tasks);
        }
    }
}

impl Coordinator {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Begins a connection to `store`. The namespace is the application's own part of it.
    pub fn builder(store: impl Connector + 'static, namespace: &str) -> Builder {
        Builder::new(Arc::new(store), namespace)
    }

    /// As [`builder`](Self::builder), for a store chosen at run time.
    pub fn builder_dyn(store: Arc<dyn Connector>, namespace: &str) -> Builder {
        Builder::new(store, namespace)
    }

    /// A class of mutexes: carries the settings, and is the metric label. Resources are picked by id:
    /// `coord.mutexes("invoice")?.lock(7)`.
    pub fn mutexes(&self, class: &str) -> Result<Mutexes, Error> {
        Ok(Mutexes::new(Arc::clone(&self.inner), Class::new(class)?))
    }

    /// As [`mutexes`](Self::mutexes), for a class that was made before; the domain crates use their own this way.
    pub fn mutexes_of(&self, class: Class) -> Mutexes {
        Mutexes::new(Arc::clone(&self.inner), class)
    }

    /// An election: who leads, of all nodes that campaign under this name.
    pub fn election(&self, name: &str) -> Result<Election, Error> {
        let resource = Class::internal("~election").resource(name)?;
        Ok(self.election_of(resource))
    }

    /// As [`election`](Self::election), under a resource's whole name.
    pub fn election_of(&self, name: ResourceName) -> Election {
        Election::new(Arc::clone(&self.inner), name)
    }

    /// A register: a small value with a version, which a fence can guard.
    pub fn register(&self, name: &str) -> Result<RegisterHandle, Error> {
        let resource = Class::internal("~register").resource(name)?;
        Ok(self.register_of(resource))
    }

    /// As [`register`](Self::register), under a resource's whole name.
    pub fn register_of(&self, name: ResourceName) -> RegisterHandle {
        RegisterHandle::new(Arc::clone(&self.inner), name)
    }

    /// Who holds a resource and who waits for it, as the store sees it; `None` if nobody does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn inspect(&self, name: &ResourceName) -> Result<Option<Stamped<Record>>, Error> {
        inspect(&self.inner, name).await
    }

    /// What the store can do, and how safe it is.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.store.leases.capabilities()
    }

    /// The nodes that were live at the last heartbeat (at most 5 s ago while the store answers).
    pub fn members(&self) -> Arc<Membership> {
        Arc::clone(&self.inner.core.membership.borrow())
    }

    /// Lets other nodes know `value` under `key`: it stands in [`members`](Self::members) there. A new key is sent at
    /// once, a new value of a known key with the next heartbeat.
    pub fn announce(&self, key: &str, value: impl Into<String>) {
        self.inner.core.announce(key, Some(value.into()));
    }

    /// Takes an announcement back, at once.
    pub fn retract(&self, key: &str) {
        self.inner.core.announce(key, None);
    }

    /// Fences granted to this client from now on are greater than `fence`, wherever it came from.
    pub fn saw(&self, fence: Fence) {
        self.inner.core.saw(fence.get());
    }

    /// Refuses a TTL that no lease can have here.
    ///
    /// # Errors
    /// [`Error::Ttl`], with the shortest and the longest that can be used.
    pub fn check_ttl(&self, ttl: Duration) -> Result<(), Error> {
        self.inner.core.check_ttl(ttl, self.capabilities().min_ttl)
    }

    /// A smoothed round trip to the store.
    pub fn round_trip(&self) -> Duration {
        self.inner.core.clock.round_trip()
    }

    /// This client.
    pub fn node(&self) -> NodeId {
        self.inner.core.node
    }

    /// Who this client is, for people.
    pub fn label(&self) -> &str {
        &self.inner.core.label
    }

    /// The application's part of the store.
    pub fn namespace(&self) -> &Namespace {
        &self.inner.core.namespace
    }

    /// This client's time, sleep and chance.
    pub fn env(&self) -> &Env {
        &self.inner.core.env
    }

    /// The store's time now, as well as this client can tell: the last one seen and the monotonic time since.
    pub fn store_now(&self) -> Now {
        self.inner.core.clock.estimate(&self.inner.core.env)
    }

    /// Stops: renews nothing more, ends what guards have dropped, leaves the members; guards that are still held are
    /// lost ([`LostCause::ShutDown`](crate::LostCause::ShutDown)). Returns once the background work is done, within two
    /// request timeouts; a second call meanwhile returns at once.
    ///
    /// # Cancel safety
    /// Cancel safe: the stop itself goes on.
    pub async fn shutdown(&self) {
        self.inner.core.stop.cancel();
        if let (Some(background), tasks) = self.inner.take_background() {
            // Its own task, so that a dropped shutdown still finishes.
            drop(background.finish(tasks).await);
        }
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = &self.inner.core;
        f.debug_struct("Coordinator")
            .field("store", &core.address)
            .field("namespace", &core.namespace.as_str())
            .field("node", &core.node)
            .finish_non_exhaustive()
    }
}

/// Looks at one resource.
pub(crate) async fn inspect(
    inner: &Inner,
    name: &ResourceName,
) -> Result<Option<Stamped<Record>>, Error> {
    let core = &inner.core;
    let call = LeaseCall {
        name: name.clone(),
        op: Op::Inspect,
    };
    let answer = core.send(&inner.store, &[call], core.request_timeout).await;
    let answer = answer.map_err(|error| Error::from_store(name, error))?;
    let now = answer.replies.now;
    Ok(match answer.replies.value.into_iter().next() {
        Some(Reply::Inspected(Some(value))) => Some(Stamped { now, value }),
        _ => None,
    })
}
