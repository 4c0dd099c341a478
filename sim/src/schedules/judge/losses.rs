//! No tick is lost while a node that has the job could have started it in time.

use std::time::Duration;

use leasehold_scheduler::Outcome;

use super::facts::{Facts, JobFacts, Life, Period, Span};
use crate::checker::Violation;

/// A node that has just begun, or is just back, asks again within this time.
const WARM_UP: Duration = Duration::from_secs(4);
/// A store's clock that stepped is believed again after 30 s, and looked at each 5 s.
const DISBELIEF: Duration = Duration::from_secs(45);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let ticks = job.periods.iter().flat_map(Period::ticks);
        for tick in ticks {
            let covers = |start, end| (start..=end).contains(&tick);
            let missed = (job.records.iter()).find(|record| {
                record.outcome == Outcome::Missed
                    && record.attempt == 0
                    && covers(record.start, record.end)
            });
            let Some(missed) = missed else {
                continue;
            };
            let due = facts.course.due(tick);
            let time = Span {
                from: due.saturating_sub(WARM_UP),
                to: due.saturating_add(facts.history.setting.grace),
            };
            if is_excused(facts, job, tick, time) {
                continue;
            }
            let able = (facts.lives.iter()).find(|(_, life)| is_able(job, life, time));
            if let Some((node, _)) = able {
                let text =
                    format!("job {number}: {missed}, though node {node} could have run {tick}");
                let at = facts.near(number, tick);
                violations.push(Violation::new("no tick is lost", at, text));
            }
        }
    }
    violations
}

/// Whether a node serves the job all that time, running and connected.
fn is_able(job: &JobFacts<'_>, life: &Life, time: Span) -> bool {
    let has = job
        .plan
        .releases
        .get(life.release)
        .is_some_and(Option::is_some);
    let away = life.frozen.iter().chain(&life.cut);
    has && life.serves.holds(time) && away.clone().all(|span| !span.meets(time))
}

/// Whether something is in the way of every node.
fn is_excused(facts: &Facts<'_>, job: &JobFacts<'_>, tick: i64, time: Span) -> bool {
    let disbelieved = |at: &Duration| {
        let span = Span {
            from: *at,
            to: *at + DISBELIEF,
        };
        span.meets(time)
    };
    // Runs under way: the tick waits for them.
    let is_busy = job.states.iter().enumerate().any(|(at, state)| {
        let until = job.states.get(at + 1).map_or(Duration::MAX, |next| next.at);
        let span = Span {
            from: state.at,
            to: until,
        };
        !state.seen.running.is_empty() && span.meets(time)
    });
    // Another schedule took over while it was due.
    let changed = job
        .periods
        .windows(2)
        .any(|pair| pair[0].until >= tick && facts.course.due(pair[0].until) <= time.to);
    is_busy
        || changed
        || facts.disturbed.iter().any(|span| span.meets(time))
        || facts.stepped.iter().any(disbelieved)
        || facts
            .revoked
            .iter()
            .any(|(at, _)| time.from <= *at && *at <= time.to)
}
