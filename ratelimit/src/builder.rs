//! Settings of a limiter.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::LONGEST_WAIT_US;
use leasehold_core::{Class, Coordinator};

use crate::breaker::Breaker;
use crate::limiter::{Limiter, count};
use crate::live::{InForce, Live};
use crate::metrics::{self, Keys, State};
use crate::outage::OwnCount;
use crate::shares::Slots;
use crate::{Error, LocalShares, Outage, Quota, RateLimiter};

/// Settings of a limiter. Made by [`RateLimiter::builder`].
#[derive(Debug, Clone)]
#[must_use = "call `build` to get a RateLimiter"]
pub struct Builder {
    coord: Coordinator,
    class: String,
    quota: Quota,
    outage: Outage,
    budget: Duration,
    failures: u32,
    pause: Duration,
    longest_wait: Duration,
    reservation: Duration,
    shares: Option<LocalShares>,
    caches_denials: bool,
    keys: usize,
}

impl Builder {
    pub(crate) fn new(coord: &Coordinator, class: &str, quota: Quota) -> Self {
        Self {
            coord: coord.clone(),
            class: class.to_owned(),
            quota,
            outage: Outage::Deny,
            budget: Duration::from_millis(250),
            failures: 3,
            pause: Duration::from_secs(1),
            longest_wait: Duration::from_secs(10),
            reservation: Duration::from_secs(600),
            shares: None,
            caches_denials: false,
            keys: 10_000,
        }
    }

    /// What is decided while the store is away (default: nothing, [`Outage::Deny`]).
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outage = outage;
        self
    }

    /// How long a decision may take (default 250 ms; at most the client's request timeout): then the store counts as away for
    /// it. A wait in turn comes on top.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// After how many failures in a row the store is not asked any more (default 3), and how often it is looked at then
    /// (default each second), in the background: no caller waits for that.
    pub fn breaker(mut self, failures: u32, pause: Duration) -> Self {
        (self.failures, self.pause) = (failures, pause);
        self
    }

    /// How long [`until_ready`](RateLimiter::until_ready) waits at most (default 10 s, an hour at most): who would have to wait
    /// longer is told at once.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// For how long a [reservation](RateLimiter::reserve) may be settled for less (default 10 min).
    pub fn reservation(mut self, lasting: Duration) -> Self {
        self.reservation = lasting;
        self
    }

    /// Takes units ahead, and decides about them in this process: for hot keys (default: every decision is the store's). Denials
    /// are kept in mind, too.
    pub fn local_shares(mut self, shares: LocalShares) -> Self {
        self.shares = Some(shares);
        self
    }

    /// Keeps denials in mind: who asks for as much again before it was to retry is refused here, and the store is not asked. It
    /// may be refused though something was given back meanwhile.
    pub fn cache_denials(mut self) -> Self {
        self.caches_denials = true;
        self
    }

    /// Of how many keys shares and denials are kept at a time (default 10,000): the one that came first goes.
    pub fn keys(mut self, most: usize) -> Self {
        self.keys = most;
        self
    }

    /// The limiter.
    ///
    /// # Errors
    /// [`Error::Quota`], [`Error::Shares`], [`Error::LongestWait`] and [`Error::NoBudget`] if a setting cannot be meant; [`Error::Core`] if the class
    /// cannot be one.
    pub fn build(self) -> Result<RateLimiter, Error> {
        let class = Class::new(&self.class)?;
        let name = || self.class.clone();
        let longest = Duration::from_micros(LONGEST_WAIT_US);
        if self.longest_wait > longest {
            return Err(Error::LongestWait {
                class: name(),
                wait: self.longest_wait,
                longest,
            });
        }
        if self.budget < Duration::from_millis(1) {
            return Err(Error::NoBudget { class: name() });
        }
        let counted = count(&self.class, self.quota, self.shares.as_ref())?;
        let quota = self.quota;
        metrics::describe();
        let keys = Arc::new(Keys::of(class.as_str()));
        let keeps = self.shares.is_some() || self.caches_denials;
        let slots = || Slots::new(&class, &keys, self.keys, self.coord.env().now());
        let limiter = Limiter {
            quotas: self.coord.quotas(),
            live: Live::new(&self.coord, &class, InForce { quota, counted })?,
            slots: keeps.then(slots),
            shares: self.shares,
            metrics: keys,
            coord: self.coord,
            class,
            outage: self.outage,
            budget: self.budget,
            breaker: Breaker::new(self.failures, self.pause),
            longest_wait: self.longest_wait,
            reservation: self.reservation,
            own: OwnCount::default(),
        };
        limiter.metrics.breaker(State::Closed);
        Ok(RateLimiter {
            limiter: Arc::new(limiter),
            group: None,
        })
    }
}
