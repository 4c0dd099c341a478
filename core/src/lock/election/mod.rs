//! Election: one leader of all nodes that campaign; a mutex that is campaigned for.

mod health;
mod observer;

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

use self::health::HealthCheck;
use super::Lease;
use crate::client::{
    Ask, Holder, Holding, Inner, Leading, Overdue, Seat, Standing, acquire, acquire_in_rounds,
    acquire_until, inspect,
};
use crate::error::Error;
use crate::fence::Fence;
use crate::name::ResourceName;
use crate::protocol::{Capacity, Weight};

pub use health::Healthy;
pub use observer::{Observation, Observer};

const TTL: Duration = Duration::from_secs(15);

/// An election.
///
/// A node that campaigns leads once all before it in the queue are gone, and then leads until it resigns, is dropped, fails
/// its [health check](Self::health_check) or loses the lease. Others, and nodes that never campaign, [`observe`](Self::observe).
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let election = coord.election("janitor")?;
/// let leadership = election.campaign().await?;
/// assert_eq!(election.leader().await?.map(|leader| leader.term), Some(leadership.term()));
/// leadership.resign().await?;
/// assert_eq!(election.leader().await?, None);
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Election {
    inner: Arc<Inner>,
    name: ResourceName,
    ttl: Duration,
    label: Arc<str>,
    health: Option<HealthCheck>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The leader's term: its fence. A later leader's is greater.
    pub term: Fence,
    /// Who it is, for people.
    pub label: String,
    /// For how long it has led.
    pub leads_for: Duration,
}

impl Election {
    pub(crate) fn new(inner: Arc<Inner>, name: ResourceName) -> Self {
        Self {
            name,
            ttl: TTL,
            label: inner.core.label.clone(),
            health: None,
            inner,
        }
    }

    /// How long leadership outlives its leader's last sign of life (default 15 s): the longest time without a leader.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// A note for people beside this client's label.
    pub fn label(mut self, note: &str) -> Self {
        self.label = format!("{} {note}", self.inner.core.label).into();
        self
    }

    /// From each election on, `check` is asked how this node is: at once, and `every` so long after it last answered (10 ms
    /// at least). One that says no, panics, or has not answered `every` after it was asked loses the leadership
    /// ([`LostCause::Unhealthy`](crate::LostCause::Unhealthy)), and the next node leads: so a leader that cannot work any more
    /// gives way, though its lease is renewed on a thread of its own.
    ///
    /// The check runs as a task of the runtime that campaigned: if that is stuck, so is the check, which is noticed from
    /// outside it. From the last good answer to the end of a leader pass at most two times `every`; let that be well above
    /// any pause of your runtime.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// # #[derive(Clone)] struct Db;
    /// # impl Db { async fn ping(&self) -> Result<(), std::io::Error> { Ok(()) } }
    /// # let db = Db;
    /// use std::time::Duration;
    /// let election = coord.election("janitor")?.health_check(Duration::from_secs(5), move || {
    ///     let db = db.clone();
    ///     async move { db.ping().await }
    /// });
    /// let leadership = election.campaign().await?;
    /// # assert!(leadership.is_held());
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    pub fn health_check<F, A>(mut self, every: Duration, check: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output: Healthy> + Send + 'static,
    {
        self.health = Some(HealthCheck::new(every, check));
        self
    }

    /// Campaigns until elected. A store that can't be reached is asked again; every other error ends the campaign.
    ///
    /// Leadership has no `max_hold`: it lasts until it is resigned, dropped or lost.
    ///
    /// # Errors
    /// Errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it leaves the queue.
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        let held = acquire_in_rounds(&self.inner, self.ask(None)).await?;
        Ok(self.leads(held))
    }

    /// As [`campaign`](Self::campaign), for at most `wait`.
    ///
    /// # Errors
    /// [`Error::Busy`] when the wait is over; it names the leader. [`Error::Unavailable`] if the store can't say then. Errors
    /// of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`campaign`](Self::campaign).
    pub async fn campaign_timeout(&self, wait: Duration) -> Result<Leadership, Error> {
        let held = acquire(&self.inner, &self.ask(Some(wait))).await?;
        Ok(self.leads(held))
    }

    /// As [`campaign`](Self::campaign), until `stop` resolves: a signal, a token's `cancelled()`.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, Error, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let election = coord.election("janitor")?;
    /// let leadership = election.campaign().await?;
    /// let stop = std::future::ready(());
    /// assert!(matches!(election.campaign_until(stop).await, Err(Error::Cancelled { .. })));
    /// # drop(leadership);
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Cancelled`] once `stop` has resolved. Errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// As [`campaign`](Self::campaign).
    pub async fn campaign_until(
        &self,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Leadership, Error> {
        let held = acquire_until(&self.inner, self.ask(None), stop).await?;
        Ok(self.leads(held))
    }

    /// Leads if nobody does.
    ///
    /// # Errors
    /// [`Error::Busy`] if someone does; it names the leader.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn try_lead(&self) -> Result<Leadership, Error> {
        let held = acquire(&self.inner, &self.ask(None)).await?;
        Ok(self.leads(held))
    }

    fn ask(&self, wait: Option<Duration>) -> Ask {
        // To lead for long is what it is for.
        let overdue = Overdue {
            after: None,
            caller: Location::caller(),
        };
        Ask {
            name: self.name.clone(),
            weight: Weight::All,
            capacity: Capacity::UNBOUNDED,
            ttl: self.ttl,
            wait,
            label: self.label.clone(),
            // A term is a grant of the store's, so that everyone sees the same one.
            strict: true,
            seat: Seat::new(None, overdue),
            may_relock: true,
        }
    }

    fn leads(&self, held: Holding) -> Leadership {
        let inner = &self.inner;
        Leadership {
            standing: Leading::begin(&inner.core, &held, self.label.to_string()),
            checks: (self.health.as_ref()).map(|health| health.attend(inner, &held)),
            lease: Lease::new(Arc::clone(inner), held),
        }
    }

    /// Watches who leads: the leader of now first, and then each change.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// use leasehold_core::Observation;
    ///
    /// let election = coord.election("janitor")?;
    /// let mut observer = election.observe();
    /// assert_eq!(observer.next().await, Some(Observation::Vacant));
    /// let leadership = election.campaign().await?;
    /// match observer.next().await {
    ///     Some(Observation::Led(leader)) => assert_eq!(leader.term, leadership.term()),
    ///     Some(Observation::Vacant) => println!("nobody leads"),
    ///     // Not the same as nobody: the store can't say.
    ///     Some(Observation::Unknown { why }) => println!("unknown: {why}"),
    ///     _ => println!("this client was shut down"),
    /// }
    /// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
    /// ```
    pub fn observe(&self) -> Observer {
        Observer::new(Arc::clone(&self.inner), self.name.clone(), self.ttl / 3)
    }

    /// Who leads now, as the store sees it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        let found = inspect(&self.inner, &self.name).await?;
        Ok(Leader::among(found.holders).map(|(leader, _)| leader))
    }
}

impl Leader {
    /// The one whose lease lasts, and for how long.
    fn among(holders: Vec<Holder>) -> Option<(Self, Duration)> {
        let holder = holders.into_iter().find(|h| !h.remaining.is_zero())?;
        let leader = Self {
            term: holder.fence.unwrap_or(Fence::new(0)),
            label: holder.label,
            leads_for: holder.held_for,
        };
        Some((leader, holder.remaining))
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("name", &self.name.as_str())
            .field("ttl", &self.ttl)
            .field("health_check", &self.health)
            .finish_non_exhaustive()
    }
}

/// Being the leader. Derefs to its [`Lease`]; dropping it resigns in the background.
///
/// Code that takes a token gets one that is cancelled when leadership is lost:
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let leadership = coord.election("janitor")?.campaign().await?;
/// let token = leadership.token();
/// let chores = tokio::spawn(async move { token.run_until_cancelled(async { /* sweep */ }).await });
/// chores.await.unwrap();
/// leadership.resign().await?;
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "leadership is resigned when it is dropped"]
pub struct Leadership {
    // In the order in which they end: observers look once it is given up.
    lease: Lease,
    checks: Option<DropGuard>,
    standing: Standing,
}

impl Leadership {
    /// The term: greater than every earlier leader's.
    pub fn term(&self) -> Fence {
        self.lease.fence()
    }

    /// Resigns; the next in the queue leads at once.
    ///
    /// # Errors
    /// As [`Lease::release`].
    ///
    /// # Cancel safety
    /// As [`Lease::release`].
    pub async fn resign(self) -> Result<(), Error> {
        let Self {
            lease,
            checks,
            standing,
        } = self;
        drop(checks);
        let resigned = lease.release().await;
        drop(standing);
        resigned
    }
}

impl Deref for Leadership {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}
