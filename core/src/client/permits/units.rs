//! Units of a resource, each with the visit that it is on: to whom it may go while others wait elsewhere.

use std::time::Duration;

use crate::env::Moment;

/// As a mutex's visit: no unit stays longer than this while others wait, but for the hold in hand.
const LONGEST: Duration = Duration::from_secs(1);
/// And for so long a unit goes also to those that came after its visit began.
const SHORT: Duration = Duration::from_millis(2);

/// Since when a unit is here, and who waited for it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Visit {
    pub(super) began: Moment,
    /// The first number that no waiter had.
    pub(super) arrivals: u64,
}

impl Visit {
    /// One that begins with the later of two: a unit that was here before others came to wait begins its visit then.
    fn after(self, other: Visit) -> Self {
        Self {
            began: self.began.max(other.began),
            arrivals: self.arrivals.max(other.arrivals),
        }
    }

    /// Whether a unit on it may go to waiter number `waiter`, while others wait elsewhere since `contended`.
    pub(super) fn is_open_to(self, waiter: u64, now: Moment, contended: Visit) -> bool {
        let visit = self.after(contended);
        let took = now.since(visit.began);
        (waiter < visit.arrivals || took < SHORT) && took < LONGEST
    }
}

/// So many units, those that came first before the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Units(Vec<(Visit, u32)>);

impl Units {
    pub(super) fn new(visit: Visit, count: u32) -> Self {
        let mut units = Self::default();
        units.add(visit, count);
        units
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, visit: Visit, count: u32) {
        if count == 0 {
            return;
        }
        if let Some((_, there)) = self.0.iter_mut().find(|(of, _)| *of == visit) {
            *there += count;
            return;
        }
        let at = self.0.partition_point(|(of, _)| of.began <= visit.began);
        self.0.insert(at, (visit, count));
    }

    pub(super) fn put(&mut self, units: Units) {
        for (visit, count) in units.0 {
            self.add(visit, count);
        }
    }

    /// Takes so many of those whose visits allow it; none if there are fewer.
    pub(super) fn take(&mut self, count: u32, may: impl Fn(Visit) -> bool) -> Option<Units> {
        let there: u32 = (self.0.iter().filter(|(visit, _)| may(*visit)))
            .map(|(_, count)| count)
            .sum();
        if there < count {
            return None;
        }
        let mut left = count;
        let mut taken = Units::default();
        for (visit, there) in self.0.iter_mut().filter(|(visit, _)| may(*visit)) {
            let some = left.min(*there);
            *there -= some;
            left -= some;
            taken.add(*visit, some);
        }
        self.0.retain(|(_, count)| *count > 0);
        Some(taken)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(ms: u64, arrivals: u64) -> Visit {
        let began = Moment::default() + Duration::from_millis(ms);
        Visit { began, arrivals }
    }

    #[test]
    fn units_are_neither_made_nor_lost() {
        let mut units = Units::new(visit(5, 3), 4);
        units.put(Units::new(visit(1, 1), 2));
        units.put(Units::new(visit(5, 3), 1));
        assert_eq!(units.count(), 7);
        assert_eq!(units.take(8, |_| true), None);
        let old = units.take(3, |_| true).unwrap_or_default();
        assert_eq!(
            old.0,
            [(visit(1, 1), 2), (visit(5, 3), 1)],
            "the first first"
        );
        assert_eq!(units.take(5, |of| of.arrivals == 3), None);
        let rest = units.take(4, |of| of.arrivals == 3).unwrap_or_default();
        assert_eq!((rest.count(), units.count()), (4, 0));
    }

    #[test]
    fn a_visit_serves_those_that_waited_when_it_began_or_when_others_came() {
        let at = |ms| Moment::default() + Duration::from_millis(ms);
        let never = visit(0, 0);
        assert!(visit(10, 5).is_open_to(4, at(500), never));
        assert!(!visit(10, 5).is_open_to(5, at(500), never), "it came later");
        assert!(visit(10, 5).is_open_to(5, at(11), never), "2 ms");
        assert!(!visit(10, 5).is_open_to(4, at(1010), never), "a second");
        assert!(visit(10, 5).is_open_to(7, at(900), visit(800, 8)));
    }
}
