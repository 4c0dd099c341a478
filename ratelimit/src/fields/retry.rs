//! `Retry-After`: when to come back.

use std::time::Duration;

use super::FieldError;
use super::date;

/// How long to wait, by a `Retry-After` field. If that is an instant it counts from the answer's `Date` field, by the server's
/// clock alone; without one, and if it has passed, from now on.
///
/// ```
/// use leasehold_ratelimit::fields::retry_after;
/// use std::time::Duration;
/// assert_eq!(retry_after(b"120", None)?, Duration::from_secs(120));
/// let (then, date) = (b"Mon, 05 Aug 2019 09:27:05 GMT", b"Mon, 05 Aug 2019 09:27:00 GMT");
/// assert_eq!(retry_after(then, Some(date))?, Duration::from_secs(5));
/// # Ok::<(), leasehold_ratelimit::fields::FieldError>(())
/// ```
///
/// # Errors
/// [`FieldError`] if it is neither a number of seconds nor a date: then it is to be ignored.
pub fn retry_after(value: &[u8], date: Option<&[u8]>) -> Result<Duration, FieldError> {
    let value = value.trim_ascii();
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let add = |seconds: u64, digit: &u8| {
            let seconds = seconds.saturating_mul(10);
            seconds.saturating_add(u64::from(digit - b'0'))
        };
        return Ok(Duration::from_secs(value.iter().fold(0, add)));
    }
    let Some(then_s) = date::parse(value) else {
        let expected = "a number of seconds, or a date as in `Mon, 05 Aug 2019 09:27:05 GMT`";
        return Err(FieldError::Malformed { at: 0, expected });
    };
    let now_s = date.and_then(|date| date::parse(date.trim_ascii()));
    let wait_s = now_s.map_or(0, |now_s| then_s.saturating_sub(now_s));
    Ok(Duration::from_secs(wait_s))
}
