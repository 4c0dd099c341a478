//! Attempts at one tick.

use super::*;

fn retrying(more: &[(&str, &str)]) -> Ledger {
    let mut spec = vec![("schedule", "0 * * * *")];
    spec.extend(more);
    job(0, &spec)
}

#[test]
fn a_failed_tick_is_tried_again_after_a_pause_that_doubles() {
    let mut ledger = retrying(&[("retries", "2"), ("backoff", "10s")]);
    let mut now = 3_600_000;
    for (attempt, pause) in [(1, Some(10_000)), (2, Some(20_000)), (3, None)] {
        let run = start_at(&mut ledger, now);
        assert_eq!((run.tick, run.attempt), (3600, attempt));
        end_at(&mut ledger, &run, Outcome::TimedOut, now);
        assert_eq!(ledger.out.last().unwrap().retry, pause.is_some());
        if let Some(pause) = pause {
            assert_eq!(
                at(&mut ledger, now + pause - 1),
                Plan::Wait(Some(now + pause))
            );
            now += pause;
        }
    }
    assert!(ledger.pending.is_empty());
    assert_eq!(at(&mut ledger, now), Plan::Wait(Some(7_200_000)));
}

#[test]
fn a_run_that_was_lost_is_tried_again_only_if_the_job_bears_it() {
    for (on_crash, again) in [("skip", false), ("retry", true)] {
        let mut ledger = retrying(&[("on_crash", on_crash), ("retries", "0")]);
        let run = start_at(&mut ledger, 3_600_000);
        let spec = spec(&ledger);
        ledger.reap(&spec, 3_640_000, |_| true);
        let record = &ledger.out[0];
        assert_eq!((record.outcome, record.retry), (Outcome::LostLease, again));
        assert_eq!(ledger.pending.len(), usize::from(again));
        // The one that was lost may end late: that adds nothing.
        end_at(&mut ledger, &run, Outcome::Failed, 3_650_000);
        assert_eq!(ledger.pending.len(), usize::from(again));
        assert!(ledger.out[1].late);
        if again {
            let run = start_at(&mut ledger, 3_650_000);
            assert_eq!((run.tick, run.attempt), (3600, 2));
            ledger.reap(&spec, 3_700_000, |_| true);
            assert!(!ledger.out.last().unwrap().retry, "a crash loop ends");
        }
    }
}

#[test]
fn what_ended_well_is_remembered_as_the_latest_success() {
    let mut ledger = ledger(100);
    let run = start_at(&mut ledger, 101_000);
    end_at(&mut ledger, &run, Outcome::Failed, 101_100);
    assert_eq!(ledger.succeeded, None);
    let run = start_at(&mut ledger, 102_000);
    end_at(&mut ledger, &run, Outcome::Ran, 102_100);
    assert_eq!(
        ledger.succeeded,
        Some(Success {
            tick: 102,
            ended_ms: 102_100
        })
    );
}
