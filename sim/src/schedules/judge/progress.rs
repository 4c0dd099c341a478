//! Once all is well again every job goes on, and its ticks start in time.

use std::time::Duration;

use leasehold_scheduler::{Outcome, Via};

use super::facts::{Facts, JobFacts, Period, Span};
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
        if job.periods.is_empty() {
            wrong(0, "it has no ledger".into());
        }
        let (from, to) = (facts.settled, facts.closing.saturating_sub(PROMPT * 2));
        let second = |at| i64::try_from(facts.course.wall_us(at) / 1_000_000).unwrap_or(i64::MAX);
        for (tick, jitter) in wanted(job, second(from), second(to)) {
            let due = facts.course.due_at_last(tick);
            let prompt = Span {
                from: due,
                to: due + jitter + PROMPT,
            };
            let bodies = facts
                .bodies
                .iter()
                .filter(|body| (body.job, body.via, body.tick) == (number, Via::Schedule, tick));
            match bodies.map(|body| body.started).min() {
                Some(started) if started <= prompt.to => {}
                _ if is_held_up(job, prompt, tick) => {}
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

/// The ticks after one second and up to another, by what was in force, with their jitter.
fn wanted(job: &JobFacts<'_>, after: i64, until: i64) -> Vec<(i64, Duration)> {
    let last = job.periods.len().saturating_sub(1);
    let of = |(at, period): (usize, &Period)| {
        let until = if at == last {
            until
        } else {
            period.until.min(until)
        };
        let ticks = period.ticks_in(after.max(period.after), until);
        ticks
            .map(|tick| (tick, period.spec.jitter))
            .collect::<Vec<_>>()
    };
    job.periods.iter().enumerate().flat_map(of).collect()
}

/// Whether a run of another tick is under way then, or ends within a moment.
fn is_held_up(job: &JobFacts<'_>, span: Span, tick: i64) -> bool {
    job.states.iter().enumerate().any(|(at, state)| {
        let next = job.states.get(at + 1);
        let lasts = Span {
            from: state.at,
            to: next.map_or(Duration::MAX, |next| next.at),
        };
        let others = state
            .seen
            .running
            .iter()
            .map(|run| run.tick)
            .chain(state.seen.pending.clone());
        others.into_iter().any(|other| other != tick) && lasts.meets(span)
    })
}

fn outcome(job: &JobFacts<'_>, tick: i64) -> Option<Outcome> {
    let mut of = job.records.iter();
    of.find(|record| (record.start..=record.end).contains(&tick))
        .map(|record| record.outcome)
}
