//! The times between changes of a zone's clocks.

use super::posix::Rule;
use super::tzif::Tzif;
use crate::civil::{SECONDS_A_DAY, year_of};

/// From `start` to before `end`, in seconds since 1970, clocks show the time of UTC plus `offset` seconds. Two spans
/// that touch may have the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) offset: i64,
}

/// All changes of a zone: those that are listed, and the rule for what comes after them.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    listed: Tzif<'static>,
    rule: Rule,
}

impl Changes {
    pub(super) const NONE: Self = Self {
        listed: Tzif::EMPTY,
        rule: Rule::UTC,
    };

    pub(super) fn read(tzif: &'static [u8]) -> Option<Self> {
        let listed = Tzif::read(tzif)?;
        let rule = Rule::parse(listed.footer)?;
        Some(Self { listed, rule })
    }

    /// The span that `unix_s` is in; it lies within the calendar, or a few days outside of it.
    pub(super) fn span_at(&self, unix_s: i64) -> Span {
        let before = self.listed.changes_until(unix_s);
        let start = match before.checked_sub(1) {
            Some(last) => self.listed.time(last),
            None => i64::MIN,
        };
        if before == self.listed.len() {
            let span = self.ruled(unix_s);
            return Span {
                start: span.start.max(start),
                ..span
            };
        }
        Span {
            start,
            end: self.listed.time(before),
            offset: self.listed.offset(before),
        }
    }

    /// The span by the rule alone.
    fn ruled(&self, unix_s: i64) -> Span {
        let standard = self.rule.standard;
        let mut span = Span {
            start: i64::MIN,
            end: i64::MAX,
            offset: standard,
        };
        let Some(summer) = self.rule.summer else {
            return span;
        };
        // Changes may be in a neighbouring year by UTC. In order: of two at one instant the later one counts.
        let year = year_of(unix_s.div_euclid(SECONDS_A_DAY));
        for year in [year - 1, year, year + 1] {
            let starts = (summer.starts(year, standard), summer.offset);
            let ends = (summer.ends(year), standard);
            let pair = if starts.0 < ends.0 {
                [starts, ends]
            } else {
                [ends, starts]
            };
            for (at, offset) in pair {
                if at <= unix_s {
                    (span.start, span.offset) = (at, offset);
                } else {
                    span.end = span.end.min(at);
                }
            }
        }
        span
    }
}
