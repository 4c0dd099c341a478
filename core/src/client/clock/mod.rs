//! What this client knows of the store's time: how late it is there, since when a push's grant counts, and whether the
//! store's clock has left the path that this machine's clock says it should be on.

mod course;
mod offsets;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::env::Moment;
use crate::metrics;
use crate::planted::{Bug, planted};
use crate::protocol::{Handed, Now};

pub use course::Departure;
use course::{Course, News};
use offsets::Offsets;

/// The latest store time seen, when the request that brought it was sent, and the smoothed round trip.
#[derive(Debug, Default)]
pub(crate) struct StoreClock(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    latest: Option<(Moment, Now)>,
    round_trip: Duration,
    offsets: Offsets,
    course: Course,
}

impl StoreClock {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an answer.
    pub(crate) fn observe(&self, sent: Moment, received: Moment, now: Now) {
        let took = received.since(sent);
        let mut seen = self.seen();
        // RFC 6298's smoothing: an eighth of each new one.
        seen.round_trip = match seen.latest {
            None => took,
            Some(_) => (seen.round_trip * 7 + took) / 8,
        };
        if seen.latest.is_some_and(|(_, last)| last.epoch != now.epoch) {
            seen.offsets.forget();
        }
        seen.latest = Some((sent, now));
        seen.offsets.add(sent, now.lease_us);
        let news = seen.course.check(sent, received, now.wall_us);
        let departure = seen.course.departure();
        drop(seen);
        if news.is_some() {
            metrics::clock_departed(departure.map_or(0.0, Departure::seconds));
        }
        match news {
            None => {}
            Some(News::Departed(by)) => tracing::warn!(
                by_ms = by.by_ms,
                "the store's clock stepped: tick claims are held, and pushed grants confirmed"
            ),
            Some(News::Returned) => tracing::info!("the store's clock is back on its course"),
            Some(News::Rebased(by)) => tracing::error!(
                by_ms = by.by_ms,
                "the store's clock stays where it stepped to: going on with it"
            ),
        }
    }

    /// The smoothed round trip.
    pub(crate) fn round_trip(&self) -> Duration {
        self.seen().round_trip
    }

    /// The store's time then: the last one seen, and the monotonic time since. Zero before the first answer.
    pub(crate) fn estimate(&self, at: Moment) -> Now {
        let Some((sent, now)) = self.seen().latest else {
            return Now::default();
        };
        let since_us = micros(at.since(sent));
        Now {
            lease_us: now.lease_us + since_us,
            wall_us: now.wall_us + since_us,
            epoch: now.epoch,
        }
    }

    /// Since when a grant counts whose push came at `receipt`: no later than the store can have made it. `None` if that
    /// is not known, and the grant must be confirmed.
    pub(crate) fn date(&self, handed: &Handed, receipt: Moment) -> Option<Moment> {
        if planted(Bug::PushDatedByReceipt) {
            return Some(receipt);
        }
        let seen = self.seen();
        if seen.course.departure().is_some() {
            return None;
        }
        seen.offsets.date(handed.granted_us, receipt)
    }

    /// After a reconnect the server may be another: what is known of its clock's offset is forgotten.
    pub(crate) fn forget_offsets(&self) {
        self.seen().offsets.forget();
    }

    /// The store's wall clock was set ahead by so much, and that is as it should be.
    #[cfg(feature = "test-util")]
    pub(crate) fn leapt(&self, by: Duration) {
        let mut seen = self.seen();
        if let Some((_, now)) = &mut seen.latest {
            now.wall_us += micros(by);
        }
        seen.course.leapt(by);
    }

    /// How far the store's clock is off its course; `None` while it is on it.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.seen().course.departure()
    }
}

/// Whole µs, as every store counts.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
