//! The pure protocol under any sequence of operations and any clock, also one that steps back.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::collections::{BTreeMap, BTreeSet};

use leasehold_core::protocol::{
    Acquire, Capacity, Closed, Entry, FORMAT, FORMAT_BEFORE, NodeId, Notice, Now, Op, Phase,
    Record, Release, Renew, Reply, Rid, TooNew, Was, Weight, apply, decode, encode, encode_before,
};
use proptest::collection::vec;
use proptest::prelude::*;

const START_US: u64 = 1_735_689_600_000_000;
const SECOND: u64 = 1_000_000;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What a client does next; requests are picked from those it has made.
#[derive(Debug, Clone)]
enum Act {
    Acquire {
        node: u8,
        wait: bool,
        ttl_us: u64,
    },
    Repeat {
        pick: usize,
    },
    Renew {
        pick: usize,
        stale: bool,
    },
    Release {
        pick: usize,
        close: bool,
        stale: bool,
    },
    Inspect,
}

/// An act, and how the store's clocks moved before it.
#[derive(Debug, Clone)]
struct Step {
    act: Act,
    lease_by: i64,
    wall_by: i64,
}

fn acts() -> impl Strategy<Value = Act> {
    let ttl = prop_oneof![Just(SECOND / 10), Just(3 * SECOND), Just(30 * SECOND)];
    prop_oneof![
        4 => (0..4_u8, any::<bool>(), ttl)
            .prop_map(|(node, wait, ttl_us)| Act::Acquire { node, wait, ttl_us }),
        4 => any::<usize>().prop_map(|pick| Act::Repeat { pick }),
        3 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(pick, stale)| Act::Renew { pick, stale }),
        3 => (any::<usize>(), any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(pick, close, stale)| Act::Release { pick, close, stale }),
        1 => Just(Act::Inspect),
    ]
}

/// Mostly a little, sometimes beyond every deadline.
fn forward() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![
        3 => 0..1_000_i64,
        4 => 0..1_500_000_i64,
        1 => 0..40_000_000_i64,
    ]
}

fn back() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![6 => forward(), 1 => -5_000_000..0_i64]
}

fn steps(by: impl Strategy<Value = i64> + Clone) -> impl Strategy<Value = Vec<Step>> {
    let step = (acts(), by.clone(), by).prop_map(|(act, lease_by, wall_by)| Step {
        act,
        lease_by,
        wall_by,
    });
    vec(step, 1..60)
}

fn node(n: u8) -> NodeId {
    NodeId::new(uuid::Uuid::from_u128(u128::from(n) + 1))
}

/// The clients' side of the protocol, and all that happened.
struct World {
    /// 1: everyone takes all. More: it is shared, in weights that differ.
    capacity: u32,
    record: Option<Record>,
    now: Now,
    asked: Vec<Acquire>,
    renewals: BTreeMap<Rid, u64>,
    seen: BTreeMap<NodeId, u64>,
    /// The fences of each request's grants.
    granted: BTreeMap<Rid, (u64, u64)>,
    highest_used: u64,
}

impl World {
    fn new() -> Self {
        Self {
            capacity: 1,
            record: None,
            now: Now {
                lease_us: 100 * SECOND,
                wall_us: START_US,
                epoch: 0,
            },
            asked: Vec::new(),
            renewals: BTreeMap::new(),
            seen: BTreeMap::new(),
            granted: BTreeMap::new(),
            highest_used: 0,
        }
    }

    fn shared() -> Self {
        Self {
            capacity: 5,
            ..Self::new()
        }
    }

    fn weight(&self, node: u8, ttl_us: u64) -> Weight {
        if self.capacity == 1 {
            return Weight::All;
        }
        Weight::from(u32::from(node) + u32::from(ttl_us > SECOND))
    }

    fn advance(&mut self, step: &Step) {
        self.now.lease_us = self.now.lease_us.saturating_add_signed(step.lease_by);
        self.now.wall_us = self.now.wall_us.saturating_add_signed(step.wall_by);
    }

    fn op(&mut self, act: &Act) -> Op {
        let not_after_us = self.now.lease_us + 20 * SECOND;
        let past_us = self.now.lease_us.saturating_sub(1);
        let late = |stale: bool| if stale { past_us } else { not_after_us };
        match (act, self.asked.len()) {
            (
                Act::Acquire {
                    node: n,
                    wait,
                    ttl_us,
                },
                asked,
            ) => {
                let rid = Rid {
                    node: node(*n),
                    seq: asked as u64,
                };
                let ask = Acquire {
                    rid,
                    not_after_us,
                    weight: self.weight(*n, *ttl_us),
                    capacity: Capacity {
                        size: self.capacity,
                        revision: 0,
                    },
                    ttl_us: *ttl_us,
                    wait: *wait,
                    want: 1 + asked as u64 % 3,
                    seen: self.seen.get(&rid.node).copied().unwrap_or(0),
                    label: format!("node {n}").into(),
                };
                self.asked.push(ask.clone());
                Op::Acquire(ask)
            }
            (Act::Inspect, _) | (_, 0) => Op::Inspect,
            (Act::Repeat { pick }, asked) => Op::Acquire(self.asked[pick % asked].clone()),
            (Act::Renew { pick, stale }, asked) => {
                let rid = self.asked[pick % asked].rid;
                let renewal = self.renewals.entry(rid).or_default();
                *renewal += 1;
                Op::Renew(Renew {
                    rid,
                    not_after_us: late(*stale),
                    renewal: *renewal,
                })
            }
            (Act::Release { pick, close, stale }, asked) => {
                let ask = &self.asked[pick % asked];
                let used = self.granted.get(&ask.rid).map_or(0, |(first, _)| *first);
                Op::Release(Release {
                    rid: ask.rid,
                    not_after_us: late(*stale),
                    used,
                    close_until_us: if *close { ask.not_after_us + SECOND } else { 0 },
                })
            }
        }
    }

    /// Applies it, and checks what holds of every step.
    fn apply(&mut self, op: &Op) -> (Option<Record>, Reply, Vec<Rid>) {
        let before = self.record.take();
        if *op == Op::Inspect {
            let out = apply(before.clone(), 0, op, self.now);
            assert_eq!(out.record, before, "looking changes nothing");
            assert_eq!(out.reply, Reply::Inspected(before.clone()));
            self.record = out.record;
            return (before, out.reply, Vec::new());
        }
        let out = apply(before.clone(), 0, op, self.now);
        let granted = granted(&out.notices);
        let after = out.record.clone().unwrap_or_default();
        let holders: Vec<_> = after.entries.iter().filter(|e| e.holds()).collect();
        let whole = holders.iter().any(|e| e.weight == Weight::All);
        let units: u32 = holders.iter().map(|e| u32::from(e.weight)).sum();
        assert!(
            !whole || holders.len() == 1,
            "someone beside all: {after:?}"
        );
        assert!(units <= self.capacity, "more than there is: {after:?}");
        for holder in &holders {
            assert!(holder.expires_us > self.now.lease_us, "held beyond its end");
            assert!(holder.first <= holder.end);
        }
        // Nobody waits in vain: the first live waiter is never left beside what it needs.
        if let Some(first) = after.entries.iter().find(|e| e.is_live_waiter(self.now)) {
            let fits = match first.weight {
                Weight::All => holders.is_empty(),
                Weight::Units(asked) => !whole && units + asked.get() <= self.capacity,
            };
            assert!(!fits, "{first:?} waits in vain: {after:?}");
        }
        let rids: BTreeSet<_> = after.entries.iter().map(|e| e.rid).collect();
        assert_eq!(rids.len(), after.entries.len(), "one request, two places");
        assert!(after.last < 1 << 53, "{}", after.last);
        if out.record.is_none() {
            // Only old knowledge goes.
            assert!(after.entries.is_empty() && after.closed.is_empty());
        }
        self.record = out.record;
        if before.is_none() {
            // Without a record only the clock, and what clients have seen, is above earlier fences.
            self.highest_used = 0;
        }
        if let Some(record) = &self.record {
            assert!(!record.is_spent(self.now));
            assert_eq!(decode(&encode(record)).as_ref(), Ok(record));
        }
        self.note_grants(op, before.as_ref(), &after, &out.reply);
        (before, out.reply, granted)
    }

    /// Fences rise while the record is kept, and always above what the client has seen and the store's clock.
    fn note_grants(&mut self, op: &Op, before: Option<&Record>, after: &Record, reply: &Reply) {
        let was: BTreeMap<_, _> = before
            .map(|r| r.entries.iter().map(|e| (e.rid, e.first)).collect())
            .unwrap_or_default();
        for entry in after.entries.iter().filter(|e| e.holds()) {
            if was.get(&entry.rid) == Some(&entry.first) {
                continue;
            }
            if let (Some(before), false) = (before, matches!(op, Op::Release(_))) {
                assert!(entry.first > before.last, "{entry:?}");
            }
            if before.is_some() {
                // What a release gave back was not used.
                assert!(entry.first > self.highest_used, "{entry:?}");
            }
            assert!(entry.first > entry.seen, "{entry:?}");
            assert!(entry.first >= self.now.wall_us, "{entry:?}");
            assert!(
                entry.end <= entry.first.max(self.now.wall_us + 1_000),
                "{entry:?}"
            );
            assert!(entry.end < entry.first + entry.want, "{entry:?}");
            self.granted.insert(entry.rid, (entry.first, entry.end));
            self.highest_used = self.highest_used.max(entry.first);
        }
        if let (Op::Acquire(ask), Reply::Granted { end, .. }) = (op, reply) {
            let seen = self.seen.entry(ask.rid.node).or_default();
            *seen = (*seen).max(*end);
        }
    }
}

fn granted(notices: &[Notice]) -> Vec<Rid> {
    let granted = notices.iter().filter_map(|notice| match notice {
        Notice::Granted(handed) => Some(handed.rid),
        _ => None,
    });
    granted.collect()
}

fn entry(record: Option<&Record>, rid: Rid) -> Option<&Entry> {
    record?.entries.iter().find(|e| e.rid == rid)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_step_keeps_one_holder_and_rising_fences(steps in steps(back())) {
        let mut world = World::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            world.apply(&op);
        }
    }

    /// Checked in every step: whoever holds fits, all of it or units of it, and no live waiter that would fit stands
    /// first.
    #[test]
    fn holders_of_a_shared_resource_never_exceed_it(steps in steps(back())) {
        let mut world = World::shared();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            world.apply(&op);
        }
    }

    #[test]
    fn a_repeated_request_changes_nothing_and_gets_the_same_answer(steps in steps(back())) {
        let mut world = World::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            let (_, first, _) = world.apply(&op);
            let between = world.record.clone();
            let (_, again, granted) = world.apply(&op);
            match (&op, &first) {
                (Op::Release(_), Reply::Released { .. }) => {
                    prop_assert_eq!(again, Reply::Released { was: Was::Absent });
                }
                // Not in the queue, so asking again is asking anew.
                (_, Reply::Busy { .. }) => {
                    let busy = matches!(again, Reply::Busy { .. });
                    prop_assert!(busy);
                }
                _ => prop_assert_eq!(again, first),
            }
            prop_assert_eq!(&world.record, &between);
            prop_assert!(granted.is_empty());
        }
    }

    #[test]
    fn an_ended_lease_is_not_renewed_and_an_older_renewal_changes_nothing(steps in steps(back())) {
        let mut world = World::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            let (before, reply, granted) = world.apply(&op);
            let Op::Renew(renew) = &op else { continue };
            let held = entry(before.as_ref(), renew.rid)
                .filter(|e| e.holds() && e.expires_us > world.now.lease_us);
            match reply {
                Reply::Renewed { remaining_us, .. } => {
                    prop_assert!(held.is_some() || granted.contains(&renew.rid));
                    let entry = entry(world.record.as_ref(), renew.rid).unwrap();
                    prop_assert_eq!(remaining_us, entry.ttl_us);
                    let older = Renew { renewal: renew.renewal - 1, ..renew.clone() };
                    let was = world.record.clone();
                    world.now.lease_us += 1;
                    world.apply(&Op::Renew(older));
                    prop_assert_eq!(&world.record, &was);
                }
                Reply::NotHeld => prop_assert!(held.is_none()),
                Reply::Stale => prop_assert!(renew.not_after_us < world.now.lease_us),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_closed_or_late_request_is_never_granted(steps in steps(forward())) {
        let mut world = World::new();
        let mut closed: BTreeMap<Rid, u64> = BTreeMap::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            let (_, reply, _) = world.apply(&op);
            if let (Op::Release(release), Reply::Released { .. }) = (&op, &reply) {
                closed.insert(release.rid, release.close_until_us);
            }
            for (rid, until) in &closed {
                if *until > world.now.lease_us {
                    prop_assert_eq!(entry(world.record.as_ref(), *rid), None);
                    let known = |c: &Closed| c.rid == *rid && c.until_us >= *until;
                    prop_assert!(world.record.as_ref().is_some_and(|r| r.closed.iter().any(known)));
                }
            }
            if let Op::Acquire(ask) = &op {
                if ask.not_after_us < world.now.lease_us {
                    prop_assert_eq!(reply, Reply::Stale);
                } else if closed.get(&ask.rid).is_some_and(|until| *until > world.now.lease_us) {
                    prop_assert_eq!(reply, Reply::Closed);
                }
            }
        }
    }

    /// Who is granted by a hand-over stood before all live waiters that are left, and a newcomer overtakes none.
    #[test]
    fn live_waiters_are_served_in_the_order_they_came(steps in steps(back())) {
        let mut world = World::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            let (before, _, granted) = world.apply(&op);
            let Some(after) = &world.record else { continue };
            let now = world.now.lease_us;
            let live = |e: &&Entry| {
                e.phase == Phase::Waiting && now.saturating_sub(e.heard_us) <= 12_500_000
            };
            let new_holder = (after.entries.iter())
                .find(|e| e.holds() && entry(before.as_ref(), e.rid).is_none_or(|b| !b.holds() || b.first != e.first));
            if let Some(holder) = new_holder {
                let at = after.entries.iter().position(|e| e.rid == holder.rid).unwrap();
                // Who asks again in this step was not heard from when its turn came.
                let asks = |e: &&Entry| {
                    matches!(&op, Op::Acquire(ask) if ask.rid == e.rid)
                };
                let passed_over = after.entries[..at].iter().find(|e| live(e) && !asks(e));
                prop_assert_eq!(passed_over, None);
                prop_assert!(holder.phase == Phase::Held || granted.contains(&holder.rid));
            }
            // Places are kept, but by a holder that asks anew after its end.
            let anew = |rid: &Rid| matches!(&op, Op::Acquire(ask) if ask.rid == *rid);
            let places = |r: &Record| {
                let rids = r.entries.iter().map(|e| e.rid);
                rids.filter(|rid| !anew(rid)).collect::<Vec<_>>()
            };
            let kept: Vec<_> = before.as_ref().map(places).unwrap_or_default();
            let (now_at, was_at) = (places(after), |rid: &Rid| kept.iter().position(|k| k == rid));
            let order: Vec<_> = now_at.iter().filter_map(was_at).collect();
            prop_assert!(order.is_sorted());
        }
    }

    /// Without a record nothing is known, but what the client has seen: to it fences rise nevertheless.
    #[test]
    fn fences_rise_for_a_client_over_a_loss_of_all_data(
        steps in steps(back()),
        losses in vec(any::<bool>(), 60),
    ) {
        let mut world = World::new();
        let mut last: BTreeMap<NodeId, (Rid, u64)> = BTreeMap::new();
        for (step, is_lost) in steps.iter().zip(losses) {
            world.advance(step);
            if is_lost {
                world.record = None;
            }
            let mut op = world.op(&step.act);
            if let Op::Acquire(ask) = &mut op {
                ask.seen = world.seen.get(&ask.rid.node).copied().unwrap_or(0);
            }
            let (_, reply, _) = world.apply(&op);
            if let (Op::Acquire(ask), Reply::Granted { first, end, .. }) = (&op, reply)
                && let Some((rid, before)) = last.insert(ask.rid.node, (ask.rid, end))
            {
                // The same grant again, or a later one.
                let repeated = rid == ask.rid && before == end;
                prop_assert!(repeated || first > before, "{} after {}", first, before);
            }
        }
    }

    #[test]
    fn another_boot_of_the_clock_ends_every_lease_and_keeps_the_fences(steps in steps(forward())) {
        let mut world = World::new();
        for step in &steps {
            world.advance(step);
            let op = world.op(&step.act);
            world.apply(&op);
        }
        let last = world.record.as_ref().map_or(0, |r| r.last);
        world.now = Now { lease_us: 5, epoch: 1, ..world.now };
        let op = world.op(&Act::Acquire { node: 0, wait: false, ttl_us: SECOND });
        let (_, reply, _) = world.apply(&op);
        let granted = matches!(reply, Reply::Granted { first, .. } if first > last);
        prop_assert!(granted, "{:?}", reply);
        prop_assert_eq!(world.record.unwrap().entries.len(), 1);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        match (bytes.first(), decode(&bytes)) {
            (Some(&first), Err(TooNew::Version { found, .. })) => {
                prop_assert!(first != FORMAT && first != FORMAT_BEFORE);
                prop_assert_eq!(found, char::from(first));
            }
            (first, Err(TooNew::Damaged(_))) => prop_assert!(first.is_none_or(|f| [FORMAT, FORMAT_BEFORE].contains(f))),
            (_, Ok(record)) => prop_assert_eq!(decode(&encode(&record)), Ok(record)),
            (None, other) => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn a_newer_format_is_too_new() {
    let mut bytes = encode(&Record::default());
    assert_eq!(decode(&bytes), Ok(Record::default()));
    bytes[0] = FORMAT + 1;
    assert!(matches!(
        decode(&bytes),
        Err(TooNew::Version {
            found: '3',
            supported: '2'
        })
    ));
}

/// Takes part as `node`, and tells under which request.
fn ask(world: &mut World, node: u8) -> Rid {
    let act = Act::Acquire {
        node,
        wait: true,
        ttl_us: 30 * SECOND,
    };
    let op = world.op(&act);
    world.apply(&op);
    world.asked.last().unwrap().rid
}

fn release(rid: Rid) -> Op {
    Op::Release(Release {
        rid,
        not_after_us: u64::MAX,
        used: 0,
        close_until_us: 0,
    })
}

/// It costs nobody more than its own heartbeat, and is served once it is heard from.
#[test]
fn a_waiter_that_is_not_heard_from_is_passed_over_and_keeps_its_ticket() {
    let mut world = World::new();
    let (holder, silent) = (ask(&mut world, 0), ask(&mut world, 1));
    world.now.lease_us += 12_500_001;
    let live = ask(&mut world, 2);
    let (_, _, granted) = world.apply(&release(holder));
    assert_eq!(granted, [live]);
    let again = world.asked.iter().find(|a| a.rid == silent).unwrap();
    let (_, reply, _) = world.apply(&Op::Acquire(again.clone()));
    assert!(matches!(reply, Reply::Queued { ahead: 0, .. }), "{reply:?}");
    let last = ask(&mut world, 3);
    let (_, _, granted) = world.apply(&release(live));
    assert_eq!(granted, [silent]);
    let (_, _, granted) = world.apply(&release(silent));
    assert_eq!(granted, [last]);
}

/// Dead ones at the head do not keep those who are there from looking when the lease ends.
#[test]
fn only_waiters_that_were_heard_from_lately_count_for_when_to_look() {
    let mut world = World::new();
    let holder = world.op(&Act::Acquire {
        node: 0,
        wait: true,
        ttl_us: 10 * SECOND,
    });
    world.apply(&holder);
    for node in 1..4 {
        ask(&mut world, node);
    }
    let live = ask(&mut world, 0);
    let again = world.asked.iter().find(|a| a.rid == live).unwrap().clone();
    let look = |world: &mut World| match world.apply(&Op::Acquire(again.clone())) {
        (_, Reply::Queued { ahead, check_in_us }, _) => (ahead, check_in_us),
        (_, other, _) => panic!("{other:?}"),
    };
    world.now.lease_us += 3 * SECOND;
    assert_eq!(
        look(&mut world),
        (3, 5 * SECOND),
        "the fourth waits for its heartbeat"
    );
    // The three before it fall silent, and the lease has 1 s left.
    world.now.lease_us += 6 * SECOND;
    let (ahead, check_in_us) = look(&mut world);
    assert!(
        ahead <= 3 && check_in_us <= SECOND + SECOND / 20,
        "{check_in_us}"
    );
}

/// Recorded from the version before, byte for byte: a holder, a waiter and a closed request.
#[test]
fn a_record_of_the_version_before_is_read_and_carried_on() {
    let bytes = include_bytes!("formats/record-1.bin");
    assert_eq!(bytes[0], FORMAT_BEFORE);
    let record = decode(bytes).unwrap();
    let phases: Vec<_> = record.entries.iter().map(|e| e.phase).collect();
    assert_eq!(phases, [Phase::Held, Phase::Waiting]);
    assert_eq!(
        (record.last, record.closed.len()),
        (1_735_689_700_000_000, 1)
    );
    let (holder, waiter) = (record.entries[0].clone(), record.entries[1].clone());
    assert_eq!(holder.label, "host-a:1 nightly");
    let mut world = World::new();
    world.now.lease_us = holder.granted_us + SECOND;
    world.record = Some(record);
    let (_, reply, _) = world.apply(&Op::Renew(Renew {
        rid: holder.rid,
        not_after_us: u64::MAX,
        renewal: 1,
    }));
    assert!(
        matches!(
            reply,
            Reply::Renewed {
                contended: true,
                ..
            }
        ),
        "{reply:?}"
    );
    let (_, _, granted) = world.apply(&release(holder.rid));
    assert_eq!(granted, [waiter.rid]);
    assert_eq!(encode(world.record.as_ref().unwrap())[0], FORMAT);
    // What the tests of mixed versions on the stores write is what it wrote.
    assert_eq!(encode_before(&decode(bytes).unwrap()), bytes);
}

#[test]
fn a_late_renewal_of_a_passed_over_grant_claims_nothing() {
    let mut world = World::new();
    let (holder, waiter) = (ask(&mut world, 0), ask(&mut world, 1));
    let (_, _, granted) = world.apply(&release(holder));
    assert_eq!(granted, [waiter]);
    world.now.lease_us += 2 * SECOND;
    let renew = Renew {
        rid: waiter,
        not_after_us: u64::MAX,
        renewal: 1,
    };
    let (_, reply, _) = world.apply(&Op::Renew(renew));
    assert_eq!(reply, Reply::NotHeld);
    let record = world.record.unwrap();
    assert_eq!(record.entries[0].phase, Phase::Dormant);
}
