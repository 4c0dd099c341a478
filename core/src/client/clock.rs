//! What this client knows of the store's time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::env::{Env, Moment};
use crate::protocol::Now;

/// The latest store time seen, and when the request that brought it was sent.
#[derive(Debug, Default)]
pub(crate) struct StoreClock(Mutex<Option<(Moment, Now)>>);

impl StoreClock {
    /// Takes in an answer's time.
    pub(crate) fn observe(&self, sent: Moment, now: Now) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((sent, now));
    }

    /// The store's time now: the last one seen, and the monotonic time since. Zero before the first answer.
    pub(crate) fn estimate(&self, env: &Env) -> Now {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((sent, now)) = seen else {
            return Now::default();
        };
        let since_us = micros(env.now().since(sent));
        Now {
            lease_us: now.lease_us + since_us,
            wall_us: now.wall_us + since_us,
            epoch: now.epoch,
        }
    }
}

/// Whole µs, as every store counts.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
