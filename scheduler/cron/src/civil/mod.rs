//! Matching on the civil calendar, which knows no time zones: seconds here are counted from 1970-01-01T00:00:00 on a
//! clock that never jumps.

mod matcher;
mod year;

pub(crate) use matcher::Matcher;
pub(crate) use year::{longest_month, year_has_match};
