//! Local shares: units taken ahead, and decided about in this process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use leasehold_core::{Class, Moment, NameError};

use crate::Quota;
use crate::metrics::Keys;
use crate::planted::{Bug, planted};
use crate::slot::Slot;

/// For hot keys: a process takes units ahead, and decides by itself until they are used, or too old.
///
/// The bound is kept all the same. Units are not used later than `lasting` after they were asked for; so what is used in `t` was
/// taken in `t + lasting` at most, and the store is asked with a burst that is smaller by `rate x lasting`. The price is that part
/// of the burst, and units that were taken and not needed. A declared [`overshoot`](Self::overshoot) buys it back.
///
/// All programs that use a limiter should have the same shares: whoever has none asks with the whole burst.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await.unwrap();
/// use leasehold_ratelimit::{LocalShares, Quota, RateLimiter, Source};
/// let hot = RateLimiter::builder(&coord, "hot", Quota::per_second(10_000).burst(1_000))
///     .local_shares(LocalShares::new())
///     .build()?;
/// assert_eq!(hot.check("home").await?.limit(), 500); // 10,000 a second for 50 ms are kept back
/// let mut local = 0;
/// for _ in 0..100 {
///     local += u32::from(hot.check("home").await?.source() == Source::Share);
/// }
/// assert!(local > 80);
/// # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "give it to `Builder::local_shares`"]
pub struct LocalShares {
    lasting: Duration,
    overshoot: u64,
}

impl Default for LocalShares {
    fn default() -> Self {
        Self {
            lasting: Duration::from_millis(50),
            overshoot: 0,
        }
    }
}

impl LocalShares {
    /// Shares that last 50 ms, and no overshoot.
    pub fn new() -> Self {
        Self::default()
    }

    /// For how long units may be used after they were asked for (default 50 ms). It must be longer than a round trip to the
    /// store; the longer it is, the fewer requests there are, and the less of the burst is left.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// By how many units what passes may be above `rate x t + burst` (default 0). So much of the burst is not kept back.
    pub fn overshoot(mut self, units: u64) -> Self {
        self.overshoot = units;
        self
    }

    /// Until when units may be used that were asked for at `sent`. This clock may be slower than the store's.
    pub(crate) fn until(&self, sent: Moment, received: Moment) -> Moment {
        let from = if planted(Bug::ShareDatedByReceipt) {
            received
        } else {
            sent
        };
        from + self.lasting.saturating_sub(self.lasting / 1_000)
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.lasting
    }

    /// How many units of a quota's burst are kept back, before the overshoot.
    pub(crate) fn kept_back(&self, quota: &Quota) -> u64 {
        quota.in_time(self.lasting)
    }

    /// The burst with which the store is asked; `None` if nothing is left of it.
    pub(crate) fn burst(&self, quota: &Quota) -> Option<u64> {
        let burst = quota.burst_units();
        if planted(Bug::SharesOfWholeBurst) {
            return Some(burst);
        }
        let with = burst.saturating_add(self.overshoot);
        with.checked_sub(self.kept_back(quota))
            .filter(|burst| *burst > 0)
    }

    /// Of the overshoot, how much was in use when `remaining` units were left.
    pub(crate) fn used_overshoot(&self, remaining: u64) -> u64 {
        self.overshoot.saturating_sub(remaining)
    }
}

const SHARDS: usize = 16;

/// What this process has of its keys: a bounded number of them, the one that came first goes.
pub(crate) struct Slots {
    class: Class,
    origin: Moment,
    metrics: Arc<Keys>,
    most: usize,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    slots: HashMap<Arc<str>, Arc<Slot>>,
    /// The same keys, in the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl Slots {
    pub(crate) fn new(class: &Class, metrics: &Arc<Keys>, most: usize, origin: Moment) -> Self {
        Self {
            class: class.clone(),
            origin,
            metrics: Arc::clone(metrics),
            most: most.div_ceil(SHARDS).max(1),
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    fn shard(&self, id: &str) -> &RwLock<Shard> {
        // The ends of ids differ most.
        let last = id.bytes().rev().take(4);
        let mixed = last.fold(id.len(), |mixed, byte| mixed * 31 + usize::from(byte));
        &self.shards[mixed % SHARDS]
    }

    /// What `look` says of a key's slot, if it has one.
    pub(crate) fn with<T>(&self, id: &str, look: impl FnOnce(&Arc<Slot>) -> T) -> Option<T> {
        let shard = self.shard(id).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard.slots.get(id).map(look)
    }

    /// A key's slot.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Slot>, NameError> {
        if let Some(slot) = self.with(id, Arc::clone) {
            return Ok(slot);
        }
        let name = self.class.resource(id)?;
        let new = Arc::new(Slot::new(name, self.origin, &self.metrics));
        let mut gone = None;
        {
            let shard = self.shard(id).write();
            let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = shard.slots.get(id) {
                return Ok(Arc::clone(slot));
            }
            if shard.slots.len() >= self.most
                && let Some(first) = shard.order.pop_front()
            {
                gone = shard.slots.remove(&first);
            }
            let id: Arc<str> = id.into();
            shard.slots.insert(Arc::clone(&id), Arc::clone(&new));
            shard.order.push_back(id);
        }
        drop(gone);
        Ok(new)
    }

    /// Another quota is in force: what was denied may pass.
    pub(crate) fn forget_denials(&self) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            for slot in shard.slots.values() {
                slot.forget_denial();
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let len = |shard: &RwLock<Shard>| shard.read().unwrap().slots.len();
        self.shards.iter().map(len).sum()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_keys_are_kept_than_was_said() {
        let class = Class::new("api").unwrap();
        let keys = Arc::new(Keys::of("api"));
        let slots = Slots::new(&class, &keys, 100, Moment::default());
        for key in 0..10_000 {
            let slot = slots.get(&key.to_string()).unwrap();
            assert_eq!(slot.name.as_str(), format!("api/{key}"));
        }
        assert!(slots.len() <= 112 && slots.len() >= 90, "{}", slots.len());
        assert!(slots.with("9999", |_| ()).is_some() && slots.with("1", |_| ()).is_none());
        let order = |shard: &RwLock<Shard>| shard.read().unwrap().order.len();
        assert_eq!(slots.shards.iter().map(order).sum::<usize>(), slots.len());
    }

    #[test]
    fn what_is_kept_back_is_what_passes_while_a_share_lasts() {
        let shares = LocalShares::new();
        let quota = Quota::per_second(1000).burst(60);
        assert_eq!(
            (shares.kept_back(&quota), shares.burst(&quota)),
            (50, Some(10))
        );
        assert_eq!(shares.burst(&quota.burst(50)), None);
        assert_eq!(shares.overshoot(5).burst(&quota.burst(50)), Some(5));
        assert_eq!(shares.kept_back(&Quota::per_hour(1)), 1, "rounded up");
    }
}
