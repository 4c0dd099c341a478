//! What people ask of a job: pause, resume, trigger, backfill.

use serde::{Deserialize, Serialize};

use super::{Ledger, Outcome, Pause, Pending, TickRecord, Timing, Via};
use crate::planted::{Bug, planted};

/// How many ids of triggers and backfills a ledger remembers.
const REMEMBERED: usize = 32;
/// How many runs may be pending.
pub(crate) const MOST_PENDING: usize = 1000;

/// What becomes of the ticks that came due during a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// They are recorded as paused.
    FromNow,
    /// They run, one after the other, oldest first.
    WhereItStopped,
}

/// What a backfill did with the ticks of its range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backfilled {
    /// What its runs carry.
    pub id: String,
    /// These are going to run.
    pub accepted: Vec<i64>,
    /// These ran, and do not run again.
    pub ran: Vec<i64>,
    /// These are running, or going to run.
    pub under_way: Vec<i64>,
    /// Whether these ran is not recorded any more.
    pub forgotten: Vec<i64>,
    /// These are not over yet: the schedule itself sees to them.
    pub not_over: Vec<i64>,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More ticks than can wait.
    TooMany(usize),
    /// The job has no schedule.
    NoSchedule,
}

impl Ledger {
    /// Pauses; says whether that changes anything.
    pub(crate) fn pause(&mut self, pause: Pause) -> bool {
        if self.paused.is_some() {
            return false;
        }
        self.paused = Some(pause);
        true
    }

    /// Resumes; says whether that changes anything.
    pub(crate) fn resume(&mut self, timing: &Timing<'_>, now_ms: u64, how: Resume) -> bool {
        let Some(pause) = self.paused.take() else {
            return false;
        };
        self.resumed(timing, pause.since_ms, now_ms.max(pause.since_ms), how);
        true
    }

    /// Enters a run that somebody asks for now; nothing, if it was entered before.
    pub(crate) fn trigger(&mut self, id: &str, now_ms: u64) -> Result<bool, Refused> {
        if self.was_asked(id) {
            return Ok(false);
        }
        if self.pending.len() >= MOST_PENDING {
            return Err(Refused::TooMany(self.pending.len() + 1));
        }
        let tick = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
        self.enter(tick, Via::Trigger, id, now_ms);
        self.remember(id);
        Ok(true)
    }

    /// Enters the ticks of `from..=to` that are over, not under way, and did not run; `records` is all that is recorded,
    /// and nothing is known of ticks up to `forgotten`.
    pub(crate) fn backfill(
        &mut self,
        timing: &Timing<'_>,
        id: &str,
        range: (i64, i64),
        records: &[TickRecord],
        forgotten: Option<i64>,
        now_ms: u64,
    ) -> Result<Backfilled, Refused> {
        if timing.spec.schedule.is_none() {
            return Err(Refused::NoSchedule);
        }
        let mut done = Backfilled {
            id: id.to_owned(),
            ..Backfilled::default()
        };
        if self.was_asked(id) {
            let mine = |pending: &&Pending| pending.id.as_deref() == Some(id);
            done.accepted = self.pending.iter().filter(mine).map(|p| p.tick).collect();
            return Ok(done);
        }
        let (from, to) = range;
        let mut tick = timing.next(from.saturating_sub(1));
        let mut seen = 0;
        while let Some(at) = tick.filter(|tick| *tick <= to) {
            seen += 1;
            if seen > MOST_PENDING {
                return Err(Refused::TooMany(seen));
            }
            let ran = |record: &TickRecord| {
                let ran = record.outcome == Outcome::Ran && !planted(Bug::RanAgain);
                ran && record.is_about(at) && record.via != Via::Trigger
            };
            let pending = (self.pending.iter()).any(|p| p.tick == at && p.via != Via::Trigger);
            let running = (self.running.iter()).any(|r| r.tick == at && r.via != Via::Trigger);
            let list = if at > self.cursor {
                &mut done.not_over
            } else if pending || running {
                &mut done.under_way
            } else if records.iter().any(ran) {
                &mut done.ran
            } else if forgotten.is_some_and(|forgotten| at <= forgotten) {
                &mut done.forgotten
            } else {
                &mut done.accepted
            };
            list.push(at);
            tick = timing.next(at);
        }
        let total = self.pending.len() + done.accepted.len();
        if total > MOST_PENDING {
            return Err(Refused::TooMany(total));
        }
        for tick in &done.accepted {
            self.enter(*tick, Via::Backfill, id, now_ms);
        }
        if !done.accepted.is_empty() {
            self.remember(id);
        }
        Ok(done)
    }

    /// Whether a run that is to come besides the ticks above the cursor could start now.
    pub(crate) fn is_waiting(&self, now_ms: u64) -> bool {
        let may = |pending: &Pending| self.paused.is_none() || !pending.via.is_schedule();
        let could = |pending: &Pending| may(pending) && pending.not_before_ms <= now_ms;
        self.running.is_empty() && self.pending.iter().any(could)
    }

    fn enter(&mut self, tick: i64, via: Via, id: &str, now_ms: u64) {
        self.pending.push(Pending {
            tick,
            attempt: 1,
            via,
            id: Some(id.to_owned()),
            not_before_ms: now_ms,
            claimed_ms: 0,
        });
    }

    /// Whether this was entered before.
    pub(crate) fn was_asked(&self, id: &str) -> bool {
        let id = Some(id);
        if planted(Bug::AskedAnew) {
            return self
                .pending
                .iter()
                .any(|pending| pending.id.as_deref() == id);
        }
        self.asked.iter().any(|known| Some(&**known) == id)
            || self
                .pending
                .iter()
                .any(|pending| pending.id.as_deref() == id)
            || self.running.iter().any(|run| run.id.as_deref() == id)
            || self.out.iter().any(|record| record.id.as_deref() == id)
    }

    fn remember(&mut self, id: &str) {
        self.asked.push(id.to_owned());
        let surplus = self.asked.len().saturating_sub(REMEMBERED);
        self.asked.drain(..surplus);
    }
}
