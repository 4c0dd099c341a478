//! A broken promise, as people can read it: what happened around it, one line an event, and how to see it again.

use std::fmt::Write as _;

use super::history::{Event, What};
use super::run::Outcome;
use crate::checker::Violation;

/// How many events before the one that broke the promise are shown, and after it.
const BEFORE: usize = 40;
const AFTER: usize = 20;

/// What `seed` broke first, and the history around it. Empty if it broke nothing.
#[expect(
    clippy::missing_panics_doc,
    reason = "it never does: a String takes text"
)]
pub fn report(seed: u64, outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(first) = outcome.violations.first() {
        show(&mut text, seed, outcome, first).expect("a String takes text");
    }
    text
}

fn show(
    text: &mut String,
    seed: u64,
    outcome: &Outcome,
    first: &Violation,
) -> Result<(), std::fmt::Error> {
    let events = &outcome.history.events;
    writeln!(text, "seed {seed} breaks a promise: {}", first.rule)?;
    writeln!(text, "  {}", first.text)?;
    let more = outcome.violations.len() - 1;
    if more > 0 {
        writeln!(text, "  (and {more} more)")?;
    }
    writeln!(text, "what happened around it, of {} events:", events.len())?;
    for at in around(events, first.at) {
        let mark = if at == first.at { ">>" } else { "  " };
        writeln!(text, "{mark} {}", events[at])?;
    }
    write!(
        text,
        "to see it again: cargo xtask sim --what schedulers --seed {seed}"
    )
}

/// The events around one of them that have to do with it: all faults, and what concerns its job.
fn around(events: &[Event], at: usize) -> Vec<usize> {
    let Some(center) = events.get(at) else {
        return Vec::new();
    };
    let job = job_of(events, &center.what);
    let concerns = |at: &usize| match &events[*at].what {
        What::Recorded { .. } | What::Leased { .. } => false,
        what => match (job, job_of(events, what)) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        },
    };
    let mut chosen: Vec<_> = (0..at).rev().filter(concerns).take(BEFORE).collect();
    chosen.reverse();
    chosen.push(at);
    chosen.extend((at + 1..events.len()).filter(concerns).take(AFTER));
    chosen
}

/// Which job an event is about.
fn job_of(events: &[Event], what: &What) -> Option<usize> {
    match what {
        What::Started { job, .. } | What::Wrote { job, .. } | What::Recorded { job, .. } => {
            Some(*job)
        }
        What::Ended { body, .. } => events.iter().find_map(|event| match &event.what {
            What::Started {
                body: other, job, ..
            } if other == body => Some(*job),
            _ => None,
        }),
        _ => None,
    }
}
