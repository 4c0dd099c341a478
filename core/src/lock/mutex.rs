//! The mutex: one holder at a time.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;
use super::{Hold, Lease};
use crate::client::{Inner, Inspection, inspect};
use crate::error::Error;
use crate::name::{Class, Group, NameError, ResourceName};
use crate::protocol::Weight;

/// A class of mutexes. Carries their settings; clone it and change what differs.
///
/// A mutex is not re-entrant: a task that waits for what it holds is told at once ([`Error::Relock`]).
///
/// Waiters are served in the order they came, client by client: a grant of the store visits all tasks of a client that
/// wait at its start, each with a fence of its own and without store traffic, for a second at most, and then goes to the
/// next client. While turns are short it serves those who come meanwhile, too, for 2 ms in all. [`Fairness::Strict`] makes a
/// visit one turn.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// use std::time::Duration;
/// let invoices = coord.mutexes("invoice")?.ttl(Duration::from_secs(10));
/// let fence = invoices.with(42, async |lease| lease.fence()).await?;
/// let guard = invoices.lock(42).await?;
/// assert!(guard.fence() > fence);
/// guard.release().await?;
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Mutexes(Settings);

/// In which order tasks of several clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Fairness {
    /// Clients in the order they came, and at each visit all its tasks that wait at its start; for 2 ms also those who come
    /// meanwhile.
    #[default]
    Visits,
    /// One task a visit: between two tasks of one client comes one of each other client that waits. Each turn costs the
    /// store's round trip.
    Strict,
}

impl Mutexes {
    pub(crate) fn new(inner: Arc<Inner>, class: Class) -> Self {
        Self(Settings::new(inner, class))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0
    }

    /// How long a lease outlives its holder's last sign of life (default 30 s). It is renewed at a third of it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = ttl;
        self
    }

    /// How long [`lock`](Self::lock) waits in the queue (default 10 s).
    pub fn wait(mut self, wait: Duration) -> Self {
        self.0.wait = wait;
        self
    }

    /// How long a lease may be held in all (default 1 h): after that it is lost, so that a wedged holder ends.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.0.max_hold = max_hold;
        self
    }

    /// Logs a warning that names the line which locked, once a lease was held for this long (default: never).
    pub fn warn_if_held_over(mut self, limit: Duration) -> Self {
        self.0.warn_after = Some(limit);
        self
    }

    /// In which order tasks of several clients are served (default: visits).
    pub fn fairness(mut self, fairness: Fairness) -> Self {
        self.0.fairness = fairness;
        self
    }

    /// Lets several futures of one task (as of `join!`, or a stream's `buffer_unordered`) wait for one another. A task
    /// that waits for itself then waits until its time is over.
    pub fn allow_same_task(mut self) -> Self {
        self.0.same_task = true;
        self
    }

    /// Those of a group: with `group("order-7")`, id 1 stands for `{order-7}/1`. Names of one group live together in the store,
    /// whatever their classes, so that [`lock_all`](crate::Coordinator::lock_all) takes several of them in one request. On a
    /// Redis Cluster all of a group is on one node: group what is locked together, not all there is.
    ///
    /// # Errors
    /// If the tag is empty or too long, or has control characters, `{`, `}` or `/`.
    pub fn group(mut self, tag: &str) -> Result<Self, NameError> {
        self.0.group = Some(Group::new(tag)?);
        Ok(self)
    }

    /// The whole name of one of them, for [`inspect`](crate::Coordinator::inspect) and
    /// [`revoke`](crate::Coordinator::revoke).
    ///
    /// # Errors
    /// If no store would take it.
    pub fn name(&self, id: impl fmt::Display) -> Result<ResourceName, NameError> {
        self.0.name(id)
    }

    /// Who holds one of them and who waits for it. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn peek(&self, id: impl fmt::Display) -> Result<Inspection, Error> {
        let name = self.name(id)?;
        inspect(&self.0.inner, &name).await
    }

    /// A note for people beside this client's label.
    pub fn label(mut self, note: &str) -> Self {
        self.0.set_label(note);
        self
    }

    /// Locks, waiting as long as the class says.
    ///
    /// The first task of a client that waits here stands in the queue for the others, and they are served through it: its
    /// future must be polled (not so in a `select!` whose other arm works for long). If its wait is over the next one goes on
    /// in its place; but one that would wait more than twice as long as the first may have to queue again.
    ///
    /// # Errors
    /// [`Error::Busy`] if the wait was not enough, [`Error::Unavailable`] if the store can't say, and errors of use.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped at any await, nothing stays held and nothing queued.
    #[track_caller]
    pub fn lock<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<MutexGuard, Error>> + Send + use<I> {
        self.acquire(&id, Some(self.0.wait))
    }

    /// Locks, waiting at most `wait`.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_timeout<I: fmt::Display>(
        &self,
        id: I,
        wait: Duration,
    ) -> impl Future<Output = Result<MutexGuard, Error>> + Send + use<I> {
        self.acquire(&id, Some(wait))
    }

    /// Locks if it is free.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if it is not.
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn try_lock<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<MutexGuard, Error>> + Send + use<I> {
        self.acquire(&id, None)
    }

    /// Locks, waiting until it is granted or `stop` resolves, such as a token's `cancelled_owned()`. It stands in the queue
    /// for ten minutes at a time, and asks a store that can't be reached again, as an election's
    /// [`campaign`](crate::Election::campaign) does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, Error, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let shutdown = tokio_util::sync::CancellationToken::new();
    /// let invoices = coord.mutexes("invoice")?;
    /// let guard = invoices.lock_until(42, shutdown.clone().cancelled_owned()).await?;
    /// shutdown.cancel();
    /// let late = invoices.lock_until(42, shutdown.cancelled_owned()).await;
    /// assert!(matches!(late, Err(Error::Cancelled { .. })));
    /// # drop(guard);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `stop` came first, also if it had come before; errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_until<I: fmt::Display, S: Future<Output = ()>>(
        &self,
        id: I,
        stop: S,
    ) -> impl Future<Output = Result<MutexGuard, Error>> + use<I, S> {
        (self.0).acquire_until(&id, Weight::All, stop, MutexGuard::of)
    }

    /// Locks, runs `body` until it ends or the lease is lost, and releases.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), and [`Error::Lost`] if the lease was lost before the body ended. A release that the
    /// store did not acknowledge is not an error here: the lease was held until the body had ended.
    ///
    /// # Cancel safety
    /// As `body`; the lease is ended in the background.
    pub async fn with<T, F>(&self, id: impl fmt::Display, body: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&Lease) -> T,
    {
        let guard = self.lock(id).await?;
        let output = guard.run(body(&guard)).await?;
        match guard.release().await {
            Err(Error::Lost(lost)) => Err(lost.into()),
            _ => Ok(output),
        }
    }

    #[track_caller]
    fn acquire(
        &self,
        id: &dyn fmt::Display,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<MutexGuard, Error>> + Send + use<> {
        self.0.acquire(id, Weight::All, wait, MutexGuard::of)
    }
}

impl fmt::Debug for Mutexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Mutexes", f)
    }
}

/// A locked mutex. Derefs to its [`Lease`]; dropping it unlocks in the background.
#[derive(Debug)]
#[must_use = "a mutex is unlocked when its guard is dropped"]
pub struct MutexGuard(Lease);

impl MutexGuard {
    fn of(hold: Hold) -> Self {
        Self(Lease::of(hold))
    }

    /// Unlocks, and tells whether it was held until now. As [`Lease::release`].
    ///
    /// # Errors
    /// As [`Lease::release`].
    ///
    /// # Cancel safety
    /// As [`Lease::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.0.release().await
    }
}

impl Deref for MutexGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}
