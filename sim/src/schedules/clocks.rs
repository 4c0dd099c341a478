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

    /// The latest wall time that may be taken for true at an instant, in µs: for `slack` after a step back it is the time
    /// that it would be without the step.
    pub(crate) fn latest_us(&self, at: Duration, slack: Duration) -> i128 {
        let believed = self.pieces.iter().enumerate().filter(|(i, (from, _))| {
            let next = self.pieces.get(i + 1);
            *from <= at && next.is_none_or(|(next, _)| at <= *next + slack)
        });
        let believed = believed.map(|(_, (_, offset_us))| offset_us + micros(at));
        believed.max().unwrap_or(0)
    }
}

fn micros(at: Duration) -> i128 {
    i128::try_from(at.as_micros()).unwrap_or(i128::MAX)
}
