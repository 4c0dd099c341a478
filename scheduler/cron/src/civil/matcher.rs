//! The next matching second, with the `cron` crate doing the work within a year.
//!
//! `cron` knows the years 1970 to 2100 only. Any later (or earlier) year is searched in a year that looks the same,
//! which is exact because the calendar has just fourteen kinds of years.

use chrono::DateTime;

use super::year::{
    END, FIRST_YEAR, KINDS, LAST_YEAR, SECONDS_A_DAY, kind_of, look_alike, start_of,
};
use crate::field::Field;
use crate::sets::{Days, Sets, Values, full};

/// Finds matches of one set of fields.
#[derive(Clone)]
pub(crate) struct Matcher {
    /// One schedule, or two whose union is meant: by day of month, and by day of week.
    schedules: Vec<cron::Schedule>,
    years: Option<Values>,
}

impl Matcher {
    pub(crate) fn new(sets: &Sets) -> Self {
        let schedules = match &sets.days {
            Days::Both { of_month, of_week } => vec![compile(sets, of_month, of_week)],
            Days::Either { of_month, of_week } => vec![
                compile(sets, of_month, &full(Field::DayOfWeek)),
                compile(sets, &full(Field::DayOfMonth), of_week),
            ],
        };
        Self {
            schedules,
            years: sets.years.clone(),
        }
    }

    /// The first matching second after `second`, from 1970 to the end of 9999.
    pub(crate) fn next_after(&self, second: i64) -> Option<i64> {
        let first = second.max(-1).checked_add(1)?;
        if first >= END {
            return None;
        }
        let first_year = year_of(first);
        // Once a whole year of some kind had no match, no other year of that kind has one.
        let mut without_match = [false; KINDS];
        for year in self.years_from(first_year) {
            let kind = kind_of(year);
            if without_match[kind] {
                continue;
            }
            let offset = (first - start_of(year)).max(0);
            let found = self.first_in_year(look_alike(year), offset);
            if let Some(found) = found {
                return Some(start_of(year) + found);
            }
            without_match[kind] = offset == 0;
        }
        None
    }

    fn years_from(&self, first: u16) -> Box<dyn Iterator<Item = u16> + '_> {
        match &self.years {
            None => Box::new(first..=LAST_YEAR),
            Some(years) => Box::new(years.range(first..).copied()),
        }
    }

    /// The first match in `year` (one that `cron` knows) at or behind `offset` seconds, as seconds of the year.
    fn first_in_year(&self, year: u16, offset: i64) -> Option<i64> {
        let start = start_of(year);
        let before = DateTime::from_timestamp(start + offset - 1, 0)?;
        self.schedules
            .iter()
            .filter_map(|schedule| schedule.after(&before).next())
            .map(|found| found.timestamp())
            .filter(|found| *found < start_of(year + 1))
            .map(|found| found - start)
            .min()
    }
}

/// The year that `second` is in; it is in the calendar.
fn year_of(second: i64) -> u16 {
    let days = second / SECONDS_A_DAY;
    // By the mean length of a year, which is off by one at most.
    let estimate = i64::from(FIRST_YEAR) + days * 400 / 146_097;
    let year = u16::try_from(estimate).unwrap_or(LAST_YEAR);
    match second {
        _ if second < start_of(year) => year - 1,
        _ if second >= start_of(year + 1) => year + 1,
        _ => year,
    }
}

/// Hands `cron` explicit lists, since its weekdays count from 1 and its day fields are always both required.
fn compile(sets: &Sets, of_month: &Values, of_week: &Values) -> cron::Schedule {
    let text = format!(
        "{} {} {} {} {} {}",
        list(Field::Second, &sets.seconds),
        list(Field::Minute, &sets.minutes),
        list(Field::Hour, &sets.hours),
        list(Field::DayOfMonth, of_month),
        list(Field::Month, &sets.months),
        list(
            Field::DayOfWeek,
            &of_week.iter().map(|day| day + 1).collect()
        ),
    );
    // Six non-empty lists of numbers, each in the range that `cron` documents for its field.
    text.parse().expect("lists of values in range")
}

fn list(field: Field, values: &Values) -> String {
    if values.len() == full(field).len() {
        return "*".to_owned();
    }
    let numbers: Vec<String> = values.iter().map(u16::to_string).collect();
    numbers.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_of_a_second_is_right_at_both_ends_of_every_year() {
        for year in FIRST_YEAR..=LAST_YEAR {
            assert_eq!(year_of(start_of(year)), year);
            assert_eq!(year_of(start_of(year + 1) - 1), year);
        }
    }
}
