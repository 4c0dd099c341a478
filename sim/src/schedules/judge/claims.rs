//! What becomes of claims: no run is taken for lost while its node works on, each node tells what became of its own, and
//! a claim that stands keeps its lease.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_scheduler::Outcome;

use super::facts::{Body, Facts, JobFacts, Span};
use crate::checker::Violation;
use crate::schedules::history::{Entry, Id, Record, Seen};

/// A node that was back for so long has renewed its leases.
const RENEWED: Duration = Duration::from_secs(1);

/// A claim, and how long it stood in the ledger.
struct Claim<'a> {
    /// The write that made it, as an event.
    event: usize,
    node: Id,
    tick: i64,
    fence: u64,
    lease: &'a str,
    stood: Span,
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        for claim in claims(job) {
            let Claim {
                tick, fence, node, ..
            } = claim;
            let text = format!("job {number}, tick {tick} under {fence} on node {node}");
            if let Some(rule) = broken(facts, job, &claim) {
                violations.push(Violation::new(rule, claim.event, text));
            }
        }
    }
    violations
}

fn broken(facts: &Facts<'_>, job: &JobFacts<'_>, claim: &Claim<'_>) -> Option<&'static str> {
    let of: Vec<_> = (job.records.iter())
        .filter(|record| record.fence == Some(claim.fence))
        .collect();
    // Somebody else gave it up: its own node says why.
    let is_reaped = |record: &&Record| {
        record.outcome == Outcome::LostLease && record.error.is_none() && !record.late
    };
    if of.iter().any(&is_reaped) && is_well(facts, claim) {
        return Some("no run is lost without a reason");
    }
    let life = facts.lives.get(&claim.node)?;
    // Runs of several jobs may have one fence.
    let is_of = |body: &Body<'_>| std::ptr::eq(&raw const facts.jobs[body.job], job);
    let mut bodies = facts.bodies.iter().filter(|body| is_of(body));
    let began = bodies.any(|body| body.fence == claim.fence);
    let stayed = life.killed.is_none() && life.serves.to >= facts.closing;
    let is_told = of.iter().any(|record| !is_reaped(record));
    if began && stayed && !is_told && !facts.forgot_in(Span::since(claim.stood.from)) {
        return Some("a node tells what became of its runs");
    }
    let gives_back = |(at, lease): &&(Duration, &str)| {
        *lease == claim.lease && claim.stood.from <= *at && *at < claim.stood.to
    };
    let (at, _) = facts.released.iter().find(gives_back)?;
    let so_far = Span {
        from: claim.stood.from,
        to: *at,
    };
    (life.serves.to > *at && !facts.revoked_in(so_far, claim.fence) && !facts.forgot_in(so_far))
        .then_some("a claim keeps its lease until its end is recorded")
}

/// Whether nothing befell the node, the store and the run's lease, from before the claim to its end.
fn is_well(facts: &Facts<'_>, claim: &Claim<'_>) -> bool {
    let time = Span {
        from: claim.stood.from.saturating_sub(RENEWED),
        to: claim.stood.to,
    };
    let life = facts.lives.get(&claim.node);
    let serves = |life| {
        facts.is_able(
            life,
            Span {
                from: claim.stood.from,
                ..time
            },
        )
    };
    life.is_some_and(serves)
        && !life.is_some_and(|life| {
            life.frozen
                .iter()
                .chain(&life.cut)
                .any(|span| span.meets(time))
        })
        && !facts.revoked_in(time, claim.fence)
        // Older data may have the claim again.
        && !facts.forgot_in(Span::since(time.from))
        && !facts.disturbed.iter().any(|span| span.meets(time))
}

/// The claims that were made, if it is known by whom.
fn claims<'a>(job: &JobFacts<'a>) -> Vec<Claim<'a>> {
    let mut known = BTreeSet::new();
    let mut claims = Vec::new();
    for (at, state) in job.states.iter().enumerate() {
        let seen: &'a Seen = state.seen;
        for Entry {
            tick,
            fence,
            node,
            lease,
            ..
        } in &seen.running
        {
            let Some(node) = *node else { continue };
            if !known.insert(*fence) {
                continue;
            }
            let stands = |entry: &Entry| entry.fence == *fence;
            let after = job.states[at..].iter();
            let end = after
                .clone()
                .find(|state| !state.seen.running.iter().any(stands));
            claims.push(Claim {
                event: state.event,
                node,
                tick: *tick,
                fence: *fence,
                lease,
                stood: Span {
                    from: state.at,
                    to: end.map_or(Duration::MAX, |end| end.at),
                },
            });
        }
    }
    claims
}
