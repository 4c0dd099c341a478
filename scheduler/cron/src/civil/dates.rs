//! Matching of days: a month at a time, with one bit a day.

use std::iter::successors;

use super::calendar::{date_of, month_len, start_of_month};
use crate::sets::{Sets, Values};

/// The first matching day at or after `day`, both counted from 1970-01-01.
pub(super) fn first_from(sets: &Sets, day: i64) -> Option<i64> {
    let (year, month, of_month) = date_of(day);
    let first = |year, month, days: Values| Some(day_number(year, month, days.first()?));
    let of_year = |year, months: Values| {
        months
            .iter()
            .find_map(|month| first(year, month, days_of(sets, year, month)))
    };
    if sets.year_from(year) == Some(year) {
        if sets.months.contains(month)
            && let Some(found) = first(year, month, days_of(sets, year, month).from(of_month))
        {
            return Some(found);
        }
        if let Some(found) = of_year(year, sets.months.from(month + 1)) {
            return Some(found);
        }
    }
    successors(sets.year_from(year + 1), |year| sets.year_from(year + 1))
        .find_map(|year| of_year(year, sets.months))
}

/// The last matching day at or before `day`, both counted from 1970-01-01.
pub(super) fn last_until(sets: &Sets, day: i64) -> Option<i64> {
    let (year, month, of_month) = date_of(day);
    let last = |year, month, days: Values| Some(day_number(year, month, days.last()?));
    let of_year = |year, months: Values| {
        months
            .iter()
            .rev()
            .find_map(|month| last(year, month, days_of(sets, year, month)))
    };
    if sets.year_until(year) == Some(year) {
        if sets.months.contains(month)
            && let Some(found) = last(year, month, days_of(sets, year, month).below(of_month + 1))
        {
            return Some(found);
        }
        if let Some(found) = of_year(year, sets.months.below(month)) {
            return Some(found);
        }
    }
    successors(sets.year_until(year - 1), |year| sets.year_until(year - 1))
        .find_map(|year| of_year(year, sets.months))
}

/// Whether some date of `year` is in the sets; its month, its days, not whether `year` is asked for.
pub(crate) fn year_has_match(sets: &Sets, year: u16) -> bool {
    (sets.months.iter()).any(|month| days_of(sets, year, month) != Values::default())
}

fn day_number(year: u16, month: u16, of_month: u16) -> i64 {
    start_of_month(year, month) + i64::from(of_month) - 1
}

/// The matching days of a month.
fn days_of(sets: &Sets, year: u16, month: u16) -> Values {
    // One bit a week over five weeks.
    const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
    // 1970-01-01 was a Thursday.
    let first_weekday = (start_of_month(year, month) + 4) % 7;
    let from_first =
        sets.days.of_week.0 >> first_weekday | sets.days.of_week.0 << (7 - first_weekday);
    let of_week = ((from_first & 0x7f) * WEEKS) << 1;
    let of_month = sets.days.of_month.0;
    let days = if sets.days.either {
        of_month | of_week
    } else {
        of_month & of_week
    };
    // No month has a day 0.
    Values(days & !1).below(month_len(year, month) + 1)
}
