//! The civil calendar from 1970 to 9999, in days counted from 1970-01-01.

pub(crate) const FIRST_YEAR: u16 = 1970;
pub(crate) const LAST_YEAR: u16 = 9999;
pub(crate) const SECONDS_A_DAY: i64 = 86_400;

/// The first second behind the last year.
pub(crate) const END: i64 = day_of(LAST_YEAR + 1) * SECONDS_A_DAY;

/// The first day of a year.
pub(crate) const fn day_of(year: u16) -> i64 {
    let before = year as i64 - 1;
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

pub(crate) const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The first day of a month (1-12).
pub(crate) const fn start_of_month(year: u16, month: u16) -> i64 {
    day_of(year) + days_before(month, is_leap(year))
}

/// The number of days of a month (1-12).
pub(crate) const fn month_len(year: u16, month: u16) -> u16 {
    longest_month(month) - (month == 2 && !is_leap(year)) as u16
}

/// The number of days of a month (1-12) in a leap year.
pub(crate) const fn longest_month(month: u16) -> u16 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days of a year before a month.
const fn days_before(month: u16, is_leap: bool) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE[month as usize - 1] + (is_leap && month > 2) as i64
}

/// The year that a day is in; both are in the calendar, or at most a year outside of it.
pub(crate) fn year_of(day: i64) -> u16 {
    // By the mean length of a year, which is off by one at most.
    let estimate = i64::from(FIRST_YEAR) + (day * 400).div_euclid(146_097);
    let year = u16::try_from(estimate).unwrap_or(LAST_YEAR);
    match day {
        _ if day < day_of(year) => year - 1,
        _ if day >= day_of(year + 1) => year + 1,
        _ => year,
    }
}

/// Year, month and day of month of a day of the calendar.
pub(crate) fn date_of(day: i64) -> (u16, u16, u16) {
    let year = year_of(day);
    let of_year = day - day_of(year);
    let is_leap = is_leap(year);
    // A month has 29 days or more, so this is right or one too many.
    let mut month = 1;
    while month < 12 && days_before(month + 1, is_leap) <= of_year {
        month += 1;
    }
    let of_month = of_year - days_before(month, is_leap) + 1;
    (year, month, u16::try_from(of_month).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Days, NaiveDate};

    use super::*;

    #[test]
    fn every_day_agrees_with_an_independent_calendar() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        for day in 0..END / SECONDS_A_DAY {
            let date = epoch + Days::new(day.try_into().expect("not negative"));
            let (year, month, of_month) = date_of(day);
            assert_eq!(i32::from(year), date.year(), "{date}");
            assert_eq!(u32::from(month), date.month(), "{date}");
            assert_eq!(u32::from(of_month), date.day(), "{date}");
            assert_eq!(start_of_month(year, month), day + 1 - i64::from(of_month));
            if of_month == 1 {
                assert_eq!(
                    u8::try_from(month_len(year, month)),
                    Ok(date.num_days_in_month())
                );
            }
        }
    }

    #[test]
    fn the_year_of_a_day_is_right_at_both_ends_of_every_year() {
        for year in FIRST_YEAR - 1..=LAST_YEAR + 1 {
            assert_eq!(year_of(day_of(year)), year);
            assert_eq!(year_of(day_of(year + 1) - 1), year);
        }
    }
}
