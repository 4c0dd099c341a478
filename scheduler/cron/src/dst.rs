//! What becomes of a fixed time that the clock skips or repeats.

use std::fmt;
use std::str::FromStr;

/// What becomes of a fixed time on a day on which clocks in its zone skip it, or show it twice.
///
/// It doesn't concern expressions that walk time, see [the rules](crate#clocks-that-change), and in zones whose clocks
/// never change nothing does.
///
/// ```
/// use leasehold_cron::{Dst, Schedule, Zone};
///
/// let berlin: Zone = "Europe/Berlin".parse()?;
/// let schedule = Schedule::parse("30 2 * * *")?.in_zone(berlin);
///
/// // 2026-03-29 has no 02:30: clocks went from 02:00 to 03:00, at 01:00 UTC.
/// let (saturday, change) = (1_774_661_400, 1_774_746_000);
/// assert_eq!(schedule.next_after(saturday), Some(change));
/// let skipping = schedule.dst("skip".parse()?);
/// assert_eq!(skipping.next_after(saturday), Some(saturday + 2 * 86_400 - 3_600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dst {
    /// Once a day, whatever clocks do: a skipped time runs at the first instant after the gap, together with all that
    /// were skipped and what is due there anyway; a repeated one runs on the first pass only.
    #[default]
    Once,
    /// A skipped time does not run on that day; a repeated one runs on the first pass only.
    Skip,
    /// A repeated time runs on both passes; a skipped one as with [`Dst::Once`].
    Both,
}

impl Dst {
    const ALL: [Self; 3] = [Self::Once, Self::Skip, Self::Both];

    const fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Skip => "skip",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for Dst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Dst {
    type Err = DstError;

    fn from_str(word: &str) -> Result<Self, DstError> {
        let known = Self::ALL.into_iter().find(|dst| dst.word() == word);
        known.ok_or_else(|| DstError {
            word: word.chars().take(40).collect(),
        })
    }
}

/// A word that is no [`Dst`].
///
/// ```
/// let error = "twice".parse::<leasehold_cron::Dst>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown policy `twice` for changes of the clock: there are `once`, `skip` and `both`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy `{}` for changes of the clock: there are `once`, `skip` and `both`", word.escape_debug())]
pub struct DstError {
    word: String,
}
