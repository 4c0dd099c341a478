//! Once all is well again every job goes on, and its ticks start in time.

use std::time::Duration;

use leasehold_scheduler::Outcome;

use super::facts::{Facts, JobFacts};
use crate::checker::Violation;

/// A tick of an idle job starts within this time, when all is well.
const PROMPT: Duration = Duration::from_secs(1);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if facts.settled == Duration::MAX {
        return violations;
    }
    for (number, job) in facts.jobs.iter().enumerate() {
        if !facts.is_served(job) {
            continue;
        }
        let mut wrong = |tick, text: String| {
            let text = format!("job {number}, tick {tick}: {text}");
            let at = facts.near(number, tick);
            violations.push(Violation::new("a healed fleet goes on", at, text));
        };
        let Some(period) = job.periods.last() else {
            wrong(0, "it has no ledger".into());
            continue;
        };
        let (from, to) = (facts.settled, facts.closing.saturating_sub(PROMPT * 2));
        let second = |at| i64::try_from(facts.course.wall_us(at) / 1_000_000).unwrap_or(i64::MAX);
        let mut tick = second(from);
        let last = second(to);
        while let Some(next) = period
            .schedule
            .next_after(tick)
            .filter(|next| *next <= last)
        {
            tick = next;
            let due = facts.course.due_at_last(tick);
            let bodies = facts.bodies.iter().filter(|body| body.job == number);
            let start = bodies
                .filter(|body| body.tick == tick)
                .map(|body| body.started);
            match start.min() {
                Some(started) if started.saturating_sub(due) <= PROMPT => {}
                _ if is_busy(job, due) => {}
                Some(started) => {
                    let late = started.saturating_sub(due);
                    wrong(tick, format!("it started {late:?} late"));
                }
                None => {
                    let outcome = outcome(job, tick);
                    wrong(tick, format!("it did not start: {outcome:?}"));
                }
            }
        }
    }
    violations
}

/// Whether a run of the job is under way then, or ends within a moment.
fn is_busy(job: &JobFacts<'_>, at: Duration) -> bool {
    let before = job.states.iter().rev().find(|state| state.at <= at);
    before.is_some_and(|state| !state.seen.running.is_empty())
}

fn outcome(job: &JobFacts<'_>, tick: i64) -> Option<Outcome> {
    let mut of = job.records.iter();
    of.find(|record| (record.start..=record.end).contains(&tick))
        .map(|record| record.outcome)
}
