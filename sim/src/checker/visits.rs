//! A local visit ends after a while, so that other clients get their turn.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::history::{Event, Fault, Id, What};

/// A visit lasts no longer than this, but for the turn in hand.
const LONGEST: Duration = Duration::from_secs(1);
const GRAIN: Duration = Duration::from_millis(20);

struct Visit {
    end: u64,
    /// When its first turn began.
    since: Option<Duration>,
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    // By resource and first fence.
    let mut visits: BTreeMap<&str, BTreeMap<u64, Visit>> = BTreeMap::new();
    // When each node last stood still: what is handed to it then comes late.
    let mut stood_still: BTreeMap<Id, Duration> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Minted {
                resource,
                first,
                end,
                ..
            } => {
                let (end, since) = (*end, None);
                let visits = visits.entry(resource).or_default();
                visits.insert(*first, Visit { end, since });
            }
            What::Held {
                node,
                resource,
                fence,
                hold,
                weight,
                capacity,
                together: false,
                ..
            } if weight == capacity => {
                let visits = visits.get_mut(resource.as_str());
                let visit = visits.and_then(|visits| visits.range_mut(..=*fence).next_back());
                let Some((_, visit)) = visit.filter(|(_, visit)| *fence <= visit.end) else {
                    continue;
                };
                let since = *visit.since.get_or_insert(event.at);
                let was_still = stood_still.get(node).is_some_and(|until| *until >= since);
                if event.at > since + LONGEST + GRAIN && !was_still {
                    let text = format!("hold {hold} of {resource}: its visit began at {since:?}");
                    violations.push(Violation::new("a visit ends", at, text));
                }
            }
            What::Fault(Fault::Paused(node) | Fault::Resumed(node)) => {
                stood_still.insert(*node, event.at);
            }
            _ => {}
        }
    }
    violations
}
