//! Fixed times: each is due when clocks first show it, or skip it.
//!
//! Both are the first instant at which clocks show that time *or a later one*: it is *reached*. So the ticks are those
//! of the civil calendar, in order; a time that is repeated was reached before, and times that are skipped are all
//! reached at the first instant behind the gap, which is one tick.

use super::{MOST_OFFSET_S, Search, Ticks};

impl Ticks<'_> {
    /// The first instant after `after` at which a matching time is reached.
    pub(super) fn next_reached(self, after: i64) -> Option<i64> {
        let next = Search::new(self).first_from(self.latest_shown(after) + 1)?;
        Some(self.when_reached(next).0)
    }

    /// The last instant before `before` at which a matching time is reached.
    pub(super) fn last_reached(self, before: i64) -> Option<i64> {
        let last = Search::new(self).last_until(self.latest_shown(before - 1))?;
        Some(self.when_reached(last).0)
    }

    /// As `next_reached`, without times that are skipped.
    pub(super) fn next_reached_and_shown(self, after: i64) -> Option<i64> {
        let mut search = Search::new(self);
        let mut from = self.latest_shown(after) + 1;
        loop {
            let next = search.first_from(from)?;
            let (at, shown) = self.when_reached(next);
            if shown == next {
                return Some(at);
            }
            from = shown;
        }
    }

    /// As `last_reached`, without times that are skipped.
    pub(super) fn last_reached_and_shown(self, before: i64) -> Option<i64> {
        let mut search = Search::new(self);
        let mut until = self.latest_shown(before - 1);
        loop {
            let last = search.last_until(until)?;
            let (at, shown) = self.when_reached(last);
            if shown == last {
                return Some(at);
            }
            until = self.latest_shown(at - 1);
        }
    }

    /// Whether clocks jump at `tick`, over a matching time.
    pub(super) fn is_reached_by_a_jump(self, tick: i64) -> bool {
        let skipped = self.latest_shown(tick - 1) + 1;
        let shown = tick + self.zone.span_at(tick).offset;
        (Search::new(self).first_from(skipped)).is_some_and(|next| next < shown)
    }

    /// The latest time that clocks have shown up to `unix_s`: all up to it are reached.
    fn latest_shown(self, unix_s: i64) -> i64 {
        let mut span = self.zone.span_at(unix_s);
        let mut latest = unix_s + span.offset;
        // Whatever was shown longer ago is shown again, and passed.
        while span.start > unix_s - 2 * MOST_OFFSET_S {
            let end = span.start - 1;
            span = self.zone.span_at(end);
            latest = latest.max(end + span.offset);
        }
        latest
    }

    /// The first instant at which clocks show `time` or a later one, and which.
    fn when_reached(self, time: i64) -> (i64, i64) {
        // Before this instant no clock did.
        let mut span = self.zone.span_at(time - MOST_OFFSET_S);
        loop {
            let at = span.start.max(time - span.offset);
            if at < span.end {
                return (at, at + span.offset);
            }
            span = self.zone.span_at(span.end);
        }
    }
}
