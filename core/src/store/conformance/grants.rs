//! Taking what is free, and being refused what is not.

use std::time::Duration;

use super::Context;
use super::Grant;
use super::context::{LONG, micros, name};
use crate::protocol::{Op, Phase, Release, Reply, Was};
use crate::store::LeaseCall;

/// The whole TTL remains, and the fence is at least the store's wall clock.
pub async fn a_free_resource_is_granted_at_once_with_its_full_ttl(cx: &Context) {
    let one = cx.session().await;
    let before = one.now().await;
    let (_, grant) = one.take(&name("free"), LONG).await;
    assert_eq!(grant.remaining_us, micros(LONG));
    assert!(grant.claimed);
    assert!(
        grant.first >= before.wall_us,
        "{grant:?} against {before:?}"
    );
    assert_eq!(grant.end, grant.first, "one fence was asked for");
}

/// The answer to a try carries data: who, since when, for how long.
pub async fn a_busy_try_names_the_holder_and_what_remains(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("busy");
    let mut ask = one.ask(LONG);
    ask.label = "Zoë's \"host\" {1}/%".into();
    one.granted(&lock, &ask).await;
    let mut try_it = two.ask(LONG);
    try_it.wait = false;
    let reply = two.run(&lock, Op::Acquire(try_it.clone())).await;
    let Reply::Busy {
        holder,
        held_us,
        remaining_us,
    } = reply
    else {
        panic!("busy, not {reply:?}");
    };
    assert_eq!(*holder, *ask.label);
    assert_eq!(held_us + remaining_us, micros(LONG));
    assert!(remaining_us > micros(LONG / 2));
    // A try leaves nothing behind.
    let record = two.inspect(&lock).await.expect("it is held");
    assert_eq!(record.entries.len(), 1);
    assert_eq!(one.release(&lock, ask.rid).await, Was::Held);
    assert!(two.run(&lock, Op::Acquire(try_it)).await != Reply::Closed);
}

/// Looking is not asking.
pub async fn an_inspection_shows_holder_and_queue_and_changes_nothing(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("inspected");
    assert_eq!(one.inspect(&lock).await, None, "nothing is known of it");
    let (held, grant) = one.take(&lock, LONG).await;
    let waiter = two.enqueue(&lock, LONG).await;
    let record = two.inspect(&lock).await.expect("it is held");
    assert_eq!(record.last, grant.end);
    let entries: Vec<_> = record.entries.iter().map(|e| (e.rid, e.phase)).collect();
    assert_eq!(entries, [(held, Phase::Held), (waiter.rid, Phase::Waiting)]);
    assert_eq!(*record.entries[1].label, *waiter.label);
    assert_eq!(one.inspect(&lock).await, Some(record));
}

/// Calls on several names of one bucket, and several on one of them, travel as one request.
pub async fn a_batch_of_one_bucket_is_applied_and_answered_in_order(cx: &Context) {
    let one = cx.session().await;
    let first = name("batch");
    let mut others = (0..).map(|n| name(&format!("batch-{n}")));
    let mut same = || {
        let found = others.find(|other| other.bucket() == first.bucket());
        found.expect("one name in 256 is of the bucket")
    };
    let (second, third) = (same(), same());
    let (ask, other) = (one.ask(LONG), one.ask(LONG));
    let mut try_it = one.ask(LONG);
    try_it.wait = false;
    let release = Release {
        rid: ask.rid,
        not_after_us: one.not_after_us(),
        used: 0,
        close_until_us: 0,
    };
    let calls = [
        (&first, Op::Acquire(ask.clone())),
        (&second, Op::Inspect),
        (&first, Op::Acquire(try_it.clone())),
        (&third, Op::Acquire(other)),
        (&first, Op::Release(release)),
        (&first, Op::Acquire(try_it)),
    ];
    let calls = calls.map(|(name, op)| LeaseCall {
        name: name.clone(),
        op,
    });
    let answer = one.batch(&calls).await.expect("a batch of one bucket");
    let [held, looked, tried, other, ended, again] = &answer.value[..] else {
        panic!("six answers, not {answer:?}");
    };
    assert_eq!(*looked, Reply::Inspected(None));
    assert!(matches!(tried, Reply::Busy { .. }), "{tried:?}");
    assert!(Grant::of(other).is_some(), "{other:?}");
    assert_eq!(*ended, Reply::Released { was: Was::Held });
    let held = Grant::of(held).expect("it was free");
    let again = Grant::of(again).expect("it is free again");
    assert!(again.first > held.end, "{again:?} after {held:?}");
}

/// What nobody holds or waits for is collected once its fence is in the past.
pub async fn a_name_freed_leaves_no_record(cx: &Context) {
    let one = cx.session().await;
    let lock = name("freed");
    let (rid, _) = one.take(&lock, LONG).await;
    assert_eq!(one.release(&lock, rid).await, Was::Held);
    // A fence may run a little ahead of the store's clock.
    cx.env().sleep(Duration::from_millis(5)).await;
    assert_eq!(one.inspect(&lock).await, None);
}
