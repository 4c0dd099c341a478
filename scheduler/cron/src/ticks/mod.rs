//! From matching civil times to instants, in a zone whose clocks change.

mod fixed;
mod walk;

use crate::civil::{self, Barren, END, SECONDS_A_DAY, year_of};
use crate::dst::Dst;
use crate::sets::Sets;
use crate::zone::Zone;

/// Clocks of any zone are within this of UTC.
const MOST_OFFSET_S: i64 = SECONDS_A_DAY;

/// The two ends of what is searched: no instant of the calendar lies beyond, in any zone.
const FIRST_S: i64 = -2 * MOST_OFFSET_S;
const LAST_S: i64 = END + 2 * MOST_OFFSET_S;

/// The instants at which a schedule is due.
#[derive(Clone, Copy)]
pub(crate) struct Ticks<'a> {
    pub(crate) sets: &'a Sets,
    pub(crate) zone: &'a Zone,
    pub(crate) dst: Dst,
}

impl Ticks<'_> {
    /// The first tick after `unix_s`.
    pub(crate) fn next_after(self, unix_s: i64) -> Option<i64> {
        let after = unix_s.max(FIRST_S);
        if after >= LAST_S {
            return None;
        }
        if self.sets.walks {
            return self.next_shown(after);
        }
        match self.dst {
            Dst::Once => self.next_reached(after),
            Dst::Skip => self.next_reached_and_shown(after),
            Dst::Both => earliest(self.next_reached(after), self.next_shown(after)),
        }
    }

    /// The last tick before `unix_s`.
    pub(crate) fn previous_before(self, unix_s: i64) -> Option<i64> {
        let before = unix_s.min(LAST_S);
        if before <= FIRST_S {
            return None;
        }
        if self.sets.walks {
            return self.last_shown(before);
        }
        match self.dst {
            Dst::Once => self.last_reached(before),
            Dst::Skip => self.last_reached_and_shown(before),
            // No instant is less than any.
            Dst::Both => self.last_reached(before).max(self.last_shown(before)),
        }
    }

    /// Whether a time that clocks skipped is due at `tick` instead.
    pub(crate) fn moved_by_dst(self, tick: i64) -> bool {
        let is_fixed = !self.sets.walks && self.dst != Dst::Skip;
        is_fixed && (FIRST_S..LAST_S).contains(&tick) && self.is_reached_by_a_jump(tick)
    }
}

/// A search in one direction: what it knows of years in which nothing is due.
struct Search<'a> {
    sets: &'a Sets,
    barren: Barren,
}

impl<'a> Search<'a> {
    fn new(ticks: Ticks<'a>) -> Self {
        Self {
            sets: ticks.sets,
            barren: Barren::new(ticks.sets.absent, ticks.zone.ruled_from()),
        }
    }

    /// The first match at or after `second` of the calendar, which the search goes to.
    fn first_from(&mut self, second: i64) -> Option<i64> {
        self.peek_from(second).map(|found| self.go_to(found))
    }

    /// The last match at or before `second` of the calendar, which the search goes to.
    fn last_until(&mut self, second: i64) -> Option<i64> {
        self.peek_until(second).map(|found| self.go_to(found))
    }

    fn peek_from(&mut self, second: i64) -> Option<i64> {
        civil::first_from(self.sets, second, &mut self.barren)
    }

    fn peek_until(&mut self, second: i64) -> Option<i64> {
        civil::last_until(self.sets, second, &mut self.barren)
    }

    /// Of what clocks show before that match (in the direction of the search), nothing is due.
    fn go_to(&mut self, found: i64) -> i64 {
        self.barren.tries(year_of(found / SECONDS_A_DAY));
        found
    }
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
