//! The read-write lock: any number of readers, or one writer.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;
use super::{Fairness, Hold, Lease};
use crate::client::{Inner, Inspection, inspect};
use crate::error::Error;
use crate::name::{Class, Group, NameError, ResourceName};
use crate::planted::{Bug, planted};
use crate::protocol::Weight;

/// A class of read-write locks: of each, any number may read, or one may write. Carries their settings; clone it and
/// change what differs.
///
/// Readers and writers stand in one queue at the store, in the order they came, and neither starves: who comes after a
/// waiting writer waits behind it. Several tasks of a client that read share one lease (the last one gives it back), and
/// others join them at once, without asking the store, until somebody waits elsewhere; from then on nobody joins.
///
/// Only writers have a [`Fence`](crate::Fence). A reader has a [`GrantId`](crate::GrantId): it guards nothing that is
/// written.
///
/// There is no upgrade and no downgrade: release and lock anew, and look again, since another may have written meanwhile.
/// A task that would wait for itself (it reads and asks to write, writes and asks to read, or reads again behind a writer
/// that waits) is told at once ([`Error::Relock`]).
///
/// A [mutex](crate::Mutexes) of the same class and id is a writer of this lock.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let pages = coord.rw_locks("page")?;
/// let (one, other) = (pages.read(7).await?, pages.read(7).await?);
/// assert!(pages.try_write(7).await.unwrap_err().is_busy());
/// one.release().await?;
/// other.release().await?;
/// let fence = pages.with_write(7, async |lease| lease.fence()).await?;
/// let guard = pages.write(7).await?;
/// assert!(guard.fence() > fence);
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct RwLocks(Settings);

impl RwLocks {
    pub(crate) fn new(inner: Arc<Inner>, class: Class) -> Self {
        Self(Settings::new(inner, class))
    }

    /// How long a lease outlives its holder's last sign of life (default 30 s). It is renewed at a third of it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = ttl;
        self
    }

    /// How long [`read`](Self::read) and [`write`](Self::write) wait in the queue (default 10 s).
    pub fn wait(mut self, wait: Duration) -> Self {
        self.0.wait = wait;
        self
    }

    /// How long one guard may be held in all (default 1 h): after that it is lost, so that a wedged holder ends. Readers
    /// that share its lease go on.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.0.max_hold = max_hold;
        self
    }

    /// Logs a warning that names the line which locked, once a guard was held for this long (default: never).
    pub fn warn_if_held_over(mut self, limit: Duration) -> Self {
        self.0.warn_after = Some(limit);
        self
    }

    /// In which order tasks of several clients are served (default: visits). Strictly, each reader stands at the store by
    /// itself, and none joins another.
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

    /// A note for people beside this client's label.
    pub fn label(mut self, note: &str) -> Self {
        self.0.set_label(note);
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

    /// Who holds one of them and who waits for it. Changes nothing. A client whose tasks share a lease is one holder.
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

    /// Reads, waiting as long as the class says.
    ///
    /// The first task of a client that waits here stands in the queue for the others, and all of them read together: its
    /// future must be polled (not so in a `select!` whose other arm works for long).
    ///
    /// # Errors
    /// [`Error::Busy`] if the wait was not enough, [`Error::Unavailable`] if the store can't say, and errors of use.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped at any await, nothing stays held and nothing queued.
    #[track_caller]
    pub fn read<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<ReadGuard, Error>> + Send + use<I> {
        self.shared(&id, Some(self.0.wait))
    }

    /// Reads, waiting at most `wait`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_timeout<I: fmt::Display>(
        &self,
        id: I,
        wait: Duration,
    ) -> impl Future<Output = Result<ReadGuard, Error>> + Send + use<I> {
        self.shared(&id, Some(wait))
    }

    /// Reads if nobody writes, and nobody waits for that.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if somebody does.
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn try_read<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<ReadGuard, Error>> + Send + use<I> {
        self.shared(&id, None)
    }

    /// Reads, waiting until it is granted or `stop` resolves; as [`Mutexes::lock_until`](crate::Mutexes::lock_until).
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `stop` came first, also if it had come before; errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_until<I: fmt::Display, S: Future<Output = ()>>(
        &self,
        id: I,
        stop: S,
    ) -> impl Future<Output = Result<ReadGuard, Error>> + use<I, S> {
        (self.0).acquire_until(&id, Weight::ONE, stop, ReadGuard)
    }

    /// Writes, waiting as long as the class says. Tasks of one client that write take turns under one grant, as those of a
    /// [mutex](crate::Mutexes) do.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn write<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<WriteGuard, Error>> + Send + use<I> {
        self.exclusive(&id, Some(self.0.wait))
    }

    /// Writes, waiting at most `wait`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn write_timeout<I: fmt::Display>(
        &self,
        id: I,
        wait: Duration,
    ) -> impl Future<Output = Result<WriteGuard, Error>> + Send + use<I> {
        self.exclusive(&id, Some(wait))
    }

    /// Writes if it is free.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if it is not.
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn try_write<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<WriteGuard, Error>> + Send + use<I> {
        self.exclusive(&id, None)
    }

    /// Writes, waiting until it is granted or `stop` resolves; as [`Mutexes::lock_until`](crate::Mutexes::lock_until).
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `stop` came first, also if it had come before; errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn write_until<I: fmt::Display, S: Future<Output = ()>>(
        &self,
        id: I,
        stop: S,
    ) -> impl Future<Output = Result<WriteGuard, Error>> + use<I, S> {
        (self.0).acquire_until(&id, whole(), stop, WriteGuard::of)
    }

    /// Reads, runs `body` until it ends or the lease is lost, and releases.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Error::Lost`] if the lease was lost before the body ended. A release that the store
    /// did not acknowledge is not an error here: the lease was held until the body had ended.
    ///
    /// # Cancel safety
    /// As `body`; the lease is ended in the background.
    pub async fn with_read<T, F>(&self, id: impl fmt::Display, body: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&Hold) -> T,
    {
        let guard = self.read(id).await?;
        let output = guard.run(body(&guard)).await?;
        match guard.release().await {
            Err(Error::Lost(lost)) => Err(lost.into()),
            _ => Ok(output),
        }
    }

    /// Writes, runs `body` until it ends or the lease is lost, and releases.
    ///
    /// # Errors
    /// As [`with_read`](Self::with_read).
    ///
    /// # Cancel safety
    /// As `body`; the lease is ended in the background.
    pub async fn with_write<T, F>(&self, id: impl fmt::Display, body: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&Lease) -> T,
    {
        let guard = self.write(id).await?;
        let output = guard.run(body(&guard)).await?;
        match guard.release().await {
            Err(Error::Lost(lost)) => Err(lost.into()),
            _ => Ok(output),
        }
    }

    #[track_caller]
    fn shared(
        &self,
        id: &dyn fmt::Display,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<ReadGuard, Error>> + Send + use<> {
        self.0.acquire(id, Weight::ONE, wait, ReadGuard)
    }

    #[track_caller]
    fn exclusive(
        &self,
        id: &dyn fmt::Display,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<WriteGuard, Error>> + Send + use<> {
        self.0.acquire(id, whole(), wait, WriteGuard::of)
    }
}

/// What a writer takes.
fn whole() -> Weight {
    if planted(Bug::WriterWeighsOne) {
        return Weight::ONE;
    }
    Weight::All
}

impl fmt::Debug for RwLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("RwLocks", f)
    }
}

/// A lock that is being read. Derefs to its [`Hold`]; dropping it gives it back in the background.
#[derive(Debug)]
#[must_use = "a lock is no longer read when its guard is dropped"]
pub struct ReadGuard(Hold);

impl ReadGuard {
    /// Gives it back, and tells whether it was held until now. As [`Hold::release`].
    ///
    /// # Errors
    /// As [`Hold::release`].
    ///
    /// # Cancel safety
    /// As [`Hold::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.0.release().await
    }
}

impl Deref for ReadGuard {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.0
    }
}

/// A lock that is being written. Derefs to its [`Lease`]; dropping it gives it back in the background.
#[derive(Debug)]
#[must_use = "a lock is no longer written when its guard is dropped"]
pub struct WriteGuard(Lease);

impl WriteGuard {
    fn of(hold: Hold) -> Self {
        Self(Lease::of(hold))
    }

    /// Gives it back, and tells whether it was held until now. As [`Hold::release`].
    ///
    /// # Errors
    /// As [`Hold::release`].
    ///
    /// # Cancel safety
    /// As [`Hold::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.0.release().await
    }
}

impl Deref for WriteGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}
