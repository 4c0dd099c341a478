//! No tick is lost while a node that has the job could have started it in time.

use std::time::Duration;

use leasehold_scheduler::Outcome;

use super::facts::{Facts, JobFacts, Period, Span};
use crate::checker::Violation;

/// A node that has just begun, or is just back, asks again within this time.
const WARM_UP: Duration = Duration::from_secs(4);
/// A store's clock that stepped is believed again after 30 s, and looked at each 5 s.
const DISBELIEF: Duration = Duration::from_secs(45);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let of = |period: &Period| {
            period
                .ticks()
                .map(|tick| (tick, period.spec.jitter))
                .collect::<Vec<_>>()
        };
        for (tick, jitter) in job.periods.iter().flat_map(of) {
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
                to: due.saturating_add(jitter + facts.history.setting.grace),
            };
            if is_excused(facts, job, tick, time) {
                continue;
            }
            let able = (facts.lives.iter()).find(|(_, life)| {
                let has = job.plan.releases.get(life.release);
                has.is_some_and(Option::is_some) && facts.is_able(life, time)
            });
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

/// Whether something is in the way of every node.
fn is_excused(facts: &Facts<'_>, job: &JobFacts<'_>, tick: i64, time: Span) -> bool {
    let disbelieved = |at: &Duration| {
        let span = Span {
            from: *at,
            to: *at + DISBELIEF,
        };
        span.meets(time)
    };
    // Another schedule took over while it was due.
    let changed = job
        .periods
        .windows(2)
        .any(|pair| pair[0].until >= tick && facts.course.due(pair[0].until) <= time.to);
    // A tick waits for runs under way.
    job.is_busy_in(time)
        || changed
        || facts.disturbed.iter().any(|span| span.meets(time))
        || facts.stepped.iter().any(disbelieved)
        || facts
            .revoked
            .iter()
            .any(|(at, _)| time.from <= *at && *at <= time.to)
}
