//! The rule for all years after the last listed change, in the form of POSIX's `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`.

use crate::civil::{SECONDS_A_DAY, day_of, is_leap, start_of_month};

/// Seconds east of UTC, and when they change within a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) standard: i64,
    pub(super) summer: Option<Summer>,
}

/// The part of the year with another offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summer {
    pub(super) offset: i64,
    starts: When,
    ends: When,
}

/// A day of the year, and a time on its clock: seconds from its midnight, up to a week before it or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct When {
    day: Day,
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// `J60`: the day of a year without February 29, counted from 1.
    WithoutLeap(u16),
    /// `59`: the day of the year, counted from 0.
    OfYear(u16),
    /// `M3.5.0`: the nth weekday of a month, of which 5 is the last.
    Weekday { month: u16, nth: u16, weekday: u16 },
}

impl Rule {
    pub(super) const UTC: Self = Self {
        standard: 0,
        summer: None,
    };

    /// `None` if the text is no such rule.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = skip_name(text)?;
        let (west, rest) = clock(rest)?;
        let standard = -west;
        if rest.is_empty() {
            return Some(Self {
                standard,
                summer: None,
            });
        }
        let rest = skip_name(rest)?;
        let (offset, rest) = match rest.strip_prefix(',') {
            Some(_) => (standard + 3_600, rest),
            None => clock(rest).map(|(west, rest)| (-west, rest))?,
        };
        let (starts, ends) = rest.strip_prefix(',')?.split_once(',')?;
        let summer = Summer {
            offset,
            starts: When::parse(starts)?,
            ends: When::parse(ends)?,
        };
        Some(Self {
            standard,
            summer: Some(summer),
        })
    }
}

impl Summer {
    /// Whether both changes are well within the year, by any clock: so that each year has its own.
    pub(super) const fn is_within_year(&self) -> bool {
        self.starts.is_within_year() && self.ends.is_within_year()
    }

    /// The instant of its start in a year, by the clocks of before.
    pub(super) fn starts(&self, year: u16, standard: i64) -> i64 {
        self.starts.in_year(year) - standard
    }

    /// The instant of its end in a year, by the clocks of before.
    pub(super) fn ends(&self, year: u16) -> i64 {
        self.ends.in_year(year) - self.offset
    }
}

impl When {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = match text.split_once('/') {
            None => (text, 2 * 3_600),
            Some((day, time)) => match clock(time)? {
                (time, "") => (day, time),
                _ => return None,
            },
        };
        let day = if let Some(day) = day.strip_prefix('J') {
            Day::WithoutLeap(within(day, 1, 365)?)
        } else if let Some(day) = day.strip_prefix('M') {
            let mut parts = day.split('.');
            let mut part = |low, high| within(parts.next()?, low, high);
            Day::Weekday {
                month: part(1, 12)?,
                nth: part(1, 5)?,
                weekday: part(0, 6)?,
            }
        } else {
            Day::OfYear(within(day, 0, 365)?)
        };
        Some(Self { day, time })
    }

    /// The time of the day is within a week, and an offset within a day.
    const fn is_within_year(self) -> bool {
        match self.day {
            Day::WithoutLeap(day) | Day::OfYear(day) => 15 <= day && day <= 350,
            Day::Weekday { month, .. } => 2 <= month && month <= 11,
        }
    }

    /// Civil seconds since 1970.
    fn in_year(self, year: u16) -> i64 {
        let day = match self.day {
            Day::OfYear(day) => day_of(year) + i64::from(day),
            Day::WithoutLeap(day) => {
                let behind_leap_day = is_leap(year) && day >= 60;
                day_of(year) + i64::from(day) - 1 + i64::from(behind_leap_day)
            }
            Day::Weekday {
                month,
                nth: 5,
                weekday,
            } => {
                let end = match month {
                    12 => day_of(year + 1),
                    _ => start_of_month(year, month + 1),
                };
                on_weekday(end - 7, weekday)
            }
            Day::Weekday {
                month,
                nth,
                weekday,
            } => on_weekday(start_of_month(year, month), weekday) + 7 * i64::from(nth - 1),
        };
        day * SECONDS_A_DAY + self.time
    }
}

/// The first such weekday (0 is Sunday) at or after a day counted from 1970-01-01, a Thursday.
fn on_weekday(day: i64, weekday: u16) -> i64 {
    day + (i64::from(weekday) - 4 - day).rem_euclid(7)
}

/// Behind `CET`, or `<+0330>`.
fn skip_name(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('<') {
        return Some(quoted.split_once('>')?.1);
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    (rest.len() < text.len()).then_some(rest)
}

/// `-3:30`, `2` or `+26:00:00` as seconds, and what comes behind it.
fn clock(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = digits.find(|c: char| c != ':' && !c.is_ascii_digit());
    let (clock, rest) = digits.split_at(end.unwrap_or(digits.len()));
    let mut parts = clock.split(':');
    let hours = within(parts.next()?, 0, 167)?;
    let mut seconds = i64::from(hours) * 3_600;
    for unit in [60, 1] {
        if let Some(part) = parts.next() {
            seconds += i64::from(within(part, 0, 59)?) * unit;
        }
    }
    parts.next().is_none().then_some((sign * seconds, rest))
}

fn within(number: &str, low: u16, high: u16) -> Option<u16> {
    let number = number.parse().ok()?;
    (low..=high).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_rule_is_read() {
        let offsets = |text| {
            let rule = Rule::parse(text)?;
            Some((rule.standard, rule.summer.map(|summer| summer.offset)))
        };
        assert_eq!(
            offsets("CET-1CEST,M3.5.0,M10.5.0/3"),
            Some((3_600, Some(7_200)))
        );
        assert_eq!(offsets("<+0330>-3:30"), Some((12_600, None)));
        assert_eq!(
            offsets("<-02>2<-01>,M3.5.0/-1,M10.5.0/0"),
            Some((-7_200, Some(-3_600)))
        );
        assert_eq!(
            offsets("XXX3EDT4,0/0,J365/23"),
            Some((-10_800, Some(-14_400)))
        );
        for broken in [
            "",
            "-1",
            "<+03",
            "CET",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.5.0,1",
            "CET-1:2:3:4",
        ] {
            assert_eq!(offsets(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_day_of_the_year_is_found_in_every_form() {
        let day = |text: &str, year| {
            let when = When::parse(&format!("{text}/0")).expect("a rule");
            when.in_year(year) / SECONDS_A_DAY - day_of(year)
        };
        // February 29 and March 1 are days 59 and 60 of a leap year.
        assert_eq!(
            [day("59", 2024), day("60", 2024), day("59", 2025)],
            [59, 60, 59]
        );
        assert_eq!(
            [day("J59", 2024), day("J60", 2024), day("J60", 2025)],
            [58, 60, 59]
        );
        // The Sundays of March 2026 are the 1st, 8th, 15th, 22nd and 29th.
        assert_eq!(
            [
                day("M3.1.0", 2026),
                day("M3.2.0", 2026),
                day("M3.5.0", 2026)
            ],
            [59, 66, 87]
        );
        assert_eq!(day("M12.5.4", 2026), 364);
    }
}
