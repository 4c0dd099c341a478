//! Waiting, hand-over and pushes.

use std::time::Duration;

use super::context::{LONG, SLACK, micros, name};
use super::{Context, Grant};
use crate::protocol::{CLAIM_WINDOW_US, Op, Phase, Reply, Was};
use crate::store::Event;

/// First come, first served.
pub async fn waiters_are_granted_in_the_order_they_came(cx: &Context) {
    let holder = cx.session().await;
    if !holder.capabilities().fifo {
        return;
    }
    let lock = name("fifo");
    let (mut held, mut last) = holder.take(&lock, LONG).await;
    let mut waiters = Vec::new();
    for place in 0..4 {
        let session = cx.session().await;
        let ask = session.ask(LONG);
        assert_eq!(session.queued(&lock, &ask).await, place);
        waiters.push((session, ask));
    }
    for (at, (session, ask)) in waiters.iter().enumerate() {
        assert_eq!(holder.release(&lock, held).await, Was::Held);
        let grant = session.granted(&lock, ask).await;
        assert!(grant.first > last.end, "{grant:?} after {last:?}");
        for (place, (other, ask)) in waiters.iter().skip(at + 1).enumerate() {
            let ahead = usize::try_from(other.queued(&lock, ask).await);
            assert_eq!(ahead, Ok(place));
        }
        (held, last) = (ask.rid, grant);
    }
}

/// There is no moment at which it is free.
pub async fn a_release_grants_the_next_waiter_in_the_same_step(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("handed-over");
    let (held, _) = one.take(&lock, LONG).await;
    let ask = two.enqueue(&lock, LONG).await;
    assert_eq!(one.release(&lock, held).await, Was::Held);
    let mut try_it = one.ask(LONG);
    try_it.wait = false;
    let reply = one.run(&lock, Op::Acquire(try_it)).await;
    assert!(matches!(reply, Reply::Busy { .. }), "{reply:?}");
    let record = one.inspect(&lock).await.expect("it is held");
    assert_eq!(record.entries[0].rid, ask.rid);
    assert_eq!(record.entries[0].phase, Phase::Granted);
    let grant = two.granted(&lock, &ask).await;
    assert!(!grant.claimed, "the full TTL is claimed by renewing");
    assert!(grant.remaining_us <= CLAIM_WINDOW_US);
}

/// Between two connections, and not before the grant can be seen.
pub async fn a_release_pushes_the_grant_to_another_session(cx: &Context) {
    let (one, mut two) = (cx.session().await, cx.session().await);
    if !one.capabilities().push {
        return;
    }
    for turn in 0..5 {
        let lock = name(&format!("pushed-{turn}"));
        two.listen(&lock).await;
        let (held, _) = one.take(&lock, LONG).await;
        let ask = two.enqueue(&lock, LONG).await;
        assert_eq!(one.release(&lock, held).await, Was::Held);
        let handed = two.pushed(ask.rid).await;
        let grant = two.granted(&lock, &ask).await;
        assert!(grant.remaining_us > 0);
        assert_eq!((handed.first, handed.end), (grant.first, grant.end));
        let window_us = handed.expires_us - handed.granted_us;
        assert_eq!(window_us, CLAIM_WINDOW_US);
    }
}

/// A client enqueues on one session and may hear of the grant on another.
pub async fn a_push_reaches_every_session_of_the_waiting_node(cx: &Context) {
    let (one, mut two) = (cx.session().await, cx.session().await);
    if !one.capabilities().push {
        return;
    }
    let lock = name("pushed");
    let mut background = cx.session_as(cx.namespace(), two.node).await;
    background.listen(&lock).await;
    two.listen(&lock).await;
    let (held, _) = one.take(&lock, LONG).await;
    let ask = two.enqueue(&lock, LONG).await;
    assert_eq!(one.release(&lock, held).await, Was::Held);
    background.pushed(ask.rid).await;
    two.pushed(ask.rid).await;
}

/// A resource is busy for a try while others wait for it.
pub async fn a_try_does_not_overtake_the_queue(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("queue");
    let (held, _) = one.take(&lock, LONG).await;
    let first = two.enqueue(&lock, LONG).await;
    let second = two.ask(LONG);
    assert_eq!(two.queued(&lock, &second).await, 1);
    assert_eq!(one.release(&lock, held).await, Was::Held);
    let again = one.ask(LONG);
    assert_eq!(one.queued(&lock, &again).await, 1, "behind the second");
    assert_eq!(two.release(&lock, first.rid).await, Was::Held);
    two.granted(&lock, &second).await;
}

/// A client that does not take its turn costs the others the claim window at most, and is served when it is back.
pub async fn an_unclaimed_grant_passes_on_and_its_waiter_keeps_its_place(cx: &Context) {
    let (one, two, three) = (cx.session().await, cx.session().await, cx.session().await);
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("unclaimed");
    let (held, _) = one.take(&lock, LONG).await;
    let slow = two.enqueue(&lock, LONG).await;
    let next = three.enqueue(&lock, LONG).await;
    assert_eq!(one.release(&lock, held).await, Was::Held);
    cx.env()
        .sleep(Duration::from_micros(CLAIM_WINDOW_US) + SLACK)
        .await;
    // Anyone's call lets it pass on.
    three.granted(&lock, &next).await;
    let record = one.inspect(&lock).await.expect("it is held");
    let entries: Vec<_> = record.entries.iter().map(|e| (e.rid, e.phase)).collect();
    assert_eq!(
        entries,
        [(slow.rid, Phase::Dormant), (next.rid, Phase::Granted)]
    );
    let last = one.ask(LONG);
    one.queued(&lock, &last).await;
    assert_eq!(two.queued(&lock, &slow).await, 0, "it kept its place");
    assert_eq!(three.release(&lock, next.rid).await, Was::Held);
    let grant = two.granted(&lock, &slow).await;
    assert!(grant.first > record.last);
}

/// Its place is gone, and those behind move up.
pub async fn a_cancelled_waiter_is_passed_over(cx: &Context) {
    let (one, two, three) = (cx.session().await, cx.session().await, cx.session().await);
    let lock = name("cancelled");
    let (held, _) = one.take(&lock, LONG).await;
    let cancelled = two.enqueue(&lock, LONG).await;
    let next = three.enqueue(&lock, LONG).await;
    assert_eq!(two.close(&lock, cancelled.rid).await, Was::Queued);
    assert_eq!(three.queued(&lock, &next).await, 0);
    assert_eq!(one.release(&lock, held).await, Was::Held);
    three.granted(&lock, &next).await;
    let late = two.run(&lock, Op::Acquire(cancelled)).await;
    assert_eq!(late, Reply::Closed);
}

/// The cancel and the grant crossed: nobody may be left holding.
pub async fn a_cancel_of_a_granted_waiter_hands_over(cx: &Context) {
    let (one, two, mut three) = (cx.session().await, cx.session().await, cx.session().await);
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("crossed");
    three.listen(&lock).await;
    let (held, _) = one.take(&lock, LONG).await;
    let cancelled = two.enqueue(&lock, LONG).await;
    let next = three.enqueue(&lock, LONG).await;
    assert_eq!(one.release(&lock, held).await, Was::Held);
    assert_eq!(two.close(&lock, cancelled.rid).await, Was::Held);
    if one.capabilities().push {
        three.pushed(next.rid).await;
    }
    let grant = three.granted(&lock, &next).await;
    assert!(grant.remaining_us > 0 && grant.remaining_us < micros(LONG));
    let reply = two.run(&lock, Op::Acquire(cancelled)).await;
    assert_eq!(Grant::of(&reply), None, "{reply:?}");
}

/// Once, when the first begins to wait.
pub async fn a_holder_hears_that_someone_waits(cx: &Context) {
    let (mut one, two) = (cx.session().await, cx.session().await);
    if !one.capabilities().push {
        return;
    }
    let lock = name("wanted");
    one.listen(&lock).await;
    let (held, _) = one.take(&lock, LONG).await;
    let Reply::Renewed { contended, .. } = one.renew(&lock, held, 1).await else {
        panic!("it is held");
    };
    assert!(!contended);
    two.enqueue(&lock, LONG).await;
    let told = |event| (event == Event::Contended(held)).then_some(());
    one.event(told).await;
    let Reply::Renewed { contended, .. } = one.renew(&lock, held, 2).await else {
        panic!("it is held");
    };
    assert!(contended);
}
