//! What to do about a job now.

use leasehold_spec::{Misfire, Overlap};

use crate::planted::{Bug, planted};

use super::{Ledger, Outcome, Pending, Running, Timing, Via};

/// A job's next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing is to start before this instant (ms since 1970 on the store's clock); `None` if there is nothing to come.
    Wait(Option<u64>),
    /// The ledger was changed (ticks were missed, skipped or queued) and is to be written.
    Write,
    /// Something is due, and waits for the end of a run.
    Later,
    /// The ledger was changed up to this, which is to be claimed.
    Claim(Start),
}

/// What is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) tick: i64,
    pub(crate) attempt: u32,
    pub(crate) via: Via,
    pub(crate) id: Option<String>,
    /// It is one of `pending`, not the first tick above the cursor.
    pub(crate) pending: bool,
    /// If its body cannot start by then it is missed.
    pub(crate) by_ms: Option<u64>,
}

impl Start {
    fn of(pending: &Pending) -> Self {
        Self {
            tick: pending.tick,
            attempt: pending.attempt,
            via: pending.via,
            id: pending.id.clone(),
            pending: true,
            by_ms: None,
        }
    }

    pub(super) fn is(&self, pending: &Pending) -> bool {
        (pending.tick, pending.attempt, &pending.id) == (self.tick, self.attempt, &self.id)
            && pending.via == self.via
    }
}

/// Disposes of what is due and may not or need not run, and says what may start: attempts and queued ticks first, then
/// the oldest tick above the cursor that the misfire policy wants, then triggers, then backfills. Younger ticks stay
/// above the cursor.
///
/// `is_paused`: the whole fleet is. What people ask for runs all the same.
pub(crate) fn plan(
    ledger: &mut Ledger,
    timing: &Timing<'_>,
    now_ms: u64,
    grace_ms: u64,
    is_paused: bool,
) -> Plan {
    let planning = Planning {
        timing,
        now_ms,
        grace_ms,
        is_paused: (is_paused || ledger.paused.is_some()) && !planted(Bug::PauseIgnored),
    };
    if !planning.is_paused {
        let began = |pending: &Pending| pending.via.is_schedule();
        if let Some(start) = planning.ready(ledger, began) {
            return Plan::Claim(start);
        }
        match planning.due(ledger) {
            Plan::Wait(_) => {}
            decided => return decided,
        }
    }
    for via in [Via::Trigger, Via::Backfill] {
        if let Some(start) = planning.ready(ledger, |pending| pending.via == via) {
            return Plan::Claim(start);
        }
    }
    planning.rest(ledger)
}

struct Planning<'a> {
    timing: &'a Timing<'a>,
    now_ms: u64,
    grace_ms: u64,
    is_paused: bool,
}

impl Planning<'_> {
    /// Whether one more run may start beside those under way.
    fn is_free(&self, ledger: &Ledger) -> bool {
        match self.timing.spec.overlap {
            Overlap::Allow { cap } => ledger.running.len() < cap as usize,
            _ => ledger.running.is_empty() || planted(Bug::OverlapIgnored),
        }
    }

    /// The first pending one of a kind, if it may start now. One that waits for its time holds up those behind it: an
    /// attempt is part of its tick.
    fn ready(&self, ledger: &Ledger, kind: impl Fn(&Pending) -> bool) -> Option<Start> {
        let may_pass = matches!(self.timing.spec.overlap, Overlap::Allow { .. });
        let has_come = |pending: &Pending| pending.not_before_ms <= self.now_ms;
        let candidates = (ledger.pending.iter())
            .filter(|pending| kind(pending) && (!may_pass || has_come(pending)));
        let first = candidates.min_by_key(|pending| pending.tick)?;
        (has_come(first) && self.is_free(ledger)).then(|| Start::of(first))
    }

    /// What is to come when nothing can be done now.
    fn rest(&self, ledger: &Ledger) -> Plan {
        let may = |pending: &&Pending| !self.is_paused || !pending.via.is_schedule();
        let times: Vec<u64> = (ledger.pending.iter().filter(may))
            .map(|pending| pending.not_before_ms)
            .collect();
        if times.iter().any(|time| *time <= self.now_ms) {
            return Plan::Later;
        }
        let tick = (!self.is_paused).then(|| self.timing.next(ledger.cursor));
        let tick = tick.flatten().map(|tick| self.timing.start_ms(tick));
        Plan::Wait(times.into_iter().chain(tick).min())
    }

    /// Disposes of due ticks, or claims one.
    fn due(&self, ledger: &mut Ledger) -> Plan {
        let Some(first) = self.timing.next(ledger.cursor) else {
            return Plan::Wait(None);
        };
        let starts = self.timing.start_ms(first);
        if starts > self.now_ms {
            return Plan::Wait(Some(starts));
        }
        let on_time = self.first_on_time(ledger.cursor);
        let is_late = on_time != Some(first);
        let wanted = if is_late {
            self.wanted_late(ledger, first, on_time)
        } else {
            on_time
        };
        let is_due = |tick: &i64| self.timing.start_ms(*tick) <= self.now_ms;
        let on_time_now = on_time.filter(is_due);
        let (Some(tick), is_late) = (wanted.or(on_time_now), is_late && wanted.is_some()) else {
            let end = on_time.map_or(i64::MAX, |tick| tick - 1);
            ledger.dispose(first, end.min(self.late_until()), Outcome::Missed);
            return Plan::Write;
        };
        if tick == first {
            return self.start(ledger, tick, is_late);
        }
        if !planted(Bug::PassedOverInSilence) {
            ledger.dispose(first, tick - 1, Outcome::Missed);
        }
        match self.start(ledger, tick, is_late) {
            Plan::Later => Plan::Write,
            plan => plan,
        }
    }

    /// No tick that starts at its nominal time and lies after this second is late.
    fn late_until(&self) -> i64 {
        seconds(self.now_ms.saturating_sub(self.grace_ms).div_ceil(1000) * 1000) - 1
    }

    fn is_late(&self, tick: i64) -> bool {
        self.timing.start_ms(tick).saturating_add(self.grace_ms) < self.now_ms
    }

    /// The first tick after the cursor that is not late; it may not be due.
    fn first_on_time(&self, cursor: i64) -> Option<i64> {
        let from = self.late_until().saturating_sub(self.timing.jitter_s());
        let ticks = std::iter::successors(self.timing.next(from.max(cursor)), |tick| {
            self.timing.next(*tick)
        });
        ticks.into_iter().find(|tick| !self.is_late(*tick))
    }

    /// The oldest of the late ticks, from `first` to before `on_time`, that is to run all the same.
    fn wanted_late(&self, ledger: &Ledger, first: i64, on_time: Option<i64>) -> Option<i64> {
        if first <= ledger.wanted_until {
            return Some(first);
        }
        let end = on_time.unwrap_or(i64::MAX).min(self.late_until() + 1);
        let backwards = std::iter::successors(self.timing.previous(end), |tick| {
            self.timing.previous(*tick)
        });
        let mut late = backwards.take_while(|tick| *tick >= first);
        match self.timing.spec.misfire {
            Misfire::RunOnce => late.next(),
            Misfire::RunAll { window, cap } => {
                let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
                let from = self.now_ms.saturating_sub(window_ms);
                late.take_while(|tick| self.timing.start_ms(*tick) >= from)
                    .take(cap as usize)
                    .last()
            }
            _ => None,
        }
    }

    /// Starts a tick that is due, or does with it what the overlap policy says.
    fn start(&self, ledger: &mut Ledger, tick: i64, is_late: bool) -> Plan {
        let overlap = self.timing.spec.overlap;
        let starts = self.timing.start_ms(tick);
        // A tick whose attempts are not over is under way, too.
        let unfinished = match overlap {
            Overlap::Allow { .. } => false,
            _ => ledger
                .pending
                .iter()
                .any(|pending| pending.via.is_schedule()),
        };
        if self.is_free(ledger) && !unfinished {
            let is_bound = !is_late && self.timing.spec.misfire == Misfire::Skip;
            return Plan::Claim(Start {
                tick,
                attempt: 1,
                via: Via::Schedule,
                id: None,
                pending: false,
                by_ms: is_bound.then(|| starts.saturating_add(self.grace_ms)),
            });
        }
        // One that was due before what is under way was claimed is being caught up: it waits its turn. So does one that
        // only what people asked for keeps from starting.
        let before_run = |run: &Running| starts <= run.claimed_ms;
        let before_retry = |pending: &Pending| pending.is_retry() && starts <= pending.claimed_ms;
        let is_asked_for = !unfinished && ledger.running.iter().all(|run| !run.via.is_schedule());
        if is_late
            || is_asked_for
            || ledger.running.iter().any(before_run)
            || ledger.pending.iter().any(before_retry)
        {
            return Plan::Later;
        }
        let queued = ledger.pending.iter().filter(|p| p.is_queued()).count();
        match overlap {
            Overlap::QueueOne if queued < 1 => self.queue(ledger, tick),
            Overlap::QueueAll { cap } if queued < cap as usize => self.queue(ledger, tick),
            Overlap::CancelRunning => self.cancel_for(ledger, tick),
            _ if planted(Bug::SkippedInSilence) => ledger.cursor = tick,
            _ => ledger.dispose(tick, tick, Outcome::SkippedOverlap),
        }
        Plan::Write
    }

    fn queue(&self, ledger: &mut Ledger, tick: i64) {
        ledger.cursor = tick;
        ledger.pending.push(Pending {
            tick,
            attempt: 1,
            via: Via::Schedule,
            id: None,
            not_before_ms: self.timing.start_ms(tick),
            claimed_ms: 0,
        });
    }

    /// Everything before `tick` gives way to it: runs are to end, further attempts and queued ticks are given up.
    fn cancel_for(&self, ledger: &mut Ledger, tick: i64) {
        for run in &mut ledger.running {
            run.cancelled |= run.via.is_schedule();
        }
        let of_schedule = |pending: &Pending| pending.via.is_schedule();
        ledger.give_up_pending(Outcome::SkippedOverlap, of_schedule);
        self.queue(ledger, tick);
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}
