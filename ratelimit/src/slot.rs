//! What this process has of a key: a share of its quota, or the word that it is used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_core::protocol::Standing;
use leasehold_core::{Moment, ResourceName};
use tokio::sync::Mutex;

use crate::metrics::{Keys, Shared};
use crate::planted::{Bug, planted};
use crate::{Allowed, Limited, Source};

/// An end and a number of units share a word, so that both are looked at and changed in one step: the end in the upper bits, in
/// ticks of 65.5 µs (for 36 years), the units in the lower ones.
const UNIT_BITS: u32 = 20;
const TICK_BITS: u32 = 16;
/// The largest share.
pub(crate) const MOST_UNITS: u64 = (1 << UNIT_BITS) - 1;

/// An end, and units.
#[derive(Debug, Default)]
struct Word(AtomicU64);

impl Word {
    fn of(until: u64, units: u64) -> u64 {
        until.min((1 << (64 - UNIT_BITS)) - 1) << UNIT_BITS | units.min(MOST_UNITS)
    }

    fn load(&self) -> (u64, u64) {
        Self::read(self.0.load(Ordering::Acquire))
    }

    fn read(word: u64) -> (u64, u64) {
        (word >> UNIT_BITS, word & MOST_UNITS)
    }

    fn swap(&self, until: u64, units: u64) -> (u64, u64) {
        Self::read(self.0.swap(Self::of(until, units), Ordering::AcqRel))
    }
}

/// A key's.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: ResourceName,
    origin: Moment,
    metrics: Arc<Keys>,
    /// Units that may be used until then.
    share: Word,
    /// So many units and more do not pass until then.
    denied: Word,
    /// As the key stood at the store: the burst, and when (nanoseconds) all of it is there again.
    limit: AtomicU64,
    reset: AtomicU64,
    /// Whoever takes the next share holds this.
    pub(crate) taking: Mutex<Demand>,
}

/// What was asked for here lately.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// How many units the share in hand had.
    had: u64,
    /// How many the next one should have.
    next: u64,
}

/// What can be said without the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// It may.
    Allowed(Allowed),
    /// It may not.
    Limited(Limited),
    /// Nothing.
    Ask,
}

impl Slot {
    pub(crate) fn new(name: ResourceName, origin: Moment, metrics: &Arc<Keys>) -> Self {
        Self {
            name,
            origin,
            metrics: Arc::clone(metrics),
            share: Word::default(),
            denied: Word::default(),
            limit: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            taking: Mutex::default(),
        }
    }

    /// Rounded down: what ends in this tick has ended.
    fn tick(&self, at: Moment) -> u64 {
        at.as_nanos().saturating_sub(self.origin.as_nanos()) >> TICK_BITS
    }

    /// Uses `cost` units of the share in hand, or says that they do not pass, or neither.
    pub(crate) fn decide(&self, cost: u64, now: Moment) -> Local {
        if let Some(left) = self.use_share(cost, now) {
            return Local::Allowed(self.allowed(left, now, Source::Share));
        }
        self.denied(cost, now)
    }

    fn use_share(&self, cost: u64, now: Moment) -> Option<u64> {
        let tick = self.tick(now);
        let mut word = self.share.0.load(Ordering::Acquire);
        loop {
            let (until, units) = Word::read(word);
            let has_ended = tick >= until && !planted(Bug::ShareLastsForever);
            if has_ended || units < cost {
                return None;
            }
            let (share, ordering) = (&self.share.0, Ordering::AcqRel);
            match share.compare_exchange_weak(word, word - cost, ordering, Ordering::Acquire) {
                Ok(_) => return Some(units - cost),
                Err(other) => word = other,
            }
        }
    }

    /// Whether it is known not to pass.
    pub(crate) fn denied(&self, cost: u64, now: Moment) -> Local {
        let (until, least) = self.denied.load();
        let ticks = until.saturating_sub(self.tick(now));
        if ticks == 0 || cost < least {
            return Local::Ask;
        }
        Local::Limited(Limited {
            remaining: 0,
            retry_after: Duration::from_nanos(ticks << TICK_BITS),
            reset_after: self.reset_after(now),
            limit: self.limit.load(Ordering::Relaxed),
            source: Source::Share,
        })
    }

    pub(crate) fn allowed(&self, left: u64, now: Moment, source: Source) -> Allowed {
        Allowed {
            remaining: left,
            reset_after: self.reset_after(now),
            limit: self.limit.load(Ordering::Relaxed),
            source,
        }
    }

    fn reset_after(&self, now: Moment) -> Duration {
        Moment::from_nanos(self.reset.load(Ordering::Relaxed)).since(now)
    }

    fn stands(&self, standing: &Standing, sent: Moment) {
        self.limit.store(standing.quota.burst(), Ordering::Relaxed);
        let reset = sent + Duration::from_micros(standing.reset_us);
        self.reset.store(reset.as_nanos(), Ordering::Relaxed);
    }

    /// So many units and more do not pass until then.
    pub(crate) fn deny(&self, cost: u64, standing: &Standing, sent: Moment, until: Moment) {
        self.stands(standing, sent);
        self.denied.swap(self.tick(until), cost);
    }

    /// What is known to be denied may pass now.
    pub(crate) fn forget_denial(&self) {
        self.denied.swap(0, 0);
    }

    /// How many units to ask for, of whom `cost` are needed now. Twice as many as last time if those were used before their
    /// time was over; else as many as were used.
    pub(crate) fn wanted(&self, demand: &mut Demand, cost: u64, now: Moment) -> u64 {
        let (until, left) = self.share.load();
        if self.tick(now) < until {
            demand.next = demand.had.saturating_mul(2);
        } else if demand.had > 0 {
            demand.next = demand.had.saturating_sub(left);
        }
        demand.next = demand.next.clamp(1, MOST_UNITS);
        demand.next.max(cost).min(MOST_UNITS)
    }

    /// A share was taken, and `used` of it at once.
    pub(crate) fn install(
        &self,
        demand: &mut Demand,
        taken: u64,
        used: u64,
        standing: &Standing,
        sent: Moment,
        until: Moment,
    ) -> u64 {
        self.stands(standing, sent);
        let mut left = taken - used;
        if planted(Bug::SharesAddedUp) {
            left += self.share.load().1;
        }
        let (_, before) = self.share.swap(self.tick(until), left);
        self.ended(demand, before);
        demand.had = taken;
        self.metrics.shared(Shared::Taken, taken);
        left
    }

    /// The share in hand has so many units left, and is no more.
    fn ended(&self, demand: &Demand, left: u64) {
        let left = left.min(demand.had);
        self.metrics.shared(Shared::Used, demand.had - left);
        self.metrics.shared(Shared::Wasted, left);
        self.metrics.allowed(Source::Share, demand.had - left);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (_, left) = self.share.load();
        let demand = std::mem::take(self.taking.get_mut());
        self.ended(&demand, left);
    }
}
