//! Days, months and years in English.

use super::shape::{Shape, list, ordinal};
use crate::field::Field;
use crate::sets::{Sets, Values};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// In the order of a week that starts on Monday: `Saturday and Sunday`.
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub(super) struct Days {
    pub(super) text: String,
    /// Whether it says which days of a month or week; else it is every day.
    pub(super) names_days: bool,
}

pub(super) fn describe(sets: &Sets) -> Days {
    let days = sets.days;
    let every_day = days.of_month == Values::full(Field::DayOfMonth);
    let every_weekday = days.of_week == Values::full(Field::DayOfWeek);
    let months = months(sets.months);
    let of_months = months.as_deref().unwrap_or("the month");
    let in_months = match &months {
        Some(months) => format!("in {months}"),
        None => String::new(),
    };
    let text = if days.either {
        let of_month = days_of_month(days.of_month, "the month");
        let either = format!("on {of_month} or on {}", weekdays(days.of_week, "and"));
        format!("{either} {in_months}").trim_end().to_owned()
    } else if every_day && every_weekday {
        in_months
    } else if every_day {
        let on = format!("on {} {in_months}", weekdays(days.of_week, "and"));
        on.trim_end().to_owned()
    } else if every_weekday {
        format!("on {}", days_of_month(days.of_month, of_months))
    } else {
        let of_month = days_of_month(days.of_month, of_months);
        format!(
            "on {of_month} if that is a {}",
            weekdays(days.of_week, "or")
        )
    };
    Days {
        text,
        names_days: !(every_day && every_weekday),
    }
}

/// `in 2026 to 2030`, or nothing for every year.
pub(super) fn years(sets: &Sets) -> String {
    let Some(years) = &sets.years else {
        return String::new();
    };
    match Shape::of(years) {
        Shape::Steps { from, to, step } if years.len() > 3 => {
            format!("in every {} year from {from} to {to}", ordinal(step))
        }
        _ => format!("in {}", list(years, "and", |year| year.to_string())),
    }
}

fn days_of_month(days: Values, of: &str) -> String {
    let days: Vec<u16> = days.iter().collect();
    match Shape::of(&days) {
        Shape::One(day) => format!("day {day} of {of}"),
        Shape::Steps { from, to, step } if days.len() > 4 => {
            format!("every {} day from {from} to {to} of {of}", ordinal(step))
        }
        _ => format!("days {} of {of}", list(&days, "and", |day| day.to_string())),
    }
}

fn weekdays(days: Values, last_word: &str) -> String {
    // Monday is 0 here, and Sunday 6.
    let mut days: Vec<u16> = days.iter().map(|day| (day + 6) % 7).collect();
    days.sort_unstable();
    list(&days, last_word, |day| {
        WEEKDAYS[usize::from(day)].to_owned()
    })
}

/// `None` for all of them.
fn months(months: Values) -> Option<String> {
    let some = months != Values::full(Field::Month);
    let months: Vec<u16> = months.iter().collect();
    let name = |month| MONTHS[usize::from(month) - 1].to_owned();
    some.then(|| list(&months, "and", name))
}
