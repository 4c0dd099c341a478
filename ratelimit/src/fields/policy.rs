//! `RateLimit-Policy`: the quotas there are.

use std::fmt;

use super::syntax::{self, FieldError, LARGEST};
use crate::Quota;

/// An item of `RateLimit-Policy`: a quota, as clients are told of it (section 3.1 of the draft).
///
/// `Display` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaPolicy {
    /// What it is called. [`ServiceLimit`](super::ServiceLimit)s go by the same name.
    pub name: String,
    /// `q`: how many units there are.
    pub quota: u64,
    /// `qu`: of what; requests if it is not said.
    pub unit: QuotaUnit,
    /// `w`: in how many seconds.
    pub window_s: Option<u64>,
    /// `pk`: whose quota it is. Not to be told if it is a secret, as an API key is.
    pub partition_key: Option<Vec<u8>>,
    /// `leasehold-burst`: how many of them at once.
    pub burst: Option<u64>,
}

/// What a quota counts (section 3.1.2 of the draft).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum QuotaUnit {
    /// Requests. (The default, which is not written.)
    #[default]
    Requests,
    /// Bytes of content.
    ContentBytes,
    /// Requests at a time.
    ConcurrentRequests,
    /// Another one.
    Other(String),
}

impl QuotaUnit {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            QuotaUnit::Requests => "requests",
            QuotaUnit::ContentBytes => "content-bytes",
            QuotaUnit::ConcurrentRequests => "concurrent-requests",
            QuotaUnit::Other(unit) => unit,
        }
    }

    fn read(unit: &str) -> Self {
        let known = [
            QuotaUnit::Requests,
            QuotaUnit::ContentBytes,
            QuotaUnit::ConcurrentRequests,
        ];
        let found = known.into_iter().find(|known| known.as_str() == unit);
        found.unwrap_or_else(|| QuotaUnit::Other(unit.to_owned()))
    }
}

impl QuotaPolicy {
    /// So many units of requests, in so many seconds if it is said.
    pub fn new(name: &str, quota: u64, window_s: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            quota,
            unit: QuotaUnit::Requests,
            window_s,
            partition_key: None,
            burst: None,
        }
    }

    /// A limiter's quota. The window is in whole seconds: if the period is not, the quota is that of a longer window, rounded
    /// down; and if the burst is more than the units of a period, the window is that in which a burst comes back.
    ///
    /// ```
    /// use leasehold_ratelimit::Quota;
    /// use leasehold_ratelimit::fields::QuotaPolicy;
    /// use std::time::Duration;
    /// let of = |quota| QuotaPolicy::of("a", quota).to_string();
    /// assert_eq!(of(Quota::per_minute(600)), r#""a";q=600;w=60;leasehold-burst=10"#);
    /// assert_eq!(of(Quota::per(5, Duration::from_millis(1500))), r#""a";q=6;w=2;leasehold-burst=3"#);
    /// assert_eq!(of(Quota::per_minute(5).burst(10)), r#""a";q=10;w=120"#);
    /// ```
    pub fn of(name: &str, quota: Quota) -> Self {
        let (units, burst) = (u128::from(quota.units()), quota.burst_units());
        let period_us = quota.period().as_micros().max(1);
        let least_us = (period_us * u128::from(burst)).div_ceil(units.max(1));
        let window_s = period_us.max(least_us).div_ceil(1_000_000);
        let fits = units * window_s * 1_000_000 / period_us;
        let whole = |number: u128| u64::try_from(number).unwrap_or(LARGEST).min(LARGEST);
        let quota = whole(fits);
        Self {
            burst: (burst < quota).then_some(burst),
            ..Self::new(name, quota, Some(whole(window_s)))
        }
    }

    /// Of what.
    pub fn unit(mut self, unit: QuotaUnit) -> Self {
        self.unit = unit;
        self
    }

    /// Whose.
    pub fn partition_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// Reads the field; several lines of it are joined by commas first. What it says beyond that is passed over.
    ///
    /// # Errors
    /// [`FieldError`]: then the field is to be ignored.
    pub fn parse_list(value: &[u8]) -> Result<Vec<Self>, FieldError> {
        let items = syntax::parse(value)?;
        let read = items.into_iter().map(|item| {
            Ok(Self {
                quota: item.required("q")?,
                unit: item.text("qu")?.map(QuotaUnit::read).unwrap_or_default(),
                window_s: item.window("w")?,
                partition_key: item.bytes("pk")?,
                // A comment, to who does not know it.
                burst: item.count("leasehold-burst").unwrap_or_default(),
                name: item.name,
            })
        });
        read.collect()
    }
}

impl fmt::Display for QuotaPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        syntax::write_string(f, &self.name)?;
        syntax::write_count(f, "q", self.quota)?;
        if self.unit != QuotaUnit::Requests {
            f.write_str(";qu=")?;
            syntax::write_string(f, self.unit.as_str())?;
        }
        if let Some(window_s) = self.window_s {
            syntax::write_count(f, "w", window_s.max(1))?;
        }
        if let Some(key) = &self.partition_key {
            syntax::write_bytes(f, "pk", key)?;
        }
        if let Some(burst) = self.burst {
            syntax::write_count(f, "leasehold-burst", burst)?;
        }
        Ok(())
    }
}
