//! Expressions that are well formed and still match no date.

use super::Part;
use crate::civil::longest_month;
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;
use crate::sets::Sets;

/// Refuses `0 0 30 2 *`, and February 29 in years that have none. Years that are over are fine: they did match.
pub(super) fn refuse_impossible_dates(
    sets: &Sets,
    layout: &[Field],
    words: &[Part<'_>],
) -> Result<(), Fault> {
    if day_in_month_exists(sets) && some_year_matches(sets) {
        return Ok(());
    }
    let word = |wanted: Field| {
        let place = layout.iter().position(|field| *field == wanted);
        place.and_then(|place| words.get(place)).copied()
    };
    let (Some(day), Some(month)) = (word(Field::DayOfMonth), word(Field::Month)) else {
        // Every layout has both fields; without them there is nothing to point at.
        return Ok(());
    };
    Err(match word(Field::Year) {
        Some(year) if day_in_month_exists(sets) => Fault {
            kind: ParseErrorKind::NeverMatches,
            field: Some(Field::Year),
            span: day.at..year.span().end,
            message: format!(
                "the expression never matches: no date in year `{year}` has this day and month"
            ),
        },
        _ => Fault {
            kind: ParseErrorKind::NeverMatches,
            field: Some(Field::DayOfMonth),
            span: day.at..month.span().end,
            message: format!(
                "the expression never matches: day of month `{day}` does not exist in month `{month}`"
            ),
        },
    })
}

fn day_in_month_exists(sets: &Sets) -> bool {
    // Each month has every weekday.
    sets.days.either
        || (sets.days.of_month.first())
            .is_some_and(|day| sets.months.iter().any(|month| day <= longest_month(month)))
}

fn some_year_matches(sets: &Sets) -> bool {
    // Over 400 years every date falls on every weekday, February 29 too. Of listed years the live ones are left.
    sets.years.as_ref().is_none_or(|years| !years.is_empty())
}
