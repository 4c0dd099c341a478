//! An expression after parsing: plain sets of numbers, so that equal schedules are equal however they were written.

use std::collections::BTreeSet;

use crate::field::Field;

/// The values a field matches.
pub(crate) type Values = BTreeSet<u16>;

/// What every field matches, in one normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sets {
    pub(crate) seconds: Values,
    pub(crate) minutes: Values,
    pub(crate) hours: Values,
    pub(crate) months: Values,
    pub(crate) days: Days,
    /// `None` is every year of the calendar.
    pub(crate) years: Option<Values>,
}

/// Which days match, by day of month (1-31) and day of week (0-6, 0 is Sunday).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Days {
    /// Both sets have to contain the day.
    Both { of_month: Values, of_week: Values },
    /// One of the sets has to contain the day.
    Either { of_month: Values, of_week: Values },
}

impl Days {
    /// The POSIX rule: the two add up only if both are restricted.
    pub(crate) fn new(of_month: Values, of_week: Values, both_restricted: bool) -> Self {
        if !both_restricted {
            return Self::Both { of_month, of_week };
        }
        let (all_days, all_weekdays) = (full(Field::DayOfMonth), full(Field::DayOfWeek));
        if of_month == all_days || of_week == all_weekdays {
            return Self::Both {
                of_month: all_days,
                of_week: all_weekdays,
            };
        }
        Self::Either { of_month, of_week }
    }
}

/// Every value of a field.
pub(crate) fn full(field: Field) -> Values {
    field
        .allowed()
        .map(|value| field.canonical(value))
        .collect()
}

impl Field {
    /// Two numbers mean Sunday; the sets know one.
    pub(crate) fn canonical(self, value: u16) -> u16 {
        match self {
            Self::DayOfWeek => value % 7,
            _ => value,
        }
    }
}
