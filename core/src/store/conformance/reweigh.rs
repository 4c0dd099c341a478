//! Weights that change in place: they shrink, grow, and take in another entry of their client.

use super::context::{LONG, SLACK, name};
use super::weights::{ask, held, of, units};
use super::{Context, Opened};
use crate::name::ResourceName;
use crate::protocol::{Absorbed, Acquire, Capacity, Op, Reply, Reweigh, Rid, Was, Weight};

/// The `change`th change of the weight of `rid`, in the largest capacity of the first revision.
fn change(session: &Opened, rid: Rid, change: u64, weight: Weight) -> Reweigh {
    Reweigh {
        rid,
        not_after_us: session.not_after_us(),
        change,
        weight,
        capacity: Capacity::UNBOUNDED,
        absorb: None,
    }
}

fn absorb(rid: Rid, close_until_us: u64) -> Absorbed {
    Absorbed {
        rid,
        close_until_us,
    }
}

async fn reweigh(session: &Opened, lock: &ResourceName, change: &Reweigh) -> Reply {
    session.run(lock, Op::Reweigh(change.clone())).await
}

/// The answer of who has this much while nobody waits.
fn weighed(weight: u32) -> Reply {
    Reply::Weighed {
        weight: units(weight),
        contended: false,
    }
}

/// The same while others wait.
fn pressed(weight: u32) -> Reply {
    Reply::Weighed {
        weight: units(weight),
        contended: true,
    }
}

/// Weights are absolute: a repeat counts once. They shrink at once, and grow in place while nobody waits.
pub async fn a_weight_changes_in_place(cx: &Context) {
    let one = cx.session().await;
    let lock = name("reweighed");
    let holder = ask(&one, units(1), of(3));
    one.granted(&lock, &holder).await;
    let to = |number, weight| change(&one, holder.rid, number, units(weight));
    for _ in 0..2 {
        assert_eq!(reweigh(&one, &lock, &to(1, 2)).await, weighed(2));
    }
    let reply = reweigh(&one, &lock, &to(2, 4)).await;
    assert_eq!(reply, weighed(2), "there are three");
    let waiter = ask(&one, units(2), of(3));
    one.queued(&lock, &waiter).await;
    let reply = reweigh(&one, &lock, &to(3, 3)).await;
    assert_eq!(reply, pressed(2), "someone waits");
    // Late, of before.
    assert_eq!(reweigh(&one, &lock, &to(1, 1)).await, pressed(2));
    assert_eq!(reweigh(&one, &lock, &to(4, 1)).await, weighed(1));
    one.granted(&lock, &waiter).await;
    let stranger = change(&one, one.rid(), 1, units(1));
    assert_eq!(reweigh(&one, &lock, &stranger).await, Reply::NotHeld);
}

/// However often it is asked for: what was given up once is not given up again.
pub async fn a_repeated_change_of_weight_counts_once(cx: &Context) {
    let one = cx.session().await;
    let lock = name("repeated");
    let holder = ask(&one, units(4), of(4));
    one.granted(&lock, &holder).await;
    let less = change(&one, holder.rid, 1, units(3));
    for _ in 0..3 {
        assert_eq!(reweigh(&one, &lock, &less).await, weighed(3));
    }
    one.granted(&lock, &ask(&one, units(1), of(4))).await;
    let waiter = ask(&one, units(1), of(4));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(reweigh(&one, &lock, &less).await, pressed(3));
    assert_eq!(one.queued(&lock, &waiter).await, 0, "all four are taken");
}

/// A part that comes free by a change of weight goes to those who wait, as many as it serves.
pub async fn what_shrinks_serves_those_who_wait(cx: &Context) {
    let one = cx.session().await;
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("shrinks");
    let holder = ask(&one, units(10), of(10));
    one.granted(&lock, &holder).await;
    let waiters = [1, 4, 1, 3, 1].map(|weight| ask(&one, units(weight), of(10)));
    for (ahead, waiter) in (0..).zip(&waiters) {
        assert_eq!(one.queued(&lock, waiter).await, ahead);
    }
    // Room for the first, not for the second, and so for none of the others.
    let reply = reweigh(&one, &lock, &change(&one, holder.rid, 1, units(7))).await;
    assert_eq!(reply, pressed(7));
    one.granted(&lock, &waiters[0]).await;
    assert_eq!(one.queued(&lock, &waiters[2]).await, 1);
    let reply = reweigh(&one, &lock, &change(&one, holder.rid, 2, units(4))).await;
    assert_eq!(reply, pressed(4));
    let served = waiters
        .each_ref()
        .map(|waiter| (waiter.rid, u32::from(waiter.weight)));
    let with = |holders: &[(Rid, u32)], many: usize| [holders, &served[..many]].concat();
    assert_eq!(held(&one, &lock).await, with(&[(holder.rid, 4)], 3));
    assert_eq!(one.queued(&lock, &waiters[3]).await, 0);
    // The end of one serves all that are left.
    assert_eq!(one.release(&lock, holder.rid).await, Was::Held);
    assert_eq!(held(&one, &lock).await, with(&[], 5));
}

/// The second entry of a client becomes part of its first: nothing is passed, and nothing minted.
pub async fn an_entry_absorbs_another_of_its_client(cx: &Context) {
    let (one, other) = (cx.session().await, cx.session().await);
    let lock = name("absorbed");
    let first = ask(&one, units(2), of(5));
    one.granted(&lock, &first).await;
    let rest = ask(&other, units(3), of(5));
    other.granted(&lock, &rest).await;
    let second = ask(&one, units(2), of(5));
    assert_eq!(one.queued(&lock, &second).await, 0);
    let behind = ask(&other, units(2), of(5));
    assert_eq!(other.queued(&lock, &behind).await, 1);
    assert_eq!(other.release(&lock, rest.rid).await, Was::Held);
    // Handed over to it, and not claimed yet.
    let both = Reweigh {
        absorb: Some(absorb(second.rid, one.not_after_us())),
        ..change(&one, first.rid, 1, units(4))
    };
    for _ in 0..2 {
        let reply = reweigh(&one, &lock, &both).await;
        assert_eq!(reply, pressed(4), "it passes nobody");
        assert_eq!(held(&one, &lock).await, [(first.rid, 4)]);
    }
    assert_eq!(one.release(&lock, second.rid).await, Was::Absent);
    let late = one.run(&lock, Op::Acquire(second)).await;
    assert_eq!(late, Reply::Closed);
    assert_eq!(other.queued(&lock, &behind).await, 0, "one is free");
    let less = change(&one, first.rid, 2, units(3));
    assert_eq!(reweigh(&one, &lock, &less).await, weighed(3));
    other.granted(&lock, &behind).await;
}

/// What was absorbed is kept also if more was asked for than is to be had, and given up if less was.
pub async fn what_is_absorbed_is_had_whatever_is_asked_for(cx: &Context) {
    let one = cx.session().await;
    let lock = name("absorbs");
    let first = ask(&one, units(1), of(4));
    one.granted(&lock, &first).await;
    let merged = async |number, weight, rid| {
        let both = Reweigh {
            absorb: Some(absorb(rid, 0)),
            ..change(&one, first.rid, number, units(weight))
        };
        reweigh(&one, &lock, &both).await
    };
    let second = ask(&one, units(1), of(4));
    one.granted(&lock, &second).await;
    assert_eq!(merged(1, 5, second.rid).await, weighed(2), "there are four");
    let third = ask(&one, units(1), of(4));
    one.granted(&lock, &third).await;
    assert_eq!(merged(2, 4, third.rid).await, weighed(4), "one is free");
    let less = change(&one, first.rid, 3, units(1));
    assert_eq!(reweigh(&one, &lock, &less).await, weighed(1));
    let fourth = ask(&one, units(3), of(4));
    one.granted(&lock, &fourth).await;
    assert_eq!(merged(4, 2, fourth.rid).await, weighed(2));
    assert_eq!(held(&one, &lock).await, [(first.rid, 2)]);
    one.granted(&lock, &ask(&one, units(2), of(4))).await;
    // No copy of it was under way: its id is free.
    one.queued(&lock, &fourth).await;
}

/// Nothing that does not hold adds anything: unknown, a waiter, of another client, or the entry itself.
pub async fn only_what_holds_is_absorbed(cx: &Context) {
    let (one, other) = (cx.session().await, cx.session().await);
    let lock = name("absorbs-none");
    let first = ask(&one, units(2), of(4));
    one.granted(&lock, &first).await;
    let rest = ask(&other, units(2), of(4));
    other.granted(&lock, &rest).await;
    let merged = async |number, rid| {
        let both = Reweigh {
            absorb: Some(absorb(rid, one.not_after_us())),
            ..change(&one, first.rid, number, units(4))
        };
        reweigh(&one, &lock, &both).await
    };
    assert_eq!(merged(1, one.rid()).await, weighed(2), "unknown");
    assert_eq!(merged(2, first.rid).await, weighed(2), "itself");
    assert_eq!(merged(3, rest.rid).await, weighed(2), "another client's");
    let waiter = ask(&one, units(2), of(4));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(merged(4, waiter.rid).await, pressed(2), "a waiter");
    let holders = [(first.rid, 2), (rest.rid, 2)];
    assert_eq!(held(&one, &lock).await, holders);
    // It was left as it was.
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(other.release(&lock, rest.rid).await, Was::Held);
    one.granted(&lock, &waiter).await;
    // A change that was made before absorbs nothing either.
    assert_eq!(merged(4, waiter.rid).await, weighed(2));
    assert_eq!(merged(5, waiter.rid).await, weighed(4));
    assert_eq!(held(&one, &lock).await, [(first.rid, 4)]);
}

/// A change of weight revives nothing and extends nothing, neither what it changes nor what that absorbs.
pub async fn a_change_of_weight_lets_leases_end(cx: &Context) {
    let one = cx.session().await;
    let lock = name("reweighed-late");
    let (short, ttl) = (one.short_ttl(), LONG);
    let of_ttl = |weight, ttl| Acquire {
        weight: units(weight),
        capacity: of(9),
        ..one.ask(ttl)
    };
    let (first, second) = (of_ttl(2, short), of_ttl(3, short));
    let lasting = of_ttl(4, ttl);
    for ask in [&first, &second, &lasting] {
        one.granted(&lock, ask).await;
    }
    assert_eq!(
        reweigh(&one, &lock, &change(&one, first.rid, 1, units(1))).await,
        weighed(1)
    );
    cx.env().sleep(short + SLACK).await;
    let late = change(&one, first.rid, 2, units(2));
    assert_eq!(reweigh(&one, &lock, &late).await, Reply::NotHeld);
    // Full as it was, nine could not be had: what has ended adds nothing, and is in nobody's way.
    let both = Reweigh {
        absorb: Some(absorb(second.rid, 0)),
        ..change(&one, lasting.rid, 1, units(9))
    };
    assert_eq!(reweigh(&one, &lock, &both).await, weighed(9));
    assert_eq!(held(&one, &lock).await, [(lasting.rid, 9)]);
}

/// Who holds says how much there is as of now, without another acquire.
pub async fn a_change_of_weight_announces_the_capacity(cx: &Context) {
    let one = cx.session().await;
    let lock = name("announced");
    let first = ask(&one, units(2), of(2));
    one.granted(&lock, &first).await;
    let waiter = ask(&one, units(1), of(2));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    let resized = |number, weight, size, revision| Reweigh {
        capacity: Capacity { size, revision },
        ..change(&one, first.rid, number, units(weight))
    };
    // The weight stays, and so does nobody who waits.
    assert_eq!(reweigh(&one, &lock, &resized(1, 2, 3, 1)).await, weighed(2));
    one.granted(&lock, &waiter).await;
    // The smaller of two of a revision, and none of an older one.
    for (number, size, revision) in [(2, 9, 0), (3, 9, 1), (1, 9, 9)] {
        let reply = reweigh(&one, &lock, &resized(number, 9, size, revision)).await;
        assert_eq!(reply, weighed(2), "{size} of revision {revision}");
    }
    assert_eq!(
        reweigh(&one, &lock, &resized(4, 3, 4, 2)).await,
        weighed(3),
        "one more came with the announcement"
    );
}

/// Below what is in use: nothing is taken away, and nothing is given until it has come free.
pub async fn a_capacity_that_falls_drains(cx: &Context) {
    let one = cx.session().await;
    let lock = name("drains");
    let holders = [3, 3].map(|weight| ask(&one, units(weight), of(6)));
    for holder in &holders {
        one.granted(&lock, holder).await;
    }
    let [first, second] = holders.map(|holder| holder.rid);
    let less = |rid, number, weight| Reweigh {
        capacity: Capacity {
            size: 2,
            revision: 1,
        },
        ..change(&one, rid, number, units(weight))
    };
    assert_eq!(reweigh(&one, &lock, &less(first, 1, 3)).await, weighed(3));
    assert_eq!(held(&one, &lock).await, [(first, 3), (second, 3)]);
    assert_eq!(
        reweigh(&one, &lock, &less(first, 2, 4)).await,
        weighed(3),
        "it never grows"
    );
    let heavy = one
        .run(&lock, Op::Acquire(ask(&one, units(3), of(6))))
        .await;
    assert_eq!(heavy, Reply::TooHeavy { capacity: 2 });
    let waiter = ask(&one, units(1), of(6));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    // Six, three, two of two.
    assert_eq!(one.release(&lock, second).await, Was::Held);
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(reweigh(&one, &lock, &less(first, 3, 2)).await, pressed(2));
    assert_eq!(one.queued(&lock, &waiter).await, 0);
    assert_eq!(reweigh(&one, &lock, &less(first, 4, 1)).await, weighed(1));
    one.granted(&lock, &waiter).await;
}

/// A capacity that falls below what one in the queue asks for: it is in nobody's way, and told when it asks.
pub async fn who_became_too_heavy_blocks_nobody(cx: &Context) {
    let one = cx.session().await;
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("too-heavy-later");
    let holder = ask(&one, units(4), of(4));
    one.granted(&lock, &holder).await;
    let heavy = ask(&one, units(3), of(4));
    let light = ask(&one, units(2), of(4));
    assert_eq!(one.queued(&lock, &heavy).await, 0);
    assert_eq!(one.queued(&lock, &light).await, 1);
    let less = Reweigh {
        capacity: Capacity {
            size: 2,
            revision: 1,
        },
        ..change(&one, holder.rid, 1, units(4))
    };
    assert_eq!(reweigh(&one, &lock, &less).await, pressed(4));
    let reply = one.run(&lock, Op::Acquire(heavy.clone())).await;
    assert_eq!(reply, Reply::TooHeavy { capacity: 2 });
    assert_eq!(one.queued(&lock, &light).await, 0);
    assert_eq!(one.release(&lock, holder.rid).await, Was::Held);
    one.granted(&lock, &light).await;
}
