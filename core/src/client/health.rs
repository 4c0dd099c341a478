//! How a client is, for a probe.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Core, Departure};
use crate::env::Moment;
use crate::protocol::LIVENESS_US;
use crate::store::StoreError;

/// When the store last answered, and what it met since.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    answered: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Pulse {
    pub(crate) fn answered(&self, now: Moment) {
        self.answered.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = Some(error.to_string());
    }
}

/// How a client is: [`is_ready`](Self::is_ready) answers a readiness probe, the rest says why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The store answered lately (a heartbeat is sent every 5 s), and the client was not shut down.
    pub is_ready: bool,
    /// Whether a shutdown has begun.
    pub is_shut_down: bool,
    /// How long ago the store last answered anything.
    pub last_answer: Duration,
    /// What the latest request that failed had met, ever. Of interest if `last_answer` is long ago.
    pub last_failure: Option<String>,
    /// A smoothed round trip.
    pub round_trip: Duration,
    /// The store's clock stepped away from its course: tick claims are held until it is back, or steady for 30 s.
    pub store_clock: Option<Departure>,
    /// Leases that this client holds.
    pub held: usize,
    /// Tasks that wait in local lines behind another one of this client.
    pub waiting: usize,
    /// Resources that tasks of this client hold, wait for or are leaving: what it keeps in memory for them.
    pub lines: usize,
    /// Releases that the store has not acknowledged yet.
    pub unreleased: usize,
}

impl Core {
    pub(super) fn health(&self) -> Health {
        let answered = Moment::from_nanos(self.pulse.answered.load(Ordering::Acquire));
        let last_answer = self.env.now().since(answered);
        let failure = self.pulse.failure.lock();
        let is_shut_down = self.is_closing();
        Health {
            is_ready: !is_shut_down && last_answer <= Duration::from_micros(LIVENESS_US),
            is_shut_down,
            last_answer,
            last_failure: failure.unwrap_or_else(PoisonError::into_inner).clone(),
            round_trip: self.clock.round_trip(),
            store_clock: self.clock.departure(),
            held: self.renewals.len(),
            waiting: self.lines.waiting() + self.pools.waiting(),
            lines: self.lines.len() + self.pools.len(),
            unreleased: self.cleaning.load(Ordering::Acquire),
        }
    }
}
