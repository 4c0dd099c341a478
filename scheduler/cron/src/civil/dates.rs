//! Matching of days: a month at a time, with one bit a day.

use super::barren::Barren;
use super::calendar::{FIRST_YEAR, LAST_YEAR, date_of, month_len, start_of_month};
use crate::sets::{Sets, Values};

/// The first matching day at or after `day`, both counted from 1970-01-01.
pub(super) fn first_from(sets: &Sets, day: i64, barren: &mut Barren) -> Option<i64> {
    let (year, month, of_month) = date_of(day);
    let first = |year, month, days: Values| Some(day_number(year, month, days.first()?));
    let of_year = |year, months: Values| {
        months
            .iter()
            .find_map(|month| first(year, month, days_of(sets, year, month)))
    };
    if sets.has_year(year) {
        if sets.months.contains(month)
            && let Some(found) = first(year, month, days_of(sets, year, month).from(of_month))
        {
            return Some(found);
        }
        if let Some(found) = of_year(year, sets.months.from(month + 1)) {
            return Some(found);
        }
    }
    let found_in = |year| of_year(year, sets.months);
    match &sets.years {
        None => first_in(year + 1..=LAST_YEAR, found_in, barren),
        Some(years) => {
            let from = years.partition_point(|own| *own <= year);
            first_in(years[from..].iter().copied(), found_in, barren)
        }
    }
}

/// The last matching day at or before `day`, both counted from 1970-01-01.
pub(super) fn last_until(sets: &Sets, day: i64, barren: &mut Barren) -> Option<i64> {
    let (year, month, of_month) = date_of(day);
    let last = |year, month, days: Values| Some(day_number(year, month, days.last()?));
    let of_year = |year, months: Values| {
        months
            .iter()
            .rev()
            .find_map(|month| last(year, month, days_of(sets, year, month)))
    };
    if sets.has_year(year) {
        if sets.months.contains(month)
            && let Some(found) = last(year, month, days_of(sets, year, month).below(of_month + 1))
        {
            return Some(found);
        }
        if let Some(found) = of_year(year, sets.months.below(month)) {
            return Some(found);
        }
    }
    let found_in = |year| of_year(year, sets.months);
    let listed_before = |year| {
        let years = sets.years.as_deref().unwrap_or_default();
        &years[..years.partition_point(|own| *own < year)]
    };
    let mut before = year;
    loop {
        let found = match &sets.years {
            None => last_in((FIRST_YEAR..before).rev(), found_in, barren),
            Some(_) => last_in(
                listed_before(before).iter().rev().copied(),
                found_in,
                barren,
            ),
        };
        match found {
            Ok(found) => return found,
            Err(year) => before = year,
        }
    }
}

/// What is found in the first of `years` in which something is.
fn first_in(
    years: impl Iterator<Item = u16>,
    found_in: impl Fn(u16) -> Option<i64>,
    barren: &mut Barren,
) -> Option<i64> {
    for year in years {
        if barren.is_all_from(year) {
            return None;
        }
        if !barren.has(year) {
            if let Some(found) = found_in(year) {
                return Some(found);
            }
            barren.note_dateless(year);
        }
    }
    None
}

/// As `first_in`, or a year before which to go on, since all from it to here are barren.
fn last_in(
    years: impl Iterator<Item = u16>,
    found_in: impl Fn(u16) -> Option<i64>,
    barren: &mut Barren,
) -> Result<Option<i64>, u16> {
    for year in years {
        if barren.is_all_from(year) {
            return Err(barren.first_of_all());
        }
        if !barren.has(year) {
            if let Some(found) = found_in(year) {
                return Ok(Some(found));
            }
            barren.note_dateless(year);
        }
    }
    Ok(None)
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
