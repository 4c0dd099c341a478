//! Cron expressions that mean what POSIX says, with errors that point at the mistake.
//!
//! ```
//! use leasehold_cron::Schedule;
//!
//! let nightly = Schedule::parse("30 2 * * MON-FRI")?;
//! // Friday 2026-01-02 02:30:00 UTC; the next one is on Monday.
//! assert_eq!(nightly.next_after(1_767_321_000), Some(1_767_580_200));
//! # Ok::<(), leasehold_cron::ParseError>(())
//! ```
//!
//! # Fields
//!
//! An expression has five, six or seven fields with white space between them. Six begin with the seconds; seven
//! also end with the years.
//!
//! | field | values | five | six | seven |
//! |---|---|---|---|---|
//! | second | 0-59 | always 0 | 1st | 1st |
//! | minute | 0-59 | 1st | 2nd | 2nd |
//! | hour | 0-23 | 2nd | 3rd | 3rd |
//! | day of month | 1-31 | 3rd | 4th | 4th |
//! | month | 1-12 or `jan`-`dec` | 4th | 5th | 5th |
//! | day of week | 0-7 or `sun`-`sat`: 0 and 7 are Sunday, 1 is Monday | 5th | 6th | 6th |
//! | year | 1970-9999 | any | any | 7th |
//!
//! A field is a list of items with commas between them, and matches what any item matches:
//!
//! | item | matches |
//! |---|---|
//! | `*` | every value |
//! | `a` | that value |
//! | `a-b` | from `a` to `b`, both included; `b` below `a` is an error that says what to write |
//! | `*/n` | every `n`th value, counted from the lowest |
//! | `a-b/n` | every `n`th value from `a` to `b` |
//! | `a/n` | the same as `a-max/n`, where `max` is the highest value of the field (7 for weekdays) |
//!
//! Names are three letters in any case, and stand wherever a number may. `sun` is 0, but 7 at the end of a range:
//! `fri-sun` is `5-7`. A step counts again from the start in each unit: `*/7` in the minutes is 0, 7, ... 56, and then
//! 0 again. A step above the highest value of its field is an error, since it can only be a mistake (`*/90` is not
//! "every ninety minutes").
//!
//! `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight` and `@hourly` stand for a whole expression, in
//! any case.
//!
//! `L`, `W`, `#` and `?` of other crons are not supported, and neither are `H` and `@reboot`: each is a parse error.
//!
//! # The two day fields
//!
//! When day of month and day of week are both restricted, a day matches if *either* does: `0 0 13 * 5` is every 13th
//! and every Friday. A field is restricted unless it starts with `*`, as in the crons that POSIX was written after; if
//! one of the two starts with `*`, a day has to match *both*: `0 0 */2 * 1` is each Monday with an odd date. The rule
//! is the same for six and seven fields.
//!
//! # Time
//!
//! Everything is in UTC: days have 86,400 seconds, there is no summer time and there are no leap seconds, so no time of
//! day is ever skipped or repeated. The calendar runs from 1970 to the end of 9999. Ask [`Schedule::next_after`] with
//! the instant it answered last and no instant is missed or given twice.
//!
//! # Errors
//!
//! An expression that no date can match is refused like any other mistake, and the [`ParseError`] shows where it is:
//!
//! ```
//! let error = leasehold_cron::Schedule::parse("61 * * * *").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "minute `61` is out of range: allowed is 0-59\n  61 * * * *\n  ^^",
//! );
//! ```
#![forbid(unsafe_code)]

mod civil;
mod error;
mod field;
mod parse;
mod schedule;
mod sets;
mod snippet;

pub use error::{ParseError, ParseErrorKind};
pub use field::Field;
pub use schedule::Schedule;
