//! The schedule itself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::successors;
use std::str::FromStr;

use crate::describe::describe;
use crate::dst::Dst;
use crate::error::ParseError;
use crate::parse;
use crate::sets::Sets;
use crate::ticks::Ticks;
use crate::zone::Zone;

/// A cron expression in a time zone, ready to be asked when it is due.
///
/// The syntax and its meaning are described in the [crate documentation](crate). Two schedules are equal if they match
/// the same values of every field, however they were written, both walk time or don't (that is whether the second,
/// minute or hour starts with `*`), and have the same zone and policy.
///
/// ```
/// use leasehold_cron::Schedule;
///
/// let schedule: Schedule = "*/15 9-17 * * mon-fri".parse()?;
/// assert_eq!(schedule, Schedule::parse("*/15 9,10,11-17 * * 1-5")?);
/// assert_eq!(schedule.to_string(), "*/15 9-17 * * mon-fri");
/// # Ok::<(), leasehold_cron::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    sets: Sets,
    zone: Zone,
    dst: Dst,
}

impl Schedule {
    /// Parses an expression of five, six or seven fields, or an `@` name. The schedule is in UTC until it is put
    /// [in another zone](Self::in_zone).
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
            sets,
            zone: Zone::UTC,
            dst: Dst::Once,
        })
    }

    /// The same expression by the clocks of another zone.
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let noon = Schedule::parse("0 12 * * *")?.in_zone("Asia/Tokyo".parse()?);
    /// // Noon in Tokyo is 03:00 UTC.
    /// assert_eq!(noon.next_after(0), Some(3 * 3_600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the schedule in the zone is the returned one"]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// What becomes of a fixed time that clocks skip or repeat; by default it runs [once](Dst::Once).
    ///
    /// ```
    /// use leasehold_cron::{Dst, Schedule};
    ///
    /// let schedule = Schedule::parse("30 1 * * *")?.in_zone("America/New_York".parse()?).dst(Dst::Both);
    /// // 2026-11-01 has two 01:30, an hour apart.
    /// assert_eq!(schedule.next_after(1_793_510_000), Some(1_793_511_000));
    /// assert_eq!(schedule.next_after(1_793_511_000), Some(1_793_514_600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the schedule with the policy is the returned one"]
    pub fn dst(self, dst: Dst) -> Self {
        Self { dst, ..self }
    }

    /// The zone whose clocks count.
    ///
    /// ```
    /// # use leasehold_cron::{Schedule, Zone};
    /// assert_eq!(Schedule::parse("@hourly")?.zone(), &Zone::UTC);
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What becomes of a fixed time that clocks skip or repeat.
    ///
    /// ```
    /// # use leasehold_cron::{Dst, Schedule};
    /// assert_eq!(Schedule::parse("@hourly")?.dst_policy(), Dst::Once);
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn dst_policy(&self) -> Dst {
        self.dst
    }

    /// The first tick after `unix_s` and never `unix_s` itself, both in seconds since 1970-01-01 UTC.
    ///
    /// `None` if there is none up to the end of the year 9999, which is as far as the calendar goes. No tick lies
    /// before 1970 by the zone's clocks. Any `unix_s` is fine, and the cost does not grow with how far away the tick is.
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
        self.ticks().next_after(unix_s)
    }

    /// The last tick before `unix_s` and never `unix_s` itself; `None` if there is none back to 1970.
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let daily = Schedule::parse("@daily")?;
    /// assert_eq!(daily.previous_before(86_401), Some(86_400));
    /// assert_eq!(daily.previous_before(86_400), Some(0));
    /// assert_eq!(daily.previous_before(0), None);
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn previous_before(&self, unix_s: i64) -> Option<i64> {
        self.ticks().previous_before(unix_s)
    }

    /// The first `n` ticks after `unix_s`, or fewer if the calendar ends.
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let hourly = Schedule::parse("@hourly")?;
    /// let next: Vec<i64> = hourly.next_n(0, 3).collect();
    /// assert_eq!(next, [3_600, 7_200, 10_800]);
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub fn next_n(&self, unix_s: i64, n: usize) -> impl Iterator<Item = i64> {
        successors(self.next_after(unix_s), |tick| self.next_after(*tick)).take(n)
    }

    /// Whether `tick` is one at which a time is due that clocks skipped; perhaps beside one that they show then.
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let schedule = Schedule::parse("30 2 * * *")?.in_zone("Europe/Berlin".parse()?);
    /// // 2026-03-29 has no 02:30 in Berlin.
    /// let moved: Vec<bool> = schedule.next_n(1_774_600_000, 3).map(|tick| schedule.moved_by_dst(tick)).collect();
    /// assert_eq!(moved, [false, true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn moved_by_dst(&self, tick: i64) -> bool {
        self.ticks().moved_by_dst(tick)
    }

    /// When it is due, in English.
    ///
    /// ```
    /// use leasehold_cron::Schedule;
    ///
    /// let schedule = Schedule::parse("30 2 * * 1-5")?.in_zone("Europe/Berlin".parse()?);
    /// assert_eq!(schedule.describe(), "at 02:30 on Monday to Friday, Europe/Berlin");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn describe(&self) -> String {
        describe(&self.sets, &self.zone, self.dst)
    }

    fn ticks(&self) -> Ticks<'_> {
        Ticks {
            sets: &self.sets,
            zone: &self.zone,
            dst: self.dst,
        }
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
        let mut tuple = f.debug_tuple("Schedule");
        tuple.field(&self.expression);
        if self.zone != Zone::UTC {
            tuple.field(&self.zone).field(&self.dst);
        }
        tuple.finish()
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.sets, &self.zone, self.dst) == (&other.sets, &other.zone, other.dst)
    }
}

impl Eq for Schedule {}

impl Hash for Schedule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.sets, &self.zone, self.dst).hash(state);
    }
}
