//! Quotas: so many units a period, and a burst of them at once.
//!
//! The generic cell rate algorithm in its virtual-scheduling form (ITU-T Recommendation I.371, annex A): all that is kept of
//! a key is the instant at which its bucket will be full again. It is exact: an instant is a whole number of µs and a part
//! in units of 1/`units` µs, so that rates which do not divide a second lose nothing.
//!
//! Of what passes in any `t` of the store's time it promises: at most `rate x t + burst` units.

use serde::{Deserialize, Serialize};

use super::{Now, Rid};

/// How far ahead a charge may be made at most, to be used then.
pub const LONGEST_WAIT_US: u64 = 3_600_000_000;
/// Every intermediate result is a whole number below 2^53, which Lua's numbers hold: so a burst lasts at most this long, in
/// units of 1/`units` µs...
const MOST_BURST: u64 = 1 << 51;
/// ...and the longest wait, in the same, as much again.
const MOST_UNITS: u64 = MOST_BURST / LONGEST_WAIT_US;

/// So many units a period, and a burst of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quota {
    units: u64,
    period_us: u64,
    burst: u64,
    revision: u64,
}

/// Why there is no such quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// Nothing would ever pass.
    #[error("a quota of 0 units lets nothing pass, ever: give it at least 1")]
    NoUnits,
    /// There is no such rate.
    #[error("a quota for a period of less than 1 µs has no rate: give it a longer period")]
    NoPeriod,
    /// Nothing would ever pass.
    #[error("a burst of 0 units lets nothing pass, ever: give it at least 1, or leave it out")]
    NoBurst,
    /// It cannot be counted.
    #[error(
        "a burst of {burst} units at {units} in {period_us} µs takes longer to come back than 71 years: make the burst \
         smaller or the rate higher"
    )]
    BurstTooLong {
        /// The burst.
        burst: u64,
        /// Units a period.
        units: u64,
        /// The period.
        period_us: u64,
    },
}

impl Quota {
    /// `units` in each `period_us`, and `burst` at once.
    ///
    /// The rate is reduced to lowest terms. If it still cannot be counted exactly it is made slower by less than 1/10,000 of
    /// it (only bursts of half a million units and more, or millions of units in a µs-odd period, come there).
    pub fn new(units: u64, period_us: u64, burst: u64) -> Result<Self, QuotaError> {
        if units == 0 {
            return Err(QuotaError::NoUnits);
        }
        if period_us == 0 {
            return Err(QuotaError::NoPeriod);
        }
        if burst == 0 {
            return Err(QuotaError::NoBurst);
        }
        let divisor = gcd(units, period_us);
        let (mut n, mut period) = (units / divisor, period_us / divisor);
        let is_countable = |n: u64, period: u64| {
            n <= MOST_UNITS && burst.checked_mul(period).is_some_and(|b| b <= MOST_BURST)
        };
        let by = u128::from(n).div_ceil(MOST_UNITS.into());
        let by = by.max((u128::from(burst) * u128::from(period)).div_ceil(MOST_BURST.into()));
        if by > 1 {
            // One more, since a period that is rounded up grows.
            let by = u64::try_from(by + 1).unwrap_or(u64::MAX).min(n);
            (n, period) = (n / by, period.div_ceil(by));
        }
        if !is_countable(n, period) {
            return Err(QuotaError::BurstTooLong {
                burst,
                units,
                period_us,
            });
        }
        Ok(Self {
            units: n,
            period_us: period,
            burst,
            revision: 0,
        })
    }

    /// The same, as announcement number `revision`: the highest one counts.
    #[must_use]
    pub const fn revision(self, revision: u64) -> Self {
        Self { revision, ..self }
    }

    /// Units a period, in lowest terms.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// The period of [`units`](Self::units), in µs.
    pub const fn period_us(&self) -> u64 {
        self.period_us
    }

    /// Units at once.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// Which announcement it is.
    pub const fn announced(&self) -> u64 {
        self.revision
    }

    /// Which of two announcements counts: the one of the higher revision; of equal ones the slower, then the smaller one.
    #[must_use]
    pub fn or(self, other: Quota) -> Quota {
        // Which takes longer for one unit.
        let pace = |q: &Quota, of: &Quota| u128::from(q.period_us) * u128::from(of.units);
        let (mine, theirs) = (pace(&self, &other), pace(&other, &self));
        let other_counts =
            (other.revision, theirs, self.burst) > (self.revision, mine, other.burst);
        if other_counts { other } else { self }
    }

    /// The burst, in parts.
    const fn window(&self) -> u64 {
        self.burst * self.period_us
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// When all of the burst will be there again (wall time, µs).
    pub full_us: u64,
    /// And so many parts of a µs later.
    pub part: u64,
    /// The quota that it was last charged by: the parts are its.
    pub quota: Quota,
}

impl Usage {
    /// Whether nothing is lost if it is forgotten.
    pub fn is_spent(&self, now: Now) -> bool {
        self.full_us < now.wall_us
    }
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many units would pass at once.
    pub remaining: u64,
    /// When as many as asked for would pass, from now, in µs; 0 if they have. `None` if never: it is more than the burst.
    pub retry_us: Option<u64>,
    /// When all of the burst is there again, from now, in µs.
    pub reset_us: u64,
    /// The quota in force.
    pub quota: Quota,
}

/// A charge of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Its quota, as this client takes it.
    pub quota: Quota,
    /// How many units.
    pub cost: u64,
    /// With how many (at least 1) it can do, if there are no more: then it is charged for as many as there are.
    pub least: u64,
}

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// For how many units; 0 if it was refused.
    pub units: u64,
    /// They may be used after this long, in µs.
    pub wait_us: u64,
    /// The key after, or as it is if the charge was refused.
    pub standing: Standing,
    /// What is to be kept, if it was not refused.
    pub usage: Option<Usage>,
}

/// Charges a key, or refuses and changes nothing. `longest_wait_us` is how far ahead it may be made, in turn behind those
/// made before.
pub fn charge(stored: Option<Usage>, ask: &Charge, longest_wait_us: u64, now: Now) -> Charged {
    let state = State::of(stored, ask.quota, now);
    let quota = state.quota;
    let refused = |retry_us| Charged {
        units: 0,
        wait_us: 0,
        standing: state.standing(retry_us),
        usage: None,
    };
    let least = ask.least.max(1);
    if least > quota.burst {
        return refused(None);
    }
    let room = quota.window().saturating_sub(state.level) / quota.period_us;
    // A refusal is for what it could have done with.
    let units = ask.cost.min(quota.burst).min(room).max(least);
    let level = state.level + units * quota.period_us;
    let wait_us = level.saturating_sub(quota.window()).div_ceil(quota.units);
    if wait_us > longest_wait_us.min(LONGEST_WAIT_US) {
        return refused(Some(wait_us));
    }
    let state = State { level, ..state };
    Charged {
        units,
        wait_us,
        standing: state.standing(Some(0)),
        usage: Some(state.usage()),
    }
}

/// Charges several keys, or refuses and changes none; `stored` and `asks` go together. Only a single one may be made ahead: of
/// several each would be charged at another time than it is used.
///
/// The answer says whether all passed. If not, each is as it is, with when it would have passed.
pub fn charge_all(
    stored: &[Option<Usage>],
    asks: &[Charge],
    longest_wait_us: u64,
    now: Now,
) -> (bool, Vec<Charged>) {
    let longest_wait_us = if asks.len() == 1 { longest_wait_us } else { 0 };
    let each = stored.iter().zip(asks);
    let charged: Vec<_> = each
        .map(|(stored, ask)| charge(*stored, ask, longest_wait_us, now))
        .collect();
    if charged.iter().all(|charged| charged.units > 0) {
        return (true, charged);
    }
    let each = stored.iter().zip(asks).zip(charged);
    let as_it_is = each.map(|((stored, ask), charged)| match charged.units {
        0 => charged,
        _ => Charged {
            units: 0,
            wait_us: 0,
            standing: peek(*stored, ask.quota, ask.least, now),
            usage: None,
        },
    });
    (false, as_it_is.collect())
}

/// How a key stands for somebody who would ask for `cost` units.
pub fn peek(stored: Option<Usage>, quota: Quota, cost: u64, now: Now) -> Standing {
    let state = State::of(stored, quota, now);
    if cost > state.quota.burst {
        return state.standing(None);
    }
    let over = (state.level + cost * state.quota.period_us).saturating_sub(state.quota.window());
    state.standing(Some(over.div_ceil(state.quota.units)))
}

/// Corrects a charge, once what it should have been is known, or it is not going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// What it is known by: settled once, whatever is sent again.
    pub rid: Rid,
    /// After this instant of the store's lease clock the store refuses it.
    pub not_after_us: u64,
    /// The quota, as this client takes it.
    pub quota: Quota,
    /// What was charged.
    pub charged: u64,
    /// What it should have been.
    pub actual: u64,
    /// Until when (wall time) less is given back; more is charged also later.
    pub until_us: u64,
    /// If it was made ahead, to be used later, and is not going to be: how the key stood after it. It is given back only if
    /// nobody came after it: whoever did has a later time and keeps it.
    pub ahead: Option<(u64, u64)>,
}

/// What a settlement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Units were given back.
    GivenBack(u64),
    /// Units were charged beyond those before; the key may have less than nothing now, and others wait for that.
    Charged(u64),
    /// Nothing: it was right, or came too late to give back, or others wait for times that they were told.
    Kept,
}

/// Settles. The second value is to be kept, if there is one.
pub fn settle(stored: Option<Usage>, ask: &Settle, now: Now) -> (Settled, Option<Usage>) {
    let state = State::of(stored, ask.quota, now);
    let period_us = state.quota.period_us;
    if ask.actual >= ask.charged {
        let more = ask.actual - ask.charged;
        if more == 0 {
            return (Settled::Kept, None);
        }
        let most = state.quota.window() + LONGEST_WAIT_US * state.quota.units;
        let level = (state.level).saturating_add(more.saturating_mul(period_us));
        let level = level.min(most);
        return (
            Settled::Charged(more),
            Some(State { level, ..state }.usage()),
        );
    }
    let is_late = now.wall_us > ask.until_us;
    let may = match (ask.ahead, stored) {
        (Some(after), Some(usage)) => after == (usage.full_us, usage.part),
        (Some(_), None) => false,
        // Who was told a time counts on what was charged before.
        (None, _) => state.level <= state.quota.window(),
    };
    let less = (ask.charged - ask.actual).saturating_mul(period_us);
    let back = less.min(state.level);
    if is_late || !may || back == 0 {
        return (Settled::Kept, None);
    }
    let level = state.level - back;
    let units = back.div_ceil(period_us);
    (
        Settled::GivenBack(units),
        Some(State { level, ..state }.usage()),
    )
}

/// How full the bucket is, in parts of the quota in force.
#[derive(Debug, Clone, Copy)]
struct State {
    level: u64,
    quota: Quota,
    now_us: u64,
}

impl State {
    fn of(stored: Option<Usage>, asked: Quota, now: Now) -> Self {
        let now_us = now.wall_us;
        let Some(usage) = stored.filter(|usage| !usage.is_spent(now)) else {
            return Self {
                level: 0,
                quota: asked,
                now_us,
            };
        };
        let quota = usage.quota.or(asked);
        // Parts of another quota are rounded up to a µs.
        let is_same = usage.quota.units == quota.units;
        let part = if is_same { usage.part } else { 0 };
        let rounded = u64::from(!is_same && usage.part > 0);
        // After the clock stepped back, or a burst was made smaller, nobody waits longer than for the longest wait.
        let most = quota.window() + LONGEST_WAIT_US * quota.units;
        let ahead_us = (usage.full_us - now_us).saturating_add(rounded);
        let ahead_us = ahead_us.min(most / quota.units);
        Self {
            level: (ahead_us * quota.units + part).min(most),
            quota,
            now_us,
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            full_us: self.now_us + self.level / self.quota.units,
            part: self.level % self.quota.units,
            quota: self.quota,
        }
    }

    fn standing(&self, retry_us: Option<u64>) -> Standing {
        let room = self.quota.window().saturating_sub(self.level);
        Standing {
            remaining: room / self.quota.period_us,
            retry_us,
            reset_us: self.level.div_ceil(self.quota.units),
            quota: self.quota,
        }
    }
}
