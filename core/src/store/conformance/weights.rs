//! Weights and capacity: sharing a resource.

use std::num::NonZeroU32;

use super::context::{LONG, SLACK, name};
use super::{Context, Opened};
use crate::name::ResourceName;
use crate::protocol::{Acquire, Capacity, Op, Reply, Rid, Was, Weight};

pub(super) fn units(units: u32) -> Weight {
    Weight::Units(NonZeroU32::new(units).expect("a weight of some units"))
}

pub(super) fn of(size: u32) -> Capacity {
    Capacity { size, revision: 0 }
}

pub(super) fn ask(session: &Opened, weight: Weight, capacity: Capacity) -> Acquire {
    Acquire {
        weight,
        capacity,
        ..session.ask(LONG)
    }
}

/// How much each of those who hold has, in the order in which they came.
pub(super) async fn held(session: &Opened, lock: &ResourceName) -> Vec<(Rid, u32)> {
    let record = session.inspect(lock).await.unwrap_or_default();
    let holders = record.entries.iter().filter(|e| e.holds());
    holders.map(|e| (e.rid, u32::from(e.weight))).collect()
}

/// As many as fit, and not one more.
pub async fn holders_share_a_capacity_and_never_exceed_it(cx: &Context) {
    let one = cx.session().await;
    let lock = name("shared");
    let asks = [2, 1, 2].map(|weight| ask(&one, units(weight), of(5)));
    for ask in &asks {
        one.granted(&lock, ask).await;
    }
    let waiter = ask(&one, units(1), of(5));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(one.release(&lock, asks[1].rid).await, Was::Held);
    one.granted(&lock, &waiter).await;
}

/// Small ones behind a large one at the head do not starve it.
pub async fn the_head_of_the_queue_blocks_smaller_ones_behind_it(cx: &Context) {
    let one = cx.session().await;
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("head");
    let [first, second] = [2, 2].map(|weight| ask(&one, units(weight), of(4)));
    one.granted(&lock, &first).await;
    one.granted(&lock, &second).await;
    let large = ask(&one, units(3), of(4));
    let small = ask(&one, units(1), of(4));
    assert_eq!(one.queued(&lock, &large).await, 0);
    assert_eq!(one.queued(&lock, &small).await, 1);
    assert_eq!(one.release(&lock, first.rid).await, Was::Held);
    assert_eq!(one.queued(&lock, &small).await, 1, "it would fit");
    assert_eq!(one.release(&lock, second.rid).await, Was::Held);
    one.granted(&lock, &large).await;
    one.granted(&lock, &small).await;
}

/// A writer beside readers, however many there may be.
pub async fn all_of_it_waits_for_everybody_and_keeps_everybody_out(cx: &Context) {
    let one = cx.session().await;
    let lock = name("all");
    let reader = |weight| ask(&one, weight, Capacity::UNBOUNDED);
    let readers = [reader(Weight::ONE), reader(units(1000))];
    for reader in &readers {
        one.granted(&lock, reader).await;
    }
    let writer = reader(Weight::All);
    let late = reader(Weight::ONE);
    assert_eq!(one.queued(&lock, &writer).await, 0);
    assert_eq!(one.queued(&lock, &late).await, 1);
    assert_eq!(one.release(&lock, readers[0].rid).await, Was::Held);
    assert_eq!(one.queued(&lock, &writer).await, 0);
    assert_eq!(one.release(&lock, readers[1].rid).await, Was::Held);
    one.granted(&lock, &writer).await;
    assert_eq!(one.queued(&lock, &late).await, 0);
    assert_eq!(one.release(&lock, writer.rid).await, Was::Held);
    one.granted(&lock, &late).await;
}

/// Two sizes are normal in a rolling deploy: the highest revision counts, up and down.
pub async fn the_capacity_of_the_highest_revision_counts(cx: &Context) {
    let (old, new) = (cx.session().await, cx.session().await);
    let lock = name("resized");
    let first = ask(&old, units(3), of(3));
    old.granted(&lock, &first).await;
    let more = Capacity {
        size: 5,
        revision: 1,
    };
    let second = ask(&new, units(2), more);
    new.granted(&lock, &second).await;
    // An old client is bound by the new size, too.
    let third = ask(&old, units(1), of(3));
    assert_eq!(old.queued(&lock, &third).await, 0);
    let less = Capacity {
        size: 2,
        revision: 2,
    };
    let fourth = ask(&new, units(1), less);
    assert_eq!(new.queued(&lock, &fourth).await, 1);
    assert_eq!(old.release(&lock, first.rid).await, Was::Held);
    // Two of two are taken.
    assert_eq!(old.queued(&lock, &third).await, 0);
    assert_eq!(new.release(&lock, second.rid).await, Was::Held);
    old.granted(&lock, &third).await;
    new.granted(&lock, &fourth).await;
}

/// It is told at once, also when the capacity falls while it waits; and nobody waits behind it.
pub async fn what_can_never_fit_is_told_so(cx: &Context) {
    let one = cx.session().await;
    let lock = name("too-heavy");
    let reply = one
        .run(&lock, Op::Acquire(ask(&one, units(4), of(3))))
        .await;
    assert_eq!(reply, Reply::TooHeavy { capacity: 3 });
    let holder = ask(&one, units(1), of(3));
    one.granted(&lock, &holder).await;
    let heavy = ask(&one, units(3), of(3));
    assert_eq!(one.queued(&lock, &heavy).await, 0);
    let less = Capacity {
        size: 2,
        revision: 1,
    };
    let small = ask(&one, units(1), less);
    one.granted(&lock, &small).await;
    let reply = one.run(&lock, Op::Acquire(heavy.clone())).await;
    assert_eq!(reply, Reply::TooHeavy { capacity: 2 });
    assert_eq!(one.release(&lock, heavy.rid).await, Was::Absent);
}

/// More than there was is there at once for who stood before the one who says so.
pub async fn a_capacity_that_rises_serves_those_who_wait(cx: &Context) {
    let one = cx.session().await;
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("rises");
    one.granted(&lock, &ask(&one, units(2), of(2))).await;
    let waiters = [1, 2, 2].map(|weight| ask(&one, units(weight), of(2)));
    for (ahead, waiter) in (0..).zip(&waiters) {
        assert_eq!(one.queued(&lock, waiter).await, ahead);
    }
    let more = Capacity {
        size: 5,
        revision: 1,
    };
    assert_eq!(one.queued(&lock, &ask(&one, units(1), more)).await, 1);
    let [first, second, third] = waiters.map(|ask| (ask.rid, u32::from(ask.weight)));
    let holders = held(&one, &lock).await;
    assert_eq!(holders[1..], [first, second]);
    assert!(!holders.contains(&third));
}

/// The end of a large one serves all who fit, in their order, and keeps the rest.
pub async fn the_expiry_of_a_large_one_serves_all_who_fit(cx: &Context) {
    let one = cx.session().await;
    if !one.capabilities().fifo {
        return;
    }
    let (short, lock) = (one.short_ttl(), name("large-expires"));
    let large = Acquire {
        weight: units(5),
        capacity: of(6),
        ..one.ask(short)
    };
    one.granted(&lock, &large).await;
    let small = ask(&one, units(1), of(6));
    one.granted(&lock, &small).await;
    let waiters = [2, 1, 1, 3, 1].map(|weight| ask(&one, units(weight), of(6)));
    for (ahead, waiter) in (0..).zip(&waiters) {
        assert_eq!(one.queued(&lock, waiter).await, ahead);
    }
    cx.env().sleep(short + SLACK).await;
    // Any call sees the end; this one's own is behind the head, which does not fit.
    assert_eq!(one.queued(&lock, &waiters[4]).await, 1);
    let [first, second, third, ..] = &waiters;
    let served = [
        (small.rid, 1),
        (first.rid, 2),
        (second.rid, 1),
        (third.rid, 1),
    ];
    assert_eq!(held(&one, &lock).await, served, "in one step");
    assert_eq!(one.release(&lock, small.rid).await, Was::Held);
    assert_eq!(one.queued(&lock, &waiters[3]).await, 0, "two of three");
    assert_eq!(one.release(&lock, first.rid).await, Was::Held);
    one.granted(&lock, &waiters[3]).await;
    one.granted(&lock, &waiters[4]).await;
}
