//! Interleavings that were found to break a promise once: each is played as it was found.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::{TTL, World, ms, mutexes};
use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Error, Fairness, LostCause, replay};

/// A renewal's answer told of the revocation before its push did: the renewer slept on, for all leases.
#[test]
fn a_push_of_a_revocation_that_is_known_already_stops_no_renewal() {
    replay(0..20, async |seed| {
        let world = World::of(seed);
        let (a, b) = (world.node("node").await, world.node("node").await);
        let other = mutexes(&b).lock(1).await.unwrap();
        let waited = mutexes(&a).lock_timeout(1, ms(10)).await;
        assert!(waited.unwrap_err().is_busy());
        other.release().await.unwrap();
        let guard = mutexes(&a).lock(1).await.unwrap();
        world.env.sleep(ms(880)).await;
        world.store.set_faults(Faults {
            push_delay: ms(800),
            ..Faults::none()
        });
        let name = mutexes(&b).name(1).unwrap();
        b.revoke(&name, "x", ms(900)).await.unwrap();
        assert_eq!(guard.lost().await, LostCause::Revoked);
        world.env.sleep(ms(100)).await;
        assert!(!b.inspect(&name).await.unwrap().is_held());
        let second = mutexes(&a).lock(2).await.unwrap();
        world.env.sleep(TTL * 3).await;
        assert!(second.is_held());
    });
}

/// A lead that went had sent the end of its request; the next one was granted that request, and the end came late.
#[test]
fn a_farewell_that_arrives_late_ends_nobody_elses_hold() {
    replay(0..60, async |seed| {
        let world = World::of(seed);
        let (h, a, c) = (
            world.node("node").await,
            world.node("node").await,
            world.node("node").await,
        );
        let held = mutexes(&h).lock(1).await.unwrap();
        let hasty = mutexes(&a).wait(ms(100));
        let first = world
            .env
            .spawn(async move { hasty.lock(1).await.map(drop) });
        world.env.sleep(ms(50)).await;
        let third = mutexes(&c);
        let third = world.env.spawn(async move { third.lock(1).await.unwrap() });
        world.env.sleep(ms(45)).await;
        world.store.set_faults(Faults {
            delay_before: ms(20),
            lost_requests: 1000,
            late_copies: 1000,
            late_by: ms(200),
            ..Faults::none()
        });
        world.env.sleep(ms(8)).await;
        world.store.set_faults(Faults::none());
        let second = mutexes(&a);
        let second = world
            .env
            .spawn(async move { second.lock(1).await.unwrap() });
        world.env.sleep(ms(20)).await;
        held.release().await.unwrap();
        world.env.sleep(ms(300)).await;
        assert!(first.await.unwrap().is_err());
        let both = second.is_finished() && third.is_finished();
        if both {
            let (second, third) = (second.await.unwrap(), third.await.unwrap());
            assert!(!(second.is_held() && third.is_held()), "two holders");
        }
    });
}

/// A release that went along with the next acquire was refused, since the store's clock had stepped, and forgotten.
#[tokio::test(start_paused = true)]
async fn a_tenure_that_ends_over_a_clock_step_is_not_in_its_clients_way() {
    let world = World::new();
    let a = world.node("node").await;
    let strict = mutexes(&a)
        .ttl(Duration::from_secs(30))
        .fairness(Fairness::Strict);
    let guard = strict.lock(1).await.unwrap();
    let next = strict.clone();
    let next = world.env.spawn(async move { next.lock(1).await.unwrap() });
    world.env.sleep(ms(50)).await;
    world.behind.step_lease_clock(5_000_000);
    let before = world.env.now();
    guard.release().await.unwrap();
    drop(next.await.unwrap());
    assert!(world.env.now().since(before) < Duration::from_secs(1));
}

/// A release was under way, and the shutdown knew nothing of it.
#[tokio::test(start_paused = true)]
async fn a_shutdown_sees_to_a_release_that_is_under_way() {
    let world = World::new();
    let (a, b) = (world.node("node").await, world.node("node").await);
    let guard = mutexes(&a).ttl(Duration::from_secs(30)).lock(1).await;
    world.store.set_faults(Faults {
        lost_requests: 1000,
        silences: 1000,
        ..Faults::none()
    });
    let releasing = world.env.spawn(guard.unwrap().release());
    world.env.sleep(ms(1)).await;
    let down = a.clone();
    let down = world
        .env
        .spawn(async move { down.shutdown(Duration::from_secs(10)).await });
    world.env.sleep(ms(1000)).await;
    world.store.set_faults(Faults::none());
    assert_eq!(down.await.unwrap().unreleased, 0);
    drop(releasing.await.unwrap());
    let name = mutexes(&b).name(1).unwrap();
    assert!(!b.inspect(&name).await.unwrap().is_held());
}

/// Tasks that took turns left their last request to a cleaner that had ended.
#[test]
fn a_shutdown_amid_turns_leaves_nothing_on_real_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for round in 0..40_u64 {
            let env = Env::system();
            let network = Faults {
                delay_before: ms(1),
                delay_after: ms(1),
                ..Faults::none()
            };
            let store = FaultyStore::new(Arc::new(MemoryStore::new()), env.clone(), network);
            let connect = || {
                Coordinator::builder(store.clone(), "t")
                    .env(env.clone())
                    .connect()
            };
            let (a, b) = (connect().await.unwrap(), connect().await.unwrap());
            let strict = |node| mutexes(node).fairness(Fairness::Strict);
            let turns = |_| {
                let strict = strict(&a);
                env.spawn(async move {
                    while let Ok(guard) = strict.lock(1).await {
                        if guard.release().await.is_err() {
                            break;
                        }
                    }
                })
            };
            let tasks: Vec<_> = (0..4).map(turns).collect();
            env.sleep(Duration::from_micros(5000 + 137 * round)).await;
            let down = a.shutdown(Duration::from_secs(5)).await;
            let found = mutexes(&b).peek(1).await.unwrap();
            let left = found.is_held() || !found.waiters.is_empty();
            let is_said = down.unreleased + down.cut_short > 0;
            assert!(!left || is_said, "{found:?} after {down:?}");
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
}

/// Who waits behind a lead was told "busy" while the store was away.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_unavailable_to_all_who_wait() {
    let world = World::new();
    let a = world.node("node").await;
    world.store.outage();
    let lock = |wait| {
        let mutexes = mutexes(&a).wait(wait);
        world
            .env
            .spawn(async move { mutexes.lock(1).await.map(drop) })
    };
    let first = lock(ms(1000));
    world.env.sleep(ms(1)).await;
    let second = lock(ms(500));
    for waiting in [first, second] {
        let error = waiting.await.unwrap().unwrap_err();
        assert!(error.is_unavailable(), "{error}");
    }
}

/// L13: a turn that was taken up late came as a guard that was lost already.
#[tokio::test(start_paused = true)]
async fn a_turn_that_is_taken_up_too_late_is_not_handed_out() {
    let world = World::new();
    let a = world.node("node").await;
    let shared = mutexes(&a).allow_same_task();
    let guard = shared.lock(1).await.unwrap();
    let mut next = pin!(shared.lock(1));
    let once = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_ready()));
    assert!(!once.await);
    drop(guard);
    world.store.cut(a.node());
    world.env.sleep(TTL * 2).await;
    world.store.heal(a.node());
    assert!(next.await.unwrap().is_held());
}

/// The grace was longer than what was left of the lease, and the guard said that it had expired.
#[tokio::test(start_paused = true)]
async fn a_grace_ends_with_the_lease_and_can_be_shortened() {
    let world = World::new();
    let (a, b) = (world.node("node").await, world.node("node").await);
    let guard = mutexes(&a).lock(1).await.unwrap();
    let name = mutexes(&b).name(1).unwrap();
    let long = Duration::from_secs(600);
    b.revoke(&name, "soon", long).await.unwrap();
    assert_eq!(guard.revoked().await.reason, "soon");
    assert_eq!(guard.lost().await, LostCause::Revoked);
    drop(guard);
    // Who listens hears of a shorter one at once.
    let guard = mutexes(&b).lock(1).await.unwrap();
    let waited = mutexes(&a).lock_timeout(1, ms(10)).await;
    assert!(matches!(waited, Err(Error::Busy(_))));
    drop(guard);
    let guard = mutexes(&a).lock(1).await.unwrap();
    b.revoke(&name, "soon", long).await.unwrap();
    guard.revoked().await;
    let before = world.env.now();
    b.revoke(&name, "now", ms(50)).await.unwrap();
    assert_eq!(guard.lost().await, LostCause::Revoked);
    assert!(world.env.now().since(before) < ms(100));
}
