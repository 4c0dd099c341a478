//! The store's wall clock over a run: when a tick is due, and which time it is.

use std::time::Duration;

use super::history::{Event, Fault, History, What};

/// The course of the store's wall clock.
#[derive(Debug)]
pub(crate) struct Course {
    /// From when on the clock is how far from the run's own time, in µs.
    pieces: Vec<(Duration, i128)>,
}

impl Course {
    pub(crate) fn of(history: &History) -> Self {
        let mut offset_us = i128::from(history.setting.wall_us);
        let mut pieces = vec![(Duration::ZERO, offset_us)];
        for Event { at, what } in &history.events {
            if let What::Fault(Fault::WallClock(us)) = what {
                offset_us += i128::from(*us);
                pieces.push((*at, offset_us));
            }
        }
        Self { pieces }
    }

    /// The wall time, in µs, once all that happens at that instant has happened.
    pub(crate) fn wall_us(&self, at: Duration) -> i128 {
        let piece = self.pieces.iter().rev().find(|(from, _)| *from <= at);
        piece.map_or(0, |(_, offset_us)| offset_us + micros(at))
    }

    /// When a tick's time first came.
    pub(crate) fn due(&self, tick: i64) -> Duration {
        let tick_us = i128::from(tick) * 1_000_000;
        for (at, (from, offset_us)) in self.pieces.iter().enumerate() {
            let left_us = u64::try_from((tick_us - offset_us).max(0)).unwrap_or(u64::MAX);
            let due = Duration::from_micros(left_us).max(*from);
            let end = self.pieces.get(at + 1).map(|(next, _)| *next);
            if end.is_none_or(|end| due < end) {
                return due;
            }
        }
        Duration::MAX
    }

    /// When a tick's time came by the clock as it is at the end.
    pub(crate) fn due_at_last(&self, tick: i64) -> Duration {
        let offset_us = self.pieces.last().map_or(0, |(_, offset_us)| *offset_us);
        let left_us = i128::from(tick) * 1_000_000 - offset_us;
        Duration::from_micros(u64::try_from(left_us.max(0)).unwrap_or(u64::MAX))
    }

    /// The latest wall time that somebody may have taken for true within `back` before an instant, in µs: one before a
    /// step back, and for `slack` after it the time that it would be without the step.
    pub(crate) fn latest_us(&self, at: Duration, back: Duration, slack: Duration) -> i128 {
        let since = at.saturating_sub(back);
        let believed = self.pieces.iter().enumerate().filter_map(|(i, (from, o))| {
            let until = self
                .pieces
                .get(i + 1)
                .map_or(at, |next| next.0 + slack)
                .min(at);
            (*from <= at && until >= since).then(|| o + micros(until))
        });
        believed.max().unwrap_or(0)
    }
}

fn micros(at: Duration) -> i128 {
    i128::try_from(at.as_micros()).unwrap_or(i128::MAX)
}
