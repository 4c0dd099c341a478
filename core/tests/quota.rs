//! The pure protocol of quotas under any sequence of charges and settlements, and any clock, also one that steps back.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use leasehold_core::protocol::{
    Charge, LONGEST_WAIT_US, NodeId, Now, Quota, QuotaError, Rid, Settle, Settled, Usage, charge,
    charge_all, peek, settle,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

const START_US: u64 = 1_735_689_600_000_000;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

fn at(wall_us: u64) -> Now {
    Now {
        lease_us: wall_us,
        wall_us,
        epoch: 0,
    }
}

fn quota(units: u64, period_us: u64, burst: u64) -> Quota {
    Quota::new(units, period_us, burst).unwrap()
}

/// Ordinary ones, and those at the edges of what can be counted.
fn quotas() -> Vec<Quota> {
    vec![
        quota(100, SECOND, 20),
        quota(3, SECOND, 4),
        quota(7, 10, 50),
        quota(1, 365 * DAY, 3),
        quota(1_000_000, SECOND, 1_000),
        quota(999_983, SECOND, 1_000),
        quota(1_000_000, DAY, 1_000_000),
        quota(600_000, 1, 1 << 51),
        quota(1, 71, 1 << 44),
        quota(625_499, 1 << 50, 2),
        quota(1, 1, 1),
    ]
}

fn check<S: Strategy>(
    cases: u32,
    of: &S,
    promise: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> Result<(), String> {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(of, promise);
    result.map_err(|error| error.to_string())
}

fn keep(result: Result<(), String>) {
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// What a client does next.
#[derive(Debug, Clone)]
enum Act {
    Charge {
        cost: u64,
        least: u64,
        longest_us: u64,
    },
    /// Part of an earlier charge was not needed, or more was.
    Settle { pick: usize, percent: u64 },
    /// An earlier charge that was made ahead is not going to be used.
    Cancel { pick: usize },
    /// Another quota from here on.
    Change { quota: usize },
}

/// An act, and what passed before it, in thousandths of the time of a unit.
fn acts() -> impl Strategy<Value = Vec<(Act, u64)>> {
    let units = || prop_oneof![6 => 1..8_u64, 1 => select(vec![0, 20, 1_000, 1 << 40, u64::MAX])];
    let longest = select(vec![0, 0, 3, 20, u64::MAX]);
    let act = prop_oneof![
        8 => (units(), units(), longest)
            .prop_map(|(cost, least, longest_us)| Act::Charge { cost, least, longest_us }),
        4 => (any::<usize>(), 0..130_u64).prop_map(|(pick, percent)| Act::Settle { pick, percent }),
        1 => any::<usize>().prop_map(|pick| Act::Cancel { pick }),
        1 => (0..quotas().len()).prop_map(|quota| Act::Change { quota }),
    ];
    let passes = prop_oneof![
        4 => Just(0),
        4 => 0..3_000_u64,
        2 => 0..30_000_u64,
        1 => 0..1_000_000_u64,
    ];
    vec((act, passes), 1..60)
}

/// Units that were used: when, how many, in which of the quotas' times, and what is still known of the charge.
#[derive(Debug, Clone)]
struct Used {
    at_us: u64,
    units: u64,
    of: usize,
    charged: u64,
    after: Usage,
    made_us: u64,
    is_settled: bool,
}

/// Plays a history, and returns what was used under which quota, and from when each was in force.
fn play(first: usize, acts: &[(Act, u64)]) -> Result<(Vec<Used>, Vec<Quota>), TestCaseError> {
    let all = quotas();
    let mut known = vec![all[first]];
    let mut stored: Option<Usage> = None;
    let mut now = at(START_US);
    let mut used: Vec<Used> = Vec::new();
    let rid = Rid {
        node: NodeId::new(uuid_of(7)),
        seq: 1,
    };
    for (act, passes) in acts {
        let quota = known[known.len() - 1];
        // At most a month at once.
        let unit_us = (quota.period_us() / quota.units()).max(1);
        let step_us = (u128::from(*passes) * u128::from(unit_us) / 1_000).min(u128::from(30 * DAY));
        now = at(now.wall_us + u64::try_from(step_us).unwrap());
        match *act {
            Act::Charge {
                cost,
                least,
                longest_us,
            } => {
                let ask = Charge { quota, cost, least };
                let longest_us = longest_us.saturating_mul(unit_us);
                let charged = charge(stored, &ask, longest_us, now);
                if let Some(usage) = charged.usage {
                    prop_assert!(charged.units >= 1 && charged.units <= cost.max(1));
                    prop_assert!(charged.units >= least.min(cost).max(1));
                    prop_assert!(charged.wait_us <= longest_us.min(LONGEST_WAIT_US));
                    stored = Some(usage);
                    used.push(Used {
                        at_us: now.wall_us + charged.wait_us,
                        units: charged.units,
                        of: known.len() - 1,
                        charged: charged.units,
                        after: usage,
                        made_us: now.wall_us,
                        is_settled: false,
                    });
                } else {
                    prop_assert_eq!(charged.units, 0);
                }
            }
            Act::Settle { pick, .. } | Act::Cancel { pick } if !used.is_empty() => {
                let pick = pick % used.len();
                let of = &mut used[pick];
                if of.is_settled {
                    continue;
                }
                let ahead = matches!(act, Act::Cancel { .. });
                let is_used = now.wall_us >= of.at_us;
                // It is cancelled before its time, and settled after it.
                if ahead == is_used {
                    continue;
                }
                let actual = match act {
                    Act::Settle { percent, .. } => {
                        u64::try_from(u128::from(of.charged) * u128::from(*percent) / 100).unwrap()
                    }
                    _ => 0,
                };
                let ask = Settle {
                    rid,
                    not_after_us: u64::MAX,
                    quota,
                    charged: of.charged,
                    actual,
                    until_us: u64::MAX,
                    after: of.after,
                    ahead,
                };
                let (settled, usage) = settle(stored, &ask, now);
                stored = usage.or(stored);
                of.is_settled = true;
                if let Settled::GivenBack(units) = settled {
                    prop_assert!(units <= of.charged - actual);
                }
                // What was used beyond the charge is beside the promise; what cannot be cancelled is used.
                if !ahead || matches!(settled, Settled::GivenBack(_)) {
                    of.units = of.charged.min(actual);
                }
            }
            Act::Change { quota } => known.push(all[quota]),
            Act::Settle { .. } | Act::Cancel { .. } => {}
        }
    }
    Ok((used, known))
}

fn uuid_of(value: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(value)
}

/// Whatever is asked: in any time of the store's no more is used than the rate gives in it, and one burst.
fn never_more_than_the_quota() -> Result<(), String> {
    let history = (0..quotas().len(), acts());
    check(3_000, &history, |(first, acts)| {
        let (used, known) = play(first, &acts)?;
        for (i, from) in used.iter().enumerate() {
            // Of one quota's time: each has its own promise.
            let of = |used: &&Used| used.of == from.of && used.made_us >= from.made_us;
            let mut later: Vec<_> = used.iter().skip(i).filter(of).collect();
            later.sort_by_key(|used| used.at_us);
            let quota = known[from.of];
            let mut units: u128 = 0;
            for until in later.iter().filter(|used| used.at_us >= from.at_us) {
                units += u128::from(until.units);
                let time_us = u128::from(until.at_us - from.at_us);
                // units <= rate x time + burst
                let is =
                    (units - u128::from(quota.burst()).min(units)) * u128::from(quota.period_us());
                prop_assert!(
                    is <= u128::from(quota.units()) * time_us,
                    "{units} units within {time_us} µs by {quota:?}: {used:?}"
                );
            }
        }
        Ok(())
    })
}

/// Asks at any time, of any key.
fn asks() -> impl Strategy<Value = (usize, usize, Option<Usage>, Charge, u64, u64)> {
    let which = 0..quotas().len();
    let units = || prop_oneof![3 => 0..30_u64, 1 => select(vec![1_000, 1 << 40, u64::MAX])];
    let longest = select(vec![0, 1, 1_000, SECOND, LONGEST_WAIT_US, u64::MAX]);
    let since = prop_oneof![Just(0), 1..100_u64, 0..10 * SECOND, 0..400 * DAY,];
    (
        which.clone(),
        which,
        vec(units(), 2..6),
        units(),
        units(),
        longest,
        since,
    )
        .prop_map(
            |(before, quota, costs, cost, least, longest_us, since_us)| {
                let all = quotas();
                let mut stored = None;
                for cost in costs {
                    let ask = Charge {
                        quota: all[before],
                        cost,
                        least: 1,
                    };
                    let charged = charge(stored, &ask, LONGEST_WAIT_US, at(START_US));
                    stored = charged.usage.or(stored);
                }
                let ask = Charge {
                    quota: all[quota],
                    cost,
                    least,
                };
                (before, quota, stored, ask, longest_us, START_US + since_us)
            },
        )
}

/// A refusal leaves the key as it is, and tells the first instant at which it would have passed.
fn refusals_are_free_and_exact() -> Result<(), String> {
    check(
        5_000,
        &asks(),
        |(_, _, stored, ask, longest_us, wall_us)| {
            let now = at(wall_us);
            let charged = charge(stored, &ask, longest_us, now);
            let standing = charged.standing;
            if charged.units > 0 {
                prop_assert_eq!(standing.retry_us, Some(0));
                let after = peek(charged.usage, ask.quota, 1, now);
                prop_assert_eq!(after.remaining, standing.remaining);
                prop_assert_eq!(after.reset_us, standing.reset_us);
                return Ok(());
            }
            prop_assert_eq!(charged.usage, None);
            let least = ask.least.min(ask.cost).max(1);
            prop_assert_eq!(peek(stored, ask.quota, least, now), standing);
            let Some(retry_us) = standing.retry_us else {
                prop_assert!(least > standing.quota.burst());
                return Ok(());
            };
            prop_assert!(retry_us > 0);
            let later = |us| charge(stored, &ask, 0, at(wall_us + us)).units;
            prop_assert!(later(retry_us) >= least);
            prop_assert_eq!(later(retry_us - 1), 0);
            prop_assert_eq!(
                peek(stored, ask.quota, 1, at(wall_us + standing.reset_us)).reset_us,
                0
            );
            Ok(())
        },
    )
}

/// After its clock stepped either way a key blocks nobody for longer than its burst and the longest wait, and has at most one
/// burst more.
fn steps_of_the_clock_cost_one_burst() -> Result<(), String> {
    let steps = select(vec![1, SECOND, DAY, 366 * DAY, 50 * 366 * DAY]);
    check(
        3_000,
        &(asks(), steps, any::<bool>()),
        |(ask, step_us, back)| {
            let (_, _, stored, ask, ..) = ask;
            let wall_us = if back {
                START_US.saturating_sub(step_us)
            } else {
                START_US + step_us
            };
            let standing = peek(stored, ask.quota, 1, at(wall_us));
            let quota = standing.quota;
            let burst_us = u128::from(quota.burst()) * u128::from(quota.period_us())
                / u128::from(quota.units());
            // A part of another quota is rounded up.
            let most_us = u128::from(LONGEST_WAIT_US) + burst_us + 2;
            prop_assert!(
                u128::from(standing.retry_us.unwrap()) <= most_us,
                "{standing:?}"
            );
            prop_assert!(u128::from(standing.reset_us) <= most_us, "{standing:?}");
            prop_assert!(standing.remaining <= quota.burst());
            Ok(())
        },
    )
}

/// Who asks all the time uses 99.99 % of the quota.
fn a_greedy_taker_uses_it_all() -> Result<(), String> {
    let which = select(quotas());
    check(
        200,
        &(which, 1..4_u64, 1..2_000_u64),
        |(quota, cost, pause)| {
            let unit_us = (quota.period_us() / quota.units()).max(1);
            let pause_us =
                (u128::from(pause) * u128::from(unit_us) / 1_000).clamp(1, 30 * u128::from(DAY));
            let pause_us = u64::try_from(pause_us).unwrap();
            // A pause must not be longer than what the burst has room for.
            let cost = cost.min(quota.burst());
            let burst_us = u128::from(quota.burst()) * u128::from(quota.period_us())
                / u128::from(quota.units());
            if u128::from(pause_us) + u128::from(cost) * u128::from(unit_us + 1) >= burst_us {
                return Ok(());
            }
            let (mut stored, mut used) = (None, 0_u128);
            let steps = 3_000;
            for step in 0..steps {
                let now = at(START_US + step * pause_us);
                let ask = Charge {
                    quota,
                    cost: u64::MAX,
                    least: cost,
                };
                let charged = charge(stored, &ask, 0, now);
                stored = charged.usage.or(stored);
                used += u128::from(charged.units);
            }
            let time_us = u128::from((steps - 1) * pause_us);
            let most = u128::from(quota.burst()) * u128::from(quota.period_us())
                + u128::from(quota.units()) * time_us;
            let is = used * u128::from(quota.period_us());
            // What has come back and is less than the least that it takes is not lost.
            let left = u128::from(cost) * u128::from(quota.period_us());
            prop_assert!(is <= most);
            prop_assert!(
                (is + left) * 10_000 >= most * 9_999,
                "{is} of {most} by {quota:?}"
            );
            Ok(())
        },
    )
}

#[test]
fn a_refusal_changes_nothing_and_tells_the_first_instant_that_passes() {
    keep(refusals_are_free_and_exact());
}

#[test]
fn a_step_of_the_clock_blocks_no_longer_than_the_burst_and_the_longest_wait() {
    keep(steps_of_the_clock_cost_one_burst());
}

#[test]
fn who_asks_all_the_time_uses_all_of_it() {
    keep(a_greedy_taker_uses_it_all());
}

/// That the tests above see what they are for.
#[cfg(feature = "planted-bugs")]
#[test]
fn every_planted_bug_breaks_a_promise() {
    use leasehold_core::planted::{Bug, plant};
    use leasehold_core::store::MemoryStore;
    use leasehold_core::store::conformance::{self, Context};

    type Promise = fn() -> Result<(), String>;
    const PROMISES: [Promise; 4] = [
        never_more_than_the_quota,
        refusals_are_free_and_exact,
        steps_of_the_clock_cost_one_burst,
        a_greedy_taker_uses_it_all,
    ];
    const SETTLED_ONCE: Promise = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let context = Context::from(MemoryStore::new());
        runtime
            .unwrap()
            .block_on(conformance::quotas::a_charge_is_settled_once(&context));
        Ok(())
    };
    std::panic::set_hook(Box::new(|_| {}));
    for bug in Bug::ALL.iter().filter(|bug| bug.is_of_quotas()) {
        plant(Some(*bug));
        let promises = PROMISES.iter().chain([&SETTLED_ONCE]);
        let is_kept =
            |promise: &Promise| std::panic::catch_unwind(promise).is_ok_and(|kept| kept.is_ok());
        let survived = promises.into_iter().all(is_kept);
        plant(None);
        assert!(!survived, "{bug:?} survived");
    }
}

#[test]
fn several_keys_are_charged_all_or_none_and_never_ahead() {
    let (small, large) = (quota(1, SECOND, 2), quota(1, SECOND, 10));
    let ask = |quota, cost| Charge {
        quota,
        cost,
        least: cost,
    };
    let now = at(START_US);
    let (passes, charged) = charge_all(&[None, None], &[ask(small, 2), ask(large, 2)], 0, now);
    assert!(passes);
    let stored: Vec<_> = charged.iter().map(|charged| charged.usage).collect();
    let asks = [ask(small, 1), ask(large, 1)];
    let (passes, charged) = charge_all(&stored, &asks, LONGEST_WAIT_US, now);
    assert!(!passes);
    assert!(
        charged
            .iter()
            .all(|charged| charged.usage.is_none() && charged.units == 0)
    );
    assert_eq!(charged[0].standing.retry_us, Some(SECOND));
    assert_eq!(
        (charged[1].standing.retry_us, charged[1].standing.remaining),
        (Some(0), 8)
    );
}

#[test]
fn of_two_announcements_the_later_counts_and_of_equal_ones_the_slower() {
    let (slow, fast) = (quota(1, SECOND, 9), quota(2, SECOND, 5));
    assert_eq!(slow.revision(1).or(fast.revision(2)), fast.revision(2));
    assert_eq!(slow.revision(2).or(fast.revision(1)), slow.revision(2));
    assert_eq!(fast.or(slow), slow);
    assert_eq!(slow.or(fast), slow);
    let small = quota(1, SECOND, 3);
    assert_eq!((slow.or(small), small.or(slow)), (small, small));
    // Their paces differ by less than a double shows.
    let (a, b) = (quota(1, 1 << 50, 2), quota(625_000, 625_001 << 30, 1));
    assert_eq!(a.or(b), b.or(a));
}

#[test]
fn a_quota_that_nobody_announced_is_its_client_s_own() {
    let (old, new) = (quota(1, SECOND, 2), quota(10, SECOND, 20));
    let ask = |quota, cost| Charge {
        quota,
        cost,
        least: cost,
    };
    let now = at(START_US);
    let stored = charge(None, &ask(old, 2), 0, now).usage;
    // Two seconds of the time in which it is full: all of the new one's burst.
    assert_eq!(peek(stored, new, 1, now).remaining, 0);
    assert_eq!(peek(stored, new, 1, at(START_US + SECOND)).remaining, 10);
    let stored = charge(None, &ask(old.revision(1), 2), 0, now).usage;
    assert_eq!(
        peek(stored, new, 1, at(START_US + SECOND)).quota,
        old.revision(1)
    );
}

#[test]
fn rates_are_exact_or_slower_by_less_than_a_ten_thousandth() {
    for (units, period_us, burst) in [
        (1, 365 * DAY, 1),
        (1, 365 * DAY, 70),
        (1_000_000, SECOND, 1_000_000),
        (999_983, SECOND, 1),
        (999_983, SECOND, 100_000_000),
        (1_000_000, DAY, 1_000_000),
        (1_000_003, 7, 10),
        (999_983, 1_000_003, 100_000_000_000),
        (7, 1_000_000_000, 10_000_000),
        (u64::MAX, u64::MAX - 1, 1),
        (u64::MAX, 1 << 50, 1 << 40),
        (4_000_037, 1_000, 1),
    ] {
        let quota = quota(units, period_us, burst);
        let is = u128::from(quota.units()) * u128::from(period_us);
        let should = u128::from(units) * u128::from(quota.period_us());
        assert!(
            is <= should,
            "{quota:?} is faster than {units} in {period_us} µs"
        );
        assert!(
            (should - is) < should / 10_000 + 1,
            "{quota:?} for {units} in {period_us} µs"
        );
        assert_eq!(quota.burst(), burst);
        let again = Quota::new(quota.units(), quota.period_us(), burst);
        assert_eq!(again, Ok(quota), "what was counted stays as it is");
    }
}

#[test]
fn what_cannot_be_counted_is_refused_with_what_to_do() {
    assert_eq!(Quota::new(0, SECOND, 1), Err(QuotaError::NoUnits));
    assert_eq!(Quota::new(1, 0, 1), Err(QuotaError::NoPeriod));
    assert_eq!(Quota::new(1, SECOND, 0), Err(QuotaError::NoBurst));
    for (units, period_us, burst) in [
        (1, 365 * DAY, 72),
        (1, 1, u64::MAX),
        (1, u64::MAX, 1),
        (3, 7 << 49, 1 << 20),
    ] {
        let error = Quota::new(units, period_us, burst).unwrap_err();
        assert!(
            matches!(error, QuotaError::BurstTooLong { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("make the burst smaller"));
    }
    for (units, period_us) in [(u64::MAX, 1), (1_000_003, 1)] {
        let error = Quota::new(units, period_us, 1).unwrap_err();
        assert!(matches!(error, QuotaError::TooFast { .. }), "{error:?}");
    }
}

#[test]
fn a_quota_that_was_written_down_is_checked_when_it_is_read() {
    #[derive(serde::Serialize)]
    struct Fields(u64, u64, u64, u64);
    let read = |fields: Fields| {
        let bytes = rmp_serde::to_vec(&fields).unwrap();
        rmp_serde::from_slice::<Quota>(&bytes)
    };
    let known = quota(3, SECOND, 4).revision(7);
    let bytes = rmp_serde::to_vec(&known).unwrap();
    assert_eq!(rmp_serde::from_slice::<Quota>(&bytes).unwrap(), known);
    assert!(read(Fields(0, SECOND, 1, 0)).is_err());
    assert!(read(Fields(1, 0, 1, 0)).is_err());
    assert!(read(Fields(1, 1, u64::MAX, 0)).is_err());
}

#[test]
fn what_has_come_back_by_itself_is_not_given_back_again() {
    let limit = quota(1, SECOND, 10);
    let all = Charge {
        quota: limit,
        cost: 10,
        least: 10,
    };
    let first = charge(None, &all, 0, at(START_US));
    // All of it is there again, and used again.
    let later = at(START_US + 10 * SECOND);
    let second = charge(first.usage, &all, 0, later);
    assert_eq!(second.units, 10);
    let rid = Rid {
        node: NodeId::new(uuid_of(1)),
        seq: 1,
    };
    let unused = |after: Usage| Settle {
        rid,
        not_after_us: u64::MAX,
        quota: limit,
        charged: 10,
        actual: 0,
        until_us: u64::MAX,
        after,
        ahead: false,
    };
    let late = settle(second.usage, &unused(first.usage.unwrap()), later);
    assert_eq!(late, (Settled::Kept, None));
    let (settled, usage) = settle(second.usage, &unused(second.usage.unwrap()), later);
    assert_eq!(settled, Settled::GivenBack(10));
    // Kept until the first one's time is over, though nothing is used.
    let usage = usage.unwrap();
    assert_eq!(peek(Some(usage), limit, 10, later).remaining, 10);
    assert!(!usage.is_spent(at(START_US + 20 * SECOND)));
    assert!(usage.is_spent(at(START_US + 20 * SECOND + 1)));
}

#[test]
fn never_more_is_used_in_any_time_than_the_rate_gives_and_one_burst() {
    keep(never_more_than_the_quota());
}
