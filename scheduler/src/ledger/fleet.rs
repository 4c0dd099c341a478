//! The word to all jobs of a namespace at once: pause, and resume.

use serde::{Deserialize, Serialize};

use super::{Ledger, Outcome, Pause, Resume, Timing};
use crate::Error;

const FORMAT: u32 = 1;
/// A tick that came due so long before a pause may have been kept from its claim by it.
const ON_THE_WAY_S: i64 = 5;

/// What the fleet was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FleetControl {
    format: u32,
    /// Rises with each word; at least the store's time in ms, so that it also does after the data was lost.
    pub(crate) order: u64,
    pub(crate) paused: Option<Pause>,
    /// The latest resume: from when to when the fleet was paused, and what is to become of the ticks between.
    resumed: Option<Resumed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Resumed {
    since_ms: u64,
    until_ms: u64,
    how: Resume,
}

impl Default for FleetControl {
    fn default() -> Self {
        Self {
            format: FORMAT,
            order: 0,
            paused: None,
            resumed: None,
        }
    }
}

impl FleetControl {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |error: String| Error::LedgerDamaged {
            job: "the whole fleet".into(),
            error,
        };
        let control: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if control.format > FORMAT {
            return Err(Error::LedgerTooNew {
                job: "the whole fleet".into(),
                found: control.format,
                supported: FORMAT,
            });
        }
        Ok(control)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Numbers, strings and sequences: JSON takes all of them.
        serde_json::to_vec(self).expect("it has only encodable fields")
    }

    /// When a pause of all jobs ended last, in ms since 1970; 0 if there was none.
    pub(crate) fn resumed_ms(&self) -> u64 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.until_ms)
    }

    /// Pauses; says whether that changes anything.
    pub(crate) fn pause(&mut self, pause: Pause) -> bool {
        if self.paused.is_some() {
            return false;
        }
        self.order = (self.order + 1).max(pause.since_ms);
        self.paused = Some(pause);
        true
    }

    /// Resumes; says whether that changes anything.
    pub(crate) fn resume(&mut self, now_ms: u64, how: Resume) -> bool {
        let Some(pause) = self.paused.take() else {
            return false;
        };
        self.order = (self.order + 1).max(now_ms);
        self.resumed = Some(Resumed {
            since_ms: pause.since_ms,
            until_ms: now_ms.max(pause.since_ms),
            how,
        });
        true
    }
}

impl Ledger {
    /// Acts on what the fleet was told since this ledger was looked at last.
    pub(crate) fn heed(&mut self, control: &FleetControl, timing: &Timing<'_>) {
        if control.order <= self.fleet_seen {
            return;
        }
        self.fleet_seen = control.order;
        if let (None, Some(resumed)) = (&control.paused, &control.resumed) {
            self.resumed(timing, resumed.since_ms, resumed.until_ms, resumed.how);
        }
    }

    /// Decides about the ticks of a pause that is over.
    pub(super) fn resumed(
        &mut self,
        timing: &Timing<'_>,
        since_ms: u64,
        until_ms: u64,
        how: Resume,
    ) {
        let until = i64::try_from(until_ms / 1000).unwrap_or(i64::MAX);
        self.resumed = self.resumed.max(until);
        match how {
            Resume::WhereItStopped => self.wanted_until = self.wanted_until.max(until),
            Resume::FromNow => self.pass_pause(timing, since_ms, until_ms),
        }
    }

    /// Records the ticks of a pause up to `until_ms` as paused.
    pub(crate) fn pass_pause(&mut self, timing: &Timing<'_>, since_ms: u64, until_ms: u64) {
        let until = i64::try_from(until_ms / 1000).unwrap_or(i64::MAX);
        // What was due before was not kept from running by it.
        let since = i64::try_from(since_ms / 1000).unwrap_or(i64::MAX);
        let from = self.cursor.max(since.saturating_sub(ON_THE_WAY_S));
        let due = timing.next(from);
        let is_due = |tick: &i64| timing.start_ms(*tick) <= until_ms;
        let Some(first) = due.filter(is_due) else {
            return;
        };
        let end = match timing.previous(until + 1) {
            Some(last) if !is_due(&last) => last - 1,
            _ => until,
        };
        if let Some(missed) = timing.next(self.cursor).filter(|tick| *tick < first) {
            self.dispose(missed, first - 1, Outcome::Missed);
        }
        self.dispose(first, end, Outcome::Paused);
    }
}
