//! At most `capacity` valid holders at any instant; who is valid says so until it is over, and never again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Violation, one_holder_is_promised_until};
use crate::history::{Event, Fault, Id, What};

struct Hold<'a> {
    id: Id,
    node: Id,
    resource: &'a str,
    fence: u64,
    weight: u32,
    capacity: u32,
    ttl: Duration,
    longest: Option<Duration>,
    since: Duration,
    start: usize,
    /// The last event at which its guard said "held".
    valid: usize,
    lost: bool,
    given_up: bool,
    /// By when it is over, since it was told to go.
    revoked: Option<Duration>,
}

/// What the store gave out at a time.
struct Block {
    end: u64,
    /// By when it is over, since its holder was told to go.
    gone_by: Option<Duration>,
}

impl Block {
    /// All who have something of it are to go by then.
    fn revoke(&mut self, by: Duration, resource: &str, first: u64, holds: &mut [Hold<'_>]) {
        self.gone_by = Some(by);
        let numbers = first..=self.end;
        let is_of_it =
            |hold: &&mut Hold<'_>| hold.resource == resource && numbers.contains(&hold.fence);
        for hold in holds.iter_mut().filter(is_of_it) {
            // Who gets no pushes hears of it by a renewal.
            hold.revoked = Some(by + hold.ttl / 5 * 2);
        }
    }
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let until = one_holder_is_promised_until(history);
    let holds = holds(history, until, &mut violations);
    one_at_a_time(history, &holds, until, &mut violations);
    violations
}

/// The holds, in the order they began, and what is wrong with one by itself.
fn holds<'a>(history: &'a [Event], until: usize, violations: &mut Vec<Violation>) -> Vec<Hold<'a>> {
    let mut holds: Vec<Hold<'a>> = Vec::new();
    let mut places = BTreeMap::new();
    let mut is_calm = true;
    // When each node last went on after it stood still: what came to it meanwhile may be over.
    let mut resumed = BTreeMap::new();
    // Blocks by resource and first fence, and by when those that were revoked are over.
    let mut blocks: BTreeMap<(&str, u64), Block> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Held {
                hold,
                node,
                resource,
                fence,
                weight,
                capacity,
                ttl,
                max_hold,
                ..
            } => {
                let block = blocks.range(..=(resource.as_str(), *fence)).next_back();
                let block = block.filter(|((of, _), _)| of == resource);
                places.insert(*hold, holds.len());
                holds.push(Hold {
                    id: *hold,
                    node: *node,
                    resource,
                    fence: *fence,
                    weight: *weight,
                    capacity: *capacity,
                    ttl: *ttl,
                    longest: *max_hold,
                    since: event.at,
                    start: at,
                    valid: at,
                    lost: false,
                    given_up: false,
                    // Who gets no pushes hears of it by a renewal.
                    revoked: block.and_then(|(_, block)| block.gone_by.map(|by| by + *ttl / 5 * 2)),
                });
            }
            What::Looked { hold, held } => {
                let Some(hold) = places.get(hold).map(|place| &mut holds[*place]) else {
                    continue;
                };
                if *held {
                    looked_held(hold, at, event.at, violations);
                } else {
                    let just_woke = resumed.get(&hold.node) == Some(&event.at);
                    let is_due = !just_woke && at < until;
                    looked_lost(hold, (at, event.at), is_due, is_calm, violations);
                }
            }
            What::GaveUp { hold } => {
                if let Some(place) = places.get(hold) {
                    holds[*place].given_up = true;
                }
            }
            What::Minted {
                resource,
                first,
                end,
                ..
            } => {
                let (end, gone_by) = (*end, None);
                blocks.insert((resource, *first), Block { end, gone_by });
            }
            What::Revoked {
                resource,
                first,
                grace,
            } => {
                if is_calm && let Some(block) = blocks.get_mut(&(resource.as_str(), *first)) {
                    block.revoke(event.at + *grace, resource, *first, &mut holds);
                }
            }
            What::Fault(fault) => {
                is_calm = false;
                hear_late(&mut holds, &mut blocks, event.at);
                if let Fault::Resumed(node) = fault {
                    resumed.insert(*node, event.at);
                }
            }
            _ => {}
        }
    }
    holds
}

/// Who has not heard yet that he is to go may hear late, since something goes wrong now.
fn hear_late(holds: &mut [Hold<'_>], blocks: &mut BTreeMap<(&str, u64), Block>, now: Duration) {
    let held = holds.iter_mut().map(|hold| &mut hold.revoked);
    let given = blocks.values_mut().map(|block| &mut block.gone_by);
    for by in held.chain(given).flatten() {
        if *by + GRAIN > now {
            *by = NO_LIMIT;
        }
    }
}

/// Later than any run ends.
const NO_LIMIT: Duration = Duration::from_secs(1 << 20);

/// Timers have a grain of 1 ms, and clocks drift by less than a hundredth.
const GRAIN: Duration = Duration::from_millis(5);

fn looked_held(hold: &mut Hold<'_>, at: usize, now: Duration, violations: &mut Vec<Violation>) {
    hold.valid = at;
    if hold.lost {
        let text = format!("the guard of hold {} said lost, and then held", hold.id);
        violations.push(Violation::new("a loss stays a loss", at, text));
    }
    if hold.given_up {
        let text = format!("the guard of hold {} says held after its release", hold.id);
        violations.push(Violation::new("what is released is not held", at, text));
    }
    if let Some(by) = hold.revoked
        && now > by + by / 100 + GRAIN * 2
    {
        let text = format!("hold {} was to go by {by:?}", hold.id);
        violations.push(Violation::new("who is revoked goes", at, text));
    }
    let held_for = now.saturating_sub(hold.since);
    if let Some(max) = hold.longest
        && held_for > max + max / 100 + GRAIN
    {
        let text = format!("hold {} is held for {held_for:?} of {max:?}", hold.id);
        violations.push(Violation::new("max_hold ends a hold", at, text));
    }
}

/// `is_due`: that it is held as it comes; `is_calm`: nothing has gone wrong yet.
fn looked_lost(
    hold: &mut Hold<'_>,
    (at, now): (usize, Duration),
    is_due: bool,
    is_calm: bool,
    violations: &mut Vec<Violation>,
) {
    let held_for = now.saturating_sub(hold.since);
    let is_over = |max: Duration| held_for + max / 100 + GRAIN >= max;
    let too_long = hold.longest.is_some_and(is_over);
    let comes = hold.since == now && !hold.lost && !hold.given_up;
    if comes && is_due {
        let text = format!("hold {} is lost as it comes", hold.id);
        violations.push(Violation::new("a guard comes valid", at, text));
    }
    let is_at_fault = !hold.given_up && !too_long && hold.revoked.is_none();
    if is_calm && is_at_fault && !hold.lost {
        let text = format!("hold {} is lost, and nothing had gone wrong", hold.id);
        violations.push(Violation::new("no loss without a cause", at, text));
    }
    hold.lost = true;
}

fn one_at_a_time(
    history: &[Event],
    holds: &[Hold<'_>],
    until: usize,
    violations: &mut Vec<Violation>,
) {
    let mut current: BTreeMap<&str, Vec<&Hold<'_>>> = BTreeMap::new();
    let mut next = holds.iter().peekable();
    for (at, event) in history.iter().enumerate().take(until) {
        match &event.what {
            What::Held { resource, .. } => {
                let Some(hold) = next.next_if(|hold| hold.start == at) else {
                    continue;
                };
                let others = current.entry(resource.as_str()).or_default();
                others.retain(|other| other.valid.min(until) > at);
                let weights = others.iter().map(|other| u64::from(other.weight));
                let weight = weights.sum::<u64>() + u64::from(hold.weight);
                if weight > u64::from(hold.capacity) {
                    let text = format!(
                        "hold {} of {resource} begins while {} say that they hold",
                        hold.id,
                        ids(others)
                    );
                    violations.push(Violation::new("one valid holder", at, text));
                }
                others.push(hold);
            }
            What::Minted {
                resource,
                first,
                weight,
                ..
            } => {
                // It was given to the next one: whoever had what he has now must know.
                let others = current.entry(resource.as_str()).or_default();
                others.retain(|other| other.valid.min(until) > at);
                let late: Vec<_> = (others.iter().copied())
                    .filter(|other| *weight == 0 || other.weight == other.capacity)
                    .filter(|other| other.fence < *first)
                    .collect();
                if !late.is_empty() {
                    let text = format!(
                        "the store gives {} on (fence {first}) while {} says that it holds",
                        late[0].resource,
                        ids(&late)
                    );
                    violations.push(Violation::new("the holder knows first", at, text));
                }
            }
            What::Fault(Fault::DataLost | Fault::LeaseClock(_)) => break,
            _ => {}
        }
    }
}

fn ids(holds: &[&Hold<'_>]) -> String {
    let ids: Vec<_> = holds
        .iter()
        .map(|hold| format!("hold {}", hold.id))
        .collect();
    ids.join(", ")
}
