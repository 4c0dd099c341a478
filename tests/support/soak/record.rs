//! The record of the fenced resource, kept outside the lock's store, and what it proves. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::{Stage, Verdict, Who, Write};

/// Everything that was written, or tried.
#[derive(Debug, Default)]
pub(crate) struct Record {
    locks: BTreeMap<String, Lock>,
}

#[derive(Debug, Default)]
struct Lock {
    highest: u64,
    /// Fences in the order in which writes were accepted; equal neighbours merged.
    accepted: Vec<(u64, Who)>,
    turns: BTreeMap<(u64, Who), Turn>,
}

/// What is known of one grant.
#[derive(Debug, Clone, Copy)]
struct Turn {
    asked: u64,
    granted: u64,
    /// The latest instant at which its holder asked its guard and heard "held".
    held: u64,
}

impl Record {
    /// Takes a write if no greater fence wrote before, and remembers what its author believed in any case.
    pub(crate) fn write(&mut self, who: Who, write: &Write) -> Verdict {
        let lock = self.locks.entry(write.lock.clone()).or_default();
        let turn = lock.turns.entry((write.fence, who)).or_insert(Turn {
            asked: write.asked,
            granted: write.granted,
            held: 0,
        });
        turn.held = turn.held.max(write.held.unwrap_or(0));
        if write.fence < lock.highest {
            return Verdict::Refused {
                highest: lock.highest,
            };
        }
        lock.highest = write.fence;
        if write.stage == Stage::Begin || lock.accepted.last() != Some(&(write.fence, who)) {
            lock.accepted.push((write.fence, who));
        }
        Verdict::Accepted
    }

    /// All that must never be; empty if the locks kept their promise.
    pub(crate) fn overlaps(&self) -> Vec<Overlap> {
        let mut found = Vec::new();
        for (name, lock) in &self.locks {
            let found = &mut found;
            let mut add = |kind, first, second| {
                found.push(Overlap {
                    lock: name.clone(),
                    kind,
                    first,
                    second,
                });
            };
            lock.fell(&mut add);
            lock.shared(&mut add);
            lock.held_by_two(&mut add);
            lock.granted_out_of_order(&mut add);
        }
        found
    }
}

type Grant = (u64, Who);

impl Lock {
    /// After a greater fence was accepted no smaller one is, and no turn's writes enclose another's.
    fn fell(&self, add: &mut impl FnMut(Kind, Grant, Grant)) {
        for pair in self.accepted.windows(2) {
            if pair[0].0 > pair[1].0 {
                add(Kind::Fell, pair[0], pair[1]);
            }
        }
    }

    /// Each fence is one grant's.
    fn shared(&self, add: &mut impl FnMut(Kind, Grant, Grant)) {
        let turns: Vec<_> = self.turns.keys().collect();
        for pair in turns.windows(2) {
            if pair[0].0 == pair[1].0 {
                add(Kind::Shared, *pair[0], *pair[1]);
            }
        }
    }

    /// No guard said "held" after another process had got the lock under a greater fence. Stops cannot excuse that: an
    /// author reads the clock before it asks its guard.
    fn held_by_two(&self, add: &mut impl FnMut(Kind, Grant, Grant)) {
        let mut latest: Option<(u64, Grant)> = None;
        for (grant, turn) in &self.turns {
            if let Some((held, earlier)) = latest
                && held > turn.granted
            {
                add(Kind::HeldByTwo, earlier, *grant);
            }
            latest = latest.max(Some((turn.held, *grant)));
        }
    }

    /// A call that began after a grant had been returned gets a greater fence.
    fn granted_out_of_order(&self, add: &mut impl FnMut(Kind, Grant, Grant)) {
        let mut by_grant: Vec<_> = self.turns.iter().collect();
        by_grant.sort_by_key(|(_, turn)| turn.granted);
        let mut by_call = by_grant.clone();
        by_call.sort_by_key(|(_, turn)| turn.asked);
        let mut before = by_grant.into_iter().peekable();
        let mut highest: Option<Grant> = None;
        for (grant, turn) in by_call {
            while let Some((earlier, _)) = before.next_if(|(_, other)| other.granted < turn.asked) {
                highest = highest.max(Some(*earlier));
            }
            if let Some(earlier) = highest.filter(|earlier| earlier.0 > grant.0) {
                add(Kind::OutOfOrder, earlier, *grant);
            }
        }
    }
}

/// Two grants that met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    lock: String,
    kind: Kind,
    first: Grant,
    second: Grant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fell,
    Shared,
    HeldByTwo,
    OutOfOrder,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Fell => "a smaller fence was accepted after a greater one",
            Kind::Shared => "two grants have one fence",
            Kind::HeldByTwo => "the first said \"held\" after the second had been granted",
            Kind::OutOfOrder => "the second began after the first, and got a smaller fence",
        };
        let ((fence_a, a), (fence_b, b)) = (self.first, self.second);
        write!(
            f,
            "{}: {what}: {a} (fence {fence_a}) and {b} (fence {fence_b})",
            self.lock
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: usize = 0;
    const B: usize = 1;

    fn write(
        record: &mut Record,
        worker: usize,
        fence: u64,
        (asked, granted, held): (u64, u64, u64),
    ) -> Verdict {
        let who = Who {
            worker,
            life: 1,
            task: 0,
        };
        let write = Write {
            lock: "l".into(),
            fence,
            stage: Stage::Middle,
            asked,
            granted,
            held: Some(held),
        };
        record.write(who, &write)
    }

    fn kinds(record: &Record) -> Vec<Kind> {
        record.overlaps().iter().map(|o| o.kind).collect()
    }

    #[test]
    fn a_late_write_is_refused_and_no_overlap() {
        let mut record = Record::default();
        assert_eq!(write(&mut record, A, 5, (0, 1, 2)), Verdict::Accepted);
        assert_eq!(write(&mut record, B, 6, (0, 10, 11)), Verdict::Accepted);
        // Asked its guard in time, and was stopped on the way.
        let refused = write(&mut record, A, 5, (0, 1, 9));
        assert_eq!(refused, Verdict::Refused { highest: 6 });
        assert_eq!(kinds(&record), []);
    }

    #[test]
    fn two_valid_holders_are_found_in_whatever_order_their_writes_arrive() {
        for late in [true, false] {
            let mut record = Record::default();
            if late {
                write(&mut record, B, 6, (0, 10, 11));
            }
            write(&mut record, A, 5, (0, 1, 12));
            write(&mut record, B, 6, (0, 10, 11));
            assert_eq!(kinds(&record), [Kind::HeldByTwo]);
        }
    }

    #[test]
    fn a_fence_given_out_twice_is_found() {
        let mut record = Record::default();
        write(&mut record, A, 5, (0, 1, 2));
        write(&mut record, B, 5, (0, 10, 11));
        assert_eq!(kinds(&record), [Kind::Shared]);
    }

    #[test]
    fn a_fence_below_that_of_a_grant_before_the_call_is_found() {
        let mut record = Record::default();
        write(&mut record, A, 6, (0, 1, 2));
        write(&mut record, B, 5, (3, 10, 0));
        assert_eq!(kinds(&record), [Kind::OutOfOrder]);
        // Calls at the same time may be granted in any order.
        let mut record = Record::default();
        write(&mut record, A, 6, (0, 10, 11));
        write(&mut record, B, 5, (0, 1, 2));
        assert_eq!(kinds(&record), []);
    }

    #[test]
    fn a_resource_that_let_a_smaller_fence_through_is_found() {
        let who = |worker| Who {
            worker,
            life: 1,
            task: 0,
        };
        let lock = Lock {
            accepted: vec![(6, who(A)), (5, who(B)), (6, who(A))],
            ..Lock::default()
        };
        let record = Record {
            locks: [("l".to_owned(), lock)].into(),
        };
        assert_eq!(kinds(&record), [Kind::Fell]);
    }
}
