//! Fences rise in the order of the grants, none is given twice, and a smaller one never writes after a greater one.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Event, Fault, What};

#[derive(Default)]
struct Given {
    /// The greatest fence given out, or that may be under way to its holder.
    highest: u64,
    /// Whether the store may have forgotten it.
    forgotten: bool,
    /// Whether the store's wall clock stepped back since then: a record that has gone took its fence along.
    stepped: bool,
    /// The blocks, by their first fence: the last one, and whether order was not promised.
    blocks: BTreeMap<u64, (u64, bool)>,
    /// The fences that came to callers.
    handed_out: BTreeMap<u64, u32>,
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut given: BTreeMap<&str, Given> = BTreeMap::new();
    let mut written: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Minted {
                resource,
                first,
                end,
                base,
                known,
                ..
            } => {
                let given = given.entry(resource).or_default();
                // What the store knows keeps the order; where it knows nothing, the base does if it is greater.
                let knows = !given.forgotten && (*known || !given.stepped);
                let promised = knows || *base > given.highest;
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
                    given.highest = *first;
                    (given.forgotten, given.stepped) = (false, false);
                } else {
                    given.forgotten = true;
                }
                given.blocks.insert(*first, (*end, !promised));
            }
            What::Held {
                hold,
                resource,
                fence,
                capacity: 1,
                ..
            } => {
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
                given.highest = given.highest.max(*fence);
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
                given.values_mut().for_each(|given| given.forgotten = true);
            }
            What::Fault(Fault::WallClock(step)) if *step < 0 => {
                given.values_mut().for_each(|given| given.stepped = true);
            }
            _ => {}
        }
    }
    violations
}
