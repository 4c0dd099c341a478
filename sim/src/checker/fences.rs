//! Fences rise in the order of the grants, none is given twice, and a smaller one never writes after a greater one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::history::{Event, Fault, Id, What};

#[derive(Default)]
struct Given {
    /// The greatest fence given out, or that may be under way to its holder.
    highest: u64,
    /// When it came to its holder.
    came: Option<Duration>,
    /// Whether the store may have forgotten it.
    forgotten: bool,
    /// Whether the store's wall clock stepped back since then: a record that has gone took its fence along.
    stepped: bool,
    /// The blocks, by their first fence: the last one, and whether order was not promised.
    blocks: BTreeMap<u64, (u64, bool)>,
    /// The fences that came to callers.
    handed_out: BTreeMap<u64, u32>,
}

/// How long a request may be under way, or its client stand still.
const UNDER_WAY: Duration = Duration::from_secs(20);
/// How long it takes at most, once a second, until the store has been told of a fence.
const TOLD: Duration = Duration::from_millis(1500);
/// A block of fences never runs further ahead of the store's clock than this, in µs.
const AHEAD_US: u64 = 1_000;

#[expect(
    clippy::too_many_lines,
    reason = "one arm an event: together they are the rule"
)]
pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    // While nothing but the wall clock fails, clients can tell the store what was given out.
    let mut is_quiet = true;
    let mut given: BTreeMap<&str, Given> = BTreeMap::new();
    let mut written: BTreeMap<&str, u64> = BTreeMap::new();
    let mut clients: BTreeMap<&str, Id> = BTreeMap::new();
    // By node: when which fence was the highest that came to it.
    let mut seen_by: BTreeMap<Id, Vec<(Duration, u64)>> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Joined { node, client } => {
                clients.insert(client, *node);
            }
            What::Minted {
                resource,
                client,
                first,
                end,
                seen,
                wall,
                base,
                last,
                ..
            } => {
                let node = clients.get(client.as_str());
                let had = node
                    .and_then(|node| seen_by.get(node))
                    .into_iter()
                    .flatten();
                let long_ago = had.take_while(|(came, _)| event.at > *came + UNDER_WAY);
                if let Some((_, fence)) = long_ago.last()
                    && fence > seen
                {
                    let text = format!("its client has had fence {fence}, and says {seen}");
                    violations.push(Violation::new("a client tells what it has seen", at, text));
                }
                if *end > (*first).max(wall + AHEAD_US) {
                    let text = format!("{resource}: fences {first}..={end} at {wall}");
                    violations.push(Violation::new("blocks keep to the clock", at, text));
                }
                let given = given.entry(resource).or_default();
                // What the store knows keeps the order; where it knows nothing, the base does if it is greater.
                let forgets = given.forgotten || given.stepped;
                let promised = !forgets || (*last).max(base - 1) >= given.highest;
                if promised && *first <= given.highest {
                    let text = format!(
                        "{resource} is granted with fence {first}, after {}",
                        given.highest
                    );
                    violations.push(Violation::new("fences rise", at, text));
                }
                if *first < *base {
                    let text = format!("{resource}: fence {first} lies below its base {base}");
                    violations.push(Violation::new("fences keep to the clock", at, text));
                }
                if *first > given.highest {
                    (given.highest, given.came) = (*first, None);
                    (given.forgotten, given.stepped) = (false, false);
                } else {
                    given.forgotten = true;
                }
                given.blocks.insert(*first, (*end, !promised));
            }
            What::Held {
                hold,
                node,
                resource,
                fence,
                capacity: 1,
                ..
            } => {
                let seen = seen_by.entry(*node).or_default();
                let highest = seen.last().map_or(0, |(_, highest)| *highest);
                if *fence > highest {
                    seen.push((event.at, *fence));
                }
                let given = given.entry(resource).or_default();
                let block = given.blocks.range(..=*fence).next_back();
                if block.is_none_or(|(_, (end, _))| fence > end) {
                    let text =
                        format!("hold {hold} of {resource}: fence {fence} was never granted");
                    violations.push(Violation::new("fences come from the store", at, text));
                }
                if let Some(other) = given.handed_out.insert(*fence, *hold)
                    && block.is_some_and(|(_, (_, unpromised))| !unpromised)
                {
                    let text = format!("holds {other} and {hold} of {resource} have fence {fence}");
                    violations.push(Violation::new("no fence is given twice", at, text));
                }
                if *fence >= given.highest {
                    (given.highest, given.came) = (*fence, Some(event.at));
                }
            }
            What::Wrote { register, fence } => {
                let highest = written.entry(register).or_default();
                if fence < highest {
                    let text = format!("{register} is written under {fence}, after {highest}");
                    violations.push(Violation::new("a late holder cannot write", at, text));
                }
                *highest = (*highest).max(*fence);
            }
            What::Fault(Fault::DataLost) => {
                written.clear();
                is_quiet = false;
                for given in given.values_mut() {
                    given.forgotten = true;
                }
            }
            What::Fault(Fault::WallClock(step)) if *step < 0 => {
                for given in given.values_mut() {
                    let told = given.came.is_some_and(|came| event.at > came + TOLD);
                    given.stepped |= !(is_quiet && told);
                }
            }
            What::Fault(Fault::WallClock(_)) => {}
            What::Fault(_) => is_quiet = false,
            _ => {}
        }
    }
    violations
}
