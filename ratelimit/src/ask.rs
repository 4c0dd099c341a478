//! A request to the store, and what is said when it fails.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::{Charge, Charged, Standing};
use leasehold_core::store::StoreError;
use leasehold_core::{Error as CoreError, Moment, ResourceName, Taken, protocol};

use crate::breaker::Pass;
use crate::error::is_outage;
use crate::limiter::Limiter;
use crate::live::LOOK_EVERY;
use crate::metrics::State;
use crate::outage::part_of;
use crate::planted::{Bug, planted};
use crate::{Allowed, Decision, Error, Limited, Outage, Quota, Source, Unavailable};

/// A charge of one key, answered.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) taken: Taken,
    /// The quota it was asked with.
    pub(crate) quota: protocol::Quota,
}

impl One {
    pub(crate) fn first(&self) -> &Charged {
        // One charge was asked for: the client gives back as many.
        &self.taken.charged[0]
    }
}

impl Limiter {
    /// Charges a key, all or nothing, up to `wait` ahead.
    pub(crate) async fn take(
        self: &Arc<Self>,
        name: &ResourceName,
        cost: u64,
        wait: Duration,
    ) -> Result<One, Error> {
        let deadline = self.coord.env().now() + self.budget;
        self.take_some(name, cost, cost, wait, deadline).await
    }

    /// Charges a key for `cost` units, or if there are not as many for those there are, at least `least`; answers until
    /// `deadline`.
    pub(crate) async fn take_some(
        self: &Arc<Self>,
        name: &ResourceName,
        cost: u64,
        least: u64,
        wait: Duration,
        deadline: Moment,
    ) -> Result<One, Error> {
        let within = self.may_ask(name, deadline).await?;
        self.check_cost(least)?;
        let quota = self.live.in_force().counted;
        let charge = Charge { quota, cost, least };
        let charges = [(name.clone(), charge)];
        let taken = self.quotas.take(&charges, wait, within).await;
        let taken = self.noted(taken)?;
        if taken.charged.len() != 1 {
            let text = "the store answered for other keys than it was asked for";
            let error = CoreError::Store(StoreError::unknown("quota", text));
            return Err(Error::of(self.class(), error));
        }
        if planted(Bug::LimitedIsAway) && taken.charged[0].units == 0 {
            let error = CoreError::Store(StoreError::unknown("quota", "limit exceeded"));
            return Err(Error::of(self.class(), error));
        }
        Ok(One { taken, quota })
    }

    pub(crate) async fn look_at(
        self: &Arc<Self>,
        name: &ResourceName,
        cost: u64,
    ) -> Result<Standing, Error> {
        let deadline = self.coord.env().now() + self.budget;
        let within = self.may_ask(name, deadline).await?;
        let quota = self.live.in_force().counted;
        let env = self.coord.env();
        let standing = env
            .timeout(within, self.quotas.peek(name, quota, cost))
            .await;
        let standing = standing.unwrap_or_else(|_| Err(self.late()));
        self.noted(standing)
    }

    /// Whether the store is asked now, and for how long; looks for another quota, if it is time.
    pub(crate) async fn may_ask(
        self: &Arc<Self>,
        name: &ResourceName,
        deadline: Moment,
    ) -> Result<Duration, Error> {
        let env = self.coord.env();
        let now = env.now();
        match self.breaker.pass(now) {
            Pass::Ask => {}
            Pass::Not => return Err(self.is_open()),
            Pass::Look => {
                self.look_at_store(name.clone());
                return Err(self.is_open());
            }
        }
        if !self.live.has_looked() {
            // The first decision is by the quota of the fleet, too.
            let looked = env.timeout_at(deadline, self.look_for_quota()).await;
            let looked = looked.unwrap_or_else(|_| Err(self.late()));
            self.noted(looked)?;
        } else if self.live.is_due(now) {
            self.look_behind();
        }
        Ok(deadline.since(env.now()))
    }

    /// Looks for another quota, in the background.
    pub(crate) fn look_behind(self: &Arc<Self>) {
        let limiter = Arc::clone(self);
        self.quotas.spawn_behind(async move {
            if let Err(error) = limiter.look_for_quota().await {
                tracing::debug!(limiter = limiter.class(), %error, "another quota may be in force");
            }
        });
    }

    async fn look_for_quota(&self) -> Result<(), CoreError> {
        let env = self.coord.env();
        let next = env.now() + env.jittered(LOOK_EVERY);
        let is_other = self.live.look(next, |quota| self.count(quota).ok()).await?;
        self.changed(is_other);
        Ok(())
    }

    /// A quota was announced here.
    pub(crate) fn take_over(&self, quota: Quota) {
        let is_other = self.live.adopt(Some(quota), |quota| self.count(quota).ok());
        self.changed(is_other);
    }

    fn changed(&self, is_other: bool) {
        if let (true, Some(slots)) = (is_other, &self.slots) {
            slots.forget_denials();
        }
    }

    /// Asks the store something without consequence, in the background, and for as long as a decision may take: it is asked
    /// again once it answered.
    fn look_at_store(self: &Arc<Self>, name: ResourceName) {
        self.metrics.breaker(State::Looking);
        let limiter = Arc::clone(self);
        self.quotas.spawn_behind(async move {
            let quota = limiter.live.in_force().counted;
            let peek = limiter.quotas.peek(&name, quota, 1);
            let looked = limiter.coord.env().timeout(limiter.budget, peek).await;
            if matches!(looked, Ok(Ok(_))) {
                limiter.answered();
            } else {
                limiter.metrics.breaker(State::Open);
            }
        });
    }

    fn answered(&self) {
        if self.breaker.answered() {
            self.metrics.breaker(State::Closed);
            tracing::info!(limiter = self.class(), "the store answers again");
        }
    }

    /// Takes in how a request ended.
    pub(crate) fn noted<T>(&self, result: Result<T, CoreError>) -> Result<T, Error> {
        self.note(result.as_ref().err());
        result.map_err(|error| Error::of(self.class(), error))
    }

    /// Takes in that a request was answered, or failed.
    pub(crate) fn note(&self, error: Option<&CoreError>) {
        let Some(error) = error else {
            return self.answered();
        };
        if is_outage(error) && self.breaker.failed(self.coord.env().now()) {
            self.metrics.breaker(State::Open);
            tracing::warn!(limiter = self.class(), %error, "the store is away, and not asked for now");
        }
    }

    fn late(&self) -> CoreError {
        let text = format!("no answer within {:?}", self.budget);
        CoreError::from_store(self.class(), StoreError::unknown("quota", text))
    }

    fn is_open(&self) -> Error {
        self.unavailable(Unavailable::BreakerOpen {
            failures: self.breaker.failures(),
            pause: self.breaker.pause(),
        })
    }

    pub(crate) fn unavailable(&self, why: Unavailable) -> Error {
        let class = self.class().to_owned();
        Error::Unavailable { class, why }
    }

    /// What the store's answer, or one's own, means.
    pub(crate) fn decision(
        &self,
        charged: &Charged,
        cost: u64,
        source: Source,
    ) -> Result<Decision, Error> {
        if charged.units > 0 {
            return Ok(Decision::Allowed(Allowed::of(&charged.standing, source)));
        }
        let standing = &charged.standing;
        let Some(retry_us) = standing.retry_us else {
            return Err(self.too_costly(cost, standing.quota.burst()));
        };
        let limited = Limited::of(standing, retry_us, source);
        Ok(Decision::Limited(limited))
    }

    pub(crate) fn stands(
        &self,
        standing: &Standing,
        cost: u64,
        source: Source,
    ) -> Result<Decision, Error> {
        match standing.retry_us {
            None => Err(self.too_costly(cost, standing.quota.burst())),
            Some(0) => Ok(Decision::Allowed(Allowed::of(standing, source))),
            Some(retry_us) => {
                let limited = Limited::of(standing, retry_us, source);
                Ok(Decision::Limited(limited))
            }
        }
    }

    /// What is said instead of the store, which failed with `error`, and how long to wait before it may be done. What is no
    /// outage stays an error.
    pub(crate) fn without_store(
        &self,
        name: &ResourceName,
        cost: u64,
        wait: Duration,
        error: Error,
    ) -> Result<(Decision, Duration), Error> {
        if !error.is_unavailable() {
            return Err(error);
        }
        if planted(Bug::UnknownIsYes) {
            return Ok((self.allowed_unasked(), Duration::ZERO));
        }
        if self.outage == Outage::Deny {
            self.metrics.unavailable();
            return Err(error);
        }
        let decided = self.alone(name, cost, wait);
        decided.inspect_err(|_| self.metrics.unavailable())
    }

    /// What this node decides by itself.
    pub(crate) fn alone(
        &self,
        name: &ResourceName,
        cost: u64,
        wait: Duration,
    ) -> Result<(Decision, Duration), Error> {
        if self.outage != Outage::LocalShare {
            return Ok((self.allowed_unasked(), Duration::ZERO));
        }
        let quota = part_of(self.live.in_force().counted, &self.coord);
        let charge = Charge {
            quota,
            cost,
            least: cost,
        };
        let now = self.coord.env().now();
        let charged = self.own.charge(name.as_str(), charge, wait, now);
        let charged = charged.map_err(|why| self.unavailable(why))?;
        let decision = self.decision(&charged, cost, Source::Outage)?;
        Ok((decision, Duration::from_micros(charged.wait_us)))
    }

    /// What this node would decide by itself.
    pub(crate) fn stands_alone(&self, name: &ResourceName, cost: u64) -> Result<Decision, Error> {
        if self.outage != Outage::LocalShare {
            return Ok(self.allowed_unasked());
        }
        let quota = part_of(self.live.in_force().counted, &self.coord);
        let burst = quota.burst();
        if cost > burst {
            return Err(self.unavailable(Unavailable::ShareTooSmall { cost, burst }));
        }
        let now = self.coord.env().now();
        let standing = self.own.peek(name.as_str(), quota, cost, now);
        self.stands(&standing, cost, Source::Outage)
    }

    fn allowed_unasked(&self) -> Decision {
        Decision::Allowed(Allowed {
            remaining: 0,
            reset_after: Duration::ZERO,
            limit: self.live.in_force().counted.burst(),
            source: Source::Outage,
        })
    }
}
