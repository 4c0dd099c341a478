//! Weights that grow, shrink and merge, under any sequence of operations and any clock: permits are never minted, and
//! nobody is passed.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use leasehold_core::protocol::{
    Absorbed, Acquire, Capacity, Entry, NodeId, Now, Op, Phase, Record, Release, Renew, Reply,
    Reweigh, Rid, Weight, apply, decode, encode,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};

const SECOND: u64 = 1_000_000;

/// What a client does next; requests are picked from those that were made.
#[derive(Debug, Clone)]
enum Act {
    Acquire {
        node: u8,
        weight: u32,
        wait: bool,
        ttl_us: u64,
    },
    Repeat {
        pick: usize,
    },
    Renew {
        pick: usize,
    },
    Release {
        pick: usize,
        close: bool,
    },
    /// To this weight; `absorb` counts back among the requests of the same client, 0 for none.
    Reweigh {
        pick: usize,
        weight: u32,
        absorb: usize,
    },
    /// A copy of a change that was sent before.
    Copy {
        pick: usize,
    },
    /// What there is from now on, for those who hear of it.
    Resize {
        size: u32,
        is_heard: bool,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    let ttl = select(vec![SECOND / 2, 8 * SECOND, 40 * SECOND, 40 * SECOND]);
    let weight = || select(vec![1, 1, 1, 2, 3, 5, 8]);
    prop_oneof![
        6 => (0..3_u8, weight(), prop::bool::weighted(0.8), ttl)
            .prop_map(|(node, weight, wait, ttl_us)| Act::Acquire { node, weight, wait, ttl_us }),
        4 => any::<usize>().prop_map(|pick| Act::Repeat { pick }),
        2 => any::<usize>().prop_map(|pick| Act::Renew { pick }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(pick, close)| Act::Release { pick, close }),
        8 => (any::<usize>(), weight(), 0..4_usize)
            .prop_map(|(pick, weight, absorb)| Act::Reweigh { pick, weight, absorb }),
        3 => any::<usize>().prop_map(|pick| Act::Copy { pick }),
        1 => (1..8_u32, any::<bool>()).prop_map(|(size, is_heard)| Act::Resize { size, is_heard }),
    ]
}

/// Mostly a little, sometimes beyond every deadline, and seldom back.
fn ticks() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 0..200_000_i64,
        3 => 0..1_500_000_i64,
        1 => 0..14_000_000_i64,
        1 => -3_000_000..0_i64,
    ]
}

/// How often what matters came about.
#[derive(Debug, Default)]
struct Seen {
    grown: u32,
    refused: u32,
    shrunk: u32,
    absorbed: u32,
    not_absorbed: u32,
    copies: u32,
    several_served: u32,
    over: u32,
    turns_taken: u32,
    passed_over: u32,
}

struct World {
    record: Option<Record>,
    now: Now,
    asked: Vec<Acquire>,
    changes: Vec<Reweigh>,
    capacity: Capacity,
    announced: Capacity,
    /// Of each holder: the largest size in force when it was granted, or last grew.
    granted_of: BTreeMap<Rid, u32>,
}

fn rid(node: u8, seq: usize) -> Rid {
    let node = NodeId::new(uuid::Uuid::from_u128(u128::from(node) + 1));
    Rid {
        node,
        seq: seq as u64,
    }
}

fn units(entry: &Entry) -> u32 {
    u32::from(entry.weight)
}

impl World {
    fn new() -> Self {
        let capacity = Capacity {
            size: 5,
            revision: 0,
        };
        Self {
            record: None,
            now: Now {
                lease_us: 100 * SECOND,
                wall_us: 1_735_689_600_000_000,
                epoch: 0,
            },
            asked: Vec::new(),
            changes: Vec::new(),
            capacity,
            announced: capacity,
            granted_of: BTreeMap::new(),
        }
    }

    fn op(&mut self, act: &Act) -> Option<Op> {
        let not_after_us = self.now.lease_us + 30 * SECOND;
        let asked = self.asked.len();
        let of = |pick: &usize| self.asked.get(pick.checked_rem(asked)?);
        Some(match act {
            Act::Acquire {
                node,
                weight,
                wait,
                ttl_us,
            } => {
                let ask = Acquire {
                    rid: rid(*node, asked),
                    not_after_us,
                    weight: Weight::from(*weight),
                    capacity: self.announced,
                    ttl_us: *ttl_us,
                    wait: *wait,
                    want: 1,
                    seen: 0,
                    label: "".into(),
                };
                self.asked.push(ask.clone());
                Op::Acquire(ask)
            }
            Act::Repeat { pick } => Op::Acquire(of(pick)?.clone()),
            Act::Renew { pick } => Op::Renew(Renew {
                rid: of(pick)?.rid,
                not_after_us,
                renewal: self.now.lease_us,
            }),
            Act::Release { pick, close } => Op::Release(Release {
                rid: of(pick)?.rid,
                not_after_us,
                used: 0,
                close_until_us: if *close { not_after_us } else { 0 },
            }),
            Act::Reweigh {
                pick,
                weight,
                absorb,
            } => {
                let rid = of(pick)?.rid;
                let own = self.asked.iter().rev().map(|ask| ask.rid);
                let mut others = own.filter(|other| other.node == rid.node && *other != rid);
                let absorbed = absorb.checked_sub(1).and_then(|nth| others.nth(nth));
                let change = Reweigh {
                    rid,
                    not_after_us,
                    change: 1 + self.changes.len() as u64,
                    weight: Weight::from(*weight),
                    capacity: self.announced,
                    absorb: absorbed.map(|rid| Absorbed {
                        rid,
                        close_until_us: if *absorb > 2 { not_after_us } else { 0 },
                    }),
                };
                self.changes.push(change.clone());
                Op::Reweigh(change)
            }
            Act::Copy { pick } => {
                let pick = pick.checked_rem(self.changes.len())?;
                Op::Reweigh(Reweigh {
                    not_after_us,
                    ..self.changes[pick].clone()
                })
            }
            Act::Resize { size, is_heard } => {
                self.capacity = Capacity {
                    size: *size,
                    revision: self.capacity.revision + 1,
                };
                if *is_heard {
                    self.announced = self.capacity;
                }
                return None;
            }
        })
    }

    /// How large the resource is to those who hold and wait.
    fn size(&self, record: Option<&Record>) -> u32 {
        let speaks = |e: &&Entry| self.holds(e) || e.is_live_waiter(self.now);
        let entries = record.into_iter().flat_map(|r| &r.entries);
        let announced = entries.filter(speaks).map(Entry::announced);
        announced
            .max_by_key(|c| (c.revision, u32::MAX - c.size))
            .map_or(0, |c| c.size)
    }

    fn holds(&self, entry: &Entry) -> bool {
        entry.holds() && entry.expires_us > self.now.lease_us
    }

    /// Applies an operation, and checks what holds of every step.
    fn play(&mut self, op: &Op, seen: &mut Seen) {
        let before = self.record.take();
        let out = apply(before.clone(), 0, op, self.now);
        let after = out.record.clone().unwrap_or_default();
        assert_eq!(decode(&encode(&after)).as_ref(), Ok(&after));
        let was = |rid: Rid| {
            let entries = before.iter().flat_map(|r| &r.entries);
            entries.into_iter().find(|e| e.rid == rid)
        };
        let held = |rid: Rid| was(rid).filter(|e| self.holds(e));
        let sizes = [self.size(before.as_ref()), self.size(Some(&after))];
        let [_, size] = sizes;
        let largest = sizes[0].max(sizes[1]);
        let waits = |e: &&Entry| e.is_live_waiter(self.now);

        // Whoever is new, or has more than before, was let in under the size that was in force.
        let asker = match op {
            Op::Reweigh(ask) => Some(ask),
            _ => None,
        };
        let mut granted_of = BTreeMap::new();
        let mut served = 0;
        for entry in after.entries.iter().filter(|e| e.holds()) {
            assert!(entry.expires_us > self.now.lease_us, "held beyond its end");
            let of = match held(entry.rid) {
                None => {
                    served += 1;
                    largest
                }
                Some(had) => {
                    let known = self.granted_of[&entry.rid];
                    let ask = asker.filter(|ask| ask.rid == entry.rid);
                    if let Some(ask) = ask {
                        self.weighed(ask, had, entry, held, &after, largest, seen)
                    } else {
                        assert_eq!(entry.weight, had.weight, "nobody asked: {entry:?}");
                        known
                    }
                }
            };
            granted_of.insert(entry.rid, of);
        }
        seen.several_served += u32::from(served > 1);
        let taken: u32 = after.entries.iter().filter(|e| e.holds()).map(units).sum();
        let bound = granted_of.values().copied().max().unwrap_or(0);
        assert!(taken <= bound, "{taken} of {bound}: {after:?}");
        seen.over += u32::from(taken > size);

        // Nobody waits in vain: what the first who could ever fit needs is not there.
        let first = after
            .entries
            .iter()
            .filter(waits)
            .find(|e| units(e) <= size);
        if let Some(first) = first {
            assert!(
                taken + units(first) > size,
                "{first:?} waits in vain: {after:?}"
            );
        }
        // And nobody is passed, by a large or a small one.
        let is_new = |e: &Entry| e.holds() && held(e.rid).is_none();
        if let Some(last) = after.entries.iter().rposition(is_new) {
            let least = sizes[0].min(size);
            let waited = |e: &&Entry| {
                let own = matches!(op, Op::Acquire(ask) if ask.rid == e.rid);
                e.is_live_waiter(self.now) && units(e) <= least && !own
            };
            let passed = after.entries[..last].iter().find(waited);
            assert_eq!(passed, None, "passed: {after:?}");
            let silent = |e: &&Entry| !e.holds() && !e.is_live_waiter(self.now);
            seen.passed_over += u32::from(after.entries[..last].iter().any(|e| silent(&e)));
        }
        // A turn that was taken is over with its lease: its weight is not what was once asked for.
        for entry in before.iter().flat_map(|r| &r.entries) {
            let taken = entry.phase == Phase::Granted && entry.weighed > 0 && !self.holds(entry);
            seen.turns_taken += u32::from(taken);
            let is = after.entries.iter().find(|e| e.rid == entry.rid);
            assert!(
                !taken || is.is_none_or(|is| is.since_us == self.now.lease_us),
                "{is:?}"
            );
        }
        for ask in &self.asked {
            let Some(entry) = after.entries.iter().find(|e| e.rid == ask.rid) else {
                continue;
            };
            if entry.weighed == 0 {
                assert_eq!(entry.weight, ask.weight, "{entry:?}");
            }
        }
        if let Some(ask) = asker {
            let is = after.entries.iter().find(|e| e.rid == ask.rid && e.holds());
            match (out.reply, is) {
                (Reply::Weighed { weight, contended }, Some(is)) => {
                    assert_eq!(weight, is.weight);
                    assert_eq!(contended, after.entries.iter().any(|e| waits(&e)));
                }
                (Reply::NotHeld, None) => {}
                (reply, is) => panic!("{reply:?} of {is:?}"),
            }
        }
        self.granted_of = granted_of;
        self.record = out.record;
    }

    /// A change of the weight of who had `had` and is `is` now; answers under which size it has that.
    #[expect(clippy::too_many_arguments, reason = "what a step saw")]
    fn weighed<'a>(
        &self,
        ask: &Reweigh,
        had: &Entry,
        is: &Entry,
        held: impl Fn(Rid) -> Option<&'a Entry>,
        after: &Record,
        largest: u32,
        seen: &mut Seen,
    ) -> u32 {
        let known = self.granted_of[&is.rid];
        let lease = |e: &Entry| (e.phase, e.first, e.end, e.granted_us, e.expires_us);
        assert_eq!(lease(is), lease(had), "a lease was extended");
        if ask.change <= had.weighed {
            seen.copies += 1;
            assert_eq!(is, had, "a copy changed something");
            return known;
        }
        assert_eq!(is.weighed, ask.change);
        assert_eq!(is.announced(), had.announced().or(ask.capacity));
        let other = ask.absorb.map(|absorbed| absorbed.rid);
        let absorbed = other.and_then(held);
        seen.not_absorbed += u32::from(other.is_some() && absorbed.is_none());
        let mut of = known;
        if let Some(absorbed) = absorbed {
            seen.absorbed += 1;
            let stays = after.entries.iter().any(|e| e.rid == absorbed.rid);
            assert!(!stays, "it is absorbed, and stands there: {after:?}");
            of = of.max(self.granted_of[&absorbed.rid]);
            let until_us = ask.absorb.unwrap().close_until_us;
            let closed = after.closed.iter().find(|c| c.rid == absorbed.rid);
            assert!(until_us == 0 || closed.is_some_and(|c| c.until_us >= until_us));
        }
        let own = units(had) + absorbed.map_or(0, units);
        let asked = u32::from(ask.weight);
        seen.shrunk += u32::from(asked < own);
        if asked <= own {
            assert_eq!(units(is), asked, "what is had needs no room");
        } else if units(is) == own {
            seen.refused += 1;
        } else {
            seen.grown += 1;
            assert_eq!(units(is), asked);
            let passed = after.entries.iter().find(|e| e.is_live_waiter(self.now));
            assert_eq!(passed, None, "it grew past one who waits");
            return of.max(largest);
        }
        of
    }
}

/// Plays many sequences; answers what came about, or the first promise that broke.
fn play(cases: u32) -> Result<Seen, String> {
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    });
    let seen = RefCell::new(Seen::default());
    let played = runner.run(&vec((ticks(), acts()), 1..80), |steps| {
        let mut world = World::new();
        for (by_us, act) in &steps {
            world.now.lease_us = world.now.lease_us.saturating_add_signed(*by_us);
            world.now.wall_us = world.now.wall_us.saturating_add_signed(*by_us);
            if let Some(op) = world.op(act) {
                world.play(&op, &mut seen.borrow_mut());
            }
        }
        Ok(())
    });
    match played {
        Ok(()) => Ok(seen.into_inner()),
        Err(TestError::Fail(why, steps)) => Err(format!("{why}\n{steps:#?}")),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn permits_are_never_minted_and_nobody_is_passed() {
    let seen = play(1_500).unwrap_or_else(|why| panic!("{why}"));
    // The cases are of use only if they get this far.
    for count in [
        seen.grown,
        seen.refused,
        seen.shrunk,
        seen.absorbed,
        seen.not_absorbed,
        seen.copies,
        seen.several_served,
        seen.over,
        seen.turns_taken,
        seen.passed_over,
    ] {
        assert!(count > 20, "{seen:?}");
    }
}

/// Asks as `node`, and tells which request that is.
fn stand(world: &mut World, node: u8, weight: u32) -> usize {
    let act = Act::Acquire {
        node,
        weight,
        wait: true,
        ttl_us: 60 * SECOND,
    };
    act_on(world, &act);
    world.asked.len() - 1
}

fn act_on(world: &mut World, act: &Act) {
    let op = world.op(act).unwrap();
    world.play(&op, &mut Seen::default());
}

fn phase(world: &World, pick: usize) -> Option<Phase> {
    let entries = &world.record.as_ref()?.entries;
    let entry = entries.iter().find(|e| e.rid == world.asked[pick].rid);
    entry.map(|e| e.phase)
}

/// A large one at the head that is not heard from any more is in nobody's way, and says nothing of the size. It keeps
/// its place.
#[test]
fn a_dead_waiter_at_the_head_blocks_no_smaller_ones() {
    let mut world = World::new();
    stand(&mut world, 0, 3);
    world.announced = Capacity {
        size: 4,
        revision: 1,
    };
    let large = stand(&mut world, 1, 4);
    world.now.lease_us += 12_500_000;
    world.announced = world.capacity;
    let small = [2, 2].map(|node| stand(&mut world, node, 1));
    let phases = |world: &World| small.map(|pick| phase(world, pick));
    assert_eq!(phases(&world), [Some(Phase::Waiting); 2]);
    // A moment later it is dead, and there are five again.
    world.now.lease_us += 1;
    act_on(&mut world, &Act::Repeat { pick: small[1] });
    assert_eq!(phases(&world), [Some(Phase::Granted); 2]);
    act_on(&mut world, &Act::Repeat { pick: large });
    let later = stand(&mut world, 2, 1);
    for pick in small {
        act_on(&mut world, &Act::Release { pick, close: false });
    }
    assert_eq!(phase(&world, large), Some(Phase::Waiting));
    assert_eq!(phase(&world, later), Some(Phase::Waiting), "it would fit");
}

/// What no simulation plays shows here.
#[cfg(feature = "planted-bugs")]
#[test]
fn every_planted_bug_of_weights_is_caught() {
    use leasehold_core::planted::{Bug, plant};

    for bug in [
        Bug::AbsorbedStays,
        Bug::ReweighOutOfOrder,
        Bug::ReweighCountsTwice,
        Bug::GrowthOvertakes,
    ] {
        plant(Some(bug));
        let played = play(300);
        plant(None);
        assert!(played.is_err(), "{bug:?} survived");
    }
}
