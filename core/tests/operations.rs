//! What operators do and see: revoke, list, inspect, health, shut down; on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::time::Duration;

use common::{TTL, World, ms, mutexes};
use leasehold_core::{Error, LostCause};

#[tokio::test(start_paused = true)]
async fn a_revoked_holder_hears_why_has_its_grace_and_is_then_lost() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    // Whoever waited before listens for pushes; a holder that did not hears with its next renewal.
    for (has_waited, heard_within) in [(true, ms(5)), (false, TTL / 3 + ms(150))] {
        let id = u64::from(has_waited);
        if has_waited {
            let other = mutexes(&b).lock(id).await.unwrap();
            let waited = mutexes(&a).lock_timeout(id, ms(10)).await;
            assert!(waited.unwrap_err().is_busy());
            other.release().await.unwrap();
        }
        let guard = mutexes(&a).lock(id).await.unwrap();
        assert_eq!(guard.revocation(), None);
        let before = world.env.now();
        let name = mutexes(&b).name(id).unwrap();
        let told = b.revoke(&name, "maintenance", ms(700)).await.unwrap();
        assert_eq!(told, 1);
        let revocation = guard.revoked().await.clone();
        let heard = world.env.now();
        assert!(
            heard.since(before) <= heard_within,
            "{:?}",
            heard.since(before)
        );
        assert_eq!(
            (&*revocation.reason, revocation.grace),
            ("maintenance", ms(700))
        );
        assert!(guard.is_held());
        let shown = b.inspect(&name).await.unwrap();
        assert_eq!(shown.holders[0].revoked.as_ref(), Some(&revocation));
        let next = mutexes(&b);
        let next = world.env.spawn(async move { next.lock(id).await.unwrap() });
        assert_eq!(guard.lost().await, LostCause::Revoked);
        assert_eq!(world.env.now().since(heard), ms(700));
        // Its client gives it up: nobody waits for the TTL.
        let next = next.await.unwrap();
        assert!(world.env.now().since(heard) < ms(750));
        assert!(next.fence() > guard.fence());
        next.release().await.unwrap();
    }
    let nobody = mutexes(&b).name("nobody").unwrap();
    assert_eq!(b.revoke(&nobody, "", ms(0)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_holder_that_cannot_hear_keeps_what_it_was_promised_and_no_more() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let guard = mutexes(&a).lock(1).await.unwrap();
    world.store.cut(a.node());
    let before = world.env.now();
    let name = mutexes(&b).name(1).unwrap();
    b.revoke(&name, "it is stuck", Duration::ZERO)
        .await
        .unwrap();
    assert!(guard.is_held(), "it was not told");
    let next = mutexes(&b).lock(1).await.unwrap();
    assert!(!guard.is_held(), "it says lost before it passes on");
    assert!(world.env.now().since(before) <= TTL + ms(100));
    assert!(next.fence() > guard.fence());
}

#[tokio::test(start_paused = true)]
async fn a_lease_runs_out_when_its_grace_does() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let guard = mutexes(&a).lock(1).await.unwrap();
    let name = mutexes(&b).name(1).unwrap();
    b.revoke(&name, "soon", ms(500)).await.unwrap();
    // Woken by what it is told, long before the time at which it would look by itself.
    let running_out = guard.running_out(ms(600));
    world
        .env
        .timeout(TTL / 3 + ms(150), running_out)
        .await
        .unwrap();
    assert!(guard.is_held() && guard.revocation().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_holder_hears_that_someone_waits() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let guard = mutexes(&a).lock(1).await.unwrap();
    assert!(!guard.is_contended());
    let waiting = mutexes(&b);
    let waiting = world
        .env
        .spawn(async move { waiting.lock(1).await.map(drop) });
    // At the next renewal at the latest.
    let told = world
        .env
        .timeout(TTL / 3 + ms(150), guard.contended())
        .await;
    assert!(told.is_ok() && guard.is_contended());
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    // Of its own client's tasks it hears at once.
    let guard = mutexes(&a).lock(2).await.unwrap();
    let waiting = mutexes(&a);
    let waiting = world
        .env
        .spawn(async move { waiting.lock(2).await.map(drop) });
    assert!(world.env.timeout(ms(1), guard.contended()).await.is_ok());
    drop(guard);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_resource_shows_who_holds_it_and_who_waits() {
    let world = World::new();
    let (a, b, c) = (
        world.node("a").await,
        world.node("b").await,
        world.node("c").await,
    );
    assert!(!mutexes(&c).peek(1).await.unwrap().is_held());
    let guard = mutexes(&a).label("nightly").lock(1).await.unwrap();
    world.env.sleep(ms(100)).await;
    let waiting = mutexes(&b);
    let waiting = world
        .env
        .spawn(async move { waiting.lock(1).await.map(drop) });
    world.env.sleep(ms(50)).await;
    let seen = mutexes(&c).peek(1).await.unwrap();
    let holder = &seen.holders[0];
    assert_eq!(
        (&*holder.label, holder.fence),
        ("a nightly", Some(guard.fence()))
    );
    assert_eq!((holder.held_for, holder.remaining), (ms(150), ms(2850)));
    let waiter = &seen.waiters[0];
    assert_eq!(
        (&*waiter.label, waiter.place, waiter.is_live),
        ("b", 0, true)
    );
    assert!(waiter.waits_for <= ms(50) && waiter.waits_for > ms(40));
    // What has expired is shown so, and looking does not end it.
    world.store.outage();
    world.env.sleep(TTL * 2).await;
    world.store.recover();
    let seen = c.inspect(&seen.name).await.unwrap();
    assert!(seen.holders.iter().all(|h| h.remaining.is_zero()) && !seen.is_held());
    drop(guard);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_in_order_and_says_whether_it_is_all() {
    let world = World::new();
    let a = world.node("a").await;
    let mut guards = Vec::new();
    for id in ["x/2", "x/1", "y/1", "x/3"] {
        guards.push(mutexes(&a).lock(id).await.unwrap());
    }
    let names = |listing: &leasehold_core::Listing| {
        let names = listing.resources.iter().map(|i| i.name.to_string());
        names.collect::<Vec<_>>()
    };
    let all = a.list("m/x/", 10).await.unwrap();
    assert_eq!(names(&all), ["m/x/1", "m/x/2", "m/x/3"]);
    assert!(all.is_complete);
    let some = a.list("m/x/", 2).await.unwrap();
    assert_eq!(names(&some), ["m/x/1", "m/x/2"]);
    assert!(!some.is_complete);
    assert!(a.list("m/z", 2).await.unwrap().resources.is_empty());
}

#[tokio::test(start_paused = true)]
async fn health_tells_a_probe_whether_the_store_answers() {
    let world = World::new();
    let a = world.node("a").await;
    let guard = mutexes(&a).lock(1).await.unwrap();
    let health = a.health();
    assert!(health.is_ready && health.last_failure.is_none());
    assert_eq!((health.held, health.waiting, health.unreleased), (1, 0, 0));
    // An idle client knows it by its heartbeats.
    world.env.sleep(Duration::from_secs(60)).await;
    assert!(a.health().is_ready);
    world.store.outage();
    drop(guard);
    world.env.sleep(ms(100)).await;
    assert_eq!((a.health().held, a.health().unreleased), (0, 1));
    world.env.sleep(Duration::from_secs(15)).await;
    let health = a.health();
    assert!(!health.is_ready && health.last_answer > Duration::from_secs(12));
    assert!(health.last_failure.is_some());
    world.store.recover();
    world.env.sleep(Duration::from_secs(2)).await;
    assert!(a.health().is_ready);
    a.shutdown(Duration::ZERO).await;
    assert!(!a.health().is_ready && a.health().is_shut_down);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_guards_their_grace_and_then_releases_everything() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let (quick, slow) = (
        mutexes(&a).lock(1).await.unwrap(),
        mutexes(&a).lock(2).await.unwrap(),
    );
    let other = mutexes(&b).lock(3).await.unwrap();
    let waiting = mutexes(&a);
    let waiting = world
        .env
        .spawn(async move { waiting.lock(3).await.map(drop) });
    let behind = mutexes(&a);
    let behind = world
        .env
        .spawn(async move { behind.lock(2).await.map(drop) });
    world.env.sleep(ms(10)).await;
    let stopping = a.clone();
    let before = world.env.now();
    let stopping = world
        .env
        .spawn(async move { stopping.shutdown(ms(500)).await });
    world.env.sleep(ms(10)).await;
    // Nothing new, and nobody waits on.
    let refused = mutexes(&a).lock(4).await.unwrap_err();
    assert!(matches!(refused, Error::ShutDown), "{refused}");
    assert!(matches!(waiting.await.unwrap(), Err(Error::ShutDown)));
    assert!(matches!(behind.await.unwrap(), Err(Error::ShutDown)));
    assert!(quick.is_held() && slow.is_held());
    quick.release().await.unwrap();
    assert_eq!(slow.lost().await, LostCause::ShutDown);
    assert_eq!(world.env.now().since(before), ms(500));
    let report = stopping.await.unwrap();
    assert_eq!((report.cut_short, report.unreleased), (1, 0));
    // No node waits for a TTL.
    for id in [1, 2] {
        mutexes(&b)
            .try_lock(id)
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    }
    other.release().await.unwrap();
    mutexes(&b)
        .try_lock(3)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nothing_holds_up_waits_for_no_grace() {
    let world = World::new();
    let a = world.node("a").await;
    mutexes(&a).lock(1).await.unwrap().release().await.unwrap();
    let before = world.env.now();
    let report = a.shutdown(Duration::from_secs(60)).await;
    assert_eq!((report.cut_short, report.unreleased), (0, 0));
    assert!(world.env.now().since(before) < ms(50));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_what_an_absent_store_did_not_acknowledge() {
    let world = World::new();
    let a = world.node("a").await;
    let long = mutexes(&a).ttl(Duration::from_secs(30));
    let guard = long.lock(1).await.unwrap();
    world.store.outage();
    drop(guard);
    let report = a.shutdown(ms(100)).await;
    assert_eq!((report.cut_short, report.unreleased), (0, 1));
}
