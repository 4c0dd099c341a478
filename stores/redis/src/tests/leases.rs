//! Lua against `protocol::apply`: the same calls at the same times have the same answers, pushes and records.

use std::collections::BTreeMap;

use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{
    self, Absorbed, Acquire, Capacity, Closed, Entry, NodeId, Now, Op, Outcome, Phase, Record,
    Release, Renew, Reply, Revoke, Reweigh, Rid, Weight,
};
use leasehold_core::store::{Event, LeaseCall, Stamped};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::rig::{Rig, START_US, runner, step};
use crate::fast::Batch;
use crate::leases::{put_keys, put_words, take_replies, take_replies_alone};
use crate::record;
use crate::script::{Crowded, LARGEST, PACKED, SLACK_MS, TOO_NEW};

const NODES: u64 = 3;

pub(super) fn node(i: u64) -> NodeId {
    NodeId::new(uuid::Uuid::from_u64_pair(
        0x0190_0000_0000_7000,
        0x8000_0000_0000_0000 | i,
    ))
}

fn nodes() -> Vec<NodeId> {
    (0..NODES).map(node).collect()
}

/// Two resources of one bucket.
fn names() -> [ResourceName; 2] {
    let class = Class::new("Rechnung/ü".split('/').next().unwrap()).unwrap();
    let first = class.resource("a{b}").unwrap();
    let same_bucket = |n: &u32| class.resource(n).unwrap().bucket() == first.bucket();
    let second = (0..10_000).find(same_bucket).unwrap();
    [first, class.resource(second).unwrap()]
}

/// A call, in terms of the state it meets.
#[derive(Debug, Clone)]
struct Ask {
    name: usize,
    rid: (u64, u64),
    not_after_in: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Acquire {
        weight: u32,
        capacity: (u32, u64),
        ttl_us: u64,
        wait: bool,
        want: u64,
        seen: Seen,
    },
    Renew {
        renewal: u64,
    },
    Release {
        used: Used,
        close_in: i64,
    },
    Reweigh {
        /// Which of those who hold, if any does and not just any request is meant.
        holder: Option<usize>,
        change: u64,
        weight: u32,
        capacity: (u32, u64),
        /// Which of the others of its client that stand there, and when it is forgotten again.
        absorb: Option<(usize, i64)>,
    },
    Revoke {
        grace_us: u64,
    },
    Inspect,
}

/// A release after which nothing is remembered.
const NEVER: i64 = i64::MIN;

#[derive(Debug, Clone, Copy)]
enum Seen {
    Nothing,
    Now(i64),
    NearlyAll,
}

#[derive(Debug, Clone, Copy)]
enum Used {
    Nothing,
    First,
    End,
    Beyond,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clients {
    /// Few, that let go of what they have sooner or later.
    Few,
    /// Many that stay.
    Many,
    /// Few that stay, and change what they have.
    Weighing,
}

impl Clients {
    /// How many requests each node has.
    fn seqs(self) -> u64 {
        match self {
            Clients::Few | Clients::Weighing => 3,
            Clients::Many => 12,
        }
    }

    fn weights(self) -> Vec<u32> {
        match self {
            Clients::Weighing => vec![1, 1, 1, 2, 3, 5, 0],
            _ => vec![0, 0, 0, 1, 1, 2, 3],
        }
    }

    /// `values`, and more often `usual` ones if they stay.
    fn mostly<T: Copy>(self, usual: &[T], values: &[T]) -> Vec<T> {
        let usual = usual.iter().cycle().take(4 * values.len());
        let of_those_who_stay = usual.filter(|_| self != Clients::Few);
        values.iter().chain(of_those_who_stay).copied().collect()
    }
}

fn capacities(clients: Clients) -> impl Strategy<Value = (u32, u64)> {
    select(match clients {
        Clients::Weighing => vec![(6, 0), (6, 0), (6, 0), (7, 1), (4, 1), (1, 0), (2, 2)],
        _ => vec![
            (1, 0),
            (1, 0),
            (3, 0),
            (u32::MAX, 0),
            (2, 1),
            (4, 2),
            (0, 1),
        ],
    })
}

fn asks(clients: Clients) -> impl Strategy<Value = Ask> {
    let acquire = (
        select(clients.weights()),
        capacities(clients),
        select(clients.mostly(
            &[10_000_000, 60_000_000],
            &[1, 20_000, 400_000, 1_000_000, 30_000_000, 86_400_000_000],
        )),
        prop::bool::weighted(0.8),
        select(vec![1, 1, 0, 5, 1024, 1_000_000_000]),
        select(vec![
            Seen::Nothing,
            Seen::Nothing,
            Seen::Now(-1),
            Seen::Now(0),
            Seen::Now(700),
            Seen::Now(5_000_000),
            Seen::NearlyAll,
        ]),
    );
    let acquire = acquire.prop_map(
        |(weight, capacity, ttl_us, wait, want, seen)| What::Acquire {
            weight,
            capacity,
            ttl_us,
            wait,
            want,
            seen,
        },
    );
    let renew = (0_u64..4).prop_map(|renewal| What::Renew { renewal });
    let release = (
        select(vec![Used::Nothing, Used::First, Used::End, Used::Beyond]),
        select(vec![NEVER, NEVER, NEVER, NEVER, -5, 0, 1, 900, 3_000_000]),
    );
    let release = release.prop_map(|(used, close_in)| What::Release { used, close_in });
    let absorb = (
        any::<usize>(),
        select(vec![NEVER, NEVER, 0, 900, 3_000_000]),
    );
    let reweigh = (
        prop::option::weighted(0.9, any::<usize>()),
        select(vec![0, 1, 2, 3, 5, 9]),
        select(vec![0, 1, 1, 2, 3, 3, 5, u32::MAX]),
        capacities(clients),
        prop::option::weighted(0.6, absorb),
    );
    let reweigh = reweigh.prop_map(|(holder, change, weight, capacity, absorb)| What::Reweigh {
        holder,
        change,
        weight,
        capacity,
        absorb,
    });
    let revoke = select(vec![0, 1_000_000]).prop_map(|grace_us| What::Revoke { grace_us });
    let what = prop_oneof![
        7 => acquire,
        2 => renew,
        3 => release,
        if clients == Clients::Weighing { 5 } else { 2 } => reweigh,
        1 => revoke,
        1 => Just(What::Inspect),
    ];
    let not_after = select(clients.mostly(
        &[10_000_000, 60_000_000],
        &[
            -1,
            0,
            100,
            2_000_000,
            30_000_000,
            30_000_000,
            30_000_000,
            i64::MAX,
        ],
    ));
    let rid = (0..NODES, 1..=clients.seqs());
    (0..2_usize, rid, not_after, what).prop_map(|(name, rid, not_after_in, what)| Ask {
        name,
        rid,
        not_after_in,
        what,
    })
}

fn clock_steps(clients: Clients) -> impl Strategy<Value = i64> {
    select(clients.mostly(
        &[20_000],
        &[
            0, 0, 1, 300, 900, 1_001, 50_000, 400_000, 1_000_000, 1_000_001, 5_000_000, 12_500_000,
            13_000_000, -1, -700, -2_000_000,
        ],
    ))
}

pub(super) fn at(now: Now, delta: i64) -> u64 {
    if delta == i64::MAX {
        return LARGEST;
    }
    now.lease_us.saturating_add_signed(delta)
}

fn closed_until(now: Now, close_in: i64) -> u64 {
    if close_in == NEVER {
        0
    } else {
        at(now, close_in)
    }
}

impl Ask {
    #[allow(clippy::too_many_lines)]
    fn call(&self, record: Option<&Record>, now: Now, names: &[ResourceName]) -> LeaseCall {
        let rid = Rid {
            node: node(self.rid.0),
            seq: self.rid.1,
        };
        let not_after_us = at(now, self.not_after_in);
        let entry = record.and_then(|r| r.entries.iter().find(|e| e.rid == rid));
        let block = entry.map_or((7, 9), |e| (e.first, e.end));
        let op = match self.what {
            What::Acquire {
                weight,
                capacity: (size, revision),
                ttl_us,
                wait,
                want,
                seen,
            } => Op::Acquire(Acquire {
                rid,
                not_after_us,
                weight: Weight::from(weight),
                capacity: Capacity { size, revision },
                ttl_us,
                wait,
                want,
                seen: match seen {
                    Seen::Nothing => 0,
                    Seen::Now(delta) => now.wall_us.saturating_add_signed(delta),
                    // Each grant mints one more at the least.
                    Seen::NearlyAll => LARGEST - 1_000,
                },
                label: format!("node {}, büro", self.rid.0).into(),
            }),
            What::Renew { renewal } => Op::Renew(Renew {
                rid,
                not_after_us,
                renewal,
            }),
            What::Release { used, close_in } => Op::Release(Release {
                rid,
                not_after_us,
                used: match used {
                    Used::Nothing => 0,
                    Used::First => block.0,
                    Used::End => block.1,
                    Used::Beyond => block.1 + 1,
                },
                close_until_us: closed_until(now, close_in),
            }),
            What::Reweigh {
                holder,
                change,
                weight,
                capacity: (size, revision),
                absorb,
            } => {
                let entries = record.map_or(&[][..], |r| &r.entries);
                let nth = |n: usize, wanted: &dyn Fn(&&Entry) -> bool| {
                    let found: Vec<_> = entries.iter().filter(wanted).collect();
                    found.get(n.checked_rem(found.len())?).map(|e| e.rid)
                };
                let others = |rid: Rid| {
                    let others = entries.iter().filter(move |e| e.rid != rid && e.holds());
                    others.map(|e| e.rid.node)
                };
                let may_absorb = |e: &&Entry| e.holds() && others(e.rid).any(|n| n == e.rid.node);
                let found = holder.and_then(|n| {
                    let pair = absorb.and_then(|_| nth(n, &may_absorb));
                    pair.or_else(|| nth(n, &|e| e.holds()))
                });
                let rid = found.unwrap_or(rid);
                let absorbed = |n: usize| {
                    // Now and then itself, one that waits, or one of another client.
                    if n % 16 == 1 {
                        return rid;
                    }
                    let any = n.is_multiple_of(8);
                    let own = |e: &&Entry| e.rid != rid && e.rid.node == rid.node && e.holds();
                    let found = nth(n, &|e| own(e) || (any && e.rid != rid));
                    found.unwrap_or(Rid { seq: 99, ..rid })
                };
                Op::Reweigh(Reweigh {
                    rid,
                    not_after_us,
                    change,
                    weight: Weight::from(weight),
                    capacity: Capacity { size, revision },
                    absorb: absorb.map(|(n, close_in)| Absorbed {
                        rid: absorbed(n),
                        close_until_us: closed_until(now, close_in),
                    }),
                })
            }
            What::Revoke { grace_us } => Op::Revoke(Revoke {
                rid,
                not_after_us,
                grace_us,
                reason: "wartung, um neun: ü".into(),
            }),
            What::Inspect => Op::Inspect,
        };
        LeaseCall {
            name: names[self.name].clone(),
            op,
        }
    }
}

/// As the store sends one caller's calls.
pub(super) fn execute(rig: &Rig, now: Now, calls: &[LeaseCall]) -> Stamped<Vec<Reply>> {
    if let Some(batch) = Batch::of_one(calls) {
        let answer = rig.run(
            &rig.scripts.alone,
            now,
            |cmd| batch.put_keys(cmd, &rig.keys),
            |cmd| batch.put_words(cmd),
        );
        return take_replies_alone(&batch, answer).unwrap();
    }
    let answer = rig.run(
        &rig.scripts.leases,
        now,
        |cmd| put_keys(cmd, &rig.keys, calls),
        |cmd| put_words(cmd, &rig.keys, calls),
    );
    take_replies(answer).unwrap()
}

#[derive(Debug, Default)]
struct Seldom {
    queued: u32,
    handed_over: u32,
    closed: u32,
    renewed: u32,
    spent: u32,
    told: u32,
    reweighed: u32,
    absorbed: u32,
    grown: u32,
    shrunk: u32,
    too_heavy: u32,
    shared: u32,
    packed: u32,
    crowded: u32,
    gathered: u32,
    dispersed: u32,
}

/// Whether an entry that still held became part of another.
fn absorbs(op: &Op, before: Option<&Record>, outcome: &Outcome, now: Now) -> bool {
    let Op::Reweigh(Reweigh {
        absorb: Some(absorbed),
        ..
    }) = op
    else {
        return false;
    };
    let holds = |e: &Entry| e.rid == absorbed.rid && e.holds() && e.expires_us > now.lease_us;
    let stood = |record: &Record| record.entries.iter().any(holds);
    before.is_some_and(stood) && !outcome.record.as_ref().is_some_and(stood)
}

/// The same calls at the same times; answers how often what is seldom came about.
#[allow(clippy::too_many_lines)]
fn agree(crowded: Crowded, clients: Clients, cases: u32, batches: usize) -> Seldom {
    let names = names();
    let rig = Rig::crowding(names[0].bucket(), &nodes(), crowded);
    // (calls of one batch, how the clock moves before it, whether the machine's epoch changes)
    let fewer = if clients == Clients::Few { 1 } else { 3 };
    let batch = (
        prop_oneof![vec(asks(clients), 1..=fewer), vec(asks(clients), 1..4)],
        clock_steps(clients),
        prop::bool::weighted(if clients == Clients::Few { 0.02 } else { 0.001 }),
    );
    let mut seldom = Seldom::default();
    let counts = std::cell::RefCell::new(&mut seldom);
    let floors = select(vec![0, START_US - 5, START_US + 2_000_000, LARGEST - 2_000]);
    // Packed records are of servers whose two clocks are one.
    let world = (floors, select(vec![0, 0, 17]));
    let result = runner(cases).run(&(world, vec(batch, 1..batches)), |(world, batches)| {
        let (floor, apart) = world;
        let mut model: BTreeMap<ResourceName, Record> = BTreeMap::new();
        let mut crowds: BTreeMap<ResourceName, bool> = BTreeMap::new();
        rig.command(&redis::cmd("FLUSHDB"));
        let floor_key = rig.keys.floor(names[0].bucket());
        if floor > 0 {
            rig.set(&floor_key, floor.to_string().as_bytes());
        }
        let mut now = Now {
            lease_us: START_US,
            wall_us: START_US + apart,
            epoch: 0,
        };
        let mut back_us = 0;
        for (asks, by_us, reboot) in batches {
            now = step(now, by_us);
            back_us += by_us.min(0).abs();
            now.epoch += u64::from(reboot);
            let (mut calls, mut replies, mut events) = (vec![], vec![], vec![]);
            for ask in &asks {
                let name = &names[ask.name];
                let call = ask.call(model.get(name), now, &names);
                let before = model.remove(name);
                let existed = before.is_some();
                let outcome = protocol::apply(before.clone(), floor, &call.op, now);
                let mut counts = counts.borrow_mut();
                counts.spent += u32::from(existed && outcome.record.is_none());
                counts.queued += u32::from(matches!(outcome.reply, Reply::Queued { .. }));
                counts.closed += u32::from(matches!(outcome.reply, Reply::Closed));
                counts.renewed += u32::from(matches!(outcome.reply, Reply::Renewed { .. }));
                counts.too_heavy += u32::from(matches!(outcome.reply, Reply::TooHeavy { .. }));
                counts.reweighed += u32::from(matches!(outcome.reply, Reply::Weighed { .. }));
                counts.absorbed += u32::from(absorbs(&call.op, before.as_ref(), &outcome, now));
                let weight = |record: Option<&Record>| {
                    let entry = record?
                        .entries
                        .iter()
                        .find(|e| Some(e.rid) == call.op.rid())?;
                    entry.holds().then_some(u32::from(entry.weight))
                };
                let weights = weight(before.as_ref()).zip(weight(outcome.record.as_ref()));
                counts.grown += u32::from(weights.is_some_and(|(was, is)| is > was));
                counts.shrunk += u32::from(weights.is_some_and(|(was, is)| is < was));
                let told = outcome.notices.iter().copied().map(Event::from);
                let told: Vec<_> = told.collect();
                let handed_over = told.iter().any(|e| matches!(e, Event::Granted(_)));
                counts.handed_over += u32::from(handed_over);
                counts.told += u32::from(!told.is_empty() && !handed_over);
                let holders = outcome.record.iter().flat_map(|r| &r.entries);
                counts.shared += u32::from(holders.filter(|e| e.holds()).count() > 1);
                model.extend(outcome.record.map(|record| (name.clone(), record)));
                calls.push(call);
                replies.push(outcome.reply);
                events.extend(told);
            }
            let answers = execute(&rig, now, &calls);
            prop_assert_eq!(answers.now.lease_us, now.lease_us);
            prop_assert_eq!(answers.value, replies, "{:?}", calls);
            prop_assert_eq!(rig.take_pushes(), events, "{:?}", calls);
            for name in &names {
                let key = rig.keys.lease(name);
                let bytes = rig.get(&key);
                let packed = bytes.as_ref().is_some_and(|bytes| bytes[0] == PACKED);
                let is_crowd = bytes.as_deref().is_some_and(record::is_crowd);
                let was_crowd = crowds.insert(name.clone(), is_crowd) == Some(true);
                let mut counts = counts.borrow_mut();
                counts.packed += u32::from(packed);
                counts.crowded += u32::from(is_crowd);
                counts.gathered += u32::from(is_crowd && !was_crowd);
                counts.dispersed += u32::from(was_crowd && !is_crowd && bytes.is_some());
                let stored = match bytes {
                    Some(_) if is_crowd => inspected(&rig, name, now),
                    bytes => bytes.map(|bytes| record::decode(&bytes).unwrap()),
                };
                prop_assert_eq!(stored.as_ref(), model.get(name), "{:?}", calls);
                let parts = rig.parts(name);
                prop_assert!(is_crowd || parts.is_empty(), "{:?} of no crowd", parts);
                if let Some(record) = stored {
                    let size = record.entries.len() + record.closed.len();
                    prop_assert!(is_crowd || size <= crowded.above as usize, "{}", size);
                    prop_assert!(!is_crowd || size > crowded.until as usize, "{}", size);
                    // The server's own clock does not step back with this one.
                    let keep_ms = i64::try_from(record.keep_for_us(now) / 1000).unwrap();
                    if packed {
                        let keep_ms = (now.lease_us + record.keep_for_us(now)) / 1000;
                        prop_assert!(rig.kept_until_ms(&key) > keep_ms + SLACK_MS / 2);
                    }
                    for key in parts.iter().chain([&key]) {
                        let kept_ms = rig.time_to_live_ms(key);
                        prop_assert!(
                            kept_ms + back_us / 1000 + 1 >= keep_ms,
                            "{} {}",
                            key,
                            kept_ms
                        );
                    }
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    seldom
}

#[test]
fn lua_and_the_protocol_agree_on_every_answer_push_and_record() {
    let seldom = agree(Crowded::MEASURED, Clients::Few, 400, 40);
    // The cases are of use only if they get this far.
    seldom.all_happened(&[seldom.packed]);
}

#[test]
fn lua_and_the_protocol_agree_where_crowds_come_and_go() {
    let crowded = Crowded::MEASURED;
    let seldom = agree(crowded, Clients::Many, 180, 200);
    seldom.all_happened(&[seldom.crowded, seldom.gathered, seldom.dispersed]);
}

#[test]
fn lua_and_the_protocol_agree_where_two_are_a_crowd() {
    for (above, until) in [(1, 0), (2, 1)] {
        let seldom = agree(Crowded { above, until }, Clients::Few, 260, 40);
        seldom.all_happened(&[seldom.crowded, seldom.gathered]);
    }
}

#[test]
fn lua_and_the_protocol_agree_where_weights_change() {
    for (above, until) in [(6, 3), (1, 0)] {
        let seldom = agree(Crowded { above, until }, Clients::Weighing, 120, 60);
        seldom.all_happened(&[seldom.absorbed, seldom.grown, seldom.shrunk]);
    }
}

impl Seldom {
    fn all_happened(&self, more: &[u32]) {
        let counts = [
            self.queued,
            self.handed_over,
            self.closed,
            self.renewed,
            self.spent,
            self.told,
            self.reweighed,
            self.too_heavy,
            self.shared,
        ];
        for count in counts.iter().chain(more) {
            assert!(*count > 20, "{self:?}");
        }
    }
}

/// A record that Rust wrote, with the largest numbers there are.
fn full_record(last: u64) -> Record {
    let entry = |i: u64, phase| Entry {
        rid: Rid {
            node: node(i),
            seq: LARGEST - i,
        },
        phase,
        weight: Weight::All,
        ttl_us: 30_000_000,
        want: 1,
        seen: last - 1,
        not_after_us: LARGEST,
        since_us: START_US,
        heard_us: START_US,
        first: 0,
        end: 0,
        granted_us: 0,
        expires_us: 0,
        renewal: (1 << 40) + 1,
        label: "x".repeat(40),
        capacity: u32::MAX,
        revision: LARGEST,
        weighed: 3,
        revoked_us: LARGEST,
        grace_us: LARGEST,
        reason: "y".repeat(40),
    };
    let mut holder = entry(0, Phase::Held);
    (holder.first, holder.end) = (last, last);
    (holder.granted_us, holder.expires_us) = (START_US, LARGEST);
    Record {
        last,
        epoch: 0,
        entries: vec![holder, entry(1, Phase::Waiting), entry(2, Phase::Dormant)],
        closed: vec![Closed {
            rid: Rid {
                node: node(2),
                seq: 4,
            },
            until_us: LARGEST,
        }],
    }
}

fn inspect(rig: &Rig, name: &ResourceName, now: Now) -> Reply {
    let calls = [LeaseCall {
        name: name.clone(),
        op: Op::Inspect,
    }];
    let answer = rig.run(
        &rig.scripts.leases,
        now,
        |cmd| put_keys(cmd, &rig.keys, &calls),
        |cmd| put_words(cmd, &rig.keys, &calls),
    );
    take_replies(answer).unwrap().value.remove(0)
}

/// What stands there, whatever its layout.
fn inspected(rig: &Rig, name: &ResourceName, now: Now) -> Option<Record> {
    match inspect(rig, name, now) {
        Reply::Inspected(record) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_up_to_2_to_the_53_survive_lua() {
    let [name, _] = names();
    let rig = Rig::new(name.bucket(), &[]);
    let now = Now {
        lease_us: START_US,
        wall_us: START_US,
        epoch: 0,
    };
    for last in [1_795_425_306_933_629, (1 << 32) + 1, LARGEST - 1, LARGEST] {
        let record = full_record(last);
        rig.set(&rig.keys.lease(&name), &protocol::encode(&record));
        assert_eq!(
            inspect(&rig, &name, now),
            Reply::Inspected(Some(record.clone()))
        );
        let stored = rig.get(&rig.keys.lease(&name)).unwrap();
        assert_eq!(protocol::decode(&stored).unwrap(), record);
    }
}

#[test]
fn a_newer_record_changes_nothing_in_the_whole_batch() {
    let [newer, other] = names();
    let rig = Rig::new(newer.bucket(), &[]);
    let now = step(Now::default(), i64::try_from(START_US).unwrap());
    let mut bytes = protocol::encode(&full_record(START_US));
    bytes[0] = b'3';
    rig.set(&rig.keys.lease(&newer), &bytes);
    let ask = Ask {
        name: 0,
        rid: (0, 1),
        not_after_in: 1,
        what: What::Acquire {
            weight: 0,
            capacity: (1, 0),
            ttl_us: 1_000_000,
            wait: true,
            want: 1,
            seen: Seen::Nothing,
        },
    };
    let names = [other.clone(), newer.clone()];
    let mut calls = vec![ask.call(None, now, &names)];
    calls.push(LeaseCall {
        name: newer.clone(),
        op: Op::Inspect,
    });
    let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rig.run(
            &rig.scripts.leases,
            now,
            |cmd| put_keys(cmd, &rig.keys, &calls),
            |cmd| put_words(cmd, &rig.keys, &calls),
        )
    }))
    .unwrap_err();
    let text = text.downcast::<String>().unwrap();
    assert!(text.contains(TOO_NEW), "{text}");
    assert_eq!(rig.get(&rig.keys.lease(&other)), None);
    assert_eq!(rig.get(&rig.keys.lease(&newer)), Some(bytes));
}

/// Two versions share a store during a deploy: what the one before wrote, holders and waiters, is carried on.
#[test]
fn a_record_of_the_version_before_is_carried_on() {
    let [name, _] = names();
    let rig = Rig::new(name.bucket(), &nodes());
    let mut now = step(Now::default(), i64::try_from(START_US).unwrap());
    let ask = |node: u64, now: Now| LeaseCall {
        name: name.clone(),
        op: Op::Acquire(Acquire {
            rid: Rid {
                node: self::node(node),
                seq: 1,
            },
            not_after_us: at(now, 30_000_000),
            weight: Weight::All,
            capacity: Capacity::ONE,
            ttl_us: 10_000_000,
            wait: true,
            want: 5,
            seen: 0,
            label: "of before".into(),
        }),
    };
    let renewal = |node: u64, now: Now| LeaseCall {
        name: name.clone(),
        op: Op::Renew(Renew {
            rid: Rid {
                node: self::node(node),
                seq: 1,
            },
            not_after_us: at(now, 1_000_000),
            renewal: 7,
        }),
    };
    let release = |node: u64, now: Now| LeaseCall {
        name: name.clone(),
        op: Op::Release(Release {
            rid: Rid {
                node: self::node(node),
                seq: 1,
            },
            not_after_us: at(now, 1_000_000),
            used: 0,
            close_until_us: at(now, 5_000_000),
        }),
    };
    let key = rig.keys.lease(&name);
    let mut record = None;
    for call in [ask(0, now), ask(1, now), release(2, now)] {
        record = protocol::apply(record, 0, &call.op, now).record;
    }
    // Looking leaves it to those of the version before.
    let before = protocol::encode_before(record.as_ref().unwrap());
    rig.set(&key, &before);
    let seen = inspect(&rig, &name, now);
    assert_eq!(seen, Reply::Inspected(record.clone()));
    assert_eq!(rig.get(&key), Some(before));
    for call in [
        renewal(0, now),
        release(0, now),
        renewal(1, now),
        ask(2, now),
    ] {
        now = step(now, 200_000);
        let before = protocol::encode_before(record.as_ref().unwrap());
        rig.set(&key, &before);
        let outcome = protocol::apply(protocol::decode(&before).ok(), 0, &call.op, now);
        let calls = [call];
        let answer = rig.run(
            &rig.scripts.leases,
            now,
            |cmd| put_keys(cmd, &rig.keys, &calls),
            |cmd| put_words(cmd, &rig.keys, &calls),
        );
        assert_eq!(take_replies(answer).unwrap().value, [outcome.reply]);
        let told = outcome.notices.into_iter().map(Event::from);
        assert_eq!(rig.take_pushes(), told.collect::<Vec<_>>());
        let stored = rig.get(&key).unwrap();
        assert_eq!(stored[0], protocol::FORMAT);
        assert_eq!(protocol::decode(&stored).ok(), outcome.record);
        record = outcome.record;
    }
}
