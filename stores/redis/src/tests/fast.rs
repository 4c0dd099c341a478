//! The fast scripts against `protocol::apply`: what they answer is what it says, what they leave to the full script they
//! have not touched, and what is uncontended they do themselves.

use std::collections::BTreeMap;

use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{
    self, Acquire, Capacity, Now, Op, Record, Release, Renew, Reply, Rid, Was, Weight,
};
use leasehold_core::store::LeaseCall;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use redis::Value;

use super::leases::{at, execute, node};
use super::rig::{Rig, START_US, runner, step};
use crate::fast::Batch;
use crate::record;
use crate::script::{LARGEST, PACKED, PACKED_RENEWED};

/// Three resources of one bucket, and three of others.
fn names() -> Vec<ResourceName> {
    let class = Class::new("fast").unwrap();
    let name = |n: u32| class.resource(n).unwrap();
    let bucket = name(0).bucket();
    let mut names: Vec<_> = (0..)
        .map(name)
        .filter(|n| n.bucket() == bucket)
        .take(3)
        .collect();
    names.extend((1..4).map(name));
    names
}

#[derive(Debug, Clone)]
enum Step {
    /// Calls of several callers, each on a resource of its own.
    Together(Common, Vec<usize>, Vec<What>),
    /// Renewals of one caller, numbered by so much after the last.
    Renewals(Vec<usize>, u64),
    /// A call of one caller.
    Alone(Common, usize, What),
}

/// What acquires of one script call have in common, and the others' times too.
#[derive(Debug, Clone)]
struct Common {
    ttl_us: u64,
    want: u64,
    seen: i64,
    not_after_in: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// Acquires what is free and releases what is held.
    Turn,
    /// With a new id.
    Acquire,
    /// With the id of who stands there.
    AcquireAgain,
    /// Of who stands there, with the last fence it used.
    Release(Used),
    /// Of one who does not stand there.
    ReleaseOfAnother,
    /// The same, so that a late acquire of it is refused.
    ReleaseOfNobody,
    /// Makes it contended.
    Enqueue,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Used {
    Nothing,
    First,
    End,
}

fn steps() -> impl Strategy<Value = Step> {
    let common = || {
        (
            select(vec![20_000, 20_000, 1_000_000, 30_000_000]),
            select(vec![1, 1, 1, 0, 5, 5_000]),
            select(vec![
                -1_000_000,
                -1_000_000,
                -1_000_000,
                -1,
                -1,
                0,
                700,
                50_000_000,
                70_000_000,
                i64::MAX,
            ]),
            select(vec![
                -1,
                0,
                2_000_000,
                30_000_000,
                30_000_000,
                600_000_000,
                600_000_000,
                i64::MAX,
            ]),
        )
            .prop_map(|(ttl_us, want, seen, not_after_in)| Common {
                ttl_us,
                want,
                seen,
                not_after_in,
            })
    };
    let what = || {
        prop_oneof![
            12 => Just(What::Turn),
            1 => Just(What::Acquire),
            1 => Just(What::AcquireAgain),
            2 => select(vec![Used::Nothing, Used::First, Used::End]).prop_map(What::Release),
            1 => Just(What::ReleaseOfAnother),
            1 => Just(What::ReleaseOfNobody),
        ]
    };
    let some = || subsequence((0..6).collect::<Vec<usize>>(), 1..7);
    let of_bucket = subsequence((0..3).collect::<Vec<usize>>(), 1..4);
    let alone = prop_oneof![6 => what(), 1 => Just(What::Enqueue)];
    prop_oneof![
        4 => (common(), some().prop_shuffle(), vec(what(), 6))
            .prop_map(|(common, names, whats)| Step::Together(common, names, whats)),
        4 => (of_bucket, 0..3_u64).prop_map(|(names, renewal)| Step::Renewals(names, renewal)),
        2 => (common(), 0..6_usize, alone).prop_map(|(c, name, what)| Step::Alone(c, name, what)),
    ]
}

#[derive(Default)]
struct World {
    now: Now,
    seq: u64,
    floors: BTreeMap<ResourceName, u64>,
    records: BTreeMap<ResourceName, Record>,
}

impl World {
    fn call(&mut self, name: &ResourceName, common: &Common, what: What) -> LeaseCall {
        let now = self.now;
        let not_after_us = at(now, common.not_after_in);
        let first = self.records.get(name).and_then(|r| r.entries.first());
        let there = first.map(|entry| entry.rid);
        let what = match (what, first) {
            (What::Turn, None) => What::Acquire,
            (What::Turn, Some(_)) => What::Release(Used::Nothing),
            _ => what,
        };
        self.seq += 1;
        let (node, seq) = (node(self.seq % 3), self.seq);
        let new = Rid { node, seq };
        let op = match what {
            What::Turn | What::Acquire | What::AcquireAgain | What::Enqueue => {
                Op::Acquire(Acquire {
                    rid: there.filter(|_| what == What::AcquireAgain).unwrap_or(new),
                    not_after_us,
                    weight: Weight::All,
                    capacity: Capacity::ONE,
                    ttl_us: common.ttl_us,
                    wait: what == What::Enqueue,
                    want: common.want,
                    seen: match common.seen {
                        i64::MAX => LARGEST - 10_000,
                        by => now.wall_us.saturating_add_signed(by),
                    },
                    label: "büro 7, host-1".into(),
                })
            }
            What::Release(used) => Op::Release(Release {
                rid: there.unwrap_or(new),
                not_after_us,
                used: match (used, first) {
                    (Used::First, Some(entry)) => entry.first,
                    (Used::End, Some(entry)) => entry.end,
                    _ => 0,
                },
                close_until_us: 0,
            }),
            What::ReleaseOfAnother | What::ReleaseOfNobody => Op::Release(Release {
                rid: new,
                not_after_us,
                used: 0,
                close_until_us: match what {
                    What::ReleaseOfNobody => at(now, 3_000_000),
                    _ => 0,
                },
            }),
        };
        let name = name.clone();
        LeaseCall { name, op }
    }

    fn apply(&mut self, call: &LeaseCall) -> Reply {
        let floor = self.floors.get(&call.name).copied().unwrap_or(0);
        let record = self.records.remove(&call.name);
        let outcome = protocol::apply(record, floor, &call.op, self.now);
        let record = outcome.record.map(|record| (call.name.clone(), record));
        self.records.extend(record);
        outcome.reply
    }
}

fn is_packed(rig: &Rig, name: &ResourceName) -> bool {
    rig.get(&rig.keys.lease(name))
        .is_some_and(|bytes| matches!(bytes[0], PACKED | PACKED_RENEWED))
}

/// What the script did, call by call; what it left is done alone, as the store does.
fn together(rig: &Rig, now: Now, calls: &[&LeaseCall]) -> Vec<(bool, Reply)> {
    if calls.is_empty() {
        return vec![];
    }
    let mut batch = Batch::default();
    for call in calls {
        assert!(batch.add(&call.name, &call.op), "{call:?}");
    }
    let answer = rig.run(
        &rig.scripts.together,
        now,
        |cmd| batch.put_keys(cmd, &rig.keys),
        |cmd| batch.put_words(cmd),
    );
    let Value::BulkString(bytes) = answer else {
        panic!("{answer:?}")
    };
    let answers = batch.take_answers(&bytes).unwrap();
    assert_eq!(
        answers.now,
        Now {
            epoch: 0,
            wall_us: now.lease_us,
            ..now
        }
    );
    let answers = calls.iter().zip(answers.value);
    let answers = answers.map(|(call, answer)| {
        let alone = || {
            execute(rig, now, std::slice::from_ref(*call))
                .value
                .remove(0)
        };
        (answer.is_some(), answer.unwrap_or_else(alone))
    });
    answers.collect()
}

#[derive(Default)]
struct Done {
    acquires: u32,
    releases: u32,
    renewals: u32,
    left: u32,
}

#[test]
#[allow(clippy::too_many_lines)]
fn the_fast_scripts_do_as_the_protocol_says_or_nothing() {
    let names = names();
    let rig = Rig::new(names[0].bucket(), &[]);
    let clock_steps = select(vec![
        0,
        1,
        300,
        1_001,
        15_000,
        15_000,
        15_000,
        15_000,
        50_000,
        50_000,
        1_500_000,
        19_000_000,
        700_000_000,
        700_000_000,
        700_000_000,
        -700,
        -2_000_000,
    ]);
    let floors = vec(
        select(vec![
            0,
            0,
            5,
            START_US - 5,
            START_US - 5,
            START_US + 200_000,
            LARGEST - 2_000,
        ]),
        6,
    );
    let clocks = select(vec![
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (17, 0),
        (0, 1),
    ]);
    // In half of the worlds nothing happens that the fast scripts are not for.
    let world = (floors, clocks, any::<bool>());
    let script = vec((steps(), clock_steps), 1..40);
    let done = std::cell::RefCell::new(Done::default());
    let result = runner(250).run(
        &(world, script),
        |((floors, (apart, epoch), calm), script)| {
            let mut world = World {
                now: Now {
                    lease_us: START_US,
                    wall_us: START_US + apart,
                    epoch,
                },
                ..World::default()
            };
            for (name, floor) in names.iter().zip(floors) {
                let floor = if calm { floor.min(START_US - 5) } else { floor };
                rig.delete(&rig.keys.lease(name));
                let key = rig.keys.floor(name.bucket());
                rig.delete(&key);
                // The last of a bucket's counts.
                for of_bucket in names.iter().filter(|n| n.bucket() == name.bucket()) {
                    world.floors.insert(of_bucket.clone(), floor);
                }
                if floor > 0 {
                    rig.set(&key, floor.to_string().as_bytes());
                }
            }
            for (mut what, by_us) in script {
                let by_us = if calm { by_us.clamp(0, 50_000) } else { by_us };
                world.now = step(world.now, by_us);
                let now = world.now;
                let mut done = done.borrow_mut();
                if let (true, Step::Together(common, ..) | Step::Alone(common, ..)) =
                    (calm, &mut what)
                {
                    (common.seen, common.not_after_in) = (-1, 600_000_000);
                }
                match what {
                    Step::Together(common, places, whats) => {
                        let mut calls = vec![];
                        for (i, (place, what)) in places.into_iter().zip(whats).enumerate() {
                            let mut call = world.call(&names[place], &common, what);
                            if let Op::Acquire(ask) = &mut call.op {
                                ask.seen += i as u64;
                            }
                            calls.push(call);
                        }
                        // What closes an id is not for this script.
                        calls.retain(|call| Batch::of_one(std::slice::from_ref(call)).is_some());
                        let is_acquire = |call: &&LeaseCall| matches!(call.op, Op::Acquire(_));
                        let (acquires, releases): (Vec<_>, Vec<_>) =
                            calls.iter().partition(is_acquire);
                        let calls = [acquires, releases].concat();
                        let uncontended: Vec<_> =
                            calls.iter().map(|c| is_packed(&rig, &c.name)).collect();
                        let answers = together(&rig, now, &calls);
                        let seen = calls.iter().filter_map(|call| match &call.op {
                            Op::Acquire(ask) => Some(ask.seen),
                            _ => None,
                        });
                        let seen = seen.max().unwrap_or(0);
                        for ((call, (fast, answer)), packed) in
                            calls.iter().zip(answers).zip(uncontended)
                        {
                            let mut as_done = LeaseCall::clone(call);
                            if let (Op::Acquire(ask), true) = (&mut as_done.op, fast) {
                                // What travels together has seen what all of it has.
                                ask.seen = seen;
                            }
                            let reply = world.apply(&as_done);
                            prop_assert_eq!(&answer, &reply, "{:?} {}", call, fast);
                            let released = Reply::Released { was: Was::Held };
                            let gone = !world.records.contains_key(&call.name);
                            match &call.op {
                                Op::Acquire(_) => done.acquires += u32::from(fast),
                                Op::Release(_) => done.releases += u32::from(fast),
                                _ => {}
                            }
                            done.left += u32::from(!fast);
                            let must =
                                packed && reply == released && gone && apart == 0 && epoch == 0;
                            prop_assert!(fast || !must, "{:?} was left", call);
                        }
                    }
                    Step::Renewals(places, renewal) => {
                        let mut calls = vec![];
                        for place in places {
                            let name = names[place].clone();
                            let first = world.records.get(&name).and_then(|r| r.entries.first());
                            let nobody = Rid {
                                node: node(9),
                                seq: 9,
                            };
                            let op = Op::Renew(Renew {
                                rid: first.map_or(nobody, |entry| entry.rid),
                                not_after_us: at(now, 1_000_000),
                                renewal: first.map_or(0, |entry| entry.renewal) + renewal,
                            });
                            calls.push(LeaseCall { name, op });
                        }
                        let packed = calls.iter().filter(|c| is_packed(&rig, &c.name)).count();
                        let answers = execute(&rig, now, &calls).value;
                        let replies: Vec<_> = calls.iter().map(|call| world.apply(call)).collect();
                        prop_assert_eq!(&answers, &replies, "{:?}", calls);
                        let renewed = replies.iter().all(|r| matches!(r, Reply::Renewed { .. }));
                        if packed == calls.len() && renewed && apart == 0 && epoch == 0 {
                            for call in &calls {
                                prop_assert!(
                                    is_packed(&rig, &call.name),
                                    "{:?} was unpacked",
                                    call
                                );
                            }
                            done.renewals += 1;
                        }
                    }
                    Step::Alone(common, place, what) => {
                        let call = world.call(&names[place], &common, what);
                        let answer = execute(&rig, now, std::slice::from_ref(&call))
                            .value
                            .remove(0);
                        prop_assert_eq!(&answer, &world.apply(&call), "{:?}", call);
                    }
                }
                for name in &names {
                    let stored = rig.get(&rig.keys.lease(name));
                    let stored = stored.map(|bytes| record::decode(&bytes).unwrap());
                    prop_assert_eq!(stored.as_ref(), world.records.get(name), "{}", name);
                }
            }
            Ok(())
        },
    );
    result.unwrap_or_else(|error| panic!("{error}"));
    let Done {
        acquires,
        releases,
        renewals,
        left,
    } = done.into_inner();
    let counts = [acquires, releases, renewals, left];
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}
