//! The promises, checked over a history. Pure: it knows nothing of how the clients work.

mod calls;
mod fences;
mod holders;
mod shares;
mod visits;

#[cfg(test)]
mod tests;

use crate::history::{Event, Fault, What};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// The event that broke it.
    pub at: usize,
    /// How, for people.
    pub text: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, at: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { rule, at, text }
    }
}

/// Every promise that this history breaks, the earliest first.
pub fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = holders::check(history);
    violations.extend(fences::check(history));
    violations.extend(calls::check(history));
    violations.extend(visits::check(history));
    violations.extend(shares::check(history));
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Broke { rule, text } => violations.push(Violation::new(rule, at, text)),
            What::Left { what } => {
                violations.push(Violation::new("nothing is left behind", at, what));
            }
            _ => {}
        }
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}

/// Up to which event one valid holder is promised: a store that loses its data, or whose lease clock steps, may give a
/// held lease to another. Fences keep their order also then.
fn one_holder_is_promised_until(history: &[Event]) -> usize {
    let breaks = |event: &Event| {
        matches!(
            event.what,
            What::Fault(Fault::DataLost | Fault::LeaseClock(_))
        )
    };
    history.iter().position(breaks).unwrap_or(history.len())
}
