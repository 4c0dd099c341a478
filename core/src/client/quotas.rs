//! Quotas at the store, for the crates that make limiters of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::core::Answer;
use super::{Inner, RETRY, micros};
use crate::env::Moment;
use crate::error::Error;
use crate::name::ResourceName;
use crate::protocol::{Charge, Charged, Now, Quota, Rid, Settle, Settled, Standing, Usage};
use crate::store::{QuotaCall, QuotaReply, StoreError, StoreErrorKind, Take};

/// A coordinator's quotas, by the keys' whole names: what limiters are made of.
///
/// Nothing is sent twice but a settlement: a charge whose answer was lost may have been made, and would be made again.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Class, Coordinator, store::MemoryStore};
/// # use std::time::Duration;
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// use leasehold_core::protocol::{Charge, Quota};
/// let quota = Quota::new(100, 1_000_000, 20).unwrap();
/// let key = Class::internal("~limit").resource("org-7")?;
/// let charge = Charge { quota, cost: 15, least: 15 };
/// let within = Duration::from_millis(500);
/// let first = coord.quotas().take(&[(key.clone(), charge)], Duration::ZERO, within).await?;
/// assert_eq!(first.charged[0].units, 15);
/// let second = coord.quotas().take(&[(key, charge)], Duration::ZERO, within).await?;
/// assert_eq!((second.charged[0].units, second.charged[0].standing.remaining), (0, 5));
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

/// What became of charges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Of each, in their order. If one has no units none has: nothing was charged.
    pub charged: Vec<Charged>,
    /// When the request was sent: the charge is not older.
    pub sent: Moment,
    /// The store's time of it.
    pub now: Now,
}

impl Taken {
    /// Whether all were charged.
    pub fn is_taken(&self) -> bool {
        self.charged.iter().all(|charged| charged.units > 0)
    }
}

/// A charge to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSettle {
    /// The key.
    pub name: ResourceName,
    /// Its quota, as this client takes it.
    pub quota: Quota,
    /// What was charged.
    pub charged: u64,
    /// What it should have been.
    pub actual: u64,
    /// Until when (the store's wall time, µs) less is given back; more is charged also later.
    pub until_us: u64,
    /// How the key stood after it: the charge's `usage`. What has come back by itself since is not given back once more.
    pub after: Usage,
    /// Whether it was made ahead, to be used later, and is not going to be. It is given back only if nobody came after it.
    pub ahead: bool,
}

impl Quotas {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Charges keys of one bucket, all or none; a single one up to `longest_wait` ahead, to be used then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store did not say within `within` (and the request timeout): they may have been charged.
    /// [`Error::Store`] if a key comes twice, or two are of different buckets.
    ///
    /// # Cancel safety
    /// Dropped, they may still be charged.
    pub async fn take(
        &self,
        charges: &[(ResourceName, Charge)],
        longest_wait: Duration,
        within: Duration,
    ) -> Result<Taken, Error> {
        let core = &self.0.core;
        check(charges)?;
        let within = within.min(core.request_timeout);
        let take = Take {
            not_after_us: core.not_after_us(within),
            longest_wait_us: micros(longest_wait),
            charges: charges.to_vec(),
            lease: None,
        };
        let call = QuotaCall::Take(take);
        let answer = self.call(&call, within).await?;
        match answer.value {
            QuotaReply::Taken { charged, .. } => Ok(Taken {
                charged,
                sent: answer.sent,
                now: answer.now,
            }),
            _ => Err(late(&call, "charge")),
        }
    }

    /// How a key stands for somebody who would ask for `cost` units.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn peek(
        &self,
        name: &ResourceName,
        quota: Quota,
        cost: u64,
    ) -> Result<Standing, Error> {
        let name = name.clone();
        let call = QuotaCall::Peek { name, quota, cost };
        match self.call(&call, self.0.core.request_timeout).await?.value {
            QuotaReply::Standing(standing) => Ok(standing),
            _ => Err(late(&call, "look")),
        }
    }

    /// Settles a charge, once: it is repeated until the store answers, for `patience`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store did not say: the charge may stand as it was.
    ///
    /// # Cancel safety
    /// Dropped, it may still be settled, and is not repeated.
    pub async fn settle(&self, of: &ToSettle, patience: Duration) -> Result<Settled, Error> {
        let core = &self.0.core;
        let deadline = core.env.now() + patience;
        let ask = Settle {
            rid: self.next_rid(),
            not_after_us: core.not_after_us(patience),
            quota: of.quota,
            charged: of.charged,
            actual: of.actual,
            until_us: of.until_us,
            after: of.after,
            ahead: of.ahead,
        };
        let call = QuotaCall::Settle {
            name: of.name.clone(),
            ask,
        };
        loop {
            let left = deadline.since(core.env.now()).min(core.request_timeout);
            let error = match self.call(&call, left).await {
                Ok(answer) => match answer.value {
                    QuotaReply::Settled(settled) => return Ok(settled),
                    _ => return Err(late(&call, "settle")),
                },
                Err(error) => error,
            };
            let next = core.env.now() + core.env.jittered(RETRY);
            if next >= deadline || !error.is_unavailable() {
                return Err(error);
            }
            core.env.sleep_until(next).await;
        }
    }

    /// Settles in the background, for who cannot wait, as in `Drop`.
    pub fn settle_behind(&self, of: ToSettle, patience: Duration) {
        let quotas = self.clone();
        self.0.spawn_behind(async move {
            if let Err(error) = quotas.settle(&of, patience).await {
                tracing::debug!(name = %of.name, %error, "a charge stands as it was made");
            }
        });
    }

    /// Runs `task` on the client's background thread, unless it was shut down: what a limiter does beside its decisions.
    pub fn spawn_behind(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn_behind(task);
    }

    fn next_rid(&self) -> Rid {
        self.0.core.next_rid()
    }

    async fn call(&self, call: &QuotaCall, within: Duration) -> Result<Answer<QuotaReply>, Error> {
        let core = &self.0.core;
        let operation = "quota";
        let request = self.0.store.quotas.quotas(std::slice::from_ref(call));
        let answer = core.timed(operation, within, request).await;
        let answer = answer.map_err(|error| Error::from_store(name_of(call), error))?;
        let (sent, received, now) = (answer.sent, answer.received, answer.now);
        let Some(value) = answer.value.into_iter().next() else {
            return Err(late(call, operation));
        };
        Ok(Answer {
            sent,
            received,
            now,
            value,
        })
    }
}

/// That it can be charged in one step, and that no charge is counted instead of another.
fn check(charges: &[(ResourceName, Charge)]) -> Result<(), Error> {
    for (at, (name, _)) in charges.iter().enumerate() {
        let before = &charges[..at];
        let what = if before.iter().any(|(other, _)| other == name) {
            "it comes twice in one charge: add its costs up"
        } else if before
            .iter()
            .any(|(other, _)| other.bucket() != name.bucket())
        {
            "it is of another bucket than the first: keys that are charged together begin with the same {tag}/"
        } else {
            continue;
        };
        let what = format!("{name}: {what}");
        let error = StoreError::new(StoreErrorKind::Refused, "quota", what);
        return Err(Error::from_store(name.as_str(), error));
    }
    Ok(())
}

fn name_of(call: &QuotaCall) -> &str {
    call.name().map_or("", ResourceName::as_str)
}

fn late(call: &QuotaCall, operation: &'static str) -> Error {
    let error = StoreError::unknown(operation, "the request came too late");
    Error::from_store(name_of(call), error)
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Quotas").field(&self.0.core.node).finish()
    }
}
