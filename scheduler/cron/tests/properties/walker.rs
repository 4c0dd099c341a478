//! A slow and simple account of what is due around a change of clocks: every minute (or second) is looked at, and what
//! clocks show then comes from another time zone library.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use leasehold_cron::Dst;

use crate::generate::Expression;
use crate::reference::matches;

/// What clocks show at each instant of a time.
pub(crate) struct Walk {
    start: i64,
    /// How many seconds lie between two looks.
    step: i64,
    /// Civil seconds since 1970.
    shown: Vec<i64>,
}

/// An instant that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) at: i64,
    /// Whether a time that clocks skipped is due then.
    pub(crate) moved: bool,
}

impl Walk {
    /// From `start` to `end`, both on a minute; each second of it, if whole minutes will not do.
    pub(crate) fn new(zone: &TimeZone, start: i64, end: i64, seconds: bool) -> Self {
        let offset = |at| {
            i64::from(
                zone.to_offset(Timestamp::from_second(at).expect("in range"))
                    .seconds(),
            )
        };
        let start = start.div_euclid(60) * 60;
        let mut minutes: Vec<i64> = (start..end + 60)
            .step_by(60)
            .map(|at| at + offset(at))
            .collect();
        if !seconds && minutes.iter().all(|shown| shown % 60 == 0) {
            minutes.pop();
            return Self {
                start,
                step: 60,
                shown: minutes,
            };
        }
        let mut shown = Vec::new();
        for (pair, at) in minutes.windows(2).zip((start..).step_by(60)) {
            if pair[1] - pair[0] == 60 {
                shown.extend(pair[0]..pair[1]);
            } else {
                shown.extend((at..at + 60).map(|at| at + offset(at)));
            }
        }
        Self {
            start,
            step: 1,
            shown,
        }
    }

    /// What is due behind `from` and before `until`; the walk began earlier, by as much as clocks are ever set back.
    pub(crate) fn ticks(
        &self,
        expression: &Expression,
        dst: Dst,
        from: i64,
        until: i64,
    ) -> Vec<Tick> {
        let mut passed = HashSet::new();
        let mut before = self.shown[0] - self.step;
        let mut ticks = Vec::new();
        for (shown, at) in self
            .shown
            .iter()
            .zip((self.start..).step_by(usize::try_from(self.step).expect("1 or 60")))
        {
            // Times that lie between two looks were skipped, unless clocks had shown them already.
            let skipped: Vec<i64> = (before + self.step..*shown)
                .step_by(usize::try_from(self.step).expect("1 or 60"))
                .filter(|skipped| passed.insert(*skipped))
                .collect();
            before = *shown;
            let first_pass = passed.insert(*shown);
            if at <= from || at >= until {
                continue;
            }
            let matches = |shown| self.is_whole(shown, expression) && matches(expression, shown);
            let moved = !expression.walks() && dst != Dst::Skip && skipped.into_iter().any(matches);
            let every_pass = expression.walks() || dst == Dst::Both;
            if moved || ((first_pass || every_pass) && matches(*shown)) {
                ticks.push(Tick { at, moved });
            }
        }
        ticks
    }

    /// Spares most seconds the whole comparison.
    fn is_whole(&self, shown: i64, expression: &Expression) -> bool {
        self.step == 60 || expression.seconds.is_some() || shown % 60 == 0
    }
}
