//! Repeated, late and stale requests.

use super::Context;
use super::context::{LONG, name};
use crate::protocol::{Op, Release, Renew, Reply, Was};

/// A retry after a lost answer neither takes a second fence nor a second place.
pub async fn a_repeated_acquire_gets_the_same_answer(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("repeated");
    let ask = one.ask(LONG);
    let first = one.granted(&lock, &ask).await;
    let again = one.granted(&lock, &ask).await;
    assert_eq!((again.first, again.end), (first.first, first.end));
    assert!(
        again.remaining_us <= first.remaining_us,
        "a retry does not extend"
    );
    let waiter = two.ask(LONG);
    assert_eq!(two.queued(&lock, &waiter).await, 0);
    assert_eq!(two.queued(&lock, &waiter).await, 0);
    let record = one.inspect(&lock).await.expect("it is held");
    assert_eq!(record.entries.len(), 2, "{record:?}");
    assert_eq!(record.last, first.end);
}

/// The second one finds nothing, and frees nothing of the next holder's.
pub async fn a_repeated_release_changes_nothing(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("released-twice");
    let (rid, _) = one.take(&lock, LONG).await;
    assert_eq!(one.release(&lock, rid).await, Was::Held);
    let (held, _) = two.take(&lock, LONG).await;
    assert_eq!(one.release(&lock, rid).await, Was::Absent);
    let record = one.inspect(&lock).await.expect("it is held");
    assert_eq!(record.entries.len(), 1);
    assert_eq!(record.entries[0].rid, held);
}

/// A copy that arrives after the cancel is granted to nobody; a cancel may also come first.
pub async fn a_late_copy_of_a_closed_request_is_refused(cx: &Context) {
    let one = cx.session().await;
    let lock = name("closed");
    let ask = one.ask(LONG);
    one.granted(&lock, &ask).await;
    assert_eq!(one.close(&lock, ask.rid).await, Was::Held);
    let late = one.run(&lock, Op::Acquire(ask.clone())).await;
    assert_eq!(late, Reply::Closed);
    let never_seen = one.ask(LONG);
    assert_eq!(one.close(&lock, never_seen.rid).await, Was::Absent);
    let late = one.run(&lock, Op::Acquire(never_seen)).await;
    assert_eq!(late, Reply::Closed);
    let record = one.inspect(&lock).await;
    assert!(record.is_some_and(|r| r.entries.is_empty()));
}

/// A closed request concerns itself only.
pub async fn a_closed_request_does_not_close_others(cx: &Context) {
    let one = cx.session().await;
    let (lock, other) = (name("closed"), name("open"));
    let ask = one.ask(LONG);
    assert_eq!(one.close(&lock, ask.rid).await, Was::Absent);
    one.granted(&other, &ask).await;
    one.granted(&lock, &one.ask(LONG)).await;
}

/// A stopped server may wake and read an old request: it must not take effect.
pub async fn a_request_past_its_deadline_does_nothing(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let (free, lock) = (name("free"), name("held"));
    let past_us = one.now().await.lease_us - 1;
    let mut ask = one.ask(LONG);
    ask.not_after_us = past_us;
    assert_eq!(one.run(&free, Op::Acquire(ask.clone())).await, Reply::Stale);
    assert_eq!(one.inspect(&free).await, None);
    let (rid, _) = two.take(&lock, LONG).await;
    assert_eq!(one.run(&lock, Op::Acquire(ask)).await, Reply::Stale);
    let before = one.inspect(&lock).await;
    let renew = Renew {
        rid,
        not_after_us: past_us,
        renewal: 1,
    };
    assert_eq!(two.run(&lock, Op::Renew(renew)).await, Reply::Stale);
    let release = Release {
        rid,
        not_after_us: past_us,
        used: 0,
        close_until_us: two.not_after_us(),
    };
    assert_eq!(two.run(&lock, Op::Release(release)).await, Reply::Stale);
    assert_eq!(one.inspect(&lock).await, before);
}
