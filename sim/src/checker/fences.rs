//! Fences rise in the order of the grants, none is given twice, and a smaller one never writes after a greater one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::history::{Event, Fault, Id, What};

/// How long a request may be under way, or its client stand still.
const UNDER_WAY: Duration = Duration::from_secs(20);
/// How long it takes at most, once a second, until the store has been told of a fence.
const TOLD: Duration = Duration::from_millis(1500);
/// A block of fences never runs further ahead of the store's clock than this, in µs.
const AHEAD_US: u64 = 1_000;

/// What was given out of a resource.
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
    /// The blocks, by their first fence: the last one, and whether order was promised.
    blocks: BTreeMap<u64, (u64, bool)>,
    /// The fences that came to callers, and in which hold.
    handed_out: BTreeMap<u64, Id>,
}

struct Fences<'a> {
    given: BTreeMap<&'a str, Given>,
    written: BTreeMap<&'a str, u64>,
    clients: BTreeMap<&'a str, Id>,
    /// By node: when which fence was the highest that came to it.
    seen_by: BTreeMap<Id, Vec<(Duration, u64)>>,
    /// While nothing but the wall clock fails, clients can tell the store what was given out.
    is_quiet: bool,
    violations: Vec<Violation>,
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut fences = Fences {
        given: BTreeMap::new(),
        written: BTreeMap::new(),
        clients: BTreeMap::new(),
        seen_by: BTreeMap::new(),
        is_quiet: true,
        violations: Vec::new(),
    };
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Joined { node, client } => {
                fences.clients.insert(client, *node);
            }
            What::Minted { .. } => {
                fences.told(at, event);
                fences.minted(at, event);
            }
            What::Held { .. } => fences.held(at, event),
            What::Wrote { register, fence } => fences.wrote(at, register, *fence),
            What::Fault(fault) => fences.fault(fault, event.at),
            _ => {}
        }
    }
    fences.violations
}

impl<'a> Fences<'a> {
    fn broken(&mut self, rule: &'static str, at: usize, text: String) {
        self.violations.push(Violation::new(rule, at, text));
    }

    /// A client that asks says what it has had.
    fn told(&mut self, at: usize, event: &'a Event) {
        let What::Minted { client, seen, .. } = &event.what else {
            return;
        };
        let node = self.clients.get(client.as_str());
        let had = node.and_then(|node| self.seen_by.get(node));
        let long_ago = (had.into_iter().flatten())
            .take_while(|(came, _)| event.at > *came + UNDER_WAY)
            .last();
        if let Some((_, fence)) = long_ago
            && fence > seen
        {
            let text = format!("its client has had fence {fence}, and says {seen}");
            self.broken("a client tells what it has seen", at, text);
        }
    }

    fn minted(&mut self, at: usize, event: &'a Event) {
        let What::Minted {
            resource,
            first,
            end,
            wall,
            base,
            last,
            ..
        } = &event.what
        else {
            return;
        };
        let given = self.given.entry(resource).or_default();
        let highest = given.highest;
        // What the store knows keeps the order; where it knows nothing, the base does if it is greater.
        let forgets = given.forgotten || given.stepped;
        let promised = !forgets || (*last).max(base.saturating_sub(1)) >= highest;
        if *first > highest {
            (given.highest, given.came) = (*first, None);
            (given.forgotten, given.stepped) = (false, false);
        } else {
            given.forgotten = true;
        }
        given.blocks.insert(*first, (*end, promised));
        if promised && *first <= highest {
            let text = format!("{resource} is granted with fence {first}, after {highest}");
            self.broken("fences rise", at, text);
        }
        if first < base {
            let text = format!("{resource}: fence {first} lies below its base {base}");
            self.broken("fences keep to the clock", at, text);
        }
        if *end > (*first).max(wall + AHEAD_US) {
            let text = format!("{resource}: fences {first}..={end} at {wall}");
            self.broken("blocks keep to the clock", at, text);
        }
    }

    fn held(&mut self, at: usize, event: &'a Event) {
        let What::Held {
            hold,
            node,
            resource,
            fence,
            ..
        } = &event.what
        else {
            return;
        };
        let seen = self.seen_by.entry(*node).or_default();
        if seen.last().is_none_or(|(_, highest)| fence > highest) {
            seen.push((event.at, *fence));
        }
        let given = self.given.entry(resource).or_default();
        let block = given.blocks.range(..=*fence).next_back();
        let block = block.map(|(_, block)| *block);
        let other = given.handed_out.insert(*fence, *hold);
        if *fence >= given.highest {
            (given.highest, given.came) = (*fence, Some(event.at));
        }
        if block.is_none_or(|(end, _)| *fence > end) {
            let text = format!("hold {hold} of {resource}: fence {fence} was never granted");
            self.broken("fences come from the store", at, text);
        }
        if let Some(other) = other
            && block.is_some_and(|(_, promised)| promised)
        {
            let text = format!("holds {other} and {hold} of {resource} have fence {fence}");
            self.broken("no fence is given twice", at, text);
        }
    }

    fn wrote(&mut self, at: usize, register: &'a str, fence: u64) {
        let highest = self.written.entry(register).or_default();
        let before = *highest;
        *highest = before.max(fence);
        if fence < before {
            let text = format!("{register} is written under {fence}, after {before}");
            self.broken("a late holder cannot write", at, text);
        }
    }

    fn fault(&mut self, fault: &Fault, now: Duration) {
        match fault {
            Fault::DataLost => {
                self.written.clear();
                self.is_quiet = false;
                for given in self.given.values_mut() {
                    given.forgotten = true;
                }
            }
            Fault::WallClock(step) if *step < 0 => {
                for given in self.given.values_mut() {
                    let told = given.came.is_some_and(|came| now > came + TOLD);
                    given.stepped |= !(self.is_quiet && told);
                }
            }
            Fault::WallClock(_) => {}
            _ => self.is_quiet = false,
        }
    }
}
