//! Whether the store's wall clock goes as this machine's monotonic clock says it should.
//!
//! An answer bounds the clocks' offset from both sides: the store read its clock between the request and the receipt.
//! So a late answer (of a machine that slept) says little, instead of something false.

use std::time::Duration;

use crate::env::Moment;

/// A step of less than this is none.
const TOLERANCE_NS: i128 = 1_000_000_000;
/// A clock that stays where it stepped to for this long is believed again.
const STEADY: Duration = Duration::from_secs(30);
const DRIFT_ONE_IN: i128 = 10_000;

/// The store's clock is not where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Departure {
    /// By how many ms it is ahead of its course; negative if it is behind.
    pub by_ms: i64,
    /// When it was noticed, on this client's clock.
    pub since: Moment,
}

impl Departure {
    /// How far ahead, in seconds.
    pub(super) fn seconds(self) -> f64 {
        Duration::from_millis(self.by_ms.unsigned_abs()).as_secs_f64()
            * if self.by_ms < 0 { -1.0 } else { 1.0 }
    }
}

pub(super) enum News {
    Departed(Departure),
    Returned,
    Rebased(Departure),
}

/// Between what the offset (local time less store time, in ns) lies.
#[derive(Debug, Clone, Copy)]
struct Range {
    low: i128,
    high: i128,
    at: Moment,
}

impl Range {
    /// As wide as drift may have made it meanwhile.
    fn aged(self, now: Moment) -> Self {
        let drift =
            i128::try_from(now.since(self.at).as_nanos()).unwrap_or(i128::MAX) / DRIFT_ONE_IN;
        Self {
            low: self.low - drift,
            high: self.high + drift,
            at: now,
        }
    }

    /// How far `other` lies above this; negative if below, 0 if they meet.
    fn gap(self, other: Self) -> i128 {
        if other.low > self.high {
            other.low - self.high
        } else if other.high < self.low {
            other.high - self.low
        } else {
            0
        }
    }

    /// What both say; the newer one if they contradict each other.
    fn meet(self, newer: Self) -> Self {
        let (low, high) = (self.low.max(newer.low), self.high.min(newer.high));
        if low > high {
            return newer;
        }
        Self {
            low,
            high,
            at: newer.at,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Course {
    believed: Option<Range>,
    departed: Option<(Departure, Range)>,
}

impl Course {
    pub(super) fn departure(&self) -> Option<Departure> {
        self.departed.map(|(departure, _)| departure)
    }

    /// The store's clock was set ahead, on purpose.
    #[cfg(feature = "test-util")]
    pub(super) fn leapt(&mut self, by: Duration) {
        let by = i128::try_from(by.as_nanos()).unwrap_or(i128::MAX);
        if let Some(believed) = &mut self.believed {
            believed.low -= by;
            believed.high -= by;
        }
    }

    /// Takes in an answer: the store read `store_us` between these two instants.
    pub(super) fn check(&mut self, sent: Moment, received: Moment, store_us: u64) -> Option<News> {
        let store = i128::from(store_us) * 1000;
        let seen = Range {
            low: i128::from(sent.as_nanos()) - store,
            high: i128::from(received.as_nanos()) - store,
            at: received,
        };
        let Some(believed) = self.believed.map(|range| range.aged(received)) else {
            self.believed = Some(seen);
            return None;
        };
        let gap = believed.gap(seen);
        if gap.abs() <= TOLERANCE_NS {
            self.believed = Some(believed.meet(seen));
            return self.departed.take().map(|_| News::Returned);
        }
        let steady = match self.departed {
            Some((departure, range)) if range.aged(received).gap(seen).abs() <= TOLERANCE_NS => {
                Some((departure, range.aged(received).meet(seen)))
            }
            _ => None,
        };
        match steady {
            Some((departure, _)) if received.since(departure.since) >= STEADY => {
                self.believed = Some(seen);
                self.departed = None;
                Some(News::Rebased(departure))
            }
            Some(steady) => {
                self.departed = Some(steady);
                None
            }
            None => {
                let departure = Departure {
                    // Local less store time fell: the store is ahead.
                    by_ms: i64::try_from(-gap / 1_000_000).unwrap_or(i64::MAX),
                    since: received,
                };
                self.departed = Some((departure, seen));
                Some(News::Departed(departure))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: u64) -> Moment {
        Moment::from_nanos(s * 1_000_000_000)
    }

    fn check(course: &mut Course, sent: u64, received: u64, store_s: u64) -> Option<News> {
        course.check(s(sent), s(received), store_s * 1_000_000)
    }

    #[test]
    fn a_late_answer_of_a_machine_that_slept_is_no_departure() {
        let mut course = Course::default();
        assert!(check(&mut course, 100, 100, 1_000).is_none());
        // Sent at 110, answered at once, read after a sleep of 500 s.
        assert!(check(&mut course, 110, 610, 1_010).is_none());
        // Or it was the request that took so long.
        assert!(check(&mut course, 620, 720, 1_620).is_none());
        assert!(check(&mut course, 730, 730, 1_630).is_none());
        assert_eq!(course.departure(), None);
    }

    #[test]
    fn a_step_is_noticed_and_so_is_the_way_back() {
        for (store, by_ms) in [(1_070, 60_000), (50, -960_000)] {
            let mut course = Course::default();
            check(&mut course, 100, 100, 1_000);
            let news = check(&mut course, 110, 110, store);
            assert!(matches!(news, Some(News::Departed(_))));
            let by = course.departure().unwrap().by_ms;
            assert!((by - by_ms).abs() < 10, "{by}");
            assert!(matches!(
                check(&mut course, 120, 120, 1_020),
                Some(News::Returned)
            ));
            assert_eq!(course.departure(), None);
        }
    }

    #[test]
    fn a_clock_that_stays_where_it_stepped_to_is_believed_after_a_while() {
        let mut course = Course::default();
        check(&mut course, 100, 100, 1_000);
        check(&mut course, 110, 110, 5_000);
        assert!(check(&mut course, 139, 139, 5_029).is_none());
        assert!(course.departure().is_some());
        let news = check(&mut course, 140, 140, 5_030);
        assert!(matches!(news, Some(News::Rebased(_))));
        assert_eq!(course.departure(), None);
        assert!(check(&mut course, 150, 150, 5_040).is_none());
    }

    #[test]
    fn one_that_steps_again_begins_its_time_anew() {
        let mut course = Course::default();
        check(&mut course, 100, 100, 1_000);
        check(&mut course, 110, 110, 5_000);
        assert!(matches!(
            check(&mut course, 139, 139, 9_000),
            Some(News::Departed(_))
        ));
        assert!(check(&mut course, 141, 141, 9_002).is_none());
        assert!(course.departure().is_some());
    }
}
