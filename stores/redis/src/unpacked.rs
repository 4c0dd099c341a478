//! Which resources the fast scripts had to leave to the full one of late: their calls go straight to that one.
//!
//! A hint. Every call may go either way; this only saves a try that would most likely be in vain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::{Moment, ResourceName};

/// After this long it is tried again: nobody else may be there any more.
const KEEP: Duration = Duration::from_secs(1);
/// So many are kept.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    until: Mutex<BTreeMap<ResourceName, Moment>>,
    /// When the last one of them is forgotten, so that who has none need not lock.
    any_until: AtomicU64,
}

impl Unpacked {
    fn until(&self) -> MutexGuard<'_, BTreeMap<ResourceName, Moment>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fast scripts could not do a call on it.
    pub(crate) fn note(&self, name: &ResourceName, now: Moment) {
        let until = now + KEEP;
        let mut noted = self.until();
        if noted.len() >= MOST {
            noted.retain(|_, until| now < *until);
        }
        if noted.len() < MOST || noted.contains_key(name) {
            noted.insert(name.clone(), until);
            self.any_until
                .fetch_max(until.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Whether that was so of late.
    pub(crate) fn has(&self, name: &ResourceName, now: Moment) -> bool {
        now.as_nanos() < self.any_until.load(Ordering::Relaxed)
            && self.until().get(name).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: usize) -> ResourceName {
        ResourceName::from_store(&format!("c/{id}"))
    }

    #[test]
    fn what_was_left_to_the_full_script_is_known_for_a_while() {
        let (unpacked, now) = (Unpacked::default(), Moment::from_nanos(1));
        assert!(!unpacked.has(&name(1), now));
        unpacked.note(&name(1), now);
        assert!(unpacked.has(&name(1), now));
        assert!(!unpacked.has(&name(2), now));
        assert!(!unpacked.has(&name(1), now + KEEP));
    }

    #[test]
    fn no_more_are_kept_than_fit_and_the_old_ones_make_room() {
        let (unpacked, now) = (Unpacked::default(), Moment::from_nanos(1));
        (0..1_000).for_each(|id| unpacked.note(&name(id), now));
        assert_eq!(unpacked.until().len(), MOST);
        let later = now + KEEP;
        unpacked.note(&name(1_000), later);
        assert!(unpacked.has(&name(1_000), later));
        assert_eq!(unpacked.until().len(), 1);
    }
}
