//! Leases whose renewals get lost.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::replay;
use leasehold_core::store::Faults;

use crate::{GRAIN, World, assert_stays_free, millis, mutexes};

#[test]
fn lost_resolves_before_the_lease_passes_on() {
    replay(0..60, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let ttl = world.one_of([millis(100), millis(1000), millis(30_000)]);
        world.faulty.set_faults(Faults {
            delay_before: (ttl / 20).min(millis(200)),
            delay_after: (ttl / 4).min(millis(200)),
            ..Faults::none()
        });
        let guard = Arc::new(mutexes(&a, ttl).lock(1).await.unwrap());
        let losing = {
            let (guard, env) = (Arc::clone(&guard), world.env.clone());
            world.env.spawn(async move {
                let cause = guard.lost().await;
                assert!(!guard.is_held());
                (cause, env.now())
            })
        };
        let waiting = {
            let (lock, env) = (mutexes(&b, ttl), world.env.clone());
            world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(100)).await;
                (guard.unwrap(), env.now())
            })
        };
        world.env.sleep(world.up_to(ttl * 2)).await;
        world.faulty.cut(a.node());
        let cut = world.env.now();
        let (cause, lost) = losing.await.unwrap();
        assert!(lost.since(cut) <= ttl, "{:?}: {cause}", lost.since(cut));
        let (next, granted) = waiting.await.unwrap();
        assert!(lost <= granted);
        assert!(next.fence() > guard.fence());
        let took = granted.since(lost);
        assert!(
            took <= ttl + Duration::from_secs(6),
            "{took:?} until granted"
        );
    });
}

#[test]
fn a_guard_says_lost_a_margin_before_its_lease_ends() {
    replay(0..1, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        for (ttl, margin) in [(millis(30_000), millis(300)), (millis(200), millis(10))] {
            let guard = mutexes(&client, ttl).lock(ttl.as_millis()).await.unwrap();
            let granted = world.env.now();
            world.faulty.cut(client.node());
            guard.lost().await;
            let lasted = world.env.now().since(granted);
            assert!(
                lasted + margin >= ttl && lasted + margin <= ttl + GRAIN,
                "{lasted:?}"
            );
            world.faulty.heal(client.node());
            world.env.sleep(millis(1000)).await;
        }
    });
}

#[test]
fn a_renewal_that_lost_the_race_against_a_release_revives_nothing() {
    replay(0..100, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let observer = world.observer().await;
        let ttl = millis(1500);
        let guard = mutexes(&a, ttl).lock(1).await.unwrap();
        // The renewal goes out at a third of the TTL, and the release about then.
        world.env.sleep(millis(440)).await;
        world.faulty.set_faults(Faults {
            delay_before: millis(200),
            delay_after: millis(50),
            ..Faults::none()
        });
        world.env.sleep(world.up_to(millis(150))).await;
        guard.release().await.unwrap();
        assert_stays_free(&world, &observer, 1, millis(1000)).await;
        world.calm();
        drop(mutexes(&b, ttl).try_lock(1).await.unwrap());
    });
}

#[test]
fn one_lost_renewal_loses_no_lease() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        // Also the first one, which claims a pushed grant, whose window is a second.
        let first = mutexes(&a, millis(600)).lock(1).await.unwrap();
        let waiting = {
            let lock = mutexes(&b, millis(600));
            (world.env).spawn(async move { lock.lock_timeout(1, Duration::from_secs(9)).await })
        };
        world.env.sleep(millis(100)).await;
        first.release().await.unwrap();
        let guard = waiting.await.unwrap().unwrap();
        for _ in 0..10 {
            world.faulty.set_faults(Faults {
                lost_requests: 1000,
                silences: 1000,
                ..Faults::none()
            });
            // Long enough to lose one request, whenever it is sent.
            world.env.sleep(millis(60)).await;
            world.faulty.set_faults(Faults::none());
            world.env.sleep(millis(540)).await;
            guard.check().unwrap();
        }
    });
}
