//! `RateLimit`: what is left of quotas now.

use std::fmt;
use std::time::Duration;

use super::syntax::{self, FieldError};
use crate::{Decision, Source};

/// An item of `RateLimit`: what is left of a quota now (section 4.1 of the draft).
///
/// `Display` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceLimit {
    /// Of which [`QuotaPolicy`](super::QuotaPolicy).
    pub name: String,
    /// `r`: how many units may be used.
    pub remaining: u64,
    /// `t`: within so many seconds, no more.
    pub window_s: Option<u64>,
    /// `pk`: whose they are. Not to be told if it is a secret, as an API key is.
    pub partition_key: Option<Vec<u8>>,
}

impl ServiceLimit {
    /// So many units, within so many seconds if it is said.
    pub fn new(name: &str, remaining: u64, window_s: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            remaining,
            window_s,
            partition_key: None,
        }
    }

    /// What a decision says of a limit; nothing if it was [made without the store](Source::Outage).
    ///
    /// The time is in whole seconds, rounded up, and so no client that goes by it is refused: after a refusal that until what
    /// was asked for passes, which is `Retry-After` too; else that until all is there again.
    pub fn of(name: &str, decision: &Decision) -> Option<Self> {
        if decision.source() == Source::Outage {
            return None;
        }
        let time = match decision {
            Decision::Allowed(allowed) => allowed.reset_after,
            Decision::Limited(limited) => limited.retry_after,
        };
        Some(Self::new(
            name,
            decision.remaining(),
            Some(whole_seconds(time)),
        ))
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
                remaining: item.required("r")?,
                window_s: item.count("t")?,
                partition_key: item.bytes("pk")?,
                name: item.name,
            })
        });
        read.collect()
    }
}

/// At least 1, and nothing is rounded down: who comes back then is not early.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

impl fmt::Display for ServiceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        syntax::write_string(f, &self.name)?;
        syntax::write_count(f, "r", self.remaining)?;
        if let Some(window_s) = self.window_s {
            syntax::write_count(f, "t", window_s)?;
        }
        if let Some(key) = &self.partition_key {
            syntax::write_bytes(f, "pk", key)?;
        }
        Ok(())
    }
}
