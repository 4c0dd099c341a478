//! Costs that are known afterwards: reserve, then settle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::{Settled, Usage};
use leasehold_core::{Error as CoreError, ResourceName, ToSettle};
use tokio::sync::oneshot;

use crate::ask::One;
use crate::limiter::{Limiter, PATIENCE};
use crate::planted::{Bug, planted};
use crate::waiting::Flight;
use crate::{Decision, Error, RateLimiter, Source};

impl RateLimiter {
    /// Reserves what something will cost, as estimated, now or not at all. It is charged at once, so nothing is lost if this
    /// process goes away; once the cost is known, [`settle`](Reservation::settle) corrects it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await.unwrap();
    /// use leasehold_ratelimit::{Quota, RateLimiter, Settled};
    /// let tokens = RateLimiter::new(&coord, "tokens", Quota::per_minute(60_000).burst(10_000))?;
    /// let reservation = tokens.reserve("org-7", 2_000).await?;
    /// let used = 1_200; // the model was asked, and says so
    /// assert_eq!(reservation.settle(used).await?, Settled::GivenBack(800));
    /// # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Limited`] if it would not pass now; else as [`check_n`](Self::check_n).
    ///
    /// # Cancel safety
    /// Dropped, it gives back what it was charged.
    pub fn reserve<K: fmt::Display>(
        &self,
        key: K,
        estimate: u64,
    ) -> impl Future<Output = Result<Reservation, Error>> + Send + use<'_, K> {
        let name = self.name(key);
        async move { self.limiter.reserve(name?, estimate).await }
    }

    /// As [`reserve`](Self::reserve), and waits until it passes, for as long as the limiter's longest wait (default 10 s).
    ///
    /// It is not in turn: since reservations give back early, it asks again when it was told that it might pass, and who asks for
    /// less may pass before.
    ///
    /// # Errors
    /// [`Error::Limited`] once it would pass only after the longest wait; else as [`reserve`](Self::reserve).
    ///
    /// # Cancel safety
    /// As [`reserve`](Self::reserve).
    pub fn reserve_when_ready<K: fmt::Display>(
        &self,
        key: K,
        estimate: u64,
    ) -> impl Future<Output = Result<Reservation, Error>> + Send + use<'_, K> {
        let name = self.name(key);
        async move {
            let (limiter, name) = (&self.limiter, name?);
            let env = limiter.coord.env();
            let asked = env.now();
            let deadline = asked + limiter.longest_wait;
            loop {
                let error = match limiter.reserve(name.clone(), estimate).await {
                    Err(error) => error,
                    reserved => {
                        limiter.metrics.waited(env.now().since(asked));
                        return reserved;
                    }
                };
                let Error::Limited { limited, .. } = &error else {
                    return Err(error);
                };
                let next = env.now() + limited.retry_after.max(Duration::from_millis(1));
                if next > deadline {
                    return Err(error);
                }
                env.sleep_until(next).await;
            }
        }
    }
}

/// What was charged for something whose cost is not known yet. Dropped, it stands as it was estimated, as it does if the
/// process goes away.
#[must_use = "dropped, it stands as it was estimated: settle it once the cost is known"]
pub struct Reservation {
    limiter: Arc<Limiter>,
    name: ResourceName,
    estimate: u64,
    /// What to correct; nothing if it was allowed without the store.
    charge: Option<Charge>,
}

/// A charge at the store.
#[derive(Debug, Clone, Copy)]
struct Charge {
    usage: Usage,
    /// Until when less is given back, in wall time (µs).
    expires_us: u64,
}

impl Reservation {
    /// What was charged.
    pub fn estimate(&self) -> u64 {
        self.estimate
    }

    /// Who decided. Without the store nothing is settled.
    pub fn source(&self) -> Source {
        match self.charge {
            Some(_) => Source::Store,
            None => Source::Outage,
        }
    }

    /// Corrects the charge to what it came to. It is repeated for ten seconds while the store is away, and takes effect once.
    ///
    /// - More than estimated is charged in any case, also late: then the key may have less than nothing, and refuses until it is
    ///   there again.
    /// - Less is given back, but for what has come back by itself meanwhile, as time passed. Nothing is given back once the
    ///   reservation has expired ([`Builder::reservation`](crate::Builder::reservation), default 10 min), nor while others wait
    ///   in turn for times that they were told.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store did not say: the charge may stand as it was estimated.
    ///
    /// # Cancel safety
    /// Dropped, it goes on.
    pub async fn settle(self, actual: u64) -> Result<Settled, Error> {
        let Some(charge) = self.charge else {
            return Ok(Settled::Kept);
        };
        let limiter = self.limiter;
        let Some(of) = limiter.to_settle(&self.name, charge, self.estimate, actual) else {
            return Ok(Settled::Kept);
        };
        let (say, said) = oneshot::channel();
        let quotas = limiter.quotas.clone();
        limiter.quotas.spawn_behind(async move {
            if planted(Bug::SettledAgain) {
                drop(quotas.settle(&of, PATIENCE).await);
            }
            // Whoever asked may have gone.
            let _ = say.send(quotas.settle(&of, PATIENCE).await);
        });
        let settled = said.await.unwrap_or(Err(CoreError::ShutDown));
        settled.map_err(|error| Error::of(limiter.class(), error))
    }

    /// Gives it back: it was not used. As [`settle`](Self::settle) with 0.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    ///
    /// # Cancel safety
    /// As [`settle`](Self::settle).
    pub async fn cancel(self) -> Result<Settled, Error> {
        self.settle(0).await
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("name", &self.name.as_str())
            .field("estimate", &self.estimate)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    async fn reserve(
        self: &Arc<Self>,
        name: ResourceName,
        estimate: u64,
    ) -> Result<Reservation, Error> {
        self.check_cost(estimate)?;
        let request = {
            let (limiter, name) = (Arc::clone(self), name.clone());
            async move { limiter.take(&name, estimate, Duration::ZERO).await }
        };
        let back = {
            let (limiter, name) = (Arc::clone(self), name.clone());
            move |one: &One| {
                let charge = limiter.charge_of(one)?;
                limiter.to_settle(&name, charge, one.first().units, 0)
            }
        };
        let answered = Flight::new(&self.quotas, request, back).await;
        let (decision, charge) = match answered {
            Ok(one) => {
                let decision = self.decision(one.first(), estimate, Source::Store)?;
                (decision, self.charge_of(&one))
            }
            Err(error) => {
                let instead = self.without_store(&name, estimate, Duration::ZERO, error)?;
                (instead.0, None)
            }
        };
        self.counted(&decision, estimate);
        if let Decision::Limited(limited) = decision {
            return Err(self.limited(limited));
        }
        Ok(Reservation {
            limiter: Arc::clone(self),
            name,
            estimate,
            charge,
        })
    }

    fn charge_of(&self, one: &One) -> Option<Charge> {
        let usage = one.first().usage?;
        let lasting = u64::try_from(self.reservation.as_micros()).unwrap_or(u64::MAX);
        Some(Charge {
            usage,
            expires_us: one.taken.now.wall_us.saturating_add(lasting),
        })
    }

    /// What corrects a charge, if there is anything to correct.
    fn to_settle(
        &self,
        name: &ResourceName,
        charge: Charge,
        charged: u64,
        actual: u64,
    ) -> Option<ToSettle> {
        let has_expired = self.coord.store_now().wall_us > charge.expires_us;
        if actual == charged || (has_expired && actual < charged) {
            return None;
        }
        let mut after = charge.usage;
        if planted(Bug::GivenBackLate) {
            after.full_us = u64::MAX >> 12;
        }
        Some(ToSettle {
            name: name.clone(),
            quota: after.quota,
            charged,
            actual,
            until_us: charge.expires_us,
            after,
            ahead: false,
        })
    }
}
