//! Walking time: due is every instant at which clocks show a matching time.

use super::{MOST_OFFSET_S, Search, Ticks};

/// Clocks that were changed show a time again at most this much later.
const MOST_REPEATED_S: i64 = 2 * MOST_OFFSET_S;

impl Ticks<'_> {
    /// The first instant after `after` at which clocks show a matching time.
    pub(super) fn next_shown(self, after: i64) -> Option<i64> {
        let mut search = Search::new(self);
        let mut from = after + 1;
        loop {
            let span = self.zone.span_at(from);
            let shown = search.peek_from(from + span.offset);
            if let Some(shown) = shown
                && shown - span.offset < span.end
            {
                return Some(shown - span.offset);
            }
            if span.end - MOST_REPEATED_S <= from {
                from = span.end;
                continue;
            }
            // Nothing that matches from here to `shown` is shown any more: there is nothing to do until then.
            let shown = search.go_to(shown?);
            from = span.end.max(shown - MOST_OFFSET_S);
        }
    }

    /// The last instant before `before` at which clocks show a matching time.
    pub(super) fn last_shown(self, before: i64) -> Option<i64> {
        let mut search = Search::new(self);
        let mut until = before - 1;
        loop {
            let span = self.zone.span_at(until);
            let shown = search.peek_until(until + span.offset);
            if let Some(shown) = shown
                && shown - span.offset >= span.start
            {
                return Some(shown - span.offset);
            }
            if span.start > until - MOST_REPEATED_S {
                until = span.start - 1;
                continue;
            }
            // As above: nothing from `shown` to here was shown before.
            let shown = search.go_to(shown?);
            until = (span.start - 1).min(shown + MOST_OFFSET_S);
        }
    }
}
