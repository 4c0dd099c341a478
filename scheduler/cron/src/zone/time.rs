//! Times as people write and read them.

use super::Zone;
use crate::civil::{END, FIRST_YEAR, LAST_YEAR, SECONDS_A_DAY, date_of, month_len, start_of_month};

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no time: write it like `2026-03-29 02:30`, `2026-03-29T02:30:00+01:00` or `@1774747800`",
    text.escape_debug()
)]
#[non_exhaustive]
pub struct TimeError {
    /// The text, as it was given.
    pub text: String,
}

impl Zone {
    /// The time that clocks in the zone show at `unix_s`, with their distance from UTC.
    ///
    /// ```
    /// # use leasehold_cron::Zone;
    /// let zone: Zone = "Europe/Berlin".parse()?;
    /// assert_eq!(zone.show(1_774_746_000), "2026-03-29 03:00:00+02:00");
    /// assert_eq!(Zone::UTC.show(1_774_746_000), "2026-03-29 01:00:00Z");
    /// # Ok::<(), leasehold_cron::ZoneError>(())
    /// ```
    pub fn show(&self, unix_s: i64) -> String {
        if !(0..END - SECONDS_A_DAY).contains(&unix_s) {
            return format!("@{unix_s}");
        }
        let offset = self.span_at(unix_s).offset;
        let shown = unix_s + offset;
        let (day, of_day) = (
            shown.div_euclid(SECONDS_A_DAY),
            shown.rem_euclid(SECONDS_A_DAY),
        );
        let (year, month, date) = date_of(day);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let distance = if *self == Self::UTC {
            "Z".to_owned()
        } else {
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.abs() / 60;
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        };
        format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}{distance}")
    }

    /// Reads a time, in seconds since 1970: `2026-03-29 02:30` by the zone's clocks, also with seconds or without a time
    /// of day; `2026-03-29T02:30:00+01:00` or with `Z` wherever that is; or `@1774747800`.
    ///
    /// A time that clocks skip is the first instant after the gap, one that they repeat is the first of the two: what a
    /// [`Schedule`](crate::Schedule) of that time does by default.
    ///
    /// ```
    /// # use leasehold_cron::Zone;
    /// let zone: Zone = "Europe/Berlin".parse()?;
    /// assert_eq!(zone.read("2026-03-28 02:30")?, 1_774_661_400);
    /// assert_eq!(zone.read("2026-03-29 02:30")?, 1_774_746_000);
    /// assert_eq!(zone.read("2026-03-29T00:00:00Z")?, 1_774_742_400);
    /// assert_eq!(zone.read("@1774742400")?, 1_774_742_400);
    /// assert_eq!(
    ///     zone.read("yesterday").unwrap_err().to_string(),
    ///     "`yesterday` is no time: write it like `2026-03-29 02:30`, `2026-03-29T02:30:00+01:00` or `@1774747800`",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`TimeError`] that says how times are written.
    pub fn read(&self, text: &str) -> Result<i64, TimeError> {
        let read = match text.trim().strip_prefix('@') {
            Some(unix_s) => unix_s.parse().ok(),
            None => self.read_civil(text.trim()),
        };
        read.ok_or_else(|| TimeError {
            text: text.chars().take(100).collect(),
        })
    }

    fn read_civil(&self, text: &str) -> Option<i64> {
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (date, time.trim_start()),
            None => (text, "00:00"),
        };
        let midnight = read_date(date)? * SECONDS_A_DAY;
        if let Some(time) = time.strip_suffix(['Z', 'z']) {
            return Some(midnight + read_time(time)?);
        }
        if let Some(at) = time.rfind(['+', '-']) {
            let (time, offset) = (time.get(..at)?, time.get(at + 1..)?);
            let sign = if text.ends_with(&format!("-{offset}")) {
                -1
            } else {
                1
            };
            return Some(midnight + read_time(time)? - sign * read_time(offset)?);
        }
        Some(self.first_instant(midnight + read_time(time)?))
    }

    /// The first instant at which clocks show `civil`, or have passed over it.
    fn first_instant(&self, civil: i64) -> i64 {
        let mut at = civil - 2 * SECONDS_A_DAY;
        loop {
            let span = self.span_at(at);
            let instant = civil - span.offset;
            // Before it: the clocks went over it when the span began.
            if instant < span.end {
                return instant.max(span.start);
            }
            at = span.end;
        }
    }
}

/// Days since 1970.
fn read_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let (month, date) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let is_date = parts.next().is_none()
        && (FIRST_YEAR..LAST_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_len(year, month)).contains(&date);

    is_date.then(|| start_of_month(year, month) + i64::from(date) - 1)
}

/// Seconds since midnight.
fn read_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = match parts.next() {
        // Parts of a second are cut off: no tick has any.
        Some(second) => number(second.split('.').next()?, 2)?,
        None => 0,
    };
    let is_time = parts.next().is_none() && hour < 24 && minute < 60 && second < 60;
    is_time.then(|| i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
}

/// A number of so many digits.
fn number(text: &str, digits: usize) -> Option<u16> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Pacific/Apia",
            "Asia/Kathmandu",
        ] {
            let zone = zone(name);
            for step in 1..5000 {
                let unix_s = step * 611_953;
                assert_eq!(zone.read(&zone.show(unix_s)), Ok(unix_s), "{name}");
            }
        }
    }

    #[test]
    fn a_skipped_time_is_the_end_of_the_gap_and_a_repeated_one_its_first_pass() {
        let berlin = zone("Europe/Berlin");
        for skipped in [
            "2026-03-29 02:00",
            "2026-03-29 02:59:59",
            "2026-03-29 03:00",
        ] {
            assert_eq!(berlin.read(skipped), Ok(1_774_746_000), "{skipped}");
        }
        let first = berlin.read("2026-10-25 02:30").expect("a time");
        assert_eq!(berlin.show(first), "2026-10-25 02:30:00+02:00");
        assert_eq!(berlin.show(first + 3600), "2026-10-25 02:30:00+01:00");
        // A day that the zone left out.
        let apia = zone("Pacific/Apia");
        let skipped = apia.read("2011-12-30 12:00").expect("a time");
        assert_eq!(apia.show(skipped), "2011-12-31 00:00:00+14:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let long = "9".repeat(10_000);
        for text in [
            "",
            "@",
            "@x",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "26-01-01",
            "2026-01-01 24:00",
            "2026-01-01 1:00",
            "2026-01-01 12:60",
            "2026-01-01 12:00:60",
            "2026-01-01T12",
            "2026-01-01T12:00+25:00",
            "2026-01-01T12:00+",
            "2026-01-01T12:00é",
            "1969-12-31",
            &long,
        ] {
            let error = Zone::UTC.read(text).expect_err(text);
            assert!(error.text.len() <= 200);
        }
        assert_eq!(Zone::UTC.read(" 2026-01-01 "), Ok(1_767_225_600));
        assert_eq!(
            Zone::UTC.read("2026-01-01T00:00:00.5-01:00"),
            Ok(1_767_229_200)
        );
    }
}
