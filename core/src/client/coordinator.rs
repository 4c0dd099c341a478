//! The handle that users clone freely.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Builder, Core, Departure, Health, Inspection, Listing, Quotas, inspect, look, revoke};
use crate::env::{Background, Env};
use crate::error::Error;
use crate::fence::Fence;
use crate::lock::{Election, LockAll, Mutexes, RwLocks, Semaphore, Semaphores};
use crate::name::{Class, Namespace, ResourceName};
use crate::protocol::{NodeId, Now, Record};
use crate::register::RegisterHandle;
use crate::store::{Capabilities, Connector, Membership, Stamped, StoreHandle};

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

    /// Runs `task` on the background thread, unless a shutdown took it.
    pub(crate) fn spawn_behind(&self, task: impl Future<Output = ()> + Send + 'static) {
        let background = self.background.lock();
        let background = background.unwrap_or_else(PoisonError::into_inner);
        if let Some(background) = &background.0 {
            background.spawn(task);
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
    ///
    /// # Errors
    /// [`Error::Name`] if it cannot be a class.
    pub fn mutexes(&self, class: &str) -> Result<Mutexes, Error> {
        Ok(Mutexes::new(Arc::clone(&self.inner), Class::new(class)?))
    }

    /// As [`mutexes`](Self::mutexes), for a class that was made before; the domain crates use their own this way.
    pub fn mutexes_of(&self, class: Class) -> Mutexes {
        Mutexes::new(Arc::clone(&self.inner), class)
    }

    /// A class of read-write locks: as [`mutexes`](Self::mutexes), for resources that many read and few write.
    ///
    /// # Errors
    /// [`Error::Name`] if it cannot be a class.
    pub fn rw_locks(&self, class: &str) -> Result<RwLocks, Error> {
        Ok(self.rw_locks_of(Class::new(class)?))
    }

    /// As [`rw_locks`](Self::rw_locks), for a class that was made before.
    pub fn rw_locks_of(&self, class: Class) -> RwLocks {
        RwLocks::new(Arc::clone(&self.inner), class)
    }

    /// A semaphore: `permits` of them are there for the whole fleet. It is one of a [class](Self::semaphores) of its name.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let stripe = coord.semaphore("stripe", 20)?;
    /// let answer = stripe.run(async { "charged" }).await?;
    /// assert_eq!(answer, "charged");
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Name`] if it cannot be a class, [`Error::Permits`] if `permits` is 0.
    pub fn semaphore(&self, name: &str, permits: u32) -> Result<Semaphore, Error> {
        self.semaphores(name, permits)?.get(name)
    }

    /// A class of semaphores, each of so many permits: carries the settings, and is the metric label. They are picked by id:
    /// `coord.semaphores("db", 20)?.acquire("eu-1")`.
    ///
    /// # Errors
    /// [`Error::Name`] if it cannot be a class, [`Error::Permits`] if `permits` is 0.
    pub fn semaphores(&self, class: &str, permits: u32) -> Result<Semaphores, Error> {
        self.semaphores_of(Class::new(class)?, permits)
    }

    /// As [`semaphores`](Self::semaphores), for a class that was made before.
    ///
    /// # Errors
    /// [`Error::Permits`] if `permits` is 0.
    pub fn semaphores_of(&self, class: Class, permits: u32) -> Result<Semaphores, Error> {
        Semaphores::new(Arc::clone(&self.inner), class, permits)
    }

    /// Several mutexes at once, also of several classes: all or none, and never a deadlock.
    pub fn lock_all(&self) -> LockAll {
        LockAll::new(Arc::clone(&self.inner))
    }

    /// An election: who leads, of all nodes that campaign under this name.
    ///
    /// # Errors
    /// [`Error::Name`] if no store would take the name.
    pub fn election(&self, name: &str) -> Result<Election, Error> {
        let resource = Class::internal("~election").resource(name)?;
        Ok(self.election_of(resource))
    }

    /// As [`election`](Self::election), under a resource's whole name.
    pub fn election_of(&self, name: ResourceName) -> Election {
        Election::new(Arc::clone(&self.inner), name)
    }

    /// A register: a small value with a version, which a fence can guard.
    ///
    /// # Errors
    /// [`Error::Name`] if no store would take the name.
    pub fn register(&self, name: &str) -> Result<RegisterHandle, Error> {
        let resource = Class::internal("~register").resource(name)?;
        Ok(self.register_of(resource))
    }

    /// As [`register`](Self::register), under a resource's whole name.
    pub fn register_of(&self, name: ResourceName) -> RegisterHandle {
        RegisterHandle::new(Arc::clone(&self.inner), name)
    }

    /// Quotas at the store: what limiters are made of.
    pub fn quotas(&self) -> Quotas {
        Quotas::new(Arc::clone(&self.inner))
    }

    /// Who holds a resource and who waits for it, as the store sees it. Changes nothing: what has expired is shown so.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").label("me").connect().await?;
    /// let invoices = coord.mutexes("invoice")?;
    /// let guard = invoices.lock(7).await?;
    /// let found = coord.inspect(&invoices.name(7)?).await?;
    /// assert_eq!((&*found.holders[0].label, found.waiters.len()), ("me", 0));
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn inspect(&self, name: &ResourceName) -> Result<Inspection, Error> {
        inspect(&self.inner, name).await
    }

    /// Resources that are held or waited for, whose whole names (`class/id`) begin with `prefix`; `limit` at most. It
    /// takes a request for each few hundred of them, and on a Redis server for each few hundred keys of its database.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<Listing, Error> {
        super::inspect::list(&self.inner, prefix, limit).await
    }

    /// A resource's record as the store keeps it, for tools and tests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn record(&self, name: &ResourceName) -> Result<Stamped<Option<Record>>, Error> {
        look(&self.inner, name).await
    }

    /// Tells the present holders of a resource to go, and why. Each that hears of it (by a push, or by its next renewal)
    /// may go on for `grace`, and at most for what is left of its lease, which is renewed no more; then its guard is lost
    /// ([`LostCause::Revoked`](crate::LostCause::Revoked)) and its lease passes on. One that does not hear of it keeps its
    /// lease until the end it was promised: within one TTL. A later revocation can shorten the grace. Answers how many
    /// holders were told.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say whether they were.
    ///
    /// # Cancel safety
    /// Dropped, they may still be told.
    pub async fn revoke(
        &self,
        name: &ResourceName,
        reason: &str,
        grace: Duration,
    ) -> Result<usize, Error> {
        revoke::revoke(&self.inner, name, reason, grace).await
    }

    /// How this client is: for a readiness probe.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// assert!(coord.health().is_ready);
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    pub fn health(&self) -> Health {
        self.inner.core.health()
    }

    /// Whether the store's wall clock has left its course, and by how much; see [`Health::store_clock`].
    pub fn store_clock_departure(&self) -> Option<Departure> {
        self.inner.core.clock.departure()
    }

    /// The store's wall clock was set ahead, on purpose: no reason to distrust it.
    #[cfg(feature = "test-util")]
    pub(crate) fn leapt(&self, by: Duration) {
        self.inner.core.clock.leapt(by);
    }

    /// What the store can do, and how safe it is.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.store.leases.capabilities()
    }

    /// The nodes that were live at the last heartbeat (at most 5 s ago while the store answers).
    pub fn members(&self) -> Arc<Membership> {
        Arc::clone(&self.inner.core.membership.borrow())
    }

    /// The members of the first heartbeat after the one that told of `seen`, which may list the same.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn members_after(&self, seen: &Arc<Membership>) -> Arc<Membership> {
        let mut heard = self.inner.core.membership.subscribe();
        let other = heard.wait_for(|members| !Arc::ptr_eq(members, seen));
        // The sender is this client's.
        other
            .await
            .map_or_else(|_| self.members(), |members| Arc::clone(&members))
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
        let core = &self.inner.core;
        core.clock.estimate(core.env.now())
    }

    /// Stops, so that no other node waits for a TTL: takes no more requests, gives guards that are still held until
    /// `grace` has passed, and loses the rest ([`LostCause::ShutDown`](crate::LostCause::ShutDown)); everything is
    /// released, and the node leaves the members. Returns once that is done: at the latest three request timeouts after
    /// the grace. A second call meanwhile returns at once.
    ///
    /// # Cancel safety
    /// Dropped before the grace is over, the client takes no requests and goes on renewing what is held; after that the
    /// stop itself goes on.
    pub async fn shutdown(&self, grace: Duration) -> Shutdown {
        let core = &self.inner.core;
        core.closing.cancel();
        let deadline = core.env.now() + grace;
        // Looked at now and then: guards end without a word to anybody.
        while !core.is_at_rest() && core.env.now() < deadline {
            let next = (core.env.now() + LOOK).min(deadline);
            core.env.sleep_until(next).await;
        }
        let cut_short = core.renewals.len();
        core.stop.cancel();
        if let (Some(background), tasks) = self.inner.take_background() {
            // Its own task, so that a dropped shutdown still finishes.
            drop(background.finish(tasks).await);
        }
        Shutdown {
            cut_short,
            // A line that is being left stands for its release; one that was not polled for a request of its own.
            unreleased: (core.cleaning.load(Ordering::Acquire))
                .max(core.lines.len() + core.pools.len()),
        }
    }
}

/// How often a shutdown looks whether guards are left.
const LOOK: Duration = Duration::from_millis(5);

/// What a shutdown met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Leases that were still held when the grace was over, and were lost.
    pub cut_short: usize,
    /// Releases that the store did not acknowledge: those leases end with their TTL.
    pub unreleased: usize,
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
