//! The seven fields and what each of them allows.

use std::fmt;
use std::ops::RangeInclusive;

/// A field of a cron expression.
///
/// ```
/// use leasehold_cron::Field;
///
/// assert_eq!(Field::DayOfWeek.to_string(), "day of week");
/// assert_eq!(Field::DayOfWeek.allowed(), 0..=7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Seconds of the minute, only in expressions of six or seven fields.
    Second,
    /// Minutes of the hour.
    Minute,
    /// Hours of the day.
    Hour,
    /// Days of the month.
    DayOfMonth,
    /// Months, 1 is January.
    Month,
    /// Days of the week: 0 and 7 are Sunday, 1 is Monday.
    DayOfWeek,
    /// Years, only in expressions of seven fields.
    Year,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    /// The numbers the field accepts.
    ///
    /// ```
    /// assert_eq!(leasehold_cron::Field::Hour.allowed(), 0..=23);
    /// ```
    pub const fn allowed(self) -> RangeInclusive<u16> {
        match self {
            Self::Second | Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::DayOfMonth => 1..=31,
            Self::Month => 1..=12,
            Self::DayOfWeek => 0..=7,
            Self::Year => 1970..=9999,
        }
    }

    /// The number that `name` stands for in this field, whatever its case.
    pub(crate) fn named(self, name: &str) -> Option<u16> {
        let (names, first): (&[&str], u16) = match self {
            Self::Month => (&MONTHS, 1),
            Self::DayOfWeek => (&WEEKDAYS, 0),
            _ => return None,
        };
        (first..)
            .zip(names)
            .find_map(|(value, known)| known.eq_ignore_ascii_case(name).then_some(value))
    }

    /// What may be written for a single value, for error messages.
    pub(crate) const fn vocabulary(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0-59",
            Self::Hour => "0-23",
            Self::DayOfMonth => "1-31",
            Self::Month => "1-12 or jan-dec",
            Self::DayOfWeek => "0-7 or sun-sat",
            Self::Year => "1970-9999",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
            Self::Year => "year",
        })
    }
}
