//! What this client knows of the store's time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::env::{Env, Moment};
use crate::protocol::Now;

/// The latest store time seen, when the request that brought it was sent, and the smoothed round trip.
#[derive(Debug, Default)]
pub(crate) struct StoreClock(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    latest: Option<(Moment, Now)>,
    round_trip: Duration,
}

impl StoreClock {
    /// Takes in an answer that came now.
    pub(crate) fn observe(&self, env: &Env, sent: Moment, now: Now) {
        let took = env.now().since(sent);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // RFC 6298's smoothing: an eighth of each new one.
        seen.round_trip = match seen.latest {
            None => took,
            Some(_) => (seen.round_trip * 7 + took) / 8,
        };
        seen.latest = Some((sent, now));
    }

    /// The smoothed round trip.
    pub(crate) fn round_trip(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .round_trip
    }

    /// The store's time now: the last one seen, and the monotonic time since. Zero before the first answer.
    pub(crate) fn estimate(&self, env: &Env) -> Now {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).latest;
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
