//! Cron expressions that mean what POSIX says, in any time zone, with errors that point at the mistake.
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
//! Instants are seconds since 1970-01-01 UTC, without leap seconds. An expression is about the clocks of a [`Zone`],
//! UTC unless it is put [in another](Schedule::in_zone); the rules of all zones are compiled in. The calendar runs from
//! 1970 to the end of 9999 by those clocks, in years that are far away by the zone's last rule. Ask
//! [`Schedule::next_after`] with the instant it answered last and no tick is missed or given twice: the next one is
//! always later.
//!
//! ## Clocks that change
//!
//! When clocks are set forward, the times in between are *skipped*; when they are set back, times are *repeated*. What
//! that does to a schedule depends on how its second, minute and hour are written, as in Vixie's cron and its heirs:
//!
//! - If one of the three **starts with `*`** (also `*/15` and `*/2,7`), the expression walks time: every instant is due
//!   at which clocks show a matching time. So `*/15 * * * *` has a quarter of an hour between any two ticks. Repeated
//!   times are due on both passes, and for what is skipped nothing is made up. That is by the clock, too: in Berlin
//!   `0 */2 * * *` is due at 00:00 and then at 04:00 on the day that has no 02:00, three hours later, and twice at 02:00
//!   on the day that has two. `*/30 2 * * *` is not due at all on the first of these days.
//! - Else its **times are fixed**, also in lists and ranges (`0-59 2 * * *`, `0 0-23 * * *`), and [`Dst`] decides. By
//!   default each runs when clocks reach it, or pass over it: skipped ones at the first instant after the gap, all of
//!   them together as one tick, which is also that of a time that is due there anyway (02:00, 02:30 and 03:00 are one
//!   tick on a day without the hour from 2 to 3, and [`Schedule::moved_by_dst`] says so); repeated ones on the first pass
//!   only.
//!
//! It makes no difference why clocks change, by how much, or at what time of the day: gaps at midnight, changes of half
//! an hour, days that a country skipped altogether.
//!
//! ```
//! use leasehold_cron::Schedule;
//!
//! let nightly = Schedule::parse("30 2 * * *")?.in_zone("Europe/Berlin".parse()?);
//! assert_eq!(nightly.describe(), "at 02:30 every day, Europe/Berlin");
//! // From noon of Saturday 2026-03-28: Sunday has no 02:30 and its tick is at 03:00, the next is on Monday.
//! let ticks: Vec<i64> = nightly.next_n(1_774_695_600, 2).collect();
//! assert_eq!(ticks, [1_774_746_000, 1_774_830_600]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod describe;
mod dst;
mod error;
mod field;
mod parse;
mod schedule;
mod sets;
mod snippet;
mod ticks;
mod zone;

pub use dst::{Dst, DstError};
pub use error::{ParseError, ParseErrorKind};
pub use field::Field;
pub use schedule::Schedule;
pub use zone::{TimeError, Zone, ZoneError};
