//! The schedule itself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::civil::Matcher;
use crate::error::ParseError;
use crate::parse;
use crate::sets::Sets;

/// A cron expression, ready to be asked for its next instant in UTC.
///
/// The syntax and its meaning are described in the [crate documentation](crate). Two schedules are equal if they match
/// the same values of every field, however they were written.
///
/// ```
/// use leasehold_cron::Schedule;
///
/// let schedule: Schedule = "*/15 9-17 * * mon-fri".parse()?;
/// assert_eq!(schedule, Schedule::parse("0,15,30,45 9-17 * * 1-5")?);
/// assert_eq!(schedule.to_string(), "*/15 9-17 * * mon-fri");
/// # Ok::<(), leasehold_cron::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    sets: Sets,
    matcher: Matcher,
}

impl Schedule {
    /// Parses an expression of five, six or seven fields, or an `@` name.
    ///
    /// # Errors
    ///
    /// A [`ParseError`] that names the field and points at the part that is wrong, also for an expression that no date
    /// can match. Years that are over are not an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use leasehold_cron::{ParseErrorKind, Schedule};
    ///
    /// assert!(Schedule::parse("0 0 * * 7").is_ok());
    /// assert!(Schedule::parse("@Daily").is_ok());
    ///
    /// let error = Schedule::parse("0 0 31 2,4 *").unwrap_err();
    /// assert_eq!(error.kind(), ParseErrorKind::NeverMatches);
    /// ```
    pub fn parse(expression: &str) -> Result<Self, ParseError> {
        let sets = parse::parse(expression).map_err(|fault| fault.in_expression(expression))?;
        Ok(Self {
            expression: expression.trim().to_owned(),
            matcher: Matcher::new(&sets),
            sets,
        })
    }

    /// The first matching instant after `unix_s` and never `unix_s` itself, both in seconds since 1970-01-01 UTC.
    ///
    /// `None` if there is none up to the end of the year 9999, which is as far as the calendar goes. No match lies
    /// before 1970. Any `unix_s` is fine, and the cost does not grow with how far away the match is.
    ///
    /// # Examples
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let hourly = Schedule::parse("0 * * * *")?;
    /// assert_eq!(hourly.next_after(0), Some(3_600));
    /// assert_eq!(hourly.next_after(-1), Some(0));
    /// assert_eq!(hourly.next_after(i64::MAX), None);
    ///
    /// let once = Schedule::parse("0 0 0 1 1 * 1999")?;
    /// assert_eq!(once.next_after(1_000_000_000), None);
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn next_after(&self, unix_s: i64) -> Option<i64> {
        // In UTC an instant and its civil second are the same number.
        self.matcher.next_after(unix_s)
    }

    /// TEMP
    pub fn previous_before(&self, unix_s: i64) -> Option<i64> {
        let mut window = 2;
        while window < unix_s * 2 + 4 {
            let mut last = None;
            let mut at = self.next_after(unix_s.saturating_sub(window));
            while let Some(tick) = at.filter(|tick| *tick < unix_s) {
                last = Some(tick);
                at = self.next_after(tick);
            }
            if last.is_some() {
                return last;
            }
            window *= 2;
        }
        None
    }

    /// TEMP
    pub fn moved_by_dst(&self, _tick: i64) -> bool {
        false
    }

    /// The expression as it was given, without white space around it.
    ///
    /// ```
    /// # use leasehold_cron::Schedule;
    /// assert_eq!(Schedule::parse(" @hourly ")?.expression(), "@hourly");
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

impl FromStr for Schedule {
    type Err = ParseError;

    fn from_str(expression: &str) -> Result<Self, ParseError> {
        Self::parse(expression)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schedule").field(&self.expression).finish()
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.sets == other.sets
    }
}

impl Eq for Schedule {}

impl Hash for Schedule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sets.hash(state);
    }
}
