//! Fences.

use super::Context;
use super::context::{LONG, SLACK, name};
use crate::protocol::{Op, Release, Reply, Was};

/// Each grant's fence is above the last one's, however fast they follow.
pub async fn fences_rise_over_a_release(cx: &Context) {
    let sessions = [cx.session().await, cx.session().await];
    let lock = name("released");
    let mut last = 0;
    for turn in 0..20 {
        let session = &sessions[turn % 2];
        let (rid, grant) = session.take(&lock, LONG).await;
        assert!(grant.first > last, "{grant:?} after {last}");
        assert!(grant.end < 1 << 53);
        last = grant.end;
        assert_eq!(session.release(&lock, rid).await, Was::Held);
    }
}

/// An expiry keeps the block's end.
pub async fn fences_rise_over_an_expiry(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("expired");
    let mut ask = one.ask(one.short_ttl());
    ask.want = 100;
    let old = one.granted(&lock, &ask).await;
    assert!(old.end >= old.first);
    cx.env().sleep(one.short_ttl() + SLACK).await;
    let new = two.granted(&lock, &two.ask(LONG)).await;
    assert!(new.first > old.end, "{new:?} after {old:?}");
}

/// So that the order survives a store that lost its data or whose clock stepped back.
pub async fn fences_rise_above_all_that_the_client_has_seen(cx: &Context) {
    let one = cx.session().await;
    let lock = name("seen");
    let mut ask = one.ask(LONG);
    ask.seen = one.now().await.wall_us + 60_000_000;
    let grant = one.granted(&lock, &ask).await;
    assert!(grant.first > ask.seen, "{grant:?} above {}", ask.seen);
    assert_eq!(one.release(&lock, ask.rid).await, Was::Held);
    // Another client has not seen it: the store has.
    let two = cx.session().await;
    let next = two.granted(&lock, &two.ask(LONG)).await;
    assert!(next.first > grant.end, "{next:?} after {grant:?}");
}

/// A release gives back the unused part of a block, and no more.
pub async fn a_block_is_not_handed_out_again_beyond_what_was_used(cx: &Context) {
    let one = cx.session().await;
    let lock = name("block");
    let mut ask = one.ask(LONG);
    ask.want = 16;
    let block = one.granted(&lock, &ask).await;
    assert!(block.end - block.first < 16, "{block:?}");
    let used = block.first + (block.end - block.first) / 2;
    let release = Release {
        rid: ask.rid,
        not_after_us: one.not_after_us(),
        used,
        close_until_us: 0,
    };
    let reply = one.run(&lock, Op::Release(release)).await;
    assert_eq!(reply, Reply::Released { was: Was::Held });
    let next = one.granted(&lock, &one.ask(LONG)).await;
    assert!(next.first > used, "{next:?} after {used}");
}

/// What no record knows any more, a floor does.
pub async fn a_new_record_starts_above_the_floor_of_its_bucket(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("on-the-floor");
    let ahead = one.now().await.wall_us + 60_000_000;
    let raise = async |fence| {
        let floors = [(lock.bucket(), fence)];
        one.handle.leases.raise_floors(&floors).await
    };
    raise(ahead).await.expect("raises");
    // It only rises.
    raise(ahead - 1000).await.expect("changes nothing");
    let (rid, grant) = two.take(&lock, LONG).await;
    assert_eq!(grant.first, ahead + 1);
    // A record that is there knows more.
    raise(ahead + 1000).await.expect("raises");
    assert_eq!(two.release(&lock, rid).await, Was::Held);
    let (_, grant) = two.take(&lock, LONG).await;
    assert_eq!(grant.first, ahead + 2);
}

/// Each its own, several in one request.
pub async fn floors_are_the_buckets_own(cx: &Context) {
    let one = cx.session().await;
    let names: Vec<_> = (0..600).map(|n| name(&format!("floor-{n}"))).collect();
    let ahead = one.now().await.wall_us + 60_000_000;
    let lifted = &names[0];
    let other = names.iter().find(|n| n.bucket() != lifted.bucket());
    let other = other.expect("600 names are of many buckets");
    let mut floors: Vec<_> = names.iter().map(|n| (n.bucket(), 7)).collect();
    floors.push((lifted.bucket(), ahead));
    let raised = one.handle.leases.raise_floors(&floors).await;
    raised.expect("raises many");
    assert!(one.take(lifted, LONG).await.1.first > ahead);
    assert!(one.take(other, LONG).await.1.first < ahead);
}
