//! What people ask of jobs is done: a paused job does not start, a trigger runs once, and what ran is not run again.

use std::collections::BTreeSet;

use leasehold_scheduler::{Outcome, Via};

use super::facts::{Facts, Span};
use crate::checker::Violation;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = paused(facts);
    violations.extend(triggered(facts));
    violations.extend(again(facts));
    violations
}

fn paused(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        for pair in job.states.windows(2) {
            let (before, after) = (pair[0].seen, pair[1].seen);
            let is_new = |run: &&crate::schedules::history::Entry| {
                !run.asked && before.running.iter().all(|known| known.lease != run.lease)
            };
            let between = Span {
                from: pair[0].at,
                to: pair[1].at,
            };
            let (true, Some(run)) = (
                before.paused && after.paused,
                after.running.iter().find(is_new),
            ) else {
                continue;
            };
            if !facts.forgot_in(between) {
                let text = format!("job {number}, tick {}", run.tick);
                let rule = "a paused job does not start";
                violations.push(Violation::new(rule, pair[1].event, text));
            }
        }
    }
    violations
}

/// A trigger that was taken has one end.
fn triggered(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (event, at, number, id) in &facts.triggered {
        let job = &facts.jobs[*number];
        let of = |record: &&crate::schedules::history::Record| {
            record.asked.as_ref() == Some(id) && !record.late && !record.retry
        };
        let ends = job.records.iter().filter(of).count();
        // A job whose every tick waits for the one before has no time for it.
        let waits = job
            .states
            .last()
            .is_some_and(|state| !state.seen.pending.is_empty());
        if ends == 0 && waits {
            continue;
        }
        if ends != 1 && facts.is_served(job) && !facts.forgot_in(Span::since(*at)) {
            let text = format!("job {number}: trigger {id} has {ends} ends");
            violations.push(Violation::new("a trigger runs once", *event, text));
        }
    }
    violations
}

/// A tick that ran well is not run again, whoever asks for it.
fn again(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let mut known = BTreeSet::new();
        for record in job.records {
            let ran = record.outcome == Outcome::Ran && !record.late && record.via != Via::Trigger;
            if ran && !known.insert(record.end) && facts.forgot.is_empty() {
                let text = format!("job {number}: {record}, and it ran before");
                let at = facts.near(number, record.end);
                violations.push(Violation::new("what ran is not run again", at, text));
            }
        }
    }
    violations
}
