//! What to do about a job now.

use leasehold_cron::Schedule;

use super::{Ledger, Outcome, Running};

/// A job's next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing is due before this tick; `None` if there is no further tick.
    Wait(Option<i64>),
    /// The ledger was changed (ticks were missed, or skipped) and is to be written.
    Write,
    /// This tick is due, and waits for the end of a run that was claimed when it was due already.
    Later(i64),
    /// The ledger was changed up to this tick, which is to be claimed.
    Claim(i64),
}

/// Disposes of what is due: ticks that are more than `grace` late are missed; the oldest of the others is claimed, or
/// skipped if another run of the job is under way when its time comes. Younger ones stay above the cursor.
pub(crate) fn plan(ledger: &mut Ledger, schedule: &Schedule, now_us: u64, grace_us: u64) -> Plan {
    let now_s = seconds(now_us);
    let Some(first) = schedule.next_after(ledger.cursor) else {
        return Plan::Wait(None);
    };
    if first > now_s {
        return Plan::Wait(Some(first));
    }
    // Ticks before this second are too late; the one within it is not.
    let floor = seconds(now_us.saturating_sub(grace_us).div_ceil(1_000_000) * 1_000_000);
    let wanted = if first >= floor {
        Some(first)
    } else {
        schedule.next_after(floor - 1).filter(|tick| *tick <= now_s)
    };
    if first < floor {
        ledger.dispose(first, floor - 1, Outcome::Missed);
    }
    let Some(tick) = wanted else {
        return Plan::Write;
    };
    if ledger.running.is_empty() {
        return Plan::Claim(tick);
    }
    // A tick that was due before the run under way was claimed is being caught up: it waits its turn.
    let caught_up = |run: &Running| tick * 1000 <= run.claimed_ms();
    match (ledger.running.iter().any(caught_up), first < floor) {
        (true, true) => Plan::Write,
        (true, false) => Plan::Later(tick),
        (false, _) => {
            ledger.dispose(tick, tick, Outcome::SkippedOverlap);
            Plan::Write
        }
    }
}

fn seconds(us: u64) -> i64 {
    i64::try_from(us / 1_000_000).unwrap_or(i64::MAX)
}
