//! The promises, judged over a history. Pure: it knows nothing of how the schedulers work.

mod asked;
mod bodies;
mod claims;
mod facts;
mod losses;
mod outcomes;
mod overlap;
mod progress;
mod ticks;
mod versions;

#[cfg(test)]
mod tests;

use facts::Facts;

use super::history::{History, What};
use crate::checker::Violation;

/// Every promise that this history breaks, the earliest first.
pub fn judge(history: &History) -> Vec<Violation> {
    let facts = Facts::of(history);
    let mut violations = bodies::check(&facts);
    violations.extend(overlap::check(&facts));
    violations.extend(outcomes::check(&facts));
    violations.extend(claims::check(&facts));
    violations.extend(asked::check(&facts));
    violations.extend(ticks::check(&facts));
    violations.extend(losses::check(&facts));
    violations.extend(progress::check(&facts));
    violations.extend(versions::check(&facts));
    for (at, event) in history.events.iter().enumerate() {
        if let What::Broke { rule, text } = &event.what {
            violations.push(Violation::new(rule, at, text));
        }
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}
