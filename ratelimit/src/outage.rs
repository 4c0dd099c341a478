//! What is decided while the store is away.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::protocol::{self, Charge, Charged, Now, Standing, Usage};
use leasehold_core::{Coordinator, Moment};

use crate::Unavailable;
use crate::planted::{Bug, planted};

/// What a limiter says while the store can't: it was not reached, did not answer within the limiter's budget, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Outage {
    /// [`Error::Unavailable`](crate::Error::Unavailable): for what must never pass unasked. (The default.)
    #[default]
    Deny,
    /// It may be done: for what should go on whatever happens, such as a limit for fairness among customers.
    Allow,
    /// Each node decides by itself, by the quota divided by the number of nodes that were live when the store was last heard
    /// (the burst too, rounded down, and at least 1). The fleet stays near the quota, and begins with a burst that is full.
    LocalShare,
}

/// More keys than this are not counted in an outage.
const KEYS: usize = 16_384;

/// A node's own count by key, for [`Outage::LocalShare`].
#[derive(Debug, Default)]
pub(crate) struct OwnCount(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    usages: HashMap<Arc<str>, Usage>,
    /// The keys, in the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl Counted {
    /// Makes room for a key, if there is none that can be forgotten.
    fn make_room(&mut self, now: Now) -> bool {
        for _ in 0..self.order.len().min(64) {
            if self.usages.len() < KEYS {
                return true;
            }
            if let Some(key) = self.order.pop_front() {
                if self
                    .usages
                    .get(&key)
                    .is_none_or(|usage| usage.is_spent(now))
                {
                    self.usages.remove(&key);
                } else {
                    self.order.push_back(key);
                }
            }
        }
        self.usages.len() < KEYS
    }
}

/// A node's part of a quota.
pub(crate) fn part_of(quota: protocol::Quota, coord: &Coordinator) -> protocol::Quota {
    let nodes = u64::try_from(coord.members().members.len()).unwrap_or(u64::MAX);
    let nodes = nodes.max(1);
    if planted(Bug::EachNodeHasAll) {
        return quota;
    }
    let period_us = quota.period_us().saturating_mul(nodes);
    let burst = (quota.burst() / nodes).max(1);
    let part = protocol::Quota::new(quota.units(), period_us, burst);
    // A rate that is too slow to be counted: one at a time is less than it has.
    part.unwrap_or(quota)
}

impl OwnCount {
    /// Charges a key by this node's part of the quota.
    pub(crate) fn charge(
        &self,
        key: &str,
        charge: Charge,
        longest_wait: Duration,
        now: Moment,
    ) -> Result<Charged, Unavailable> {
        let (cost, burst) = (charge.cost, charge.quota.burst());
        if cost > burst {
            return Err(Unavailable::ShareTooSmall { cost, burst });
        }
        let now = own_time(now);
        let wait_us = u64::try_from(longest_wait.as_micros()).unwrap_or(u64::MAX);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = counted.usages.get(key).copied();
        let charged = protocol::charge(stored, &charge, wait_us, now);
        let Some(usage) = charged.usage else {
            return Ok(charged);
        };
        if let Some(stored) = counted.usages.get_mut(key) {
            *stored = usage;
        } else {
            if !counted.make_room(now) {
                return Err(Unavailable::TooManyKeys { keys: KEYS });
            }
            let key: Arc<str> = key.into();
            counted.usages.insert(Arc::clone(&key), usage);
            counted.order.push_back(key);
        }
        Ok(charged)
    }

    /// How a key stands.
    pub(crate) fn peek(
        &self,
        key: &str,
        quota: protocol::Quota,
        cost: u64,
        now: Moment,
    ) -> Standing {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        protocol::peek(counted.usages.get(key).copied(), quota, cost, own_time(now))
    }
}

/// This client's monotonic time, in the protocol's terms.
fn own_time(now: Moment) -> Now {
    let us = now.as_nanos() / 1000;
    Now {
        lease_us: us,
        wall_us: us,
        epoch: 0,
    }
}
