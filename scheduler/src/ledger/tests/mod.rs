//! The ledger, step by step, on a clock that the test moves.

mod asked;
mod attempts;
mod misfire;
mod overlap;
mod paused;

use super::*;

const GRACE: u64 = 5000;

fn node(n: u64) -> NodeId {
    format!("{n:032x}").parse().unwrap()
}

fn words(spec: &[(&str, &str)]) -> Words {
    (spec.iter())
        .map(|(word, said)| ((*word).to_owned(), (*said).to_owned()))
        .collect()
}

/// A job of this schedule and these policies, whose ticks up to `cursor` are over.
fn job(cursor: i64, spec: &[(&str, &str)]) -> Ledger {
    Ledger::new("job", words(spec), cursor, None)
}

fn ledger(cursor: i64) -> Ledger {
    job(cursor, &[("schedule", "* * * * * *")])
}

fn spec(ledger: &Ledger) -> Spec {
    Spec::from_words(ledger.words()).unwrap()
}

fn with_timing<T>(ledger: &mut Ledger, act: impl FnOnce(&mut Ledger, &Timing<'_>) -> T) -> T {
    let spec = spec(ledger);
    let timing = Timing {
        job: "job",
        spec: &spec,
    };
    act(ledger, &timing)
}

fn at(ledger: &mut Ledger, now_ms: u64) -> Plan {
    with_timing(ledger, |ledger, timing| {
        plan(ledger, timing, now_ms, GRACE, false)
    })
}

fn due(tick: i64, by_ms: Option<u64>) -> Start {
    Start {
        tick,
        attempt: 1,
        via: Via::Schedule,
        id: None,
        pending: false,
        by_ms,
    }
}

/// A tick that must start within the grace time.
fn claim_of(tick: i64) -> Plan {
    let by_ms = u64::try_from(tick).unwrap() * 1000 + GRACE;
    Plan::Claim(due(tick, Some(by_ms)))
}

/// A claim by node `n`, made at this instant.
fn claimed(start: &Start, n: u64, fence: u64, now_ms: u64) -> Running {
    Running {
        tick: start.tick,
        attempt: start.attempt,
        via: start.via,
        id: start.id.clone(),
        node: node(n),
        fence,
        lease: format!("{fence}"),
        delay_ms: 3,
        claimed_ms: now_ms,
        version: "v".into(),
        cancelled: false,
    }
}

/// Claims what is to start now.
fn start_at(ledger: &mut Ledger, now_ms: u64) -> Running {
    loop {
        match at(ledger, now_ms) {
            Plan::Claim(start) => {
                let run = claimed(&start, 1, ledger.last_fence + 1, now_ms);
                ledger.claim(&start, run.clone());
                return run;
            }
            Plan::Write => {}
            plan => panic!("nothing is to start: {plan:?}, {ledger:?}"),
        }
    }
}

fn end_at(ledger: &mut Ledger, running: &Running, outcome: Outcome, now_ms: u64) {
    let spec = spec(ledger);
    let end = End {
        running,
        record: TickRecord::of_run(running, outcome),
        crashed: false,
        now_ms,
    };
    ledger.end(&spec, end);
}

/// Writes until nothing changes any more, and says what is then to be done.
fn settle(ledger: &mut Ledger, now_ms: u64) -> Plan {
    loop {
        match at(ledger, now_ms) {
            Plan::Write => {}
            plan => return plan,
        }
    }
}

/// The ends that are recorded, in short.
fn said(ledger: &Ledger) -> Vec<(i64, i64, Outcome)> {
    (ledger.out.iter())
        .map(|record| (record.start, record.end, record.outcome))
        .collect()
}

fn run(tick: i64, n: u64, fence: u64) -> Running {
    let claimed_ms = u64::try_from(tick).unwrap() * 1000 + 3;
    claimed(&due(tick, None), n, fence, claimed_ms)
}

/// As if it had just been claimed.
fn enter(ledger: &mut Ledger, run: Running) {
    ledger.claim(&due(run.tick, None), run);
}

#[test]
fn a_tick_is_not_claimed_before_the_stores_clock_reaches_it() {
    assert_eq!(at(&mut ledger(100), 100_999), Plan::Wait(Some(101_000)));
    assert_eq!(at(&mut ledger(100), 101_000), claim_of(101));
}

#[test]
fn the_oldest_tick_within_grace_is_claimed_and_the_younger_stay() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 104_000), claim_of(101));
    assert!(ledger.out.is_empty());
    enter(&mut ledger, run(101, 1, 7));
    assert_eq!(ledger.cursor, 101);
}

#[test]
fn late_ticks_are_missed_in_one_range_that_touches_the_claimed_one() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 200_500), claim_of(196));
    assert_eq!(said(&ledger), [(101, 195, Outcome::Missed)]);
    assert_eq!(ledger.cursor, 195);
}

#[test]
fn a_sparse_job_that_nobody_ran_is_missed_and_moves_on() {
    let mut ledger = job(0, &[("schedule", "0 * * * *")]);
    assert_eq!(at(&mut ledger, 3_700_000), Plan::Write);
    assert_eq!(said(&ledger), [(3600, 3694, Outcome::Missed)]);
    assert_eq!(at(&mut ledger, 3_700_000), Plan::Wait(Some(7_200_000)));
}

#[test]
fn no_tick_is_claimed_twice_whatever_the_clock_does() {
    let mut ledger = ledger(100);
    assert_eq!(at(&mut ledger, 101_200), claim_of(101));
    enter(&mut ledger, run(101, 1, 7));
    end_at(&mut ledger, &run(101, 1, 7), Outcome::Ran, 101_500);
    for now in [101_300, 50_000, 0] {
        assert_eq!(at(&mut ledger, now), Plan::Wait(Some(102_000)));
    }
}

#[test]
fn a_tick_is_skipped_while_another_run_lives_and_reaped_when_its_lease_is_gone() {
    let mut ledger = ledger(100);
    enter(&mut ledger, run(101, 1, 7));
    assert_eq!(at(&mut ledger, 102_100), Plan::Write);
    assert_eq!(ledger.out[0].outcome, Outcome::SkippedOverlap);
    let spec = spec(&ledger);
    ledger.reap(&spec, 102_500, |run| run.lease == "7");
    assert_eq!(ledger.out[1].outcome, Outcome::LostLease);
    assert_eq!(at(&mut ledger, 103_100), claim_of(103));
}

#[test]
fn a_claim_is_known_by_its_fence_not_by_its_node() {
    let mut ledger = ledger(100);
    enter(&mut ledger, run(101, 1, 7));
    assert!(ledger.has_claim(node(1), 7));
    assert!(!ledger.has_claim(node(1), 8));
    assert!(!ledger.has_claim(node(2), 7));
}

#[test]
fn a_late_end_stands_beside_the_record_that_is_there() {
    let mut ledger = ledger(100);
    enter(&mut ledger, run(101, 1, 7));
    let spec = spec(&ledger);
    ledger.reap(&spec, 102_500, |_| true);
    end_at(&mut ledger, &run(101, 1, 7), Outcome::Ran, 101_500);
    let outcomes: Vec<_> = ledger.out.iter().map(|r| (r.outcome, r.late)).collect();
    assert_eq!(
        outcomes,
        [(Outcome::LostLease, false), (Outcome::Ran, true)]
    );
}

#[test]
fn after_data_loss_nothing_that_a_live_node_knows_runs_again() {
    let ledger = Ledger::new("job", words(&[("schedule", "* * * * * *")]), 150, Some(170));
    assert_eq!(ledger.cursor, 170);
    let mut ledger = Ledger::new("job", words(&[("schedule", "* * * * * *")]), 150, Some(140));
    assert_eq!(said(&ledger), [(141, 150, Outcome::Unknown)]);
    assert_eq!(at(&mut ledger, 151_000), claim_of(151));
}

/// What waited then may have run since.
#[test]
fn after_a_step_back_of_the_store_nothing_that_waited_runs() {
    let mut ledger = job(
        100,
        &[
            ("schedule", "*/10 * * * * *"),
            ("retries", "1"),
            ("overlap", "queue_all(5)"),
        ],
    );
    let running = start_at(&mut ledger, 110_000);
    settle(&mut ledger, 120_000);
    ledger.trigger("asked", 121_000).unwrap();
    end_at(&mut ledger, &running, Outcome::Failed, 125_000);
    assert_eq!(ledger.pending.len(), 3);
    ledger.out.clear();
    ledger.lost_data(200);
    assert_eq!(ledger.pending, []);
    let said: Vec<_> = (ledger.out.iter())
        .map(|r| (r.start, r.end, r.attempt, r.outcome, r.via, r.id.as_deref()))
        .collect();
    let unknown = Outcome::Unknown;
    let expected = [
        (120, 120, 0, unknown, Via::Schedule, None),
        (121, 121, 1, unknown, Via::Trigger, Some("asked")),
        (110, 110, 2, unknown, Via::Schedule, None),
        (121, 200, 0, unknown, Via::Schedule, None),
    ];
    assert_eq!(said, expected);
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
    assert_eq!(at(&mut ledger, 104_000), claim_of(101));
    enter(
        &mut ledger,
        Running {
            claimed_ms: 104_000,
            ..run(101, 1, 7)
        },
    );
    assert_eq!(at(&mut ledger, 104_100), Plan::Later);
    end_at(&mut ledger, &run(101, 1, 7), Outcome::Ran, 101_500);
    assert_eq!(at(&mut ledger, 104_200), claim_of(102));
    // The one that came due during a run is skipped.
    enter(
        &mut ledger,
        Running {
            claimed_ms: 104_200,
            ..run(102, 1, 8)
        },
    );
    ledger.cursor = 104;
    assert_eq!(at(&mut ledger, 105_000), Plan::Write);
    assert_eq!(ledger.out.last().unwrap().outcome, Outcome::SkippedOverlap);
}

#[test]
fn skipped_ticks_without_another_between_them_are_one_record() {
    let mut ledger = job(100, &[("schedule", "*/5 * * * * *")]);
    enter(&mut ledger, run(105, 1, 7));
    for now in [110_000, 115_000, 120_000] {
        assert_eq!(at(&mut ledger, now), Plan::Write);
    }
    assert_eq!(said(&ledger), [(110, 120, Outcome::SkippedOverlap)]);
}

#[test]
fn what_was_due_by_a_replaced_schedule_is_missed_not_forgotten() {
    let mut ledger = ledger(100);
    let mut adopt = |spec: &[(&str, &str)], now_us| {
        let words = words(spec);
        let hash = version_of(&words);
        ledger.versions.appear(&hash, Some(words));
        let revision = None;
        ledger.adopt(&Decision::Up { hash, revision }, now_us);
        (ledger.cursor, ledger.versions.order, said(&ledger))
    };
    let missed = vec![(101, 110, Outcome::Missed)];
    let adopted = adopt(&[("schedule", "0 * * * *")], 110_500_000);
    assert_eq!(adopted, (110, 2, missed.clone()));
    assert_eq!(
        adopt(&[("schedule", "* * * * *")], 111_000_000),
        (111, 3, missed)
    );
    assert_eq!(ledger.spec["schedule"], "* * * * *");
}
