//! Triggers and backfills.

use super::*;

fn hourly() -> Ledger {
    job(36_000, &[("schedule", "0 * * * *"), ("retries", "1")])
}

fn backfill(
    ledger: &mut Ledger,
    id: &str,
    range: (i64, i64),
    records: &[TickRecord],
    forgotten: Option<i64>,
) -> Result<Backfilled, Refused> {
    with_timing(ledger, |ledger, timing| {
        ledger.backfill(timing, id, range, records, forgotten, 40_000_000)
    })
}

#[test]
fn a_trigger_that_is_sent_twice_runs_once() {
    let mut ledger = hourly();
    assert_eq!(ledger.trigger("t1", 36_500_000), Ok(true));
    assert_eq!(ledger.trigger("t1", 36_500_900), Ok(false));
    let run = start_at(&mut ledger, 36_501_000);
    end_at(&mut ledger, &run, Outcome::Ran, 36_502_000);
    assert_eq!(ledger.trigger("t1", 36_503_000), Ok(false));
    assert!(ledger.pending.is_empty());
}

#[test]
fn a_tick_waits_for_a_run_that_was_asked_for_and_is_not_skipped() {
    let mut ledger = hourly();
    ledger.trigger("t1", 39_599_000).unwrap();
    let run = start_at(&mut ledger, 39_599_000);
    assert_eq!(at(&mut ledger, 39_600_000), Plan::Later);
    end_at(&mut ledger, &run, Outcome::Ran, 39_601_000);
    assert_eq!(start_at(&mut ledger, 39_601_000).tick, 39_600);
}

#[test]
fn a_backfill_takes_only_what_is_over_and_did_not_run() {
    let mut ledger = hourly();
    let run = start_at(&mut ledger, 39_600_000);
    let mut ran = TickRecord::range(28_800, 28_800, Outcome::Ran);
    ran.attempt = 1;
    let missed = TickRecord::range(32_400, 32_400, Outcome::Missed);
    let records = [ran, missed];
    let done = backfill(&mut ledger, "b1", (21_600, 46_000), &records, Some(22_000)).unwrap();
    let expected = Backfilled {
        id: "b1".into(),
        accepted: vec![25_200, 32_400, 36_000],
        ran: vec![28_800],
        under_way: vec![39_600],
        forgotten: vec![21_600],
        not_over: vec![43_200],
    };
    assert_eq!(done, expected);
    // The same again changes nothing, another one finds them under way.
    let again = backfill(&mut ledger, "b1", (21_600, 46_000), &records, Some(22_000)).unwrap();
    assert_eq!(again.accepted, expected.accepted);
    let other = backfill(&mut ledger, "b2", (25_200, 36_000), &records, None).unwrap();
    assert_eq!((other.accepted.len(), other.under_way.len()), (0, 3));
    assert_eq!(ledger.pending.len(), 3);

    // In order, one at a time, after what the schedule wants.
    end_at(&mut ledger, &run, Outcome::Ran, 40_000_000);
    let run = start_at(&mut ledger, 40_000_000);
    assert_eq!((run.tick, run.via), (25_200, Via::Backfill));
    assert_eq!(ledger.cursor, 39_600);
    end_at(&mut ledger, &run, Outcome::Failed, 43_200_000);
    assert_eq!(start_at(&mut ledger, 43_200_000).tick, 43_200);
    assert_eq!(ledger.pending[0].tick, 32_400);
}

#[test]
fn a_backfill_that_is_too_large_changes_nothing() {
    let mut ledger = job(100_000, &[("schedule", "* * * * * *")]);
    let refused = backfill(&mut ledger, "b1", (0, 100_000), &[], None);
    assert_eq!(refused, Err(Refused::TooMany(1001)));
    assert!(ledger.pending.is_empty() && ledger.asked.is_empty());
    let mut off = job(0, &[("schedule", "-")]);
    assert_eq!(
        backfill(&mut off, "b1", (0, 1), &[], None),
        Err(Refused::NoSchedule)
    );
}

#[test]
fn a_job_that_is_off_runs_only_when_it_is_triggered() {
    let mut off = job(0, &[("schedule", "-")]);
    assert_eq!(at(&mut off, 1_000_000), Plan::Wait(None));
    off.trigger("t1", 1_000_000).unwrap();
    assert_eq!(start_at(&mut off, 1_000_000).tick, 1000);
}
