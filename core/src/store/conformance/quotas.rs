//! Quotas.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::context::{LONG, Opened, SLACK, micros, name};
use crate::name::ResourceName;
use crate::protocol::{
    Acquire, Charge, Charged, Op, Quota, Reply, Rid, Settle, Settled, Standing, Was,
};
use crate::store::{QuotaCall, QuotaReply, Stamped, Take};

const SECOND: u64 = 1_000_000;

/// Nothing of it comes back while a case runs.
fn hourly(burst: u64) -> Quota {
    Quota::new(1, 3_600 * SECOND, burst).expect("a fine quota")
}

fn all_of(quota: Quota, cost: u64) -> Charge {
    Charge {
        quota,
        cost,
        least: cost,
    }
}

/// Another key of the same bucket.
fn key(id: &str) -> ResourceName {
    name(&format!("{{quota}}/{id}"))
}

impl Opened {
    async fn ask_quota(&self, call: QuotaCall) -> Stamped<QuotaReply> {
        let answer = self.handle.quotas.quotas(std::slice::from_ref(&call)).await;
        let Stamped { now, mut value } = answer.unwrap_or_else(|e| panic!("{call:?}: {e}"));
        assert_eq!(value.len(), 1, "one answer a call");
        let value = value.remove(0);
        Stamped { now, value }
    }

    fn take_of(&self, charges: &[(ResourceName, Charge)], longest_wait_us: u64) -> Take {
        Take {
            not_after_us: self.not_after_us(),
            longest_wait_us,
            charges: charges.to_vec(),
            lease: None,
        }
    }

    async fn taken(&self, take: Take) -> (Vec<Charged>, Option<Reply>) {
        match self.ask_quota(QuotaCall::Take(take)).await.value {
            QuotaReply::Taken { charged, lease } => (charged, lease),
            other => panic!("a take is answered, not {other:?}"),
        }
    }

    async fn charge_of(&self, name: &ResourceName, charge: Charge, wait: Duration) -> Charged {
        let charges = [(name.clone(), charge)];
        let (charged, _) = self.taken(self.take_of(&charges, micros(wait))).await;
        assert_eq!(charged.len(), 1, "one answer a charge");
        charged[0]
    }

    /// Charges a key, all or nothing; for how many units it was.
    pub async fn charge(&self, name: &ResourceName, quota: Quota, cost: u64) -> u64 {
        let charge = all_of(quota, cost);
        self.charge_of(name, charge, Duration::ZERO).await.units
    }

    async fn standing(&self, name: &ResourceName, quota: Quota, cost: u64) -> Standing {
        let name = name.clone();
        let call = QuotaCall::Peek { name, quota, cost };
        match self.ask_quota(call).await.value {
            QuotaReply::Standing(standing) => standing,
            other => panic!("a look is answered, not {other:?}"),
        }
    }

    /// A settlement that can be changed before it is sent.
    fn settlement(&self, quota: Quota, of: &Charged, actual: u64) -> Settle {
        Settle {
            rid: self.rid(),
            not_after_us: self.not_after_us(),
            quota,
            charged: of.units,
            actual,
            until_us: u64::MAX,
            after: of.usage.expect("it was charged"),
            ahead: false,
        }
    }

    async fn settle(&self, name: &ResourceName, ask: Settle) -> Settled {
        let name = name.clone();
        match self.ask_quota(QuotaCall::Settle { name, ask }).await.value {
            QuotaReply::Settled(settled) => settled,
            other => panic!("a settlement is answered, not {other:?}"),
        }
    }
}

/// A fresh key has all of its burst, and not one unit more.
pub async fn a_burst_passes_and_not_one_unit_more(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("burst"), hourly(5));
    assert_eq!(one.charge(&limit, quota, 3).await, 3);
    let standing = one.standing(&limit, quota, 3).await;
    assert_eq!((standing.remaining, standing.quota), (2, quota));
    assert_eq!(one.charge(&limit, quota, 3).await, 0, "two are left");
    assert_eq!(one.charge(&limit, quota, 2).await, 2);
    assert_eq!(one.charge(&limit, quota, 1).await, 0);
    let standing = one.standing(&limit, quota, 1).await;
    let retry_us = standing.retry_us.expect("in an hour");
    assert!((3_590 * SECOND..=3_600 * SECOND).contains(&retry_us));
    assert!((17_990 * SECOND..=18_000 * SECOND).contains(&standing.reset_us));
    let beyond = one.charge_of(&limit, all_of(quota, 6), LONG).await;
    assert_eq!((beyond.units, beyond.standing.retry_us), (0, None));
    assert_eq!(one.standing(&limit, quota, 6).await.retry_us, None);
}

/// What was used comes back at the quota's rate: at the instant that was told, and not before.
pub async fn what_was_used_comes_back_at_its_rate(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("refill"), Quota::new(10, SECOND, 2).expect("fine"));
    assert_eq!(one.charge(&limit, quota, 2).await, 2);
    let refused = one
        .charge_of(&limit, all_of(quota, 1), Duration::ZERO)
        .await;
    assert_eq!((refused.units, refused.usage), (0, None));
    let retry_us = refused.standing.retry_us.expect("soon");
    assert!((50_000..=100_000).contains(&retry_us), "{retry_us}");
    cx.env().sleep(Duration::from_micros(retry_us)).await;
    assert_eq!(one.charge(&limit, quota, 1).await, 1);
    cx.env().sleep(Duration::from_millis(200) + SLACK).await;
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 2);
    assert_eq!(
        one.charge(&limit, quota, 3).await,
        0,
        "it holds no more than its burst"
    );
}

/// Several keys are charged all or none.
pub async fn several_keys_are_charged_all_or_none(cx: &Context) {
    let one = cx.session().await;
    let (user, org) = (key("user"), key("org"));
    let (small, large) = (hourly(2), hourly(10));
    let both = |cost| {
        [
            (user.clone(), all_of(small, cost)),
            (org.clone(), all_of(large, cost)),
        ]
    };
    let (charged, _) = one.taken(one.take_of(&both(2), 0)).await;
    assert_eq!((charged[0].units, charged[1].units), (2, 2));
    let (charged, _) = one.taken(one.take_of(&both(1), micros(LONG))).await;
    assert_eq!((charged[0].units, charged[1].units), (0, 0));
    assert!(charged[0].standing.retry_us.expect("in an hour") > 0);
    assert_eq!(charged[1].standing.retry_us, Some(0));
    assert_eq!(charged[1].standing.remaining, 8);
    assert_eq!(
        one.standing(&org, large, 1).await.remaining,
        8,
        "not charged"
    );
}

/// Who can do with less is charged for as much as there is.
pub async fn who_can_do_with_less_takes_what_there_is(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("least"), hourly(5));
    let slice = |cost, least| Charge { quota, cost, least };
    let zero = Duration::ZERO;
    assert_eq!(one.charge_of(&limit, slice(3, 1), zero).await.units, 3);
    assert_eq!(one.charge_of(&limit, slice(4, 3), zero).await.units, 0);
    assert_eq!(one.charge_of(&limit, slice(4, 2), zero).await.units, 2);
    assert_eq!(one.charge_of(&limit, slice(4, 1), zero).await.units, 0);
}

/// Charges ahead stand in turn: each behind those before, and who does not wait gets nothing meanwhile.
pub async fn charges_ahead_stand_in_turn(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("ahead"), Quota::new(1, 10 * SECOND, 1).expect("fine"));
    let wait = Duration::from_secs(25);
    let ahead = |wait| one.charge_of(&limit, all_of(quota, 1), wait);
    assert_eq!(ahead(wait).await.wait_us, 0);
    let (second, third) = (ahead(wait).await, ahead(wait).await);
    assert_eq!((second.units, third.units), (1, 1));
    assert!((9 * SECOND..=10 * SECOND).contains(&second.wait_us));
    assert!((19 * SECOND..=20 * SECOND).contains(&third.wait_us));
    let fourth = ahead(wait).await;
    assert_eq!(
        (fourth.units, fourth.usage),
        (0, None),
        "it would wait for 30 s"
    );
    assert!((29 * SECOND..=30 * SECOND).contains(&fourth.standing.retry_us.expect("later")));
    assert_eq!(ahead(Duration::ZERO).await.units, 0);
    // Of those who wait only the last can go: the others' times were told.
    let cancelled = Settle {
        ahead: true,
        ..one.settlement(quota, &second, 0)
    };
    assert_eq!(one.settle(&limit, cancelled).await, Settled::Kept);
    let cancelled = Settle {
        ahead: true,
        ..one.settlement(quota, &third, 0)
    };
    assert_eq!(one.settle(&limit, cancelled).await, Settled::GivenBack(1));
    let next = ahead(wait).await;
    assert!(
        (19 * SECOND..=20 * SECOND).contains(&next.wait_us),
        "{next:?}"
    );
}

/// A charge is settled once, whatever is sent again, and by whom.
pub async fn a_charge_is_settled_once(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let (limit, quota) = (key("settled"), hourly(10));
    let zero = Duration::ZERO;
    let first = one.charge_of(&limit, all_of(quota, 6), zero).await;
    let less = one.settlement(quota, &first, 2);
    assert_eq!(one.settle(&limit, less).await, Settled::GivenBack(4));
    assert_eq!(one.settle(&limit, less).await, Settled::GivenBack(4));
    assert_eq!(two.settle(&limit, less).await, Settled::GivenBack(4));
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 8);
    let second = one.charge_of(&limit, all_of(quota, 3), zero).await;
    let more = one.settlement(quota, &second, 5);
    assert_eq!(one.settle(&limit, more).await, Settled::Charged(2));
    assert_eq!(two.settle(&limit, more).await, Settled::Charged(2));
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 3);
    let right = one.settlement(quota, &second, 3);
    assert_eq!(one.settle(&limit, right).await, Settled::Kept);
    // It owes: others wait for that, at most for the longest wait and their own.
    let third = one.charge_of(&limit, all_of(quota, 3), zero).await;
    let much_more = one.settlement(quota, &third, 13);
    assert_eq!(one.settle(&limit, much_more).await, Settled::Charged(10));
    let standing = one.standing(&limit, quota, 1).await;
    assert_eq!(standing.remaining, 0);
    let retry_us = standing.retry_us.expect("it comes back");
    assert!((7_100 * SECOND..=7_200 * SECOND).contains(&retry_us));
}

/// After its time a settlement charges more, and gives nothing back; nor does it give back what has come back by itself.
pub async fn a_late_settlement_gives_nothing_back(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("late"), hourly(10));
    let first = one
        .charge_of(&limit, all_of(quota, 4), Duration::ZERO)
        .await;
    let late = |actual| Settle {
        until_us: 1,
        ..one.settlement(quota, &first, actual)
    };
    assert_eq!(one.settle(&limit, late(1)).await, Settled::Kept);
    assert_eq!(one.settle(&limit, late(6)).await, Settled::Charged(2));
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 4);
    // Two bursts in a moment would pass else.
    let (limit, fast) = (key("back"), Quota::new(100, SECOND, 4).expect("fine"));
    let first = one.charge_of(&limit, all_of(fast, 4), Duration::ZERO).await;
    cx.env().sleep(Duration::from_millis(40) + SLACK).await;
    let slow = hourly(4).revision(1);
    assert_eq!(one.charge(&limit, slow, 4).await, 4);
    let unused = one.settlement(fast, &first, 0);
    assert_eq!(one.settle(&limit, unused).await, Settled::Kept);
    assert_eq!(one.charge(&limit, slow, 1).await, 0);
}

/// A request past its deadline charges and settles nothing.
pub async fn a_stale_charge_does_nothing(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("stale"), hourly(5));
    let first = one
        .charge_of(&limit, all_of(quota, 2), Duration::ZERO)
        .await;
    let not_after_us = one.now().await.lease_us - 1;
    let take = Take {
        not_after_us,
        ..one.take_of(&[(limit.clone(), all_of(quota, 1))], 0)
    };
    let stale = one.ask_quota(QuotaCall::Take(take)).await.value;
    assert_eq!(stale, QuotaReply::Stale);
    let ask = Settle {
        not_after_us,
        ..one.settlement(quota, &first, 5)
    };
    let name = limit.clone();
    let stale = one.ask_quota(QuotaCall::Settle { name, ask }).await.value;
    assert_eq!(stale, QuotaReply::Stale);
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 3);
}

/// Of the quotas that clients ask by, the one announced last counts for all; one that nobody announced is its client's own.
pub async fn the_quota_announced_last_counts(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let (limit, mine) = (key("announced"), hourly(10));
    assert_eq!(one.charge(&limit, mine, 2).await, 2);
    let theirs = hourly(5);
    assert_eq!(two.standing(&limit, theirs, 1).await.remaining, 3);
    assert_eq!(one.standing(&limit, mine, 1).await.remaining, 8);
    let newer = hourly(4).revision(2);
    assert_eq!(two.charge(&limit, newer, 1).await, 1);
    let standing = one.standing(&limit, mine, 1).await;
    assert_eq!((standing.remaining, standing.quota), (1, newer));
    assert_eq!(one.charge(&limit, mine, 2).await, 0);
    let older = hourly(100).revision(1);
    assert_eq!(one.standing(&limit, older, 1).await.quota, newer);
    let newest = hourly(8).revision(3);
    let standing = one.standing(&limit, newest, 1).await;
    assert_eq!((standing.remaining, standing.quota), (5, newest));
}

/// A charge and a lease are taken together or not at all.
pub async fn a_charge_and_a_lease_are_taken_together_or_not_at_all(cx: &Context) {
    let (mut one, two) = (cx.session().await, cx.session().await);
    let (limit, permit, quota) = (key("with"), key("permit"), hourly(2));
    let take = |session: &Opened, cost: u64, ttl| {
        let ask = Acquire {
            wait: false,
            ..session.ask(ttl)
        };
        let rid: Rid = ask.rid;
        let mut take = session.take_of(&[(limit.clone(), all_of(quota, cost))], 0);
        take.lease = Some((permit.clone(), ask));
        (take, rid)
    };
    let (both, first) = take(&one, 1, LONG);
    let (charged, lease) = one.taken(both).await;
    assert_eq!(charged[0].units, 1);
    assert!(matches!(lease, Some(Reply::Granted { .. })), "{lease:?}");
    // The lease is busy: nothing is charged.
    let (busy, _) = take(&two, 1, LONG);
    let (charged, lease) = two.taken(busy).await;
    assert!(matches!(lease, Some(Reply::Busy { .. })), "{lease:?}");
    assert_eq!(charged[0].units, 1, "it would have passed");
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 1);
    assert_eq!(one.release(&permit, first).await, Was::Held);
    // The quota is short: nothing is held.
    let (short, _) = take(&two, 2, LONG);
    let (charged, lease) = two.taken(short).await;
    assert_eq!((charged[0].units, lease), (0, None));
    let held = one.inspect(&permit).await;
    assert!(held.is_none_or(|record| record.entries.is_empty()));
    // A lease that expired passes on in the same step, and is pushed.
    one.listen(&permit).await;
    let ttl = two.short_ttl();
    two.take(&permit, ttl).await;
    let waiter = one.enqueue(&permit, LONG).await;
    cx.env().sleep(ttl + SLACK).await;
    let (late, _) = take(&two, 1, LONG);
    let (_, lease) = two.taken(late).await;
    assert!(matches!(lease, Some(Reply::Busy { .. })), "{lease:?}");
    if one.capabilities().push {
        one.pushed(waiter.rid).await;
    }
    assert_eq!(one.standing(&limit, quota, 1).await.remaining, 1);
    let held = one.run(&permit, Op::Acquire(waiter)).await;
    assert!(matches!(held, Reply::Granted { .. }), "{held:?}");
}

/// A batch is of calls of any kind, and answered in order.
pub async fn calls_on_quotas_are_applied_in_order(cx: &Context) {
    let one = cx.session().await;
    let (limit, other, quota) = (key("batch"), key("other"), hourly(3));
    let take = |name: &ResourceName, cost| {
        QuotaCall::Take(one.take_of(&[(name.clone(), all_of(quota, cost))], 0))
    };
    let look = |name: &ResourceName| QuotaCall::Peek {
        name: name.clone(),
        quota,
        cost: 1,
    };
    let calls = [
        look(&limit),
        take(&limit, 2),
        take(&other, 1),
        look(&limit),
        take(&limit, 2),
    ];
    let answer = one.handle.quotas.quotas(&calls).await.expect("answers");
    let units = |reply: &QuotaReply| match reply {
        QuotaReply::Taken { charged, .. } => charged[0].units,
        QuotaReply::Standing(standing) => 100 + standing.remaining,
        other => panic!("not {other:?}"),
    };
    let units: Vec<_> = answer.value.iter().map(units).collect();
    assert_eq!(units, [103, 2, 1, 101, 0]);
}

/// Nothing is left of a key once all of its burst is there again.
pub async fn a_key_is_forgotten_once_all_of_its_burst_is_there(cx: &Context) {
    let one = cx.session().await;
    let (limit, quota) = (key("spent"), Quota::new(100, SECOND, 5).expect("fine"));
    assert_eq!(one.charge(&limit, quota.revision(9), 5).await, 5);
    cx.env().sleep(Duration::from_millis(50) + SLACK).await;
    // Also the announcement: of the next client's own nothing is used.
    let standing = one.standing(&limit, quota, 5).await;
    assert_eq!((standing.quota, standing.reset_us), (quota, 0));
}

/// However many charge one key, from however many sessions: never more than its burst and what came back meanwhile.
pub async fn one_key_is_never_charged_beyond_its_quota(cx: &Context) {
    let (one, two) = (Arc::new(cx.session().await), Arc::new(cx.session().await));
    let (limit, quota) = (key("hot"), Quota::new(2_000, SECOND, 50).expect("fine"));
    let began = one.now().await.wall_us;
    let mut tasks = Vec::new();
    for i in 0..200 {
        let session = Arc::clone(if i % 2 == 0 { &one } else { &two });
        let (limit, charge) = (limit.clone(), all_of(quota, 1 + i % 3));
        tasks.push(cx.env().spawn(async move {
            let mut units = 0;
            for _ in 0..5 {
                let charged = session.charge_of(&limit, charge, Duration::ZERO).await;
                units += charged.units;
            }
            units
        }));
    }
    let mut used = 0;
    for task in tasks {
        used += task.await.expect("a task failed");
    }
    let ended = one.now().await.wall_us;
    let most = 50 + 2_000 * (ended - began) / SECOND;
    assert!((50..=most).contains(&used), "{used} of {most}");
}
