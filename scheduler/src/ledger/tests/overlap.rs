//! Ticks that come due while a run is under way.

use super::*;

fn every_ten(overlap: &str) -> Ledger {
    job(100, &[("schedule", "*/10 * * * * *"), ("overlap", overlap)])
}

#[test]
fn queue_one_keeps_the_first_and_skips_the_others() {
    let mut ledger = every_ten("queue_one");
    let first = start_at(&mut ledger, 110_000);
    for now in [120_000, 130_000, 140_000] {
        assert_eq!(settle(&mut ledger, now), Plan::Later);
    }
    assert_eq!(said(&ledger), [(130, 140, Outcome::SkippedOverlap)]);
    end_at(&mut ledger, &first, Outcome::Ran, 145_000);
    assert_eq!(start_at(&mut ledger, 145_000).tick, 120);
    assert!(ledger.pending.is_empty());
}

#[test]
fn queue_all_runs_each_in_order_up_to_its_cap() {
    let mut ledger = every_ten("queue_all(2)");
    let mut run = start_at(&mut ledger, 110_000);
    for now in [120_000, 130_000, 140_000] {
        settle(&mut ledger, now);
    }
    let mut ran = Vec::new();
    for now in [141_000, 142_000] {
        end_at(&mut ledger, &run, Outcome::Ran, now);
        run = start_at(&mut ledger, now);
        ran.push(run.tick);
    }
    assert_eq!(ran, [120, 130]);
    assert_eq!(said(&ledger)[0], (140, 140, Outcome::SkippedOverlap));
}

#[test]
fn cancel_running_ends_the_run_and_keeps_the_latest_tick_only() {
    let mut ledger = every_ten("cancel_running");
    let first = start_at(&mut ledger, 110_000);
    settle(&mut ledger, 120_000);
    assert!(ledger.running[0].cancelled);
    assert_eq!(settle(&mut ledger, 130_000), Plan::Later);
    assert_eq!(said(&ledger), [(120, 120, Outcome::SkippedOverlap)]);
    let cancelled = ledger.running[0].clone();
    end_at(&mut ledger, &cancelled, Outcome::Failed, 131_000);
    assert_eq!(start_at(&mut ledger, 131_000).tick, 130);
    assert_eq!(first.tick, 110);
}

#[test]
fn a_cancelled_run_is_not_tried_again_and_an_attempt_to_come_gives_way() {
    let spec = [
        ("schedule", "*/10 * * * * *"),
        ("overlap", "cancel_running"),
        ("retries", "3"),
        ("backoff", "30s"),
    ];
    let mut ledger = job(100, &spec);
    let first = start_at(&mut ledger, 110_000);
    settle(&mut ledger, 120_000);
    end_at(&mut ledger, &first, Outcome::Failed, 121_000);
    let second = start_at(&mut ledger, 121_000);
    assert_eq!((second.tick, second.attempt), (120, 1));
    end_at(&mut ledger, &second, Outcome::Failed, 122_000);
    assert_eq!(ledger.pending[0].attempt, 2);
    let third = start_at(&mut ledger, 130_000);
    assert_eq!((third.tick, third.attempt), (130, 1));
    let last = ledger.out.last().unwrap();
    assert_eq!(
        (last.start, last.attempt, last.outcome),
        (120, 2, Outcome::SkippedOverlap)
    );
}

#[test]
fn allow_runs_beside_up_to_its_cap() {
    let mut ledger = every_ten("allow(2)");
    start_at(&mut ledger, 110_000);
    start_at(&mut ledger, 120_000);
    settle(&mut ledger, 130_000);
    assert_eq!(said(&ledger), [(130, 130, Outcome::SkippedOverlap)]);
    let first = ledger.running[0].clone();
    end_at(&mut ledger, &first, Outcome::Ran, 131_000);
    assert_eq!(start_at(&mut ledger, 140_000).tick, 140);
    assert_eq!(ledger.running.len(), 2);
}

#[test]
fn a_tick_whose_attempts_are_not_over_is_under_way() {
    let spec = [
        ("schedule", "*/10 * * * * *"),
        ("retries", "1"),
        ("backoff", "15s"),
    ];
    let mut ledger = job(100, &spec);
    let run = start_at(&mut ledger, 110_000);
    end_at(&mut ledger, &run, Outcome::Failed, 111_000);
    assert_eq!(settle(&mut ledger, 120_000), Plan::Wait(Some(126_000)));
    assert_eq!(ledger.out.last().unwrap().outcome, Outcome::SkippedOverlap);
    let again = start_at(&mut ledger, 126_000);
    assert_eq!((again.tick, again.attempt), (110, 2));
}

#[test]
fn a_queued_tick_waits_until_the_attempts_of_the_one_before_are_over() {
    let spec = [
        ("schedule", "*/10 * * * * *"),
        ("overlap", "queue_one"),
        ("retries", "1"),
        ("backoff", "15s"),
    ];
    let mut ledger = job(100, &spec);
    let run = start_at(&mut ledger, 110_000);
    end_at(&mut ledger, &run, Outcome::Failed, 111_000);
    settle(&mut ledger, 120_000);
    let again = start_at(&mut ledger, 126_000);
    assert_eq!((again.tick, again.attempt), (110, 2));
    end_at(&mut ledger, &again, Outcome::Failed, 127_000);
    assert_eq!(start_at(&mut ledger, 127_000).tick, 120);
}
