//! Pauses, of a job and of the fleet.

use super::*;

fn pause(since_ms: u64) -> Pause {
    Pause {
        since_ms,
        by: "ann".into(),
        reason: "maintenance".into(),
    }
}

fn resume(ledger: &mut Ledger, now_ms: u64, how: Resume) {
    with_timing(ledger, |ledger, timing| {
        assert!(ledger.resume(timing, now_ms, how));
    });
}

#[test]
fn nothing_is_claimed_during_a_pause_and_its_ticks_are_recorded_as_paused() {
    let mut ledger = job(100, &[("schedule", "*/10 * * * * *")]);
    assert!(ledger.pause(pause(105_000)));
    assert!(!ledger.pause(pause(106_000)));
    assert_eq!(at(&mut ledger, 131_000), Plan::Wait(None));
    resume(&mut ledger, 131_000, Resume::FromNow);
    assert_eq!(said(&ledger), [(110, 131, Outcome::Paused)]);
    assert_eq!(ledger.resumed, 131, "the watchdog begins anew");
    assert_eq!(at(&mut ledger, 131_000), Plan::Wait(Some(140_000)));
}

#[test]
fn resumed_where_it_stopped_each_tick_runs_however_late() {
    let mut ledger = job(100, &[("schedule", "*/10 * * * * *")]);
    ledger.pause(pause(105_000));
    resume(&mut ledger, 131_000, Resume::WhereItStopped);
    for tick in [110, 120, 130] {
        let run = start_at(&mut ledger, 131_500);
        assert_eq!(run.tick, tick);
        assert_eq!(
            at(&mut ledger, 131_600),
            if tick == 130 {
                Plan::Wait(Some(140_000))
            } else {
                Plan::Later
            }
        );
        end_at(&mut ledger, &run, Outcome::Ran, 131_700);
    }
    assert!(
        ledger
            .out
            .iter()
            .all(|record| record.outcome == Outcome::Ran)
    );
}

#[test]
fn what_was_missed_before_the_pause_is_not_blamed_on_it() {
    let mut ledger = job(100, &[("schedule", "*/10 * * * * *")]);
    ledger.pause(pause(145_000));
    resume(&mut ledger, 161_000, Resume::FromNow);
    assert_eq!(
        said(&ledger),
        [(110, 149, Outcome::Missed), (150, 161, Outcome::Paused)]
    );
}

#[test]
fn a_pause_of_the_fleet_is_heeded_once_by_each_job() {
    let mut ledger = job(100, &[("schedule", "*/10 * * * * *")]);
    let mut fleet = FleetControl::default();
    assert!(fleet.pause(pause(105_000)));
    let heed = |ledger: &mut Ledger, fleet: &FleetControl| {
        with_timing(ledger, |ledger, timing| ledger.heed(fleet, timing));
    };
    heed(&mut ledger, &fleet);
    let held = with_timing(&mut ledger, |ledger, timing| {
        plan(ledger, timing, 121_000, GRACE, fleet.paused.is_some())
    });
    assert_eq!(held, Plan::Wait(None));
    assert!(fleet.resume(131_000, Resume::FromNow));
    let fleet = FleetControl::decode(&fleet.encode()).unwrap();
    for _ in 0..2 {
        heed(&mut ledger, &fleet);
        assert_eq!(said(&ledger), [(110, 131, Outcome::Paused)]);
    }
    assert_eq!(start_at(&mut ledger, 140_000).tick, 140);
}

#[test]
fn a_trigger_runs_during_a_pause_too() {
    let mut ledger = job(100, &[("schedule", "*/10 * * * * *")]);
    ledger.pause(pause(105_000));
    assert_eq!(ledger.trigger("t1", 112_300), Ok(true));
    let run = start_at(&mut ledger, 112_400);
    assert_eq!(
        (run.tick, run.via, run.id.as_deref()),
        (112, Via::Trigger, Some("t1"))
    );
}
