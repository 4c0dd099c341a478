//! Which specification of a job is in force (PROTOCOL: "Versions"): a deploy takes over, a restart or a crash-looping pod
//! does not undo it.

use std::time::Duration;

use super::facts::{Facts, JobFacts, Span, State};
use crate::checker::Violation;
use crate::schedules::history::Words;

/// A node is no crash-looping one once it has lived this long.
const PROVEN: Duration = Duration::from_secs(30);
/// A version that nobody has announced for this long is given up.
const GIVEN_UP: Duration = Duration::from_secs(25);
/// So long after a node is there, or is back, all know of it: a heartbeat to tell and one to hear, and a manifest to read.
const KNOWN: Duration = Duration::from_secs(14);
/// A node may be back for so long before somebody looks at a job, and notes that it is.
const UNNOTICED: Duration = Duration::from_secs(8);
/// What a node's age may be taken for too much: clocks differ, and it joins once the others may have seen it.
const SLACK: Duration = Duration::from_secs(2);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, job) in facts.jobs.iter().enumerate() {
        for pair in job.states.windows(2) {
            if pair[0].seen.spec == pair[1].seen.spec || is_excused(facts, pair[1].at) {
                continue;
            }
            if let Some(wrong) = change(facts, job, &pair[0], &pair[1]) {
                let text = format!("job {number}: {wrong}");
                let rule = "versions change as they should";
                violations.push(Violation::new(rule, pair[1].event, text));
            }
        }
        if let Some(wrong) = last(facts, job) {
            let text = format!("job {number}: {wrong}");
            let rule = "a deploy comes into force";
            let at = job.states.last().map_or(job.recorded, |state| state.event);
            violations.push(Violation::new(rule, at, text));
        }
    }
    violations
}

/// A store that forgot begins anew; times are counted on its clock.
fn is_excused(facts: &Facts<'_>, at: Duration) -> bool {
    let lately = Span {
        from: at.saturating_sub(PROVEN + GIVEN_UP),
        to: at,
    };
    (facts.stepped.iter()).any(|step| lately.from <= *step && *step <= lately.to)
}

/// Whether a node of that version was there, for all to know, in all that time.
fn is_there(facts: &Facts<'_>, job: &JobFacts<'_>, words: &Words, time: Span) -> bool {
    facts.lives.values().any(|life| {
        let built = job.plan.releases.get(life.release);
        let is_it = built.is_some_and(|built| built.as_ref() == Some(words));
        is_it && facts.is_able(life, time)
    })
}

fn change(
    facts: &Facts<'_>,
    job: &JobFacts<'_>,
    before: &State<'_>,
    after: &State<'_>,
) -> Option<&'static str> {
    let (old, new) = (&before.seen.spec, &after.seen.spec);
    let now = after.at;
    if after.seen.order > before.seen.order {
        let is_old = |life: &super::facts::Life| {
            let built = job.plan.releases.get(life.release);
            let is_it = built.is_some_and(|built| built.as_ref() == Some(new));
            is_it && now.saturating_sub(life.serves.from) + SLACK >= PROVEN
        };
        let is_proven = facts.lives.values().any(is_old);
        let lately = Span {
            from: now.saturating_sub(KNOWN),
            to: now,
        };
        let is_rash = !is_proven && is_there(facts, job, old, lately);
        return is_rash.then_some("a higher version took over before a node had lived with it");
    }
    // At any time of those 25 s, but for what they may take to be noticed: somebody has to look.
    let mut to = now.saturating_sub(GIVEN_UP.saturating_sub(UNNOTICED));
    while to <= now {
        let time = Span {
            from: to.saturating_sub(KNOWN),
            to,
        };
        if is_there(facts, job, old, time) {
            return Some("a lower version took over while a node had the one in force");
        }
        to += Duration::from_secs(1);
    }
    None
}

/// In the end the highest version that is there is in force.
fn last(facts: &Facts<'_>, job: &JobFacts<'_>) -> Option<String> {
    let whole = Span {
        from: facts.settled,
        to: facts.closing,
    };
    let state = job
        .states
        .iter()
        .rev()
        .find(|state| state.at <= facts.closing)?;
    let there = |(_, words): &&(u64, Words)| is_there(facts, job, words, whole);
    let highest = state
        .seen
        .known
        .iter()
        .filter(there)
        .max_by_key(|(order, _)| *order);
    let (order, words) = highest?;
    (*words != state.seen.spec).then(|| {
        format!(
            "{words:?}, number {order}, is the highest there is, and number {} is in force",
            state.seen.order
        )
    })
}
