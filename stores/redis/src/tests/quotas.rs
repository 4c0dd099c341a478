//! Lua against `protocol::charge_all`, `settle` and `peek`.

use std::collections::BTreeMap;

use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{
    self, Acquire, Capacity, Charge, LONGEST_WAIT_US, NodeId, Now, Op, Quota, Record, Reply, Rid,
    Settle, Settled, Usage, Weight,
};
use leasehold_core::store::{QuotaCall, QuotaReply, Take};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use redis::Cmd;

use super::rig::{Rig, START_US, runner, step};
use crate::quotas::Batch;

/// What is asked, in terms of what came before.
#[derive(Debug, Clone)]
enum Ask {
    Take {
        charges: Vec<(usize, usize, u64, u64)>,
        longest_us: u64,
        lease: bool,
        late: bool,
    },
    Settle {
        pick: usize,
        actual: u64,
        until_us: i64,
        ahead: bool,
        again: bool,
        late: bool,
    },
    Peek(usize, usize, u64),
}

fn quotas() -> Vec<Quota> {
    let quota = |units, period_us, burst| Quota::new(units, period_us, burst).unwrap();
    vec![
        quota(100, 1_000_000, 20),
        quota(3, 1_000_000, 4),
        quota(999_983, 1_000_000, 1_000),
        quota(999_983, 1_000_000, 1_000).revision(1),
        quota(7, 10, 1_000_000),
        quota(1_000_000, 86_400_000_000, 1_000_000),
        quota(1, 365 * 86_400_000_000, 5),
        quota(600_000, 1, 1 << 51),
        quota(5, 3_000_000, 10).revision(7),
        quota(6, 3_600_000, 10).revision(7),
        quota(6, 3_600_000, 9).revision(7),
        quota(1, 1_000_000, 1).revision((1 << 53) - 1),
    ]
}

fn asks() -> impl Strategy<Value = Ask> {
    let which = 0..quotas().len();
    let units =
        || prop_oneof![4 => 0..12_u64, 1 => select(vec![500, 1_000_000, 1 << 51, u64::MAX])];
    let charge = (0..3_usize, which.clone(), units(), units());
    let longest = select(vec![0, 0, 1, 20_000, 5_000_000, LONGEST_WAIT_US, u64::MAX]);
    let take = (vec(charge, 1..4), longest, any::<bool>(), 0..10);
    let settle = (
        any::<usize>(),
        units(),
        select(vec![-1, 0, 1_000_000, i64::MAX]),
        any::<bool>(),
        0..4,
        0..10,
    );
    prop_oneof![
        6 => take.prop_map(|(mut charges, longest_us, lease, late)| {
            charges.sort_unstable();
            charges.dedup_by_key(|charge| charge.0);
            Ask::Take { charges, longest_us, lease: lease && late < 4, late: late == 0 }
        }),
        3 => settle.prop_map(|(pick, actual, until_us, ahead, again, late)| Ask::Settle {
            pick, actual, until_us, ahead, again: again == 0, late: late == 0,
        }),
        1 => (0..3_usize, which, units()).prop_map(|(key, quota, cost)| Ask::Peek(key, quota, cost)),
    ]
}

#[derive(Default)]
struct Model {
    usages: BTreeMap<ResourceName, Usage>,
    settled: BTreeMap<Rid, Settled>,
    record: Option<Record>,
}

impl Model {
    fn answer(&mut self, call: &QuotaCall, now: Now) -> QuotaReply {
        match call {
            QuotaCall::Take(take) if now.lease_us > take.not_after_us => QuotaReply::Stale,
            QuotaCall::Take(take) => {
                let stored = |name| self.usages.get(name).copied();
                let stored: Vec<_> = take.charges.iter().map(|(name, _)| stored(name)).collect();
                let asks: Vec<_> = take.charges.iter().map(|(_, ask)| *ask).collect();
                let (passes, charged) =
                    protocol::charge_all(&stored, &asks, take.longest_wait_us, now);
                let lease = take.lease.as_ref().filter(|_| passes).map(|(_, acquire)| {
                    let op = Op::Acquire(acquire.clone());
                    let outcome = protocol::apply(self.record.take(), 0, &op, now);
                    self.record = outcome.record;
                    outcome.reply
                });
                if matches!(lease, None | Some(Reply::Granted { .. })) {
                    for ((name, _), charged) in take.charges.iter().zip(&charged) {
                        self.usages
                            .extend(charged.usage.map(|usage| (name.clone(), usage)));
                    }
                }
                QuotaReply::Taken { charged, lease }
            }
            QuotaCall::Settle { name, ask } => {
                if now.lease_us > ask.not_after_us {
                    return QuotaReply::Stale;
                }
                if let Some(settled) = self.settled.get(&ask.rid) {
                    return QuotaReply::Settled(*settled);
                }
                let stored = self.usages.get(name).copied();
                let (settled, usage) = protocol::settle(stored, ask, now);
                self.usages.extend(usage.map(|usage| (name.clone(), usage)));
                self.settled.insert(ask.rid, settled);
                QuotaReply::Settled(settled)
            }
            QuotaCall::Peek { name, quota, cost } => {
                let stored = self.usages.get(name).copied();
                QuotaReply::Standing(protocol::peek(stored, *quota, *cost, now))
            }
        }
    }
}

/// What stands in a key, and the units of its parts and its quota if they are known.
fn stored(bytes: &[u8]) -> (u64, u64, u64, Option<u64>, Option<Quota>) {
    let number = |at: usize, length: usize| {
        let bytes = &bytes[at..at + length];
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    match (bytes[0], bytes.len()) {
        (b'p', 12) => (number(1, 7), number(8, 2), 0, Some(number(10, 2)), None),
        (b'p', 14) => (number(1, 7), number(8, 3), 0, Some(number(11, 3)), None),
        (b'f', 42) => {
            let units = number(11, 3);
            let quota = Quota::new(units, number(21, 7), number(28, 7)).unwrap();
            let quota = quota.revision(number(35, 7));
            (
                number(1, 7),
                number(8, 3),
                number(14, 7),
                Some(units),
                Some(quota),
            )
        }
        _ => (
            std::str::from_utf8(bytes).unwrap().parse().unwrap(),
            0,
            0,
            None,
            None,
        ),
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one history, from what is asked to what is stored"
)]
fn lua_and_the_protocol_agree_on_every_quota() {
    let class = Class::new("c").unwrap();
    let names = ["{t}/a", "{t}/b", "{t}/c"].map(|id| class.resource(id).unwrap());
    let lock = class.resource("{t}/lock").unwrap();
    let rig = Rig::new(names[0].bucket(), &[]);
    let node = NodeId::new(uuid::Uuid::from_u128(7));
    let clock = select(vec![
        0,
        0,
        1,
        7,
        999,
        10_000,
        333_333,
        1_000_000,
        4_000_000,
        90_000_000_000,
        -1,
        -10_000,
        -4_000_000_000,
    ]);
    let batches = vec((vec(asks(), 1..4), clock), 1..25);
    let quotas = quotas();
    let result = runner(400).run(&batches, |batches| {
        rig.command(&redis::cmd("FLUSHALL"));
        let mut model = Model::default();
        let mut now = step(Now::default(), i64::try_from(START_US).unwrap());
        let mut charges: Vec<(ResourceName, Quota, u64, Usage)> = Vec::new();
        let mut seq = 0;
        let mut last = None;
        for (asks, by_us) in batches {
            now = step(now, by_us);
            let not_after_us = |late| {
                if late {
                    now.lease_us - 1
                } else {
                    now.lease_us + 1_000_000
                }
            };
            let mut calls = Vec::new();
            for ask in asks {
                seq += 1;
                let rid = Rid { node, seq };
                calls.push(match ask {
                    Ask::Take {
                        charges,
                        longest_us,
                        lease,
                        late,
                    } => QuotaCall::Take(Take {
                        not_after_us: not_after_us(late),
                        longest_wait_us: longest_us,
                        charges: (charges.into_iter())
                            .map(|(key, quota, cost, least)| {
                                let quota = quotas[quota];
                                (names[key].clone(), Charge { quota, cost, least })
                            })
                            .collect(),
                        lease: lease.then(|| {
                            let acquire = Acquire {
                                rid,
                                not_after_us: not_after_us(false),
                                weight: Weight::Units(std::num::NonZero::<u32>::MIN),
                                capacity: Capacity {
                                    size: 2,
                                    revision: 0,
                                },
                                ttl_us: 2_000_000,
                                wait: false,
                                want: 1,
                                seen: 0,
                                label: "l".into(),
                            };
                            (lock.clone(), acquire)
                        }),
                    }),
                    Ask::Settle {
                        pick,
                        actual,
                        until_us,
                        ahead,
                        again,
                        late,
                    } => {
                        if let Some(call) = last.clone().filter(|_| again) {
                            calls.push(call);
                            continue;
                        }
                        if charges.is_empty() {
                            continue;
                        }
                        let (name, quota, charged, after) = charges[pick % charges.len()].clone();
                        let call = QuotaCall::Settle {
                            name,
                            ask: Settle {
                                rid,
                                not_after_us: not_after_us(late),
                                quota,
                                charged,
                                actual,
                                until_us: now.wall_us.saturating_add_signed(until_us),
                                after,
                                ahead,
                            },
                        };
                        last = Some(call.clone());
                        call
                    }
                    Ask::Peek(key, quota, cost) => QuotaCall::Peek {
                        name: names[key].clone(),
                        quota: quotas[quota],
                        cost,
                    },
                });
            }
            if calls.is_empty() {
                continue;
            }
            let replies: Vec<_> = calls.iter().map(|call| model.answer(call, now)).collect();
            let batch = Batch::of(&calls, &rig.keys);
            let script = if batch.has_lease {
                &rig.scripts.quota_and_lease
            } else {
                &rig.scripts.quota
            };
            let put_keys = |cmd: &mut Cmd| batch.put_keys(cmd);
            let answer = rig.run(script, now, put_keys, |cmd| batch.put_words(cmd));
            prop_assert_eq!(
                &batch.take_answer(&answer).unwrap().value,
                &replies,
                "{:?} at {:?}",
                calls,
                now
            );
            for (call, reply) in calls.iter().zip(&replies) {
                if let (QuotaCall::Take(take), QuotaReply::Taken { charged, .. }) = (call, reply) {
                    for ((name, ask), charged) in take.charges.iter().zip(charged) {
                        let after = charged
                            .usage
                            .map(|usage| (name.clone(), ask.quota, charged.units, usage));
                        charges.extend(after);
                    }
                }
            }
            for name in &names {
                let key = rig.keys.quota(name);
                let (there, usage) = (rig.get(&key), model.usages.get(name));
                prop_assert_eq!(there.is_some(), usage.is_some());
                let (Some(bytes), Some(usage)) = (there, usage) else {
                    continue;
                };
                let (full_us, part, given_us, units, quota) = stored(&bytes);
                prop_assert_eq!(
                    (full_us, part, given_us),
                    (usage.full_us, usage.part, usage.given_us)
                );
                prop_assert!(units.is_none_or(|units| units == usage.quota.units()));
                prop_assert!(quota.is_none_or(|quota| quota == usage.quota));
                prop_assert!(quota.is_some() || usage.quota.announced() == 0);
                let kept = rig.kept_until_ms(&key);
                prop_assert_eq!(kept, usage.keep_until_us().div_ceil(1000));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_usage_of_a_newer_layout_is_refused_and_left() {
    let name = Class::new("c").unwrap().resource("a").unwrap();
    let rig = Rig::new(name.bucket(), &[]);
    let quota = quotas()[0];
    let charge = Charge {
        quota,
        cost: 1,
        least: 1,
    };
    let take = Take {
        not_after_us: START_US,
        longest_wait_us: 0,
        charges: vec![(name.clone(), charge)],
        lease: None,
    };
    let calls = [QuotaCall::Take(take)];
    for bytes in [&b"z1234"[..], b""] {
        rig.set(&rig.keys.quota(&name), bytes);
        let batch = Batch::of(&calls, &rig.keys);
        let mut cmd = rig.scripts.quota.by_text();
        batch.put_keys(&mut cmd);
        cmd.arg(START_US).arg(START_US).arg(0);
        batch.put_words(&mut cmd);
        let answer = rig.try_command(&cmd);
        assert!(
            matches!(&answer, Err(e) if e.code() == Some(crate::script::TOO_NEW)),
            "{answer:?}"
        );
        assert_eq!(rig.get(&rig.keys.quota(&name)).as_deref(), Some(bytes));
    }
}
