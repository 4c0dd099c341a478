//! Weights and capacity: sharing a resource.

use std::num::NonZeroU32;

use super::context::{LONG, name};
use super::{Context, Opened};
use crate::name::ResourceName;
use crate::protocol::{Acquire, Capacity, Op, Reply, Reweigh, Rid, Was, Weight};

fn units(units: u32) -> Weight {
    Weight::Units(NonZeroU32::new(units).expect("a weight of some units"))
}

fn of(size: u32) -> Capacity {
    Capacity { size, revision: 0 }
}

fn ask(session: &Opened, weight: Weight, capacity: Capacity) -> Acquire {
    Acquire {
        weight,
        capacity,
        ..session.ask(LONG)
    }
}

async fn reweigh(
    session: &Opened,
    lock: &ResourceName,
    rid: Rid,
    change: u64,
    weight: Weight,
) -> Reply {
    let reweigh = Reweigh {
        rid,
        not_after_us: session.not_after_us(),
        change,
        weight,
    };
    session.run(lock, Op::Reweigh(reweigh)).await
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
    assert_eq!(one.queued(&lock, &small).await, 1);
    one.granted(&lock, &small).await;
    let reply = one.run(&lock, Op::Acquire(heavy.clone())).await;
    assert_eq!(reply, Reply::TooHeavy { capacity: 2 });
    assert_eq!(one.release(&lock, heavy.rid).await, Was::Absent);
}

/// Weights are absolute: a repeat counts once. They shrink at once, and grow in place while nobody waits.
pub async fn a_weight_changes_in_place(cx: &Context) {
    let one = cx.session().await;
    let lock = name("reweighed");
    let holder = ask(&one, units(1), of(3));
    one.granted(&lock, &holder).await;
    let weighed = |weight| Reply::Weighed { weight };
    for _ in 0..2 {
        let reply = reweigh(&one, &lock, holder.rid, 1, units(2)).await;
        assert_eq!(reply, weighed(units(2)));
    }
    let reply = reweigh(&one, &lock, holder.rid, 2, units(4)).await;
    assert_eq!(reply, weighed(units(2)), "there are three");
    let waiter = ask(&one, units(2), of(3));
    one.queued(&lock, &waiter).await;
    let reply = reweigh(&one, &lock, holder.rid, 3, units(3)).await;
    assert_eq!(reply, weighed(units(2)), "someone waits");
    // Late, of before.
    let reply = reweigh(&one, &lock, holder.rid, 1, units(1)).await;
    assert_eq!(reply, weighed(units(2)));
    let reply = reweigh(&one, &lock, holder.rid, 4, units(1)).await;
    assert_eq!(reply, weighed(units(1)));
    one.granted(&lock, &waiter).await;
    let stranger = reweigh(&one, &lock, one.rid(), 1, units(1)).await;
    assert_eq!(stranger, Reply::NotHeld);
}
