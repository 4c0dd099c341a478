//! A slow and simple calendar, written without looking at the one under test.

use crate::generate::Expression;

/// Year, month, day and weekday of a day since 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: i64) -> (i64, u16, u16, u16) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |number: i64| u16::try_from(number).expect("below 32");
    (
        year,
        small(month),
        small(day),
        small((days + 4).rem_euclid(7)),
    )
}

fn day_matches(expression: &Expression, days: i64) -> bool {
    let (year, month, day, weekday) = civil(days);
    let year = u16::try_from(year).expect("a year in the calendar");
    let of_month = expression.of_month.values.contains(&day);
    let of_week = expression.of_week.values.contains(&weekday);
    let starred =
        expression.of_month.text.starts_with('*') || expression.of_week.text.starts_with('*');
    let day = if starred {
        of_month && of_week
    } else {
        of_month || of_week
    };
    day && expression.months.values.contains(&month)
        && expression
            .years
            .as_ref()
            .is_none_or(|years| years.values.contains(&year))
}

/// Whether the expression matches that instant.
pub(crate) fn matches(expression: &Expression, unix_s: i64) -> bool {
    let of_day = unix_s.rem_euclid(86_400);
    let part = |number: i64| u16::try_from(number).expect("below 60");
    let second = part(of_day % 60);
    day_matches(expression, unix_s.div_euclid(86_400))
        && expression.hours.values.contains(&part(of_day / 3_600))
        && expression.minutes.values.contains(&part(of_day / 60 % 60))
        && match &expression.seconds {
            Some(seconds) => seconds.values.contains(&second),
            None => second == 0,
        }
}

/// The first match within `horizon` seconds, found by trying them all (but no seconds of days that don't match).
pub(crate) fn first_after(expression: &Expression, unix_s: i64, horizon: i64) -> Option<i64> {
    let mut at = unix_s + 1;
    while at <= unix_s + horizon {
        if !day_matches(expression, at.div_euclid(86_400)) {
            at = (at.div_euclid(86_400) + 1) * 86_400;
        } else if matches(expression, at) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// Whether any day of 1970 to 2399 matches, which covers every kind of year.
pub(crate) fn has_date(expression: &Expression) -> bool {
    (0..157_058).any(|day| day_matches(expression, day))
}
