//! Durations that read like what they are.

use std::time::Duration;

/// `30.s()`, `250.ms()`, `5.mins()`.
///
/// ```
/// use leasehold::DurationExt;
/// use std::time::Duration;
/// assert_eq!(30.s(), Duration::from_secs(30));
/// assert_eq!(250.ms(), Duration::from_millis(250));
/// assert_eq!(5.mins(), Duration::from_secs(300));
/// ```
pub trait DurationExt {
    /// Milliseconds.
    fn ms(self) -> Duration;
    /// Seconds.
    fn s(self) -> Duration;
    /// Minutes.
    fn mins(self) -> Duration;
}

impl DurationExt for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }

    fn s(self) -> Duration {
        Duration::from_secs(self)
    }

    fn mins(self) -> Duration {
        Duration::from_secs(self.saturating_mul(60))
    }
}
