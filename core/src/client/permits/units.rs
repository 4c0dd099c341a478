//! Units of a resource, each with the visit that it is on: to whom it may go while others wait elsewhere.

use std::time::Duration;

use crate::env::Moment;

/// As a mutex's visit: no unit stays longer than this while others wait, but for the hold in hand.
const LONGEST: Duration = Duration::from_secs(1);
/// And for so long a unit goes also to those that came after its visit began.
const SHORT: Duration = Duration::from_millis(2);

/// Since when a unit is here, and how many turns it has left: as many as tasks waited then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Visit {
    pub(super) began: Moment,
    pub(super) left: usize,
}

impl Visit {
    /// The later of two: a unit that was here before others came to wait begins its visit then.
    fn after(self, other: Visit) -> Self {
        if other.began > self.began {
            other
        } else {
            self
        }
    }

    /// Whether a unit on it may take another turn here, while others wait elsewhere since `contended`.
    pub(super) fn is_open(self, now: Moment, contended: Visit) -> bool {
        let visit = self.after(contended);
        let took = now.since(visit.began);
        (visit.left > 0 || took < SHORT) && took < LONGEST
    }

    /// It takes one.
    fn turned(self, contended: Visit) -> Self {
        let visit = self.after(contended);
        Self {
            left: visit.left.saturating_sub(1),
            ..visit
        }
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

    /// Each takes a turn, while others wait elsewhere since `contended`.
    pub(super) fn turned(self, contended: Visit) -> Self {
        let mut units = Self::default();
        for (visit, count) in self.0 {
            units.add(visit.turned(contended), count);
        }
        units
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(ms: u64, left: usize) -> Visit {
        let began = Moment::default() + Duration::from_millis(ms);
        Visit { began, left }
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
        assert_eq!(units.take(5, |of| of.left == 3), None);
        let rest = units.take(4, |of| of.left == 3).unwrap_or_default();
        assert_eq!((rest.count(), units.count()), (4, 0));
    }

    #[test]
    fn a_visit_takes_as_many_turns_as_tasks_waited_when_it_began_or_when_others_came() {
        let at = |ms| Moment::default() + Duration::from_millis(ms);
        let never = visit(0, 0);
        assert!(visit(10, 1).is_open(at(500), never));
        let turned = visit(10, 1).turned(never);
        assert!(!turned.is_open(at(500), never), "it took its turn");
        assert!(turned.is_open(at(11), never), "2 ms");
        assert!(!visit(10, 4).is_open(at(1010), never), "a second");
        let told = visit(800, 2);
        assert!(visit(10, 0).is_open(at(900), told));
        let turned = Units::new(visit(10, 0), 2).turned(told);
        assert_eq!(turned, Units::new(visit(800, 1), 2));
    }
}
