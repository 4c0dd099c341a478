//! A body starts once, after its time, under its lease, and under a fence that is greater than all before.

use std::collections::BTreeMap;
use std::time::Duration;

use super::facts::{Body, Facts, Span};
use crate::checker::Violation;

/// A node may not have heard of a step of the store's clock for so long.
const UNHEARD: Duration = Duration::from_millis(1500);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = once(facts);
    violations.extend(fences(facts));
    for body in &facts.bodies {
        violations.extend(too_early(facts, body));
        violations.extend(without_lease(facts, body));
    }
    violations
}

fn once(facts: &Facts<'_>) -> Vec<Violation> {
    let mut first: BTreeMap<(usize, i64, u32), &Body> = BTreeMap::new();
    let mut violations = Vec::new();
    for body in &facts.bodies {
        let key = (body.job, body.tick, body.attempt);
        let Some(before) = first.insert(key, body) else {
            continue;
        };
        let between = Span {
            from: before.started,
            to: body.started,
        };
        // A store that lost its data knows only what live nodes tell it; but a node remembers what it has seen.
        if facts.forgot_in(between) && before.node != body.node {
            continue;
        }
        let text = format!(
            "job {}, tick {}, attempt {}: on node {} under fence {}, and on node {} under fence {}",
            body.job, body.tick, body.attempt, before.node, before.fence, body.node, body.fence
        );
        violations.push(Violation::new("an attempt starts once", body.event, text));
    }
    violations
}

fn fences(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for job in 0..facts.jobs.len() {
        let mut highest: Option<&Body> = None;
        for body in facts.bodies.iter().filter(|body| body.job == job) {
            let between = |before: &Body| Span {
                from: before.started,
                to: body.started,
            };
            match highest {
                Some(before)
                    if before.fence >= body.fence
                        && !facts.forgot_in(between(before))
                        && !just_thawed(facts, body) =>
                {
                    let text = format!(
                        "job {job}: tick {} started under {}, after tick {} under {}",
                        body.tick, body.fence, before.tick, before.fence
                    );
                    violations.push(Violation::new(
                        "fences rise from run to run",
                        body.event,
                        text,
                    ));
                }
                _ => highest = Some(body),
            }
        }
    }
    violations
}

/// Whether its node had stood still up to that very instant: nothing it does then was decided now.
pub(super) fn just_thawed(facts: &Facts<'_>, body: &Body) -> bool {
    let instant = Span {
        from: body.started,
        to: body.started,
    };
    facts.frozen_in(body.node, instant)
}

fn too_early(facts: &Facts<'_>, body: &Body) -> Option<Violation> {
    // A claim is decided by the store's time; a clock that steps back after that changes nothing.
    let back = facts.history.setting.run_ttl + facts.history.setting.grace;
    let latest_us = facts.course.latest_us(body.started, back, UNHEARD);
    let early_us = i128::from(body.tick) * 1_000_000 - latest_us;
    (early_us > 0).then(|| {
        let text = format!(
            "job {}, tick {}: {early_us} us too early",
            body.job, body.tick
        );
        Violation::new("no body starts before its time", body.event, text)
    })
}

fn without_lease(facts: &Facts<'_>, body: &Body) -> Option<Violation> {
    let lately = Span {
        from: body
            .started
            .saturating_sub(facts.history.setting.run_ttl + Duration::from_secs(5)),
        to: body.started,
    };
    let is_excused = facts.revoked_in(lately, body.fence) || just_thawed(facts, body);
    (!body.held && !is_excused).then(|| {
        let text = format!("job {}, tick {}, fence {}", body.job, body.tick, body.fence);
        Violation::new("no body starts on a lost lease", body.event, text)
    })
}
