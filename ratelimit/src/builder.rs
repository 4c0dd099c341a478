//! Settings of a limiter.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::LONGEST_WAIT_US;
use leasehold_core::{Class, Coordinator};

use crate::breaker::Breaker;
use crate::limiter::Limiter;
use crate::live::{InForce, Live};
use crate::metrics::{self, Keys, State};
use crate::outage::OwnCount;
use crate::{Error, Outage, Quota, RateLimiter};

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

    /// The limiter.
    ///
    /// # Errors
    /// [`Error::Quota`], [`Error::LongestWait`] and [`Error::NoBudget`] if a setting cannot be meant; [`Error::Core`] if the class
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
        let counted = self.quota.lower().map_err(|error| Error::Quota {
            class: name(),
            error,
        })?;
        let quota = self.quota;
        metrics::describe();
        let limiter = Limiter {
            quotas: self.coord.quotas(),
            live: Live::new(&self.coord, &class, InForce { quota, counted })?,
            metrics: Keys::of(class.as_str()),
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
