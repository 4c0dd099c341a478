//! What is recorded of a run is what became of its body.

use leasehold_scheduler::Outcome;

use super::facts::{Body, Facts, Span};
use crate::checker::Violation;
use crate::schedules::history::{How, Record};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        let bodies: Vec<_> = (facts.bodies.iter())
            .filter(|body| body.job == number)
            .collect();
        for record in job.records.iter().filter(|record| record.fence.is_some()) {
            let is_of = |body: &&&Body<'_>| {
                Some(body.fence) == record.fence
                    && (body.tick, body.attempt) == (record.end, record.attempt)
            };
            let body = bodies.iter().find(is_of).copied();
            if let Some(wrong) = contradiction(record, body) {
                let at = body.map_or_else(|| facts.near(number, record.end), |body| body.event);
                let text = format!("job {number}: {record}, but {wrong}");
                violations.push(Violation::new("records say what happened", at, text));
            }
        }
        for body in bodies {
            let of: Vec<_> = (job.records.iter())
                .filter(|record| record.fence == Some(body.fence))
                .collect();
            // From its claim on, which may be as old as its lease.
            let after = Span::since(body.started.saturating_sub(facts.history.setting.run_ttl));
            if let Some(wrong) = unrecorded(body, &of)
                && !facts.forgot_in(after)
                && !facts.is_open(job, |run| run.fence == body.fence)
            {
                let text = format!(
                    "job {number}, tick {} under {}: {wrong}",
                    body.tick, body.fence
                );
                violations.push(Violation::new("every run is recorded", body.event, text));
            }
        }
    }
    violations
}

/// What a record says that its body does not.
fn contradiction(record: &Record, body: Option<&Body<'_>>) -> Option<&'static str> {
    let ended = body.map(|body| body.ended.map(|(_, how)| how));
    match (record.outcome, ended) {
        (Outcome::Ran, Some(Some(How::Well))) => None,
        (Outcome::Ran, Some(_)) => Some("its body did not end well"),
        (Outcome::Ran | Outcome::Failed | Outcome::TimedOut, None) => Some("no body started"),
        (Outcome::Failed, Some(Some(How::Well))) => Some("its body ended well"),
        (Outcome::Failed | Outcome::TimedOut, Some(None)) => Some("its body did not end"),
        (Outcome::Missed | Outcome::SkippedOverlap, Some(_)) => Some("its body started"),
        _ => None,
    }
}

/// What of a body is not in its records.
fn unrecorded(body: &Body<'_>, records: &[&Record]) -> Option<&'static str> {
    let says = |outcome| records.iter().any(|record| record.outcome == outcome);
    // One that ends well, but after its timeout, has timed out.
    if says(Outcome::LostLease) || says(Outcome::TimedOut) {
        return None;
    }
    match body.ended {
        Some((_, How::Well)) if !says(Outcome::Ran) => Some("it ended well, which no record says"),
        _ if records.is_empty() => Some("it has no record"),
        _ => None,
    }
}
