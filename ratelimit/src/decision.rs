//! What a limiter answers.

use std::time::Duration;

use leasehold_core::protocol::Standing;

/// Whether it may be done. A store that is away is no decision: that is [`Error::Unavailable`](crate::Error::Unavailable), or what the
/// limiter's [`Outage`](crate::Outage) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at limits nothing"]
pub enum Decision {
    /// It may, and was charged.
    Allowed(Allowed),
    /// It may not, and nothing was charged.
    Limited(Limited),
}

/// It may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// How many units would pass now, at once. If it was decided by a [share](Source::Share): how many of that are left.
    pub remaining: u64,
    /// When all of [`limit`](Self::limit) is there again if nobody asks meanwhile.
    pub reset_after: Duration,
    /// How many units pass at once at most: the burst of the quota in force.
    pub limit: u64,
    /// Who decided.
    pub source: Source,
}

/// It may not be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limited {
    /// How many units would pass now, at once.
    pub remaining: u64,
    /// When what was asked for would pass if nobody asks meanwhile.
    pub retry_after: Duration,
    /// When all of [`limit`](Self::limit) is there again if nobody asks meanwhile.
    pub reset_after: Duration,
    /// How many units pass at once at most: the burst of the quota in force.
    pub limit: u64,
    /// Who decided.
    pub source: Source,
}

/// Where a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The store made it.
    Store,
    /// This process made it, from what the store gave it or told it shortly before.
    Share,
    /// The store is away, and the limiter's [`Outage`](crate::Outage) policy made it.
    Outage,
}

impl Source {
    /// A bounded word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Store => "store",
            Source::Share => "share",
            Source::Outage => "outage",
        }
    }
}

impl Decision {
    /// Whether it may be done.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }

    /// How many units would pass now, at once.
    pub const fn remaining(&self) -> u64 {
        match self {
            Decision::Allowed(allowed) => allowed.remaining,
            Decision::Limited(limited) => limited.remaining,
        }
    }

    /// When what was asked for would pass; zero if it has.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Decision::Allowed(_) => Duration::ZERO,
            Decision::Limited(limited) => limited.retry_after,
        }
    }

    /// When all of the [`limit`](Self::limit) is there again if nobody asks meanwhile.
    pub const fn reset_after(&self) -> Duration {
        match self {
            Decision::Allowed(allowed) => allowed.reset_after,
            Decision::Limited(limited) => limited.reset_after,
        }
    }

    /// How many units pass at once at most.
    pub const fn limit(&self) -> u64 {
        match self {
            Decision::Allowed(allowed) => allowed.limit,
            Decision::Limited(limited) => limited.limit,
        }
    }

    /// Who decided.
    pub const fn source(&self) -> Source {
        match self {
            Decision::Allowed(allowed) => allowed.source,
            Decision::Limited(limited) => limited.source,
        }
    }

    /// For `?`, where [`Error::Limited`](crate::Error::Limited) is an error.
    pub fn into_result(self) -> Result<Allowed, Limited> {
        match self {
            Decision::Allowed(allowed) => Ok(allowed),
            Decision::Limited(limited) => Err(limited),
        }
    }
}

impl Allowed {
    pub(crate) fn of(standing: &Standing, source: Source) -> Self {
        Self {
            remaining: standing.remaining,
            reset_after: Duration::from_micros(standing.reset_us),
            limit: standing.quota.burst(),
            source,
        }
    }
}

impl Limited {
    pub(crate) fn of(standing: &Standing, retry_us: u64, source: Source) -> Self {
        Self {
            remaining: standing.remaining,
            retry_after: Duration::from_micros(retry_us),
            reset_after: Duration::from_micros(standing.reset_us),
            limit: standing.quota.burst(),
            source,
        }
    }
}
