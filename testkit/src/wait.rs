//! Waiting for a condition instead of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Calls `condition` every few milliseconds until it is true. It is called once at least, also with a zero deadline.
///
/// # Panics
///
/// After `deadline`, saying that it waited for `what`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use leasehold_testkit::wait_until;
///
/// let mut calls = 0;
/// wait_until(Duration::from_secs(1), "the third call", || {
///     calls += 1;
///     calls == 3
/// });
/// ```
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(deadline, condition),
        "waited {deadline:?} in vain for {what}"
    );
}

/// Whether `condition` came true before the deadline.
pub(crate) fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() >= deadline {
            return false;
        }
        sleep(POLL_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "in vain for the impossible")]
    fn a_condition_that_never_holds_is_named() {
        wait_until(Duration::from_millis(20), "the impossible", || false);
    }

    #[test]
    fn a_zero_deadline_still_looks_once() {
        wait_until(Duration::ZERO, "the obvious", || true);
    }
}
