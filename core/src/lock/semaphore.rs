//! The semaphore: so many permits, shared by a fleet.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Hold;
use super::settings::Settings;
use crate::client::{
    Inner, Inspection, Overdue, Seat, TaskId, Want, acquire_permits, acquire_permits_until,
    check_name, inspect, resize, size,
};
use crate::error::{Error, PermitsError};
use crate::name::{Class, Group, NameError, ResourceName};
use crate::protocol::Capacity;

/// A class of semaphores: of each, so many permits are there for the whole fleet. Carries their settings; clone it and change
/// what differs. For one alone there is [`Semaphore`].
///
/// A class and an id have 511 bytes at most, together.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let databases = coord.semaphores("db", 3)?;
/// let one = databases.acquire("eu-1").await?;
/// let rest = databases.try_acquire_many("eu-1", 2).await?;
/// assert!(databases.try_acquire("eu-1").await.unwrap_err().is_busy());
/// let other = databases.try_acquire("us-1").await?;
/// # drop((one, rest, other));
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Semaphores {
    settings: Settings,
    capacity: Capacity,
}

/// A semaphore: so many permits are there for the whole fleet, and who has one holds it until its guard is gone, or its
/// process is. Carries its settings; clone it and change what differs.
///
/// All permits of a client are one entry in the store, however many they are. While nobody waits elsewhere, a permit that
/// comes back goes to the next task of this client that waits, and the store hears nothing of it. Once somebody does, it
/// takes as many turns as tasks waited here then, for a second at most, and goes to the next client. Within a client and
/// among clients those who wait are served in the order they came, whether they want one permit or many: who wants many is
/// not passed by those behind him who want few.
///
/// A permit has no [`Fence`](crate::Fence): an older one is as good as a newer one. It has a [`GrantId`](crate::GrantId)
/// of its own.
///
/// How many there are the program says. Two sizes at once are normal in a rolling deploy: the one with the highest
/// [`revision`](Self::revision) counts, and of equal ones the smaller. [`resize`](Self::resize) changes it for the fleet
/// while it runs.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// use std::time::Duration;
/// let stripe = coord.semaphore("stripe", 20)?.ttl(Duration::from_secs(10));
/// let permit = stripe.acquire().await?;
/// let many = stripe.acquire_many(5).await?;
/// assert_eq!((permit.permits(), many.permits()), (1, 5));
/// let charged = permit.run(async { "charged" }).await?;
/// permit.release().await?;
/// # assert_eq!(charged, "charged");
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Semaphore {
    class: Semaphores,
    id: Arc<str>,
}

macro_rules! settings {
    () => {
        /// How long permits outlive their holder's last sign of life (default 30 s): so long those of a process that died
        /// are missing. They are renewed at a third of it. Handles of different TTLs have different entries in the store.
        pub fn ttl(mut self, ttl: Duration) -> Self {
            self.settings_mut().ttl = ttl;
            self
        }

        /// How long [`acquire`](Self::acquire) waits (default 10 s).
        pub fn wait(mut self, wait: Duration) -> Self {
            self.settings_mut().wait = wait;
            self
        }

        /// How long one guard may be held in all (default 1 h): after that it is lost, so that a wedged holder ends. The
        /// other permits of its client go on.
        pub fn max_hold(mut self, max_hold: Duration) -> Self {
            self.settings_mut().max_hold = max_hold;
            self
        }

        /// Logs a warning that names the line which acquired, once a guard was held for this long (default: never).
        pub fn warn_if_held_over(mut self, limit: Duration) -> Self {
            self.settings_mut().warn_after = Some(limit);
            self
        }

        /// A note for people beside this client's label. The first one who acquires leaves his for all permits of this
        /// client.
        pub fn label(mut self, note: &str) -> Self {
            self.settings_mut().set_label(note);
            self
        }
    };
}

impl Semaphores {
    pub(crate) fn new(inner: Arc<Inner>, class: Class, permits: u32) -> Result<Self, Error> {
        Ok(Self {
            settings: Settings::new(inner, class),
            capacity: Capacity {
                size: some(permits, PermitsError::NoCapacity)?,
                revision: 0,
            },
        })
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    settings!();

    /// Which announcement of their size this is (default 0). In a rolling deploy that changes it, count it up, and the new
    /// size counts as soon as one new process acquires, for the old ones, too. Without it the smaller one counts while
    /// both are there.
    pub fn revision(mut self, revision: u32) -> Self {
        self.capacity.revision = revision.into();
        self
    }

    /// Those of a group: with `group("order-7")`, id 1 stands for `{order-7}/1`. Names of one group live together in the
    /// store, whatever their classes.
    ///
    /// # Errors
    /// If the tag is empty or too long, or has control characters, `{`, `}` or `/`.
    pub fn group(mut self, tag: &str) -> Result<Self, NameError> {
        self.settings.group = Some(Group::new(tag)?);
        Ok(self)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::Name`] if no store would take its name.
    pub fn get(&self, id: impl fmt::Display) -> Result<Semaphore, Error> {
        let id = id.to_string();
        self.name(&id)?;
        Ok(Semaphore {
            class: self.clone(),
            id: id.into(),
        })
    }

    /// The whole name of one of them, for [`inspect`](crate::Coordinator::inspect) and
    /// [`revoke`](crate::Coordinator::revoke).
    ///
    /// # Errors
    /// If no store would take it.
    pub fn name(&self, id: impl fmt::Display) -> Result<ResourceName, NameError> {
        check_name(self.settings.name(id)?)
    }

    /// Who holds permits of one of them and who waits for some: clients, with what they hold in all. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn peek(&self, id: impl fmt::Display) -> Result<Inspection, Error> {
        let name = self.name(id)?;
        inspect(&self.settings.inner, &name).await
    }

    /// As [`Semaphore::acquire`], of one of them.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<I> {
        self.permits(&id, 1, Some(self.settings.wait))
    }

    /// As [`Semaphore::acquire_many`], of one of them.
    ///
    /// # Errors
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_many<I: fmt::Display>(
        &self,
        id: I,
        permits: u32,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<I> {
        self.permits(&id, permits, Some(self.settings.wait))
    }

    /// As [`Semaphore::try_acquire`], of one of them.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn try_acquire<I: fmt::Display>(
        &self,
        id: I,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<I> {
        self.permits(&id, 1, None)
    }

    /// As [`Semaphore::try_acquire_many`], of one of them.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire_many`].
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn try_acquire_many<I: fmt::Display>(
        &self,
        id: I,
        permits: u32,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<I> {
        self.permits(&id, permits, None)
    }

    #[track_caller]
    fn permits(
        &self,
        id: &dyn fmt::Display,
        permits: u32,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        let (want, inner) = (
            self.want(id, permits, wait),
            Arc::clone(&self.settings.inner),
        );
        async move {
            let mut want = want?;
            want.seat.task = TaskId::current();
            let held = acquire_permits(&inner, &want).await?;
            Ok(Permit {
                hold: Hold::new(inner, held),
                permits,
            })
        }
    }

    #[track_caller]
    fn want(
        &self,
        id: &dyn fmt::Display,
        permits: u32,
        wait: Option<Duration>,
    ) -> Result<Want, Error> {
        let settings = &self.settings;
        let overdue = Overdue {
            after: settings.warn_after,
            caller: Location::caller(),
        };
        let label = settings
            .label
            .as_ref()
            .unwrap_or(&settings.inner.core.label);
        Ok(Want {
            name: self.name(id)?,
            units: some(permits, PermitsError::NoneAsked)?,
            capacity: self.capacity,
            ttl: settings.ttl,
            wait,
            label: label.clone(),
            seat: Seat::new(Some(settings.max_hold), overdue),
        })
    }
}

impl Semaphore {
    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.class.settings
    }

    settings!();

    /// As [`Semaphores::revision`].
    pub fn revision(mut self, revision: u32) -> Self {
        self.class = self.class.revision(revision);
        self
    }

    /// As [`Semaphores::group`].
    ///
    /// # Errors
    /// As [`Semaphores::group`], or if the whole name is too long then.
    pub fn group(mut self, tag: &str) -> Result<Self, NameError> {
        self.class = self.class.group(tag)?;
        self.class.name(&self.id)?;
        Ok(self)
    }

    /// Its whole name, for [`inspect`](crate::Coordinator::inspect) and [`revoke`](crate::Coordinator::revoke).
    ///
    /// # Errors
    /// None that [`Coordinator::semaphore`](crate::Coordinator::semaphore) has not told.
    pub fn name(&self) -> Result<ResourceName, NameError> {
        self.class.name(&self.id)
    }

    /// Who holds permits and who waits for some: clients, with what they hold in all. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn peek(&self) -> Result<Inspection, Error> {
        self.class.peek(&self.id).await
    }

    /// Acquires a permit, waiting as long as the semaphore says.
    ///
    /// # Errors
    /// [`Error::Busy`] if the wait was not enough, [`Error::Unavailable`] if the store can't say, and errors of use.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped at any await, nothing stays held and nothing queued.
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        let wait = self.class.settings.wait;
        self.class.permits(&self.id, 1, Some(wait))
    }

    /// Acquires so many permits at once, waiting as long as the semaphore says: all of them, in turn.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); [`Error::TooHeavy`] at once if there are not so many in all, and [`Error::Permits`] if
    /// that is none.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(
        &self,
        permits: u32,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        let wait = self.class.settings.wait;
        self.class.permits(&self.id, permits, Some(wait))
    }

    /// Acquires a permit, waiting at most `wait`.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        wait: Duration,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        self.class.permits(&self.id, 1, Some(wait))
    }

    /// Acquires a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if not.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn try_acquire(&self) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        self.class.permits(&self.id, 1, None)
    }

    /// Acquires so many permits if they are free and nobody waits.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire), and as [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn try_acquire_many(
        &self,
        permits: u32,
    ) -> impl Future<Output = Result<Permit, Error>> + Send + use<> {
        self.class.permits(&self.id, permits, None)
    }

    /// Acquires a permit, waiting until it is granted or `stop` resolves, such as a token's `cancelled_owned()`. A store that
    /// can't be reached is asked again.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `stop` came first, also if it had come before; errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_until<S: Future<Output = ()>>(
        &self,
        stop: S,
    ) -> impl Future<Output = Result<Permit, Error>> + use<S> {
        self.acquire_many_until(1, stop)
    }

    /// As [`acquire_until`](Self::acquire_until), for so many at once.
    ///
    /// # Errors
    /// As [`acquire_until`](Self::acquire_until), and as [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many_until<S: Future<Output = ()>>(
        &self,
        permits: u32,
        stop: S,
    ) -> impl Future<Output = Result<Permit, Error>> + use<S> {
        let want = self.class.want(&self.id, permits, None);
        let inner = Arc::clone(&self.class.settings.inner);
        async move {
            let mut want = want?;
            want.seat.task = TaskId::current();
            let held = acquire_permits_until(&inner, want, stop).await?;
            Ok(Permit {
                hold: Hold::new(inner, held),
                permits,
            })
        }
    }

    /// Acquires a permit, runs `future` until it ends or the permit is lost, and releases.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`Error::Lost`] if the permit was lost before the future ended. A release that the
    /// store did not acknowledge is not an error here: the permit was held until the future had ended.
    ///
    /// # Cancel safety
    /// As `future`; the permit is given back in the background.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        self.with(async |_| future.await).await
    }

    /// As [`run`](Self::run), for a body that looks at its permit.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As `body`; the permit is given back in the background.
    pub async fn with<T, F>(&self, body: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&Permit) -> T,
    {
        let permit = self.acquire().await?;
        let output = permit.run(body(&permit)).await?;
        match permit.release().await {
            Err(Error::Lost(lost)) => Err(lost.into()),
            _ => Ok(output),
        }
    }

    /// How many permits there are: what was last [set](Self::resize), or what the program says if that has a higher
    /// [`revision`](Self::revision).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn size(&self) -> Result<u32, Error> {
        let found = size(
            &self.class.settings.inner,
            &self.name()?,
            self.class.capacity,
        )
        .await?;
        Ok(found.size)
    }

    /// Changes how many permits there are, for the whole fleet and while it runs. It counts from the next request that this
    /// client makes; other clients that use the semaphore read it within about 5 s. It stays until it is set again, or
    /// until a program says another size with a higher [`revision`](Self::revision).
    ///
    /// Fewer than are in use: nothing is taken away. What comes back is given to nobody until there are fewer in use than
    /// the new size. Who waits for more than that is told at once ([`Error::TooHeavy`]).
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let stripe = coord.semaphore("stripe", 2)?;
    /// let both = stripe.acquire_many(2).await?;
    /// stripe.resize(1).await?;
    /// assert!(both.is_held());
    /// both.release().await?;
    /// let one = stripe.acquire().await?;
    /// assert!(stripe.try_acquire().await.unwrap_err().is_busy());
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Permits`] if that is none; [`Error::Unavailable`] if the store can't say whether it was set.
    ///
    /// # Cancel safety
    /// Dropped, it may still be set.
    pub async fn resize(&self, permits: u32) -> Result<(), Error> {
        let permits = some(permits, PermitsError::NoCapacity)?;
        let (inner, said) = (&self.class.settings.inner, self.class.capacity);
        resize(inner, &self.name()?, said, permits).await
    }
}

fn some(permits: u32, none: PermitsError) -> Result<u32, PermitsError> {
    if permits == 0 { Err(none) } else { Ok(permits) }
}

impl fmt::Debug for Semaphores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.debug("Semaphores", f)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.class.settings.debug("Semaphore", f)
    }
}

/// Permits that are held. Derefs to its [`Hold`]; dropping it gives them back in the background.
#[derive(Debug)]
#[must_use = "permits are given back when their guard is dropped"]
pub struct Permit {
    hold: Hold,
    permits: u32,
}

impl Permit {
    /// How many it is.
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// Gives them back, and tells whether they were held until now. As [`Hold::release`].
    ///
    /// # Errors
    /// As [`Hold::release`].
    ///
    /// # Cancel safety
    /// As [`Hold::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.hold.release().await
    }
}

impl Deref for Permit {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.hold
    }
}
