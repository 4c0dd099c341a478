//! A body starts once, after its time, under its lease, and under a fence that is greater than all before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_scheduler::Via;

use super::facts::{Body, Facts, Span, State};
use crate::checker::Violation;
use crate::schedules::history::Entry;

/// A node may not have heard of a step of the store's clock for so long when a run's lease is granted: a reading is on its
/// way for up to a second, a claim goes by one that is here for a second at most, and then asks for its lease.
const UNHEARD: Duration = Duration::from_secs(3);
/// What a store is put back to is that much older at most.
const SAVED: Duration = Duration::from_secs(10);

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
    let mut first: BTreeMap<(usize, &str, u32), &Body<'_>> = BTreeMap::new();
    let mut violations = Vec::new();
    // A tick may be backfilled as often as it fails.
    let counted = |body: &&Body<'_>| body.via != Via::Backfill;
    for body in facts.bodies.iter().filter(counted) {
        let key = (body.job, body.run, body.attempt);
        let Some(before) = first.insert(key, body) else {
            continue;
        };
        // From its claim on, which may be as old as its lease.
        let between = Span {
            from: before.started.saturating_sub(facts.history.setting.run_ttl),
            to: body.started,
        };
        // A store that lost its data knows only what live nodes tell it; but a node remembers up to which tick all is
        // claimed. (What waited, or ran, in data that are older is not above it.)
        let is_old = |run: &Entry| run.tick == body.tick && run.attempt < body.attempt;
        let waits = |state: &State<'_>| {
            let waits = state.seen.pending.contains(&body.tick);
            let time = between.from.saturating_sub(SAVED)..=between.to;
            time.contains(&state.at) && (waits || state.seen.running.iter().any(is_old))
        };
        let is_back = || facts.jobs[body.job].states.iter().any(waits);
        if facts.forgot_in(between) && (before.node != body.node || is_back()) {
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

/// Fences rise from claim to claim; and from start to start, where one run follows another.
fn fences(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let mut highest: Option<(u64, Duration)> = None;
        let entries = job.states.iter().flat_map(|state| {
            let entries = state.seen.running.iter();
            entries.map(move |entry| (entry, state))
        });
        let mut known = BTreeSet::new();
        for (entry, state) in entries {
            if !known.insert(entry.fence) {
                continue;
            }
            let is_lower = highest.is_some_and(|(fence, at)| {
                let between = Span {
                    from: at,
                    to: state.at,
                };
                fence > entry.fence && !facts.forgot_in(between)
            });
            if is_lower {
                let text = format!(
                    "job {number}: {} is claimed under {}",
                    entry.tick, entry.fence
                );
                violations.push(Violation::new(
                    "fences rise from run to run",
                    state.event,
                    text,
                ));
            } else {
                highest = Some((entry.fence, state.at));
            }
        }
        violations.extend(starts(facts, number));
    }
    violations
}

fn starts(facts: &Facts<'_>, job: usize) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut highest: Option<&Body<'_>> = None;
    for body in facts.bodies.iter().filter(|body| body.job == job) {
        let Some(before) = highest else {
            highest = Some(body);
            continue;
        };
        // The store may have lost the claim before its body started.
        let between = Span {
            from: facts.claimed(before),
            to: body.started,
        };
        let follows = facts.most_runs(before) == 1
            && facts.most_runs(body) == 1
            && !facts.forgot_in(between)
            && !just_thawed(facts, body);
        if before.fence < body.fence || !follows {
            highest = Some(body);
            continue;
        }
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
    violations
}

/// Whether its node had stood still up to that very instant: nothing it does then was decided now.
pub(super) fn just_thawed(facts: &Facts<'_>, body: &Body<'_>) -> bool {
    let instant = Span {
        from: body.started,
        to: body.started,
    };
    facts.frozen_in(body.node, instant)
}

fn too_early(facts: &Facts<'_>, body: &Body<'_>) -> Option<Violation> {
    // What was claimed, queued or to be tried again by the store's time stays so when its clock steps back.
    let has = |state: &&State<'_>| {
        let runs = state.seen.running.iter().any(|run| run.tick == body.tick);
        runs || state.seen.pending.contains(&body.tick)
    };
    let entered = facts.jobs[body.job].states.iter().find(has);
    // What is claimed was decided before its lease was granted: the write may take any time.
    let decided = entered.map(|state| {
        let own = state
            .seen
            .running
            .iter()
            .filter(|run| run.tick == body.tick);
        let leased = own.filter_map(|run| facts.leased.get(&*run.lease)).min();
        leased.map_or(state.at, |leased| state.at.min(*leased))
    });
    let entered = decided.map_or(body.started, |decided| decided.min(body.started));
    // What was queued by a time that was true once starts when its time has come.
    let latest_us = |at| facts.course.latest_us(at, UNHEARD);
    let latest_us = latest_us(entered).max(latest_us(body.started));
    let early_us = i128::from(body.tick) * 1_000_000 - latest_us;
    (early_us > 0 && body.via == Via::Schedule).then(|| {
        let text = format!(
            "job {}, tick {}: {early_us} us too early",
            body.job, body.tick
        );
        Violation::new("no body starts before its time", body.event, text)
    })
}

fn without_lease(facts: &Facts<'_>, body: &Body<'_>) -> Option<Violation> {
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
