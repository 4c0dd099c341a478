//! What to do about a job now.

use leasehold_cron::Schedule;

use super::{Ledger, Outcome, TickRecord};

/// A job's next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing is due before this tick; `None` if there is no further tick.
    Wait(Option<i64>),
    /// The ledger was changed (ticks were missed, or skipped) and is to be written.
    Write,
    /// The ledger was changed up to this tick, which is to be claimed.
    Claim(i64),
}

/// Disposes of what is due: ticks that are more than `grace` late are missed; the oldest of the others is claimed, or
/// skipped while another run of the job is under way. Younger ones stay above the cursor.
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
        let until = wanted.map_or(floor, |tick| tick.min(floor)) - 1;
        ledger
            .out
            .push(TickRecord::range(first, until, Outcome::Missed));
        ledger.cursor = until;
    }
    match wanted {
        None => Plan::Write,
        Some(tick) if ledger.running.is_empty() => Plan::Claim(tick),
        Some(tick) => {
            ledger
                .out
                .push(TickRecord::range(tick, tick, Outcome::SkippedOverlap));
            ledger.cursor = tick;
            Plan::Write
        }
    }
}

fn seconds(us: u64) -> i64 {
    i64::try_from(us / 1_000_000).unwrap_or(i64::MAX)
}
