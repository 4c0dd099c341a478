//! Who shares with others of his client joins only while nobody waits elsewhere, so that neither readers nor writers
//! starve.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Violation, one_holder_is_promised_until};
use crate::history::{Event, Fault, Id, What};

/// Timers have a grain of 1 ms, and clocks drift by less than a hundredth.
const GRAIN: Duration = Duration::from_millis(20);
/// Who waited when a share began joins it by the end of its claim window.
const CLAIM: Duration = Duration::from_secs(1);
/// Who was not heard from for so long does not count as waiting.
const LIVENESS: Duration = Duration::from_millis(12_500);

struct Share {
    end: u64,
    /// When its first turn began.
    since: Option<Duration>,
}

struct Waiter {
    since: Duration,
    heard: Duration,
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    // By resource and first number.
    let mut shares: BTreeMap<&str, BTreeMap<u64, Share>> = BTreeMap::new();
    let mut waiters: BTreeMap<&str, BTreeMap<(&str, u64), Waiter>> = BTreeMap::new();
    // When each node last stood still: what is handed to it then comes late.
    let mut stood_still: BTreeMap<Id, Duration> = BTreeMap::new();
    let until = one_holder_is_promised_until(history);
    for (at, event) in history.iter().enumerate().take(until) {
        match &event.what {
            What::Minted {
                resource,
                first,
                end,
                ..
            } => {
                let (end, since) = (*end, None);
                let shares = shares.entry(resource).or_default();
                shares.insert(*first, Share { end, since });
            }
            What::Waits {
                resource,
                client,
                seq,
            } => {
                let waiters = waiters.entry(resource).or_default();
                let (since, heard) = (event.at, event.at);
                let waiter = waiters.entry((client, *seq));
                let waiter = waiter.or_insert(Waiter { since, heard });
                if heard > waiter.heard + LIVENESS {
                    waiter.since = since;
                }
                waiter.heard = heard;
            }
            What::WaitsNot {
                resource,
                client,
                seq,
            } => {
                let waiters = waiters.entry(resource).or_default();
                waiters.remove(&(client.as_str(), *seq));
            }
            What::Held {
                hold,
                node,
                resource,
                fence,
                weight,
                capacity,
                ttl,
                ..
            } if weight < capacity => {
                let shares = shares.get_mut(resource.as_str());
                let share = shares.and_then(|shares| shares.range_mut(..=*fence).next_back());
                let Some((_, share)) = share.filter(|(_, share)| *fence <= share.end) else {
                    continue;
                };
                let since = *share.since.get_or_insert(event.at);
                let was_still = stood_still.get(node).is_some_and(|until| *until >= since);
                if was_still || event.at <= since + CLAIM + GRAIN {
                    continue;
                }
                // Its lease was granted or renewed in the last half of its TTL, and that answer told who waited.
                let told = event.at.saturating_sub(*ttl / 2 + *ttl / 50 + GRAIN);
                let waiting = waiters.get(resource.as_str()).and_then(|waiters| {
                    let is_live = |waiter: &Waiter| waiter.heard + LIVENESS > event.at + GRAIN;
                    let mut waiters = waiters.iter();
                    waiters.find(|(_, waiter)| waiter.since < told && is_live(waiter))
                });
                if let Some(((client, seq), waiter)) = waiting {
                    let text = format!(
                        "hold {hold} of {resource} joins others, and {client}.{seq} waits since {:?}",
                        waiter.since
                    );
                    violations.push(Violation::new("nobody joins while another waits", at, text));
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
