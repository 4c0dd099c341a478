//! Waiting in turn.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use leasehold_core::{Quotas, ResourceName, ToSettle};

use crate::ask::One;
use crate::limiter::{Limiter, PATIENCE};
use crate::planted::{Bug, planted};
use crate::{Allowed, Decision, Error, RateLimiter, Source};

impl RateLimiter {
    /// Waits until 1 unit passes, in turn behind all who came before, of the whole fleet.
    ///
    /// It is charged at the store at once, ahead of its time, and then waits here without store traffic: so the order is that
    /// in which requests reached the store.
    ///
    /// # Errors
    /// [`Error::Limited`], at once, if it would have to wait longer than the limiter's longest wait (default 10 s): nothing was
    /// charged. [`Error::Unavailable`] if nobody can say, unless the limiter's [`Outage`](crate::Outage) does.
    ///
    /// # Cancel safety
    /// Dropped, it gives back what it was charged, unless somebody came after it: that one was told a later time, and keeps it.
    pub fn until_ready<K: fmt::Display>(
        &self,
        key: K,
    ) -> impl Future<Output = Result<Allowed, Error>> + Send + use<'_, K> {
        self.until_ready_n(key, 1)
    }

    /// As [`until_ready`](Self::until_ready), for so many units: large and small requests are served in one order.
    ///
    /// # Errors
    /// As [`until_ready`](Self::until_ready); [`Error::TooCostly`] if so many never pass at once, and [`Error::NoCost`] for 0.
    ///
    /// # Cancel safety
    /// As [`until_ready`](Self::until_ready).
    pub fn until_ready_n<K: fmt::Display>(
        &self,
        key: K,
        units: u64,
    ) -> impl Future<Output = Result<Allowed, Error>> + Send + use<'_, K> {
        let name = self.name(key);
        async move { self.limiter.until_ready(name?, units).await }
    }
}

impl Limiter {
    async fn until_ready(
        self: &Arc<Self>,
        name: ResourceName,
        cost: u64,
    ) -> Result<Allowed, Error> {
        let (allowed, turn) = self.turn(name, cost).await?;
        turn.used();
        Ok(allowed)
    }

    /// Waits in turn. What comes back has still to be used: else it is given back.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        name: ResourceName,
        cost: u64,
    ) -> Result<(Allowed, Turn), Error> {
        self.check_cost(cost)?;
        let env = self.coord.env();
        let asked = env.now();
        let longest = self.longest_wait;
        let request = {
            let (limiter, name) = (Arc::clone(self), name.clone());
            async move { limiter.take(&name, cost, longest).await }
        };
        let back = {
            let name = name.clone();
            move |one: &One| left_early(&name, one)
        };
        let answered = Flight::new(&self.quotas, request, back).await;
        // Counts from the answer: the charge is not younger.
        let received = env.now();
        let (decision, wait, left) = match answered {
            Ok(one) => {
                let decision = self.decision(one.first(), cost, Source::Store)?;
                let wait = Duration::from_micros(one.first().wait_us);
                let left = decision.is_allowed().then(|| left_early(&name, &one));
                (decision, wait, left.flatten())
            }
            Err(error) => {
                let (decision, wait) = self.without_store(&name, cost, longest, error)?;
                (decision, wait, None)
            }
        };
        let mut turn = Turn {
            quotas: self.quotas.clone(),
            left,
        };
        self.counted(&decision, cost);
        let allowed = match decision {
            Decision::Allowed(allowed) => allowed,
            Decision::Limited(limited) => return Err(self.limited(limited)),
        };
        if !wait.is_zero() && !planted(Bug::UsedEarly) {
            // This clock may run faster than the store's.
            env.sleep_until(received + wait + wait / 10_000).await;
        }
        turn.has_come();
        self.metrics.waited(env.now().since(asked));
        Ok((allowed, turn))
    }

    pub(crate) fn limited(&self, limited: crate::Limited) -> Error {
        let class = self.class().to_owned();
        Error::Limited { class, limited }
    }
}

/// More than a settlement is on its way.
const LATE_US: u64 = 60_000_000;

/// What settles a charge that nobody waits for any more.
fn left_early(name: &ResourceName, one: &One) -> Option<ToSettle> {
    let charged = one.first();
    let after = charged.usage?;
    Some(ToSettle {
        name: name.clone(),
        quota: one.quota,
        charged: charged.units,
        actual: 0,
        until_us: after.full_us + LATE_US,
        after,
        ahead: true,
    })
}

/// A place in the line, and then what was waited for. Dropped unused, it is given back.
#[must_use = "dropped, it is given back: say when it is used"]
pub(crate) struct Turn {
    quotas: Quotas,
    left: Option<ToSettle>,
}

impl Turn {
    /// It may be used now. Who came after it was told a time that has come too, or waits: then it is kept.
    fn has_come(&mut self) {
        if let Some(left) = &mut self.left {
            left.ahead = false;
        }
    }

    /// It is used.
    pub(crate) fn used(mut self) {
        self.left = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            self.quotas.settle_behind(left, PATIENCE);
        }
    }
}

type Request = Pin<Box<dyn Future<Output = Result<One, Error>> + Send>>;

/// A charge under way. Dropped before it is answered, it is given back once it is.
pub(crate) struct Flight<F: FnOnce(&One) -> Option<ToSettle> + Send + Unpin + 'static> {
    quotas: Quotas,
    request: Option<Request>,
    back: Option<F>,
    is_under_way: bool,
}

impl<F: FnOnce(&One) -> Option<ToSettle> + Send + Unpin + 'static> Flight<F> {
    pub(crate) fn new(
        quotas: &Quotas,
        request: impl Future<Output = Result<One, Error>> + Send + 'static,
        back: F,
    ) -> Self {
        Self {
            quotas: quotas.clone(),
            request: Some(Box::pin(request)),
            back: Some(back),
            is_under_way: false,
        }
    }
}

impl<F: FnOnce(&One) -> Option<ToSettle> + Send + Unpin + 'static> Future for Flight<F> {
    type Output = Result<One, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.is_under_way = true;
        let Some(request) = &mut self.request else {
            return Poll::Pending;
        };
        let polled = request.as_mut().poll(cx);
        if polled.is_ready() {
            self.request = None;
        }
        polled
    }
}

impl<F: FnOnce(&One) -> Option<ToSettle> + Send + Unpin + 'static> Drop for Flight<F> {
    fn drop(&mut self) {
        let (Some(request), Some(back), true) =
            (self.request.take(), self.back.take(), self.is_under_way)
        else {
            return;
        };
        let quotas = self.quotas.clone();
        self.quotas.spawn_behind(async move {
            if let Ok(one) = request.await
                && one.taken.is_taken()
                && let Some(settle) = back(&one)
                && let Err(error) = quotas.settle(&settle, PATIENCE).await
            {
                tracing::debug!(name = %settle.name, %error, "a charge stands as it was made");
            }
        });
    }
}
