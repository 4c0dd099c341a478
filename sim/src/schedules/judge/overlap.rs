//! Two bodies of a job do not overlap, unless one of their nodes stood still.

use super::bodies::just_thawed;
use super::facts::{Body, Facts, Span};
use crate::checker::Violation;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for job in 0..facts.jobs.len() {
        let bodies: Vec<_> = facts.bodies.iter().filter(|body| body.job == job).collect();
        for (at, later) in bodies.iter().enumerate() {
            for earlier in &bodies[..at] {
                if overlaps(facts, earlier, later) {
                    let text = format!(
                        "job {job}: tick {} under {} works on node {}, and tick {} under {} starts on node {}",
                        earlier.tick,
                        earlier.fence,
                        earlier.node,
                        later.tick,
                        later.fence,
                        later.node
                    );
                    let rule = "runs of a job do not overlap";
                    violations.push(Violation::new(rule, later.event, text));
                }
            }
        }
    }
    violations
}

fn overlaps(facts: &Facts<'_>, earlier: &Body, later: &Body) -> bool {
    let between = Span {
        from: earlier.started,
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
