//! How far this machine's monotonic clock is ahead of the store's lease clock, at the least.
//!
//! Each answer's store time was read after its request was sent, so `sent - store time` never exceeds the true offset.
//! The greatest of them is the best bound; each loses 1e-4 of its age, since the clocks may run at different speeds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::env::Moment;

/// Bounds older than this are forgotten.
const WINDOW: Duration = Duration::from_secs(30);
/// How much two clocks' speeds differ at most: one part in so many.
const DRIFT_ONE_IN: i128 = 10_000;

/// Bounds on the offset. The deque keeps the greatest first: a later one that is as good makes those before it useless.
#[derive(Debug, Default)]
pub(super) struct Offsets(VecDeque<Bound>);

#[derive(Debug, Clone, Copy)]
struct Bound {
    at: Moment,
    /// The offset in ns as it was at the clock's origin, had it drifted at the most: so bounds of different ages
    /// compare.
    value: i128,
}

fn drift(at: Moment) -> i128 {
    i128::from(at.as_nanos()) / DRIFT_ONE_IN
}

impl Offsets {
    /// Takes in an answer with this store time.
    pub(super) fn add(&mut self, sent: Moment, store_us: u64) {
        let value = i128::from(sent.as_nanos()) - i128::from(store_us) * 1000 + drift(sent);
        while self.0.back().is_some_and(|last| last.value <= value) {
            self.0.pop_back();
        }
        self.0.push_back(Bound { at: sent, value });
        while self
            .0
            .front()
            .is_some_and(|first| sent.since(first.at) > WINDOW)
        {
            self.0.pop_front();
        }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// The local instant no later than which the store's clock showed `store_us`; `None` if no bound is known, or if it
    /// contradicts the receipt: then the clock has stepped.
    pub(super) fn date(&self, store_us: u64, receipt: Moment) -> Option<Moment> {
        let bound = (self.0.iter()).find(|bound| receipt.since(bound.at) <= WINDOW)?;
        let at = i128::from(store_us) * 1000 + bound.value - drift(receipt);
        let at = Moment::from_nanos(u64::try_from(at.max(0)).ok()?);
        (at <= receipt).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    /// A store whose clock shows 500 s when ours shows 100 s.
    fn store_us(local: Moment) -> u64 {
        local.as_nanos() / 1000 + 400_000_000
    }

    #[test]
    fn a_grant_is_never_dated_later_than_it_was_made() {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.date(store_us(ms(100_000)), ms(100_001)), None);
        for (sent, way) in [(100_000, 40), (100_100, 3), (100_200, 90)] {
            offsets.add(ms(sent), store_us(ms(sent + way)));
            let granted = ms(100_300);
            let dated = offsets.date(store_us(granted), ms(100_350)).unwrap();
            assert!(dated <= granted, "{dated:?}");
        }
        // The best round trip counts: 3 ms early, and a little for drift.
        let dated = offsets.date(store_us(ms(100_300)), ms(100_350)).unwrap();
        assert!(dated >= ms(100_296), "{dated:?}");
    }

    #[test]
    fn a_push_from_the_future_is_not_dated() {
        let mut offsets = Offsets::default();
        offsets.add(ms(100_000), store_us(ms(100_001)));
        let ahead = store_us(ms(105_000));
        assert_eq!(offsets.date(ahead, ms(100_010)), None);
    }

    #[test]
    fn bounds_are_forgotten_after_a_while_and_on_request() {
        let mut offsets = Offsets::default();
        offsets.add(ms(100_000), store_us(ms(100_001)));
        assert!(offsets.date(store_us(ms(129_000)), ms(129_001)).is_some());
        assert_eq!(offsets.date(store_us(ms(131_000)), ms(131_001)), None);
        offsets.add(ms(131_000), store_us(ms(131_001)));
        offsets.forget();
        assert_eq!(offsets.date(store_us(ms(131_000)), ms(131_001)), None);
    }
}
