//! A broken promise, as people can read it: what happened around it, one line an event, and how to see it again.

use std::fmt::Write as _;

use crate::checker::Violation;
use crate::history::{Event, What};
use crate::run::Outcome;

/// How many events before the one that broke the promise are shown.
const LINES: usize = 60;

/// What `seed` broke first, and the history around it. Empty if it broke nothing.
#[expect(
    clippy::missing_panics_doc,
    reason = "it never does: a String takes text"
)]
pub fn report(seed: u64, outcome: &Outcome) -> String {
    let mut text = String::new();
    let Some(first) = outcome.violations.first() else {
        return text;
    };
    show(&mut text, seed, outcome, first).expect("a String takes text");
    text
}

fn show(
    text: &mut String,
    seed: u64,
    outcome: &Outcome,
    first: &Violation,
) -> Result<(), std::fmt::Error> {
    let history = &outcome.history;
    writeln!(text, "seed {seed} breaks a promise: {}", first.rule)?;
    writeln!(text, "  {}", first.text)?;
    let more = outcome.violations.len() - 1;
    if more > 0 {
        writeln!(text, "  (and {more} more)")?;
    }
    writeln!(
        text,
        "what happened around it, of {} events:",
        history.len()
    )?;
    for at in around(history, first.at, LINES) {
        let mark = if at == first.at { ">>" } else { "  " };
        writeln!(text, "{mark} {}", history[at])?;
    }
    write!(text, "to see it again: cargo xtask sim --seed {seed}")
}

/// The events around one of them that have to do with it: all faults, and what concerns its resource or node.
fn around(history: &[Event], at: usize, lines: usize) -> Vec<usize> {
    let Some(center) = history.get(at) else {
        return Vec::new();
    };
    let subject = Subject::of(history, &center.what);
    let concerns = |event: &Event| match &event.what {
        What::Fault(_) | What::Broke { .. } | What::Left { .. } => true,
        What::Joined { .. } => false,
        what => subject.concerns(&Subject::of(history, what)),
    };
    let mut chosen: Vec<_> = (0..at)
        .rev()
        .filter(|i| concerns(&history[*i]))
        .take(lines)
        .collect();
    chosen.reverse();
    chosen.push(at);
    chosen.extend(
        (at + 1..history.len())
            .filter(|i| concerns(&history[*i]))
            .take(lines / 8),
    );
    chosen
}

/// What an event is about.
#[derive(Default)]
struct Subject {
    resource: Option<String>,
}

impl Subject {
    fn of(history: &[Event], what: &What) -> Self {
        match what {
            What::Called { resource, .. }
            | What::Held { resource, .. }
            | What::Minted { resource, .. }
            | What::Stepped { resource, .. }
            | What::Waits { resource, .. }
            | What::WaitsNot { resource, .. }
            | What::Revoked { resource, .. }
            | What::Wrote {
                register: resource, ..
            } => Self {
                resource: Some(resource.clone()),
            },
            What::Ended { call, .. } => find(
                history,
                |what| matches!(what, What::Called { call: c, .. } if c == call),
            ),
            What::Looked { hold, .. } | What::GaveUp { hold } => find(
                history,
                |what| matches!(what, What::Held { hold: h, .. } if h == hold),
            ),
            What::Joined { .. } | What::Broke { .. } | What::Fault(_) | What::Left { .. } => {
                Self::default()
            }
        }
    }

    fn concerns(&self, other: &Self) -> bool {
        match (&self.resource, &other.resource) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        }
    }
}

fn find(history: &[Event], is_it: impl Fn(&What) -> bool) -> Subject {
    let found = history.iter().find(|event| is_it(&event.what));
    found.map_or_else(Subject::default, |event| Subject::of(history, &event.what))
}
