//! The circuit breaker: while the store is away nobody waits for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use leasehold_core::Moment;

/// Counts failures in a row, and says whether the store is asked.
#[derive(Debug)]
pub(crate) struct Breaker {
    after: u32,
    pause: Duration,
    failures: AtomicU32,
    /// When the store is to be looked at again, in nanoseconds; 0 while it is asked.
    look: AtomicU64,
}

/// Whether the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It is.
    Ask,
    /// It is not, and it is time to look at it: this is told to one.
    Look,
    /// It is not.
    Not,
}

impl Breaker {
    pub(crate) fn new(after: u32, pause: Duration) -> Self {
        Self {
            after: after.max(1),
            pause,
            failures: AtomicU32::new(0),
            look: AtomicU64::new(0),
        }
    }

    pub(crate) fn pass(&self, now: Moment) -> Pass {
        let look = self.look.load(Ordering::Acquire);
        if look == 0 {
            return Pass::Ask;
        }
        if now.as_nanos() < look {
            return Pass::Not;
        }
        let next = (now + self.pause).as_nanos();
        let told = (self.look).compare_exchange(look, next, Ordering::AcqRel, Ordering::Acquire);
        if told.is_ok() { Pass::Look } else { Pass::Not }
    }

    /// The store answered. Says whether it was not asked before.
    pub(crate) fn answered(&self) -> bool {
        // Mostly nothing is to be changed: a write would be felt by every thread.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.look.load(Ordering::Relaxed) != 0 && self.look.swap(0, Ordering::AcqRel) != 0
    }

    /// The store failed. Says whether it is not asked from now on.
    pub(crate) fn failed(&self, now: Moment) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let next = (now + self.pause).as_nanos();
        failures >= self.after
            && (self.look)
                .compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_looks_at_a_time() {
        let at = |ms: u64| Moment::from_nanos(1_000_000_000 + ms * 1_000_000);
        let breaker = Breaker::new(3, Duration::from_secs(1));
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(1)));
        assert!(!breaker.answered(), "it was asked");
        assert!(!breaker.failed(at(2)) && !breaker.failed(at(3)));
        assert_eq!(breaker.pass(at(3)), Pass::Ask);
        assert!(breaker.failed(at(4)) && !breaker.failed(at(5)), "told once");
        assert_eq!(breaker.pass(at(1003)), Pass::Not);
        let asked = [breaker.pass(at(1004)), breaker.pass(at(1004))];
        assert_eq!(asked, [Pass::Look, Pass::Not]);
        assert_eq!(breaker.pass(at(2004)), Pass::Look, "that look was in vain");
        assert!(breaker.answered() && !breaker.answered());
        assert_eq!(breaker.pass(at(2005)), Pass::Ask);
        assert!(!breaker.failed(at(2006)), "counted anew");
    }
}
