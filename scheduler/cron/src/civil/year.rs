//! Years: where they start, how they look, and which dates they have.

use crate::sets::{Days, Sets};

pub(super) const FIRST_YEAR: u16 = 1970;
pub(super) const LAST_YEAR: u16 = 9999;
pub(super) const SECONDS_A_DAY: i64 = 86_400;

/// The first second behind the last year.
pub(super) const END: i64 = start_of(LAST_YEAR + 1);

/// The first second of a year.
pub(super) const fn start_of(year: u16) -> i64 {
    day_of(year) * SECONDS_A_DAY
}

/// The first day of a year, counted from 1970-01-01.
const fn day_of(year: u16) -> i64 {
    let before = year as i64 - 1;
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

pub(super) const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The weekday of January 1, 0 is Sunday.
const fn first_weekday(year: u16) -> i64 {
    // 1970-01-01 was a Thursday.
    (day_of(year) + 4).rem_euclid(7)
}

/// How a year looks: leap or not, and the weekday it begins with. Years of one kind have the same dates on the same
/// weekdays, and there are only fourteen kinds.
pub(super) const fn kind_of(year: u16) -> usize {
    let leap = if is_leap(year) { 7 } else { 0 };
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a weekday is 0 to 6"
    )]
    let weekday = first_weekday(year) as usize;
    leap + weekday
}

/// How many kinds of years there are.
pub(super) const KINDS: usize = 14;

/// A year between 2000 and 2027 that looks like `year`; these 28 years are of every kind.
pub(super) const fn look_alike(year: u16) -> u16 {
    LOOK_ALIKES[kind_of(year)]
}

const LOOK_ALIKES: [u16; KINDS] = {
    let mut years = [0; KINDS];
    let mut year = 2000;
    while year < 2028 {
        years[kind_of(year)] = year;
        year += 1;
    }
    years
};

/// The number of days of a month (1-12) in a leap year.
pub(crate) const fn longest_month(month: u16) -> u16 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether some date of `year` is in the sets; its month, its days, not whether `year` is asked for.
pub(crate) fn year_has_match(sets: &Sets, year: u16) -> bool {
    let mut weekday = first_weekday(year);
    for month in 1..=12 {
        let february_lacks = u16::from(month == 2 && !is_leap(year));
        for day in 1..=longest_month(month) - february_lacks {
            let of_weekday =
                |days: &crate::sets::Values| days.iter().any(|day| i64::from(*day) == weekday);
            let matches = match &sets.days {
                Days::Both { of_month, of_week } => of_month.contains(&day) && of_weekday(of_week),
                Days::Either { of_month, of_week } => {
                    of_month.contains(&day) || of_weekday(of_week)
                }
            };
            if matches && sets.months.contains(&month) {
                return true;
            }
            weekday = (weekday + 1) % 7;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn every_year_agrees_with_an_independent_calendar() {
        for year in FIRST_YEAR..=LAST_YEAR + 1 {
            let date = NaiveDate::from_ymd_opt(year.into(), 1, 1).expect("a date");
            assert_eq!(date.leap_year(), is_leap(year), "{year}");
            assert_eq!(
                i64::from(date.weekday().num_days_from_sunday()),
                first_weekday(year),
                "{year}"
            );
            let midnight = date.and_hms_opt(0, 0, 0).expect("a time").and_utc();
            assert_eq!(midnight.timestamp(), start_of(year), "{year}");
        }
    }

    #[test]
    fn every_year_has_a_look_alike() {
        for year in FIRST_YEAR..=LAST_YEAR {
            let alike = look_alike(year);
            assert!((2000..2028).contains(&alike), "{year}");
            assert_eq!(kind_of(alike), kind_of(year), "{year}");
        }
    }
}
