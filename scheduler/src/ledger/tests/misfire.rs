//! Ticks that nobody could start in time.

use super::*;

#[test]
fn run_once_runs_the_latest_and_records_the_others_as_missed() {
    let mut ledger = job(
        100,
        &[("schedule", "*/10 * * * * *"), ("misfire", "run_once")],
    );
    let run = start_at(&mut ledger, 167_000);
    assert_eq!(run.tick, 160);
    assert_eq!(said(&ledger), [(110, 159, Outcome::Missed)]);
    // It is late for good: no deadline of the start.
    end_at(&mut ledger, &run, Outcome::Ran, 169_000);
    assert_eq!(at(&mut ledger, 169_000), Plan::Wait(Some(170_000)));
}

#[test]
fn run_once_prefers_a_tick_that_is_on_time_only_after_the_late_one() {
    let mut ledger = job(
        100,
        &[("schedule", "*/10 * * * * *"), ("misfire", "run_once")],
    );
    // 160 is on time; 150 is the latest that is late, and runs first.
    let late = start_at(&mut ledger, 163_000);
    assert_eq!(late.tick, 150);
    assert_eq!(at(&mut ledger, 163_100), Plan::Later);
    end_at(&mut ledger, &late, Outcome::Ran, 164_000);
    assert_eq!(start_at(&mut ledger, 164_000).tick, 160);
    assert_eq!(said(&ledger)[0], (110, 149, Outcome::Missed));
}

#[test]
fn run_all_runs_those_within_window_and_cap_oldest_first() {
    let every_minute = [("schedule", "* * * * *"), ("misfire", "run_all(10m, 3)")];
    let mut ledger = job(0, &every_minute);
    let now = 3_630_000;
    let mut ran = Vec::new();
    while let Plan::Claim(_) = settle(&mut ledger.clone(), now) {
        let run = start_at(&mut ledger, now);
        ran.push(run.tick);
        end_at(&mut ledger, &run, Outcome::Ran, now);
    }
    assert_eq!(ran, [3480, 3540, 3600]);
    assert_eq!(said(&ledger)[0], (60, 3479, Outcome::Missed));

    let mut ledger = job(
        0,
        &[("schedule", "* * * * *"), ("misfire", "run_all(2m, 100)")],
    );
    assert_eq!(start_at(&mut ledger, now).tick, 3540);
}

#[test]
fn a_store_that_was_away_for_a_minute_costs_no_tick_within_the_window() {
    let mut ledger = job(
        100,
        &[("schedule", "* * * * * *"), ("misfire", "run_all(5m)")],
    );
    let (mut now, mut ran) = (160_000, Vec::new());
    while let Plan::Claim(_) = settle(&mut ledger.clone(), now) {
        let run = start_at(&mut ledger, now);
        ran.push(run.tick);
        now += 100;
        end_at(&mut ledger, &run, Outcome::Ran, now);
    }
    assert_eq!(
        ran,
        (101..=i64::try_from(now / 1000).unwrap()).collect::<Vec<_>>()
    );
}

#[test]
fn each_tick_starts_a_little_later_always_the_same_and_before_the_next() {
    let mut jittered = job(0, &[("schedule", "* * * * *"), ("jitter", "59s")]);
    let starts: Vec<u64> = with_timing(&mut jittered, |_, timing| {
        (1..=200).map(|n| timing.start_ms(n * 60)).collect()
    });
    for (n, start) in (1_u64..).zip(&starts) {
        assert!(
            (n * 60_000..(n + 1) * 60_000).contains(start),
            "{n} {start}"
        );
    }
    let late = |start: &u64| start % 60_000 > 30_000;
    assert!((60..140).contains(&starts.iter().filter(|s| late(s)).count()));
    assert_eq!(
        at(&mut jittered, starts[0] - 1),
        Plan::Wait(Some(starts[0]))
    );
    assert_eq!(
        at(&mut jittered, starts[0]),
        Plan::Claim(due(60, Some(starts[0] + GRACE)))
    );
    // Late is late after the start, not after the nominal time.
    assert_eq!(
        at(&mut jittered, starts[0] + GRACE),
        Plan::Claim(due(60, Some(starts[0] + GRACE)))
    );
    assert_eq!(at(&mut jittered, starts[0] + GRACE + 1), Plan::Write);
    assert_eq!(said(&jittered)[0].2, Outcome::Missed);
    assert!(jittered.cursor < 120);
}

#[test]
fn a_jitter_never_reaches_the_next_tick_however_near_it_is() {
    // An hour of jitter, and two ticks a second apart.
    let mut spec = spec(&ledger(0));
    spec.jitter = std::time::Duration::from_secs(3600);
    let timing = Timing {
        job: "job",
        spec: &spec,
    };
    for tick in 1..1000 {
        let nominal = u64::try_from(tick).unwrap() * 1000;
        assert!((nominal..nominal + 1000).contains(&timing.start_ms(tick)));
    }
}
