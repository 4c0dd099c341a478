//! Several limits at once.

use std::fmt;
use std::time::Duration;

use leasehold_core::protocol::Charge;
use leasehold_core::{ResourceName, Taken};

use crate::{Allowed, Decision, Error, Limited, Outage, RateLimiter, Source};

/// Several limits that are asked together, in one request: per user, per organisation, for all. All of them are charged or
/// none is. Made by [`RateLimiter::all`].
///
/// Their keys must live together: of one [`group`](RateLimiter::group).
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await.unwrap();
/// use leasehold_ratelimit::{AllDecision, Quota, RateLimiter};
/// let per_user = RateLimiter::new(&coord, "user", Quota::per_second(10).burst(2))?.group("org-7")?;
/// let per_org = RateLimiter::new(&coord, "org", Quota::per_second(100))?.group("org-7")?;
/// let both = RateLimiter::all().add(&per_user, "ann", 1).add(&per_org, "all", 1);
/// assert!(both.check().await?.is_allowed() && both.check().await?.is_allowed());
/// let AllDecision::Limited(by) = both.check().await? else { panic!() };
/// assert_eq!((by.len(), &*by[0].class), (1, "user"));
/// # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is asked before `check`"]
pub struct All(Vec<Ask>);

#[derive(Debug, Clone)]
struct Ask {
    limiter: RateLimiter,
    name: Result<ResourceName, leasehold_core::NameError>,
    units: u64,
}

/// Whether all of several limits let it pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at limits nothing"]
pub enum AllDecision {
    /// All did, and all were charged. In the order in which they were added.
    Allowed(Vec<Allowed>),
    /// These did not, and none was charged.
    Limited(Vec<LimitedBy>),
}

/// One limit of several that refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitedBy {
    /// In the order in which they were added, from 0.
    pub index: usize,
    /// The limiter.
    pub class: String,
    /// When it would pass.
    pub limited: Limited,
}

impl AllDecision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, AllDecision::Allowed(_))
    }

    /// When all would pass, if nobody asks meanwhile; zero if they have.
    pub fn retry_after(&self) -> Duration {
        match self {
            AllDecision::Allowed(_) => Duration::ZERO,
            AllDecision::Limited(by) => {
                let each = by.iter().map(|by| by.limited.retry_after);
                each.max().unwrap_or_default()
            }
        }
    }
}

impl RateLimiter {
    /// Several limits at once: all or none.
    pub fn all() -> All {
        All::default()
    }
}

impl All {
    /// With this one, too.
    pub fn add(mut self, limiter: &RateLimiter, key: impl fmt::Display, units: u64) -> Self {
        self.0.push(Ask {
            limiter: limiter.clone(),
            name: limiter.name(key),
            units,
        });
        self
    }

    /// Asks them all, now.
    ///
    /// # Errors
    /// [`Error::Apart`] if the keys do not live together, [`Error::Twice`] if one was added twice; else as
    /// [`check_n`](RateLimiter::check_n). While the store is away all limiters have a say: if one denies it is unavailable, and
    /// those that go by their share must let it pass.
    ///
    /// # Cancel safety
    /// Dropped, they may still be charged.
    pub async fn check(&self) -> Result<AllDecision, Error> {
        let names = self.names()?;
        let decisions = match self.at_store(&names).await {
            Ok(taken) => {
                let each = self.0.iter().zip(&taken.charged);
                let each = each.map(|(ask, charged)| {
                    (ask.limiter.limiter).decision(charged, ask.units, Source::Store)
                });
                let each: Result<Vec<_>, _> = each.collect();
                self.decided(each?, taken.is_taken())
            }
            Err(error) => self.without_store(&names, error)?,
        };
        Ok(decisions)
    }

    fn names(&self) -> Result<Vec<ResourceName>, Error> {
        let mut names: Vec<ResourceName> = Vec::with_capacity(self.0.len());
        for ask in &self.0 {
            ask.limiter.limiter.check_cost(ask.units)?;
            let name = ask.name.clone()?;
            if names.contains(&name) {
                return Err(Error::Twice {
                    name: name.to_string(),
                });
            }
            let (first, of) = (names.first().unwrap_or(&name), &self.0[0].limiter.limiter);
            let is_of_one_client = of.coord.node() == ask.limiter.limiter.coord.node();
            if first.bucket() != name.bucket() || !is_of_one_client {
                return Err(Error::Apart {
                    name: name.to_string(),
                    first: first.to_string(),
                });
            }
            names.push(name);
        }
        Ok(names)
    }

    async fn at_store(&self, names: &[ResourceName]) -> Result<Taken, Error> {
        let Some(first) = self.0.first() else {
            return Ok(Taken {
                charged: Vec::new(),
                sent: leasehold_core::Moment::default(),
                now: leasehold_core::protocol::Now::default(),
            });
        };
        let env = first.limiter.limiter.coord.env();
        let budgets = self.0.iter().map(|ask| ask.limiter.limiter.budget);
        let deadline = env.now() + budgets.min().unwrap_or_default();
        for (ask, name) in self.0.iter().zip(names) {
            ask.limiter.limiter.may_ask(name, deadline).await?;
        }
        let within = deadline.since(env.now());
        // The quotas that were just looked for, if they were.
        let each = self.0.iter().zip(names).map(|(ask, name)| {
            let quota = ask.limiter.limiter.live.in_force().counted;
            let (cost, least) = (ask.units, ask.units);
            (name.clone(), Charge { quota, cost, least })
        });
        let charges: Vec<_> = each.collect();
        let result = first
            .limiter
            .limiter
            .quotas
            .take(&charges, Duration::ZERO, within)
            .await;
        for ask in &self.0 {
            ask.limiter.limiter.note(result.as_ref().err());
        }
        result.map_err(|error| Error::of(first.limiter.class(), error))
    }

    /// What is said, by what each says.
    fn decided(&self, decisions: Vec<Decision>, is_taken: bool) -> AllDecision {
        let mut by = Vec::new();
        let mut allowed = Vec::with_capacity(decisions.len());
        for (index, (ask, decision)) in self.0.iter().zip(decisions).enumerate() {
            match decision {
                Decision::Allowed(one) => allowed.push(one),
                // Not charged because another one refused; by itself it would have passed.
                Decision::Limited(limited) if limited.retry_after.is_zero() => {}
                Decision::Limited(limited) => {
                    ask.limiter.limiter.metrics.denied(limited.source);
                    let class = ask.limiter.class().to_owned();
                    by.push(LimitedBy {
                        index,
                        class,
                        limited,
                    });
                }
            }
        }
        if !is_taken {
            return AllDecision::Limited(by);
        }
        for (ask, allowed) in self.0.iter().zip(&allowed) {
            let metrics = &ask.limiter.limiter.metrics;
            metrics.allowed(allowed.source, ask.units);
        }
        AllDecision::Allowed(allowed)
    }

    fn without_store(&self, names: &[ResourceName], error: Error) -> Result<AllDecision, Error> {
        let limiters = || self.0.iter().map(|ask| &ask.limiter.limiter);
        let denies = limiters().any(|limiter| limiter.outage == Outage::Deny);
        if !error.is_unavailable() || denies {
            if error.is_unavailable() {
                limiters().for_each(|limiter| limiter.metrics.unavailable());
            }
            return Err(error);
        }
        let each = || self.0.iter().zip(names);
        let stand = each().map(|(ask, name)| (ask.limiter.limiter).stands_alone(name, ask.units));
        let stand: Vec<_> = stand.collect::<Result<_, _>>()?;
        if !stand.iter().all(Decision::is_allowed) {
            return Ok(self.decided(stand, false));
        }
        // One that another task was before is charged too little; but never too much passes.
        let charged = each().map(|(ask, name)| {
            let limiter = &ask.limiter.limiter;
            Ok(limiter.alone(name, ask.units, Duration::ZERO)?.0)
        });
        let charged: Vec<_> = charged.collect::<Result<_, Error>>()?;
        let is_taken = charged.iter().all(Decision::is_allowed);
        Ok(self.decided(charged, is_taken))
    }
}
