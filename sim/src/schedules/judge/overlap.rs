//! No more bodies of a job work at a time than its overlap policy allows, unless a node stood still.

use super::bodies::just_thawed;
use super::facts::{Body, Facts, Span};
use crate::checker::Violation;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for job in 0..facts.jobs.len() {
        let bodies: Vec<_> = facts.bodies.iter().filter(|body| body.job == job).collect();
        for (at, later) in bodies.iter().enumerate() {
            let others: Vec<_> = (bodies[..at].iter())
                .filter(|earlier| overlaps(facts, earlier, later))
                .collect();
            if others.len() >= facts.most_runs(later) {
                let ticks: Vec<_> = others.iter().map(|body| (body.tick, body.node)).collect();
                let text = format!(
                    "job {job}: tick {} under {} starts on node {} beside {ticks:?} (ticks, nodes)",
                    later.tick, later.fence, later.node
                );
                let rule = "runs of a job do not overlap";
                violations.push(Violation::new(rule, later.event, text));
            }
        }
    }
    violations
}

fn overlaps(facts: &Facts<'_>, earlier: &Body<'_>, later: &Body<'_>) -> bool {
    let between = Span {
        from: facts.claimed(earlier),
        to: later.started,
    };
    let works = earlier.ended.is_none_or(|(ended, _)| ended > later.started);
    let killed = facts.lives.get(&earlier.node).and_then(|life| life.killed);
    works
        && killed.is_none_or(|killed| killed > later.started)
        && !facts.frozen_in(earlier.node, between)
        && !just_thawed(facts, later)
        && !facts.revoked_in(between, earlier.fence)
}
