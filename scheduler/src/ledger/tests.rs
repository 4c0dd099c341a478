use super::*;
use leasehold_cron::Schedule;

const GRACE: u64 = 5_000_000;

fn node(n: u64) -> NodeId {
    format!("{n:032x}").parse().unwrap()
}

fn ledger(cursor: i64) -> Ledger {
    Ledger::new("* * * * * *", cursor, None)
}

fn at(ledger: &mut Ledger, now_ms: u64) -> Plan {
    let schedule = Schedule::parse(&ledger.expression).unwrap();
    plan(ledger, &schedule, now_ms * 1000, GRACE)
}

fn run(tick: i64, n: u64, fence: u64) -> Running {
    Running {
        tick,
        attempt: 1,
        node: node(n),
        fence,
        lease: format!("{n}"),
        delay_ms: 3,
    }
}

#[test]
fn a_tick_is_not_claimed_before_the_stores_clock_reaches_it() {
    assert_eq!(at(&mut ledger(100), 100_999), Plan::Wait(Some(101)));
    assert_eq!(at(&mut ledger(100), 101_000), Plan::Claim(101));
}

#[test]
fn the_oldest_tick_within_grace_is_claimed_and_the_younger_stay() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 104_000), Plan::Claim(101));
    assert!(ledger.out.is_empty());
    ledger.claim(run(101, 1, 7));
    assert_eq!(ledger.cursor, 101);
}

#[test]
fn late_ticks_are_missed_in_one_range_that_touches_the_claimed_one() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 200_500), Plan::Claim(196));
    assert_eq!(ledger.out, [TickRecord::range(101, 195, Outcome::Missed)]);
    assert_eq!(ledger.cursor, 195);
}

#[test]
fn a_sparse_job_that_nobody_ran_is_missed_and_moves_on() {
    let mut ledger = Ledger::new("0 * * * *", 0, None);
    assert_eq!(at(&mut ledger, 3_700_000), Plan::Write);
    assert_eq!(ledger.out, [TickRecord::range(3600, 3694, Outcome::Missed)]);
    assert_eq!(at(&mut ledger, 3_700_000), Plan::Wait(Some(7200)));
}

#[test]
fn no_tick_is_claimed_twice_whatever_the_clock_does() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 101_200), Plan::Claim(101));
    ledger.claim(run(101, 1, 7));
    ledger.end(node(1), TickRecord::of_run(&run(101, 1, 7), Outcome::Ran));
    for now in [101_300, 50_000, 0] {
        assert_eq!(at(&mut ledger, now), Plan::Wait(Some(102)));
    }
}

#[test]
fn a_tick_is_skipped_while_another_run_lives_and_reaped_when_its_lease_is_gone() {
    let mut ledger = ledger(100);
    ledger.claim(run(101, 1, 7));
    assert_eq!(at(&mut ledger, 102_100), Plan::Write);
    assert_eq!(ledger.out[0].outcome, Outcome::SkippedOverlap);
    ledger.reap(|run| run.lease == "1");
    assert_eq!(ledger.out[1].outcome, Outcome::LostLease);
    assert_eq!(at(&mut ledger, 103_100), Plan::Claim(103));
}

#[test]
fn a_claim_is_known_by_its_fence_not_by_its_node() {
    let mut ledger = ledger(100);
    ledger.claim(run(101, 1, 7));
    assert!(ledger.has_claim(node(1), 7));
    assert!(!ledger.has_claim(node(1), 8));
    assert!(!ledger.has_claim(node(2), 7));
}

#[test]
fn a_late_end_stands_beside_the_record_that_is_there() {
    let mut ledger = ledger(100);
    ledger.claim(run(101, 1, 7));
    ledger.reap(|_| true);
    ledger.end(node(1), TickRecord::of_run(&run(101, 1, 7), Outcome::Ran));
    let outcomes: Vec<_> = ledger.out.iter().map(|r| (r.outcome, r.late)).collect();
    assert_eq!(
        outcomes,
        [(Outcome::LostLease, false), (Outcome::Ran, true)]
    );
}

#[test]
fn after_data_loss_nothing_that_a_live_node_knows_runs_again() {
    let ledger = Ledger::new("* * * * * *", 150, Some(170));
    assert_eq!(ledger.cursor, 170);
    let mut ledger = Ledger::new("* * * * * *", 150, Some(140));
    assert_eq!(ledger.out, [TickRecord::range(141, 150, Outcome::Unknown)]);
    assert_eq!(at(&mut ledger, 151_000), Plan::Claim(151));
}

#[test]
fn fields_of_a_later_version_survive_a_write_and_a_later_format_is_refused() {
    let mut value: serde_json::Value = serde_json::from_slice(&ledger(1).encode()).unwrap();
    value["invented_later"] = 5.into();
    let read = Ledger::decode("job", value.to_string().as_bytes()).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&read.encode()).unwrap();
    assert_eq!(written["invented_later"], 5);
    value["format"] = 2.into();
    let error = Ledger::decode("job", value.to_string().as_bytes()).unwrap_err();
    assert!(
        matches!(error, Error::LedgerTooNew { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn ticks_that_are_caught_up_wait_their_turn_and_are_not_skipped() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 104_000), Plan::Claim(101));
    ledger.claim(Running {
        delay_ms: 3000,
        ..run(101, 1, 7)
    });
    assert_eq!(at(&mut ledger, 104_100), Plan::Later(102));
    ledger.end(node(1), TickRecord::of_run(&run(101, 1, 7), Outcome::Ran));
    assert_eq!(at(&mut ledger, 104_200), Plan::Claim(102));
    // The one that came due during a run is skipped.
    ledger.claim(Running {
        delay_ms: 2200,
        ..run(102, 1, 8)
    });
    ledger.cursor = 104;
    assert_eq!(at(&mut ledger, 105_000), Plan::Write);
    assert_eq!(ledger.out.last().unwrap().outcome, Outcome::SkippedOverlap);
}

#[test]
fn skipped_ticks_without_another_between_them_are_one_record() {
    let mut ledger = Ledger::new("*/5 * * * * *", 100, None);
    ledger.claim(run(105, 1, 7));
    for now in [110_000, 115_000, 120_000] {
        assert_eq!(at(&mut ledger, now), Plan::Write);
    }
    assert_eq!(
        ledger.out,
        [TickRecord::range(110, 120, Outcome::SkippedOverlap)]
    );
}

#[test]
fn what_was_due_by_a_replaced_schedule_is_missed_not_forgotten() {
    let mut ledger = ledger(100);
    ledger.adopt("0 * * * *", 110);
    assert_eq!(ledger.out, [TickRecord::range(101, 110, Outcome::Missed)]);
    assert_eq!((ledger.cursor, ledger.order), (110, 2));
    ledger.adopt("* * * * *", 111);
    assert_eq!(ledger.out.len(), 1);
}
