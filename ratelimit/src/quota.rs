//! Quotas as users write them.

use std::fmt;
use std::time::Duration;

use leasehold_core::protocol::{self, QuotaError};

const SECOND_US: u128 = 1_000_000;

/// So many units a period, and a burst of them at once.
///
/// Of what passes in any `t` of the store's time it promises: at most `rate x t + burst` units, whatever the fleet and the network
/// do. So `Quota::per_second(100).burst(20)` lets at most 120 pass in any second, and 20 in any instant.
///
/// Without a burst it is one second's worth, and at least 1: 100 for `per_second(100)`, 10 for `per_minute(600)`, and 1 for
/// `per_minute(5)`, which then come one each 12 s. (A burst of a whole period's worth, which others take, lets twice as much
/// pass in one period; ask for it if that is meant.) [`at_most`](Self::at_most) promises a number for any window of a length.
///
/// ```
/// use leasehold_ratelimit::Quota;
/// const API: Quota = Quota::per_second(100).burst(20);
/// assert_eq!(API.to_string(), "100 in 1s, 20 at once");
/// assert_eq!(Quota::per_minute(5).to_string(), "5 in 60s, 1 at once");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    units: u64,
    period: Duration,
    burst: Option<u64>,
    revision: u64,
    is_most: bool,
}

impl Quota {
    /// `units` a second.
    pub const fn per_second(units: u64) -> Self {
        Self::per(units, Duration::from_secs(1))
    }

    /// `units` a minute.
    pub const fn per_minute(units: u64) -> Self {
        Self::per(units, Duration::from_secs(60))
    }

    /// `units` an hour.
    pub const fn per_hour(units: u64) -> Self {
        Self::per(units, Duration::from_secs(3600))
    }

    /// `units` a day.
    pub const fn per_day(units: u64) -> Self {
        Self::per(units, Duration::from_secs(24 * 3600))
    }

    /// `units` each `period`, which counts in whole µs.
    pub const fn per(units: u64, period: Duration) -> Self {
        Self {
            units,
            period,
            burst: None,
            revision: 0,
            is_most: false,
        }
    }

    /// At most `units` in any window of length `window`, wherever it begins (its end not included). The burst, a tenth unless
    /// it is set, is part of them: the rate is that of the others.
    ///
    /// ```
    /// use leasehold_ratelimit::Quota;
    /// use std::time::Duration;
    /// let quota = Quota::at_most(100, Duration::from_secs(1)).burst(20);
    /// assert_eq!(quota.to_string(), "81 in 1s, 20 at once");
    /// ```
    pub const fn at_most(units: u64, window: Duration) -> Self {
        let quota = Self::per(units, window);
        Self {
            is_most: true,
            ..quota
        }
    }

    /// So many units at once, if none passed for long.
    pub const fn burst(self, units: u64) -> Self {
        let burst = Some(units);
        Self { burst, ..self }
    }

    /// Which announcement of the limiter's quota it is (0 unless said): in the whole fleet the highest counts. So a deploy that
    /// changes a quota raises it, and both versions go by the new one meanwhile. Of equal ones the slower quota counts.
    pub const fn revision(self, revision: u64) -> Self {
        Self { revision, ..self }
    }

    /// Units a [`period`](Self::period).
    pub fn units(&self) -> u64 {
        if self.is_most {
            // The n-th beyond the burst comes n emission intervals after the first one.
            return (self.units + 1).saturating_sub(self.burst_units());
        }
        self.units
    }

    /// The period.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Units at once.
    pub fn burst_units(&self) -> u64 {
        if let Some(burst) = self.burst {
            return burst;
        }
        if self.is_most {
            return (self.units / 10).max(1);
        }
        let period_us = self.period.as_micros().max(1);
        let a_second = u128::from(self.units) * SECOND_US / period_us;
        u64::try_from(a_second.max(1)).unwrap_or(u64::MAX)
    }

    /// Which announcement it is.
    pub const fn announced(&self) -> u64 {
        self.revision
    }

    /// As the protocol counts it.
    pub(crate) fn lower(&self) -> Result<protocol::Quota, QuotaError> {
        self.with_burst(self.burst_units())
    }

    pub(crate) fn with_burst(&self, burst: u64) -> Result<protocol::Quota, QuotaError> {
        let period_us = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX);
        let quota = protocol::Quota::new(self.units(), period_us, burst)?;
        Ok(quota.revision(self.revision))
    }

    /// How many units pass in `time` at most, at the rate.
    pub(crate) fn in_time(&self, time: Duration) -> u64 {
        let period_us = self.period.as_micros().max(1);
        let units = (u128::from(self.units()) * time.as_micros()).div_ceil(period_us);
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, burst) = (self.units(), self.burst_units());
        write!(f, "{units} in {:?}, {burst} at once", self.period)
    }
}
