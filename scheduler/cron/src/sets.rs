//! An expression after parsing: plain sets of numbers, so that equal schedules are equal however they were written.

use std::sync::Arc;

use crate::civil::{FIRST_YEAR, Kinds, LAST_YEAR, year_has_match};
use crate::field::Field;

/// What every field matches, in one normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sets {
    pub(crate) seconds: Values,
    pub(crate) minutes: Values,
    pub(crate) hours: Values,
    pub(crate) months: Values,
    pub(crate) days: Days,
    /// `None` is every year of the calendar. Only years in which a date matches are in here.
    pub(crate) years: Option<Arc<[u16]>>,
    /// The kinds of years that are not among them.
    pub(crate) absent: Kinds,
    /// Whether the second, minute or hour field starts with `*`: then time is walked, see the crate's documentation.
    pub(crate) walks: bool,
}

impl Sets {
    /// Drops the years in which no date matches, so that none of them is ever searched.
    pub(crate) fn keep_live_years(&mut self) {
        if let Some(years) = &self.years {
            let live = years.iter().copied();
            let live: Arc<[u16]> = live.filter(|year| year_has_match(self, *year)).collect();
            self.absent = Kinds::other_than(live.iter().copied());
            self.years = Some(live);
        }
    }

    pub(crate) fn has_year(&self, year: u16) -> bool {
        match &self.years {
            None => (FIRST_YEAR..=LAST_YEAR).contains(&year),
            Some(years) => years.binary_search(&year).is_ok(),
        }
    }
}

/// The values that a field matches, one bit each; every field but the year fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Values(pub(crate) u64);

impl Values {
    pub(crate) const fn one(value: u16) -> Self {
        Self(1 << value)
    }

    /// Every value of a field.
    pub(crate) fn full(field: Field) -> Self {
        let mut values = Self::default();
        for value in field.allowed() {
            values.insert(field.canonical(value));
        }
        values
    }

    pub(crate) const fn insert(&mut self, value: u16) {
        self.0 |= 1 << value;
    }

    pub(crate) const fn contains(self, value: u16) -> bool {
        self.0 >> value & 1 == 1
    }

    pub(crate) const fn first(self) -> Option<u16> {
        match self.0 {
            0 => None,
            bits => Some(small(bits.trailing_zeros())),
        }
    }

    pub(crate) const fn last(self) -> Option<u16> {
        match self.0 {
            0 => None,
            bits => Some(small(bits.ilog2())),
        }
    }

    /// The values at or above `value`, which is below 64.
    pub(crate) const fn from(self, value: u16) -> Self {
        Self(self.0 >> value << value)
    }

    /// The values below `value`, which is below 64.
    pub(crate) const fn below(self, value: u16) -> Self {
        Self(self.0 & ((1 << value) - 1))
    }

    /// The values, in order.
    pub(crate) const fn iter(self) -> Bits {
        Bits(self.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the number of a bit is below 64"
)]
const fn small(bit: u32) -> u16 {
    bit as u16
}

/// The values of a set, from either end.
#[derive(Clone, Debug)]
pub(crate) struct Bits(u64);

impl Iterator for Bits {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let first = Values(self.0).first()?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

impl DoubleEndedIterator for Bits {
    fn next_back(&mut self) -> Option<u16> {
        let last = Values(self.0).last()?;
        self.0 &= !(1 << last);
        Some(last)
    }
}

/// Which days match, by day of month (1-31) and day of week (0-6, 0 is Sunday).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Days {
    pub(crate) of_month: Values,
    pub(crate) of_week: Values,
    /// Whether one of the sets has to contain the day; else both.
    pub(crate) either: bool,
}

impl Days {
    /// The POSIX rule: the two add up only if both are restricted.
    pub(crate) fn new(of_month: Values, of_week: Values, both_restricted: bool) -> Self {
        let every_day = Values::full(Field::DayOfMonth);
        let every_weekday = Values::full(Field::DayOfWeek);
        if both_restricted && (of_month == every_day || of_week == every_weekday) {
            return Self {
                of_month: every_day,
                of_week: every_weekday,
                either: false,
            };
        }
        Self {
            of_month,
            of_week,
            either: both_restricted,
        }
    }
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
