//! Telling a holder to go.

use super::Context;
use super::context::{LONG, SLACK, micros, name};
use crate::protocol::{Op, Reply, Revoke, Revoked, Was};
use crate::store::Event;

/// It is told why, is renewed no more, and keeps what it was promised.
pub async fn a_revoked_holder_is_told_and_renewed_no_more(cx: &Context) {
    let (mut one, two) = (cx.session().await, cx.session().await);
    let lock = name("revoked");
    one.listen(&lock).await;
    let ttl = one.short_ttl();
    let (held, _) = one.take(&lock, ttl).await;
    let revoke = Op::Revoke(Revoke {
        rid: held,
        not_after_us: two.not_after_us(),
        grace_us: 5_000,
        reason: "maintenance, at nine".into(),
    });
    assert_eq!(two.run(&lock, revoke.clone()).await, Reply::Revoked);
    if one.capabilities().push {
        let told = |event| (event == Event::Revoked(held)).then_some(());
        one.event(told).await;
    }
    assert_eq!(
        two.run(&lock, revoke.clone()).await,
        Reply::Revoked,
        "again"
    );
    let waiter = two.enqueue(&lock, LONG).await;
    let Reply::Renewed {
        remaining_us,
        revoked,
        ..
    } = one.renew(&lock, held, 1).await
    else {
        panic!("it is held until the end it was promised");
    };
    let said = Revoked {
        grace_us: 5_000,
        reason: "maintenance, at nine".into(),
    };
    assert_eq!(revoked, Some(said));
    assert!(remaining_us < micros(ttl), "{remaining_us}");
    cx.env().sleep(ttl + SLACK).await;
    two.granted(&lock, &waiter).await;
    assert_eq!(one.renew(&lock, held, 2).await, Reply::NotHeld);
    assert_eq!(two.run(&lock, revoke).await, Reply::NotHeld);
}

/// A late copy hits nobody else.
pub async fn a_revocation_is_of_one_holder(cx: &Context) {
    let one = cx.session().await;
    let lock = name("revoked");
    let (held, _) = one.take(&lock, LONG).await;
    let revoke = Op::Revoke(Revoke {
        rid: held,
        not_after_us: one.not_after_us(),
        grace_us: 0,
        reason: String::new(),
    });
    assert_eq!(one.release(&lock, held).await, Was::Held);
    let (next, _) = one.take(&lock, LONG).await;
    assert_eq!(one.run(&lock, revoke).await, Reply::NotHeld);
    let record = one.inspect(&lock).await.expect("it is held");
    assert_eq!(
        (record.entries[0].rid, record.entries[0].revoked_us),
        (next, 0)
    );
}
