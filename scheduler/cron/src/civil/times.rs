//! Matching within a day: the seconds, minutes and hours of an expression, as seconds of the day.

use crate::sets::{Sets, Values};

/// The first matching time of a day.
pub(super) fn first(sets: &Sets) -> Option<i64> {
    let minute = sets.minutes.first()?;
    Some(at(sets.hours.first()?, minute, sets.seconds.first()?))
}

/// The last matching time of a day.
pub(super) fn last(sets: &Sets) -> Option<i64> {
    let minute = sets.minutes.last()?;
    Some(at(sets.hours.last()?, minute, sets.seconds.last()?))
}

/// The first matching time at or after `time`.
pub(super) fn first_from(sets: &Sets, time: i64) -> Option<i64> {
    let (hour, minute, second) = parts(time);
    let at_or_after = |values: Values, value| values.from(value).first();
    if sets.hours.contains(hour) {
        if sets.minutes.contains(minute)
            && let Some(second) = at_or_after(sets.seconds, second)
        {
            return Some(at(hour, minute, second));
        }
        if let Some(minute) = at_or_after(sets.minutes, minute + 1) {
            return Some(at(hour, minute, sets.seconds.first()?));
        }
    }
    let hour = at_or_after(sets.hours, hour + 1)?;
    Some(at(hour, sets.minutes.first()?, sets.seconds.first()?))
}

/// The last matching time at or before `time`.
pub(super) fn last_until(sets: &Sets, time: i64) -> Option<i64> {
    let (hour, minute, second) = parts(time);
    let before = |values: Values, value| values.below(value).last();
    if sets.hours.contains(hour) {
        if sets.minutes.contains(minute)
            && let Some(second) = before(sets.seconds, second + 1)
        {
            return Some(at(hour, minute, second));
        }
        if let Some(minute) = before(sets.minutes, minute) {
            return Some(at(hour, minute, sets.seconds.last()?));
        }
    }
    let hour = before(sets.hours, hour)?;
    Some(at(hour, sets.minutes.last()?, sets.seconds.last()?))
}

fn at(hour: u16, minute: u16, second: u16) -> i64 {
    i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second)
}

/// Hour, minute and second of a second of the day.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 23, 0 to 59, 0 to 59"
)]
fn parts(time: i64) -> (u16, u16, u16) {
    (
        (time / 3_600) as u16,
        (time / 60 % 60) as u16,
        (time % 60) as u16,
    )
}
