//! Matching on the civil calendar, which knows no time zones: seconds here are counted from 1970-01-01T00:00:00 on a
//! clock that never jumps.

mod barren;
mod calendar;
mod dates;
mod kinds;
mod times;

pub(crate) use barren::Barren;
pub(crate) use calendar::{
    END, FIRST_YEAR, LAST_YEAR, SECONDS_A_DAY, date_of, day_of, is_leap, longest_month, month_len,
    start_of_month, year_of,
};
pub(crate) use dates::year_has_match;
pub(crate) use kinds::Kinds;

use crate::sets::Sets;

/// The first matching second at or after `second`, up to the end of 9999, in a year that is not known to be barren (or
/// the one that `second` is in).
pub(crate) fn first_from(sets: &Sets, second: i64, barren: &mut Barren) -> Option<i64> {
    let second = second.max(0);
    if second >= END {
        return None;
    }
    let (day, of_day) = (second / SECONDS_A_DAY, second % SECONDS_A_DAY);
    let mut date = dates::first_from(sets, day, barren)?;
    let mut time = times::first(sets)?;
    if date == day {
        match times::first_from(sets, of_day) {
            Some(later) => time = later,
            None => date = dates::first_from(sets, day + 1, barren)?,
        }
    }
    Some(date * SECONDS_A_DAY + time)
}

/// The last matching second at or before `second`, down to 1970, as above.
pub(crate) fn last_until(sets: &Sets, second: i64, barren: &mut Barren) -> Option<i64> {
    let second = second.min(END - 1);
    if second < 0 {
        return None;
    }
    let (day, of_day) = (second / SECONDS_A_DAY, second % SECONDS_A_DAY);
    let mut date = dates::last_until(sets, day, barren)?;
    let mut time = times::last(sets)?;
    if date == day {
        match times::last_until(sets, of_day) {
            Some(earlier) => time = earlier,
            None => date = dates::last_until(sets, day - 1, barren)?,
        }
    }
    Some(date * SECONDS_A_DAY + time)
}
