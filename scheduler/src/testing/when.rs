//! Instants, as a test writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// An instant: RFC 3339 text such as `"2026-03-28T00:00:00+01:00"`, seconds since 1970 (an `i64`, as ticks are), or a
/// [`SystemTime`].
pub trait When {
    /// In µs since 1970; or what to write instead.
    #[doc(hidden)]
    fn unix_us(self) -> Result<u64, String>;
}

impl When for i64 {
    fn unix_us(self) -> Result<u64, String> {
        let seconds = u64::try_from(self).ok();
        let us = seconds.and_then(|seconds| seconds.checked_mul(1_000_000));
        us.ok_or_else(|| format!("{self} s is no instant after 1970 that a store's clock can show"))
    }
}

impl When for SystemTime {
    fn unix_us(self) -> Result<u64, String> {
        let since = self.duration_since(UNIX_EPOCH).ok();
        let us = since.and_then(|since| u64::try_from(since.as_micros()).ok());
        us.ok_or_else(|| format!("{self:?} is no instant after 1970 that a store's clock can show"))
    }
}

impl When for &str {
    fn unix_us(self) -> Result<u64, String> {
        parse(self).ok_or_else(|| {
            format!(
                "`{self}` is no instant: write it like `2026-03-28T00:00:00+01:00` or `2026-03-27T23:00:00Z`"
            )
        })
    }
}

/// An instant in seconds since 1970, as the ticks of a [`TickRecord`](crate::TickRecord) are.
///
/// ```
/// use leasehold_scheduler::testing::unix;
/// assert_eq!(unix("1970-01-02T00:00:00Z"), 86_400);
/// assert_eq!(unix("2026-03-29T03:00:00+02:00"), unix("2026-03-29T01:00:00Z"));
/// ```
///
/// # Panics
/// If it is none; the message says how to write one.
#[track_caller]
pub fn unix(when: impl When) -> i64 {
    i64::try_from(us(when) / 1_000_000).unwrap_or(i64::MAX)
}

#[track_caller]
pub(super) fn us(when: impl When) -> u64 {
    match when.unix_us() {
        Ok(us) => us,
        Err(error) => panic!("{error}"),
    }
}

/// RFC 3339, with whole seconds or a fraction of them.
fn parse(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let (fraction_us, zone) = fraction(rest)?;
    let offset_s = offset(zone)?;
    let fits = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    let of_day = hour * 3600 + minute * 60 + second;
    let unix_s = days_since_1970(year, month, day) * 86_400 + of_day - offset_s;
    let us = u64::try_from(unix_s).ok()?.checked_mul(1_000_000)?;
    us.checked_add(fraction_us)
}

/// Three numbers of so many digits, with a separator.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut read = [0; 3];
    for (number, digits) in read.iter_mut().zip(digits) {
        *number = number_of(parts.next()?, digits)?;
    }
    parts.next().is_none().then_some(read)
}

fn number_of(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// µs, and what follows.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = rest.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let micros: String = digits.chars().chain("000000".chars()).take(6).collect();
    Some((micros.parse().ok()?, rest))
}

/// Seconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number_of(hours, 2)?, number_of(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar; the years are counted from March, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_rfc_3339_says() {
        for (text, s) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2024-02-29t23:59:59z", 1_709_251_199),
            ("2026-03-28 00:00:00+01:00", 1_774_652_400),
            ("2026-12-31T20:30:00-03:30", 1_798_761_600),
        ] {
            assert_eq!(text.unix_us(), Ok(s * 1_000_000), "{text}");
        }
        assert_eq!("1970-01-01T00:00:01.25Z".unix_us(), Ok(1_250_000));
    }

    #[test]
    fn what_is_no_instant_is_refused_with_one_that_is() {
        for text in [
            "",
            "tomorrow",
            "2026-03-28",
            "2026-03-28T00:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-28T24:00:00Z",
            "2026-03-28T00:00:00+1:00",
            "2026-03-28T00:00:00+01:00[Europe/Berlin]",
            "1969-12-31T23:59:59Z",
            "2026-03-28T00:00:00.Z",
            "+026-03-28T00:00:00Z",
            "２026-03-28T00:00:00Z",
        ] {
            let error = text.unix_us().unwrap_err();
            assert!(error.contains("2026-03-28T00:00:00+01:00"), "{error}");
        }
        assert!((-1_i64).unix_us().is_err());
    }
}
