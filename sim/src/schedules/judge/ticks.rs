//! Every tick has one final outcome: it is in a range, or in the last of its attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_scheduler::{Outcome, Via};

use super::facts::{Body, Facts, JobFacts, Period, Span};
use crate::checker::Violation;
use crate::schedules::history::Record;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let mut wrong = |tick, text: String| {
            let text = format!("job {number}, tick {tick}: {text}");
            let at = facts.near(number, tick);
            violations.push(Violation::new("every tick has one outcome", at, text));
        };
        let lost = lost_to(facts, job);
        for tick in nominal(facts, job) {
            let (ranges, attempts) = records_of(job.records, tick);
            let numbers = attempts.iter().map(|record| record.attempt);
            let is_in_order = numbers.eq((1..).take(attempts.len()));
            let is_over = |record: &&&Record| !record.retry;
            let over = attempts
                .iter()
                .take_while(|record| !is_over(record))
                .count();
            // All but the last one say that another is to follow.
            let is_one = is_in_order && over + 1 == attempts.len();
            let is_to_come = is_in_order && over == attempts.len() && is_open(facts, job, tick);
            let is_unknown = ranges.iter().any(|r| r.outcome == Outcome::Unknown);
            match (ranges.len(), attempts.len()) {
                (1, 0) => {}
                // What was on its way to history when the store lost its data stands beside what is said since.
                _ if is_unknown && tick <= lost => {}
                (0, 0) if is_open(facts, job, tick) => {}
                (0, 0) => wrong(tick, "it has none".into()),
                (0, _) if is_one || is_to_come => {}
                _ => {
                    let all: Vec<_> = ranges
                        .iter()
                        .chain(&attempts)
                        .map(ToString::to_string)
                        .collect();
                    wrong(tick, format!("it has {}", all.join(", and ")));
                }
            }
        }
        // What stands beside another record, and the other one.
        let known = known_from(facts, job);
        // A claim from before the store lost its data is not in them.
        let is_forgotten = |record: &Record| {
            let of = |body: &&Body<'_>| body.job == number && Some(body.fence) == record.fence;
            let body = facts.bodies.iter().find(of);
            body.is_some_and(|body| facts.forgot_in(Span::since(facts.claimed(body))))
        };
        let is_late = |record: &&Record| record.late && record.end > known && !is_forgotten(record);
        for late in job.records.iter().filter(is_late) {
            let gives_up = |record: &Record| {
                let is_lost = record.outcome == Outcome::LostLease
                    && (record.fence, record.end) == (late.fence, late.end);
                let is_unknown = record.outcome == Outcome::Unknown
                    && (record.start..=record.end).contains(&late.end);
                !record.late && (is_lost || is_unknown)
            };
            if !job.records.iter().any(gives_up) {
                wrong(
                    late.end,
                    format!("it has {late}, and nothing says that it was given up"),
                );
            }
        }
    }
    violations
}

/// Whether at the end the tick is under way, and nobody is there who could tell what became of it; or waits to be tried
/// again, or for its turn.
fn is_open(facts: &Facts<'_>, job: &JobFacts<'_>, tick: i64) -> bool {
    let last = job.states.last();
    let waits = last.is_some_and(|state| state.seen.pending.contains(&tick));
    waits || facts.is_open(job, |run| run.tick == tick)
}

/// The ticks that must be accounted for: those that the ledger passed since it was last made anew.
fn nominal(facts: &Facts<'_>, job: &JobFacts<'_>) -> BTreeSet<i64> {
    let known = known_from(facts, job);
    let ticks = job.periods.iter().flat_map(Period::ticks);
    // It may have been further once, before the store lost that.
    let passed = job.states.last().map(|state| state.seen.cursor);
    let passed = passed.filter(|_| !facts.forgot.is_empty());
    let passed = passed.unwrap_or(i64::MAX);
    ticks
        .filter(|tick| *tick > known && *tick <= passed)
        .collect()
}

/// Above which tick all is accounted for: where the ledger began, after the store last lost its data.
fn known_from(facts: &Facts<'_>, job: &JobFacts<'_>) -> i64 {
    let is_last = |at: Duration| facts.forgot.iter().all(|forgot| at > *forgot);
    let first = job.states.iter().find(|state| is_last(state.at));
    first.map_or(i64::MAX, |state| state.seen.cursor)
}

/// Up to which tick the ledger knew, before the store last lost its data.
fn lost_to(facts: &Facts<'_>, job: &JobFacts<'_>) -> i64 {
    let Some(last) = facts.forgot.iter().max() else {
        return i64::MIN;
    };
    let before = job.states.iter().filter(|state| state.at <= *last);
    let cursors = before.map(|state| state.seen.cursor);
    cursors.max().unwrap_or(i64::MIN)
}

/// The ranges that a tick is in, and its attempts in their order.
fn records_of(records: &[Record], tick: i64) -> (Vec<&Record>, Vec<&Record>) {
    let of = (records.iter()).filter(|record| !record.late && record.via == Via::Schedule);
    let of = of.filter(|record| (record.start..=record.end).contains(&tick));
    let (ranges, mut attempts): (Vec<_>, Vec<_>) = of.partition(|record| record.attempt == 0);
    attempts.sort_by_key(|record| record.attempt);
    (ranges, attempts)
}
