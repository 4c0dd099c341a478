//! Expiry and renewal.

use std::time::Duration;

use super::Context;
use super::context::{LONG, SLACK, micros, name};
use crate::protocol::{Reply, Was};

fn renewed(ttl: Duration) -> Reply {
    Reply::Renewed {
        remaining_us: micros(ttl),
        contended: false,
        revoked: None,
    }
}

/// The holder's silence is its end.
pub async fn an_expired_lease_is_free_to_the_next_caller(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("expires");
    let (rid, _) = one.take(&lock, one.short_ttl()).await;
    cx.env().sleep(one.short_ttl() + SLACK).await;
    let (_, grant) = two.take(&lock, LONG).await;
    assert_eq!(grant.remaining_us, micros(LONG));
    assert_eq!(one.release(&lock, rid).await, Was::Absent);
}

/// The waiter need not be the one that calls.
pub async fn a_waiter_is_granted_after_expiry_when_anyone_calls(cx: &Context) {
    let (one, mut two, three) = (cx.session().await, cx.session().await, cx.session().await);
    if !one.capabilities().fifo {
        return;
    }
    let lock = name("expires");
    two.listen(&lock).await;
    one.take(&lock, one.short_ttl()).await;
    let ask = two.enqueue(&lock, LONG).await;
    cx.env().sleep(one.short_ttl() + SLACK).await;
    let last = three.ask(LONG);
    assert_eq!(three.queued(&lock, &last).await, 0, "behind the new holder");
    if two.capabilities().push {
        two.pushed(ask.rid).await;
    }
    two.granted(&lock, &ask).await;
}

/// By a full TTL from now.
pub async fn a_renewal_extends_the_lease(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("renewed");
    // Beyond its TTL in all, with room for a busy machine in each step.
    let ttl = Duration::from_secs(2);
    let (rid, grant) = one.take(&lock, ttl).await;
    for renewal in 1..=5 {
        cx.env().sleep(ttl / 4).await;
        let reply = one.renew(&lock, rid, renewal).await;
        assert_eq!(reply, renewed(ttl));
    }
    let record = two.inspect(&lock).await.expect("it is held");
    assert_eq!(record.entries[0].rid, rid);
    assert_eq!(record.last, grant.end, "a renewal takes no fence");
}

/// Renewals may overtake each other.
pub async fn an_older_renewal_changes_nothing(cx: &Context) {
    let one = cx.session().await;
    let lock = name("renewed");
    let (rid, _) = one.take(&lock, LONG).await;
    assert!(matches!(
        one.renew(&lock, rid, 2).await,
        Reply::Renewed { .. }
    ));
    let before = one.inspect(&lock).await;
    cx.env().sleep(Duration::from_millis(5)).await;
    for renewal in [1, 2] {
        let reply = one.renew(&lock, rid, renewal).await;
        let Reply::Renewed { remaining_us, .. } = reply else {
            panic!("renewed before, not {reply:?}");
        };
        assert!(remaining_us < micros(LONG), "{remaining_us}");
    }
    assert_eq!(one.inspect(&lock).await, before);
}

/// What has ended is not brought back, also when nobody else came.
pub async fn a_renewal_after_expiry_is_not_held(cx: &Context) {
    let one = cx.session().await;
    let lock = name("too-late");
    let (rid, _) = one.take(&lock, one.short_ttl()).await;
    cx.env().sleep(one.short_ttl() + SLACK).await;
    assert_eq!(one.renew(&lock, rid, 1).await, Reply::NotHeld);
    let unknown = one.rid();
    assert_eq!(one.renew(&lock, unknown, 1).await, Reply::NotHeld);
}

/// A grant by hand-over lasts for the claim window; the first renewal makes it whole.
pub async fn a_renewal_claims_the_full_ttl_of_a_pushed_grant(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("claimed");
    let (held, _) = one.take(&lock, LONG).await;
    let ask = two.enqueue(&lock, LONG).await;
    assert_eq!(
        two.renew(&lock, ask.rid, 1).await,
        Reply::NotHeld,
        "a waiter holds nothing"
    );
    assert_eq!(one.release(&lock, held).await, Was::Held);
    assert_eq!(two.renew(&lock, ask.rid, 1).await, renewed(LONG));
    let grant = two.granted(&lock, &ask).await;
    assert!(
        grant.claimed && grant.remaining_us > micros(LONG / 2),
        "{grant:?}"
    );
}
