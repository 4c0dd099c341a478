//! The rate limiter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::name::Group;
use leasehold_core::{Class, Coordinator, NameError, Quotas, ResourceName, protocol};

use crate::breaker::Breaker;
use crate::live::{Announcement, Live};
use crate::metrics::Keys;
use crate::outage::OwnCount;
use crate::shares::Slots;
use crate::{Allowed, Builder, Decision, Error, LocalShares, Outage, Quota, Source};

/// How long an announcement or a settlement is repeated while the store is away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A limit that the whole fleet keeps, for each key of its class: so many units a period, and a burst of them at once.
///
/// It is counted at the store, on the store's clock, in whole µs (the generic cell rate algorithm): whatever clients, clocks and
/// networks do, at most `rate x t + burst` units pass in any `t`. A refusal costs nothing, and a key that nobody uses takes no
/// room. Cheap to clone.
///
/// Which method? [`check`](Self::check) answers at once: for servers, which refuse. [`until_ready`](Self::until_ready) waits in
/// turn: for clients of an API that has a limit. [`reserve`](Self::reserve) is for costs that are known afterwards.
/// [`all`](Self::all) asks several limits together.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await.unwrap();
/// use leasehold_ratelimit::{Decision, Quota, RateLimiter};
/// let logins = RateLimiter::new(&coord, "login", Quota::per_minute(5).burst(3))?;
/// for _ in 0..3 {
///     assert!(logins.check("alice").await?.is_allowed());
/// }
/// match logins.check("alice").await? {
///     Decision::Allowed(_) => unreachable!("three at once"),
///     Decision::Limited(limited) => assert!(limited.retry_after.as_secs() < 12),
/// }
/// assert!(logins.check("bob").await?.is_allowed());
/// # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) group: Option<Group>,
}

/// What the clones of a limiter share.
pub(crate) struct Limiter {
    pub(crate) coord: Coordinator,
    pub(crate) quotas: Quotas,
    pub(crate) class: Class,
    pub(crate) live: Live,
    pub(crate) outage: Outage,
    pub(crate) budget: Duration,
    pub(crate) breaker: Breaker,
    pub(crate) longest_wait: Duration,
    pub(crate) reservation: Duration,
    pub(crate) own: OwnCount,
    pub(crate) shares: Option<LocalShares>,
    /// What is kept here of keys: shares, and denials.
    pub(crate) slots: Option<Slots>,
    pub(crate) metrics: Arc<Keys>,
}

/// Who is asked first.
enum Asked<'a> {
    Store(Result<ResourceName, NameError>),
    Here(&'a Slots, String),
}

/// How a quota is counted at the store.
pub(crate) fn count(
    class: &str,
    quota: Quota,
    shares: Option<&LocalShares>,
) -> Result<protocol::Quota, Error> {
    let refused = |error| Error::Quota {
        class: class.to_owned(),
        error,
    };
    // What is wrong with it is said of the quota as it was written.
    let whole = quota.lower().map_err(refused)?;
    let Some(shares) = shares else {
        return Ok(whole);
    };
    let Some(burst) = shares.burst(&quota) else {
        return Err(Error::Shares {
            class: class.to_owned(),
            lasting: shares.lasts(),
            kept_back: shares.kept_back(&quota),
            burst: quota.burst_units(),
        });
    };
    quota.with_burst(burst).map_err(refused)
}

impl RateLimiter {
    /// A limiter with the default settings. Its class is what users see, and the metric label: programs that use one name
    /// share the counts, and should have the same quota.
    ///
    /// # Errors
    /// [`Error::Quota`] if there is no such quota, [`Error::Core`] if the class cannot be one.
    pub fn new(coord: &Coordinator, class: &str, quota: Quota) -> Result<Self, Error> {
        Self::builder(coord, class, quota).build()
    }

    /// A limiter with other settings.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await.unwrap();
    /// use leasehold_ratelimit::{Outage, Quota, RateLimiter};
    /// use std::time::Duration;
    /// let api = RateLimiter::builder(&coord, "api", Quota::per_second(100).burst(20))
    ///     .longest_wait(Duration::from_secs(2))
    ///     .outage(Outage::LocalShare)
    ///     .build()?;
    /// api.until_ready("stripe").await?;
    /// # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
    /// ```
    pub fn builder(coord: &Coordinator, class: &str, quota: Quota) -> Builder {
        Builder::new(coord, class, quota)
    }

    /// The keys of a group: with `group("org-7")`, key `ann` stands for `{org-7}/ann`. Keys of one group live together in the
    /// store, whatever their classes, so that [`all`](Self::all) takes several of them in one request. On a Redis Cluster all of
    /// a group is on one node: group what is asked for together, not all there is.
    ///
    /// # Errors
    /// [`Error::Core`] if the tag is empty or too long, or has control characters, `{`, `}` or `/`.
    pub fn group(&self, tag: &str) -> Result<Self, Error> {
        Ok(Self {
            limiter: Arc::clone(&self.limiter),
            group: Some(Group::new(tag)?),
        })
    }

    /// The class.
    pub fn class(&self) -> &str {
        self.limiter.class.as_str()
    }

    /// The quota in force: that of the program, or a later one that was [announced](Self::set_quota), as far as this client has
    /// heard.
    pub fn quota(&self) -> Quota {
        self.limiter.live.in_force().quota
    }

    /// Asks for 1 unit: whether it may be done, now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nobody can say, unless the limiter's [`Outage`] does; [`Error::Core`] if no store would take the
    /// key (1 to 512 bytes, no control characters).
    ///
    /// # Cancel safety
    /// Dropped, it may still be charged.
    pub fn check<K: fmt::Display>(
        &self,
        key: K,
    ) -> impl Future<Output = Result<Decision, Error>> + Send + use<'_, K> {
        self.check_n(key, 1)
    }

    /// Asks for so many units, all or none.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::TooCostly`] if so many never pass at once, and [`Error::NoCost`] for 0.
    ///
    /// # Cancel safety
    /// As [`check`](Self::check).
    pub fn check_n<K: fmt::Display>(
        &self,
        key: K,
        units: u64,
    ) -> impl Future<Output = Result<Decision, Error>> + Send + use<'_, K> {
        let limiter = &self.limiter;
        let asked = match &limiter.slots {
            None => Asked::Store(self.name(key)),
            Some(slots) => Asked::Here(slots, self.id(key)),
        };
        async move {
            match asked {
                Asked::Store(name) => limiter.check(&name?, units).await,
                Asked::Here(slots, id) => limiter.check_here(slots, &id, units).await,
            }
        }
    }

    /// How a key stands for who would ask for so many units. Changes nothing, and asks the store always.
    ///
    /// # Errors
    /// As [`check_n`](Self::check_n).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn peek<K: fmt::Display>(
        &self,
        key: K,
        units: u64,
    ) -> impl Future<Output = Result<Decision, Error>> + Send + use<'_, K> {
        let name = self.name(key);
        async move { self.limiter.peek(&name?, units).await }
    }

    /// Announces a quota to the fleet: every client that uses the limiter goes by it within 5 s, and charges of those that have
    /// not heard go by it as soon as one has that did. Answers with its revision: the next one, unless it has one.
    ///
    /// A quota in the program counts again once its [revision](Quota::revision) is higher.
    ///
    /// # Errors
    /// [`Error::Superseded`] if one with the same revision or a higher one is in force; [`Error::Quota`] if there is no such
    /// quota; [`Error::Unavailable`] if the store can't say whether it was announced.
    ///
    /// # Cancel safety
    /// Dropped, it may still be announced.
    pub async fn set_quota(&self, quota: Quota) -> Result<u64, Error> {
        let limiter = &self.limiter;
        limiter.count(quota)?;
        let coord = &limiter.coord;
        let announced = limiter.live.announce(coord, quota, PATIENCE).await;
        let class = limiter.class();
        match announced.map_err(|error| Error::of(class, error))? {
            Announcement::Made(quota) => {
                limiter.take_over(quota);
                Ok(quota.announced())
            }
            Announcement::Superseded(revision) => Err(Error::Superseded {
                class: class.to_owned(),
                revision,
            }),
        }
    }

    fn id(&self, key: impl fmt::Display) -> String {
        match &self.group {
            Some(group) => group.id(key),
            None => key.to_string(),
        }
    }

    pub(crate) fn name(&self, key: impl fmt::Display) -> Result<ResourceName, NameError> {
        match &self.group {
            Some(group) => self.limiter.class.resource(group.id(key)),
            None => self.limiter.class.resource(key),
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("class", &self.class())
            .field("quota", &format_args!("{}", self.quota()))
            .field("group", &self.group.as_ref().map(Group::as_str))
            .finish_non_exhaustive()
    }
}

impl Limiter {
    pub(crate) fn class(&self) -> &str {
        self.class.as_str()
    }

    async fn check(self: &Arc<Self>, name: &ResourceName, cost: u64) -> Result<Decision, Error> {
        self.check_cost(cost)?;
        let decision = match self.take(name, cost, Duration::ZERO).await {
            Ok(one) => self.decision(one.first(), cost, Source::Store)?,
            Err(error) => self.without_store(name, cost, Duration::ZERO, error)?.0,
        };
        self.counted(&decision, cost);
        Ok(decision)
    }

    async fn peek(self: &Arc<Self>, name: &ResourceName, cost: u64) -> Result<Decision, Error> {
        self.check_cost(cost)?;
        match self.look_at(name, cost).await {
            Ok(standing) => self.stands(&standing, cost, Source::Store),
            Err(error) if error.is_unavailable() && self.outage != Outage::Deny => {
                self.stands_alone(name, cost)
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a cost that never passes.
    pub(crate) fn check_cost(&self, cost: u64) -> Result<(), Error> {
        let burst = self.live.in_force().counted.burst();
        if cost == 0 {
            let class = self.class().to_owned();
            return Err(Error::NoCost { class });
        }
        if cost > burst {
            return Err(self.too_costly(cost, burst));
        }
        Ok(())
    }

    pub(crate) fn too_costly(&self, cost: u64, burst: u64) -> Error {
        let class = self.class().to_owned();
        Error::TooCostly { class, cost, burst }
    }

    /// How a quota is counted at the store.
    pub(crate) fn count(&self, quota: Quota) -> Result<protocol::Quota, Error> {
        count(self.class(), quota, self.shares.as_ref())
    }

    pub(crate) fn counted(&self, decision: &Decision, cost: u64) {
        match decision {
            Decision::Allowed(Allowed { source, .. }) => self.metrics.allowed(*source, cost),
            Decision::Limited(limited) => self.metrics.denied(limited.source),
        }
    }
}
