//! Quotas: so many units a period, and a burst of them at once.
//!
//! The generic cell rate algorithm in its virtual-scheduling form (ITU-T Recommendation I.371, annex A): all that is kept of
//! a key is the instant at which its bucket will be full again. It is exact: an instant is a whole number of µs and a part
//! in units of 1/`units` µs, so that rates which do not divide a second lose nothing.
//!
//! Of what passes in any `t` of the store's time it promises: at most `rate x t + burst` units. What is given back of a
//! charge counts as never charged, and the promise holds all the same.

mod settle;
mod usage;

use serde::{Deserialize, Serialize};

pub use settle::{Settle, Settled, settle};
pub use usage::{Charge, Charged, Standing, Usage, charge, charge_all, peek};

/// How far ahead a charge may be made at most, to be used then.
pub const LONGEST_WAIT_US: u64 = 3_600_000_000;
/// Every intermediate result is a whole number below 2^53, which Lua's numbers hold: so a burst lasts at most this long, in
/// units of 1/`units` µs...
const MOST_BURST: u64 = 1 << 51;
/// ...and the longest wait, in the same, as much again.
const MOST_UNITS: u64 = MOST_BURST / LONGEST_WAIT_US;
/// What Lua's numbers count to.
const LARGEST: u64 = (1 << 53) - 1;

/// So many units a period, and a burst of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Quota {
    units: u64,
    period_us: u64,
    burst: u64,
    revision: u64,
}

/// A quota as somebody wrote it down, who may not have known the bounds.
#[derive(Deserialize)]
struct Fields {
    units: u64,
    period_us: u64,
    burst: u64,
    revision: u64,
}

impl TryFrom<Fields> for Quota {
    type Error = QuotaError;

    fn try_from(fields: Fields) -> Result<Self, QuotaError> {
        let quota = Self::new(fields.units, fields.period_us, fields.burst)?;
        Ok(quota.revision(fields.revision))
    }
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
        "a burst of {burst} units at {units} in {period_us} µs cannot be counted: make the burst smaller, or the rate higher"
    )]
    BurstTooLong {
        /// The burst.
        burst: u64,
        /// Units a period.
        units: u64,
        /// The period.
        period_us: u64,
    },
    /// It cannot be counted.
    #[error("{units} units in {period_us} µs cannot be counted: at most 600,000 in a µs can")]
    TooFast {
        /// Units a period.
        units: u64,
        /// The period.
        period_us: u64,
    },
}

impl Quota {
    /// `units` in each `period_us`, and `burst` at once.
    ///
    /// The rate is reduced to lowest terms. If it still cannot be counted exactly it is made slower, by less than 1/10,000
    /// of it: that is so of rates like 999,983 a second, and of bursts that last for decades. What would have to be made
    /// slower than that is refused.
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
        let (n, period) = (units / divisor, period_us / divisor);
        let longest = MOST_BURST / burst;
        let (n, period) = if n <= MOST_UNITS && period <= longest {
            (n, period)
        } else {
            slower(n, period, longest).ok_or(
                if u128::from(n) > u128::from(MOST_UNITS) * u128::from(period) {
                    QuotaError::TooFast { units, period_us }
                } else {
                    QuotaError::BurstTooLong {
                        burst,
                        units,
                        period_us,
                    }
                },
            )?
        };
        Ok(Self {
            units: n,
            period_us: period,
            burst,
            revision: 0,
        })
    }

    /// The same, as announcement number `revision` (at most 2^53 - 1): the highest one counts, while the key has not all of
    /// its burst. Without one it is announced to nobody: it counts for who asks by it, unless another was announced.
    #[must_use]
    pub const fn revision(self, revision: u64) -> Self {
        let revision = if revision < LARGEST {
            revision
        } else {
            LARGEST
        };
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

    /// Which announcement it is; 0 if it is none.
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

    /// The quota by which a key is charged that was last charged by this one.
    ///
    /// One that was not announced is not kept with a key. If it were, the slower of two would stay in force for as long as
    /// the key is busy, also when nobody asks by it any more; and it would double a key's memory.
    fn then(self, asked: Quota) -> Quota {
        if self.revision == 0 {
            asked
        } else {
            self.or(asked)
        }
    }

    /// The burst, in parts.
    const fn window(&self) -> u64 {
        self.burst * self.period_us
    }

    /// How full a bucket can be, in parts: the burst, and all that is charged ahead.
    const fn most(&self) -> u64 {
        self.window() + LONGEST_WAIT_US * self.units
    }
}

/// A rate as near below `n` in `period` as can be counted, with a period of at most `longest`, unless that is slower by
/// 1/10,000 or more.
fn slower(n: u64, period: u64, longest: u64) -> Option<(u64, u64)> {
    let (n, period) = (u128::from(n), u128::from(period));
    let longest = u128::from(longest).min(period);
    // The longest period that can be, and what it has room for: off by less than one unit.
    let time = longest.min(u128::from(MOST_UNITS) * period / n);
    let by_period = (n * time / period, time);
    // The most units in a period that can be, and the time they need: off by less than one µs.
    let units = n.min(MOST_UNITS.into()).min(n * longest / period);
    let by_units = (units, (period * units).div_ceil(n));
    let is_near = |(units, time): (u128, u128)| {
        // Both are below 2^64 x 2^64, and what is slower is not more.
        let (is, should) = (units * period, n * time);
        time > 0 && units > 0 && (should - is) < should / 10_000
    };
    let countable = [by_period, by_units]
        .into_iter()
        .filter(|rate| rate.0 <= MOST_UNITS.into() && is_near(*rate));
    let (units, time) = countable.max_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)))?;
    let (units, time) = (u64::try_from(units).ok()?, u64::try_from(time).ok()?);
    let divisor = gcd(units, time);
    Some((units / divisor, time / divisor))
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
