//! Waiters that no push, no subscription or no answer reaches.

use std::time::Duration;

use leasehold_core::replay;
use leasehold_core::store::Faults;

use crate::{LONGEST_TTL, World, millis, mutexes};

#[test]
fn a_lost_push_costs_a_delay_and_never_a_hang() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let holder = mutexes(&a, Duration::from_secs(30)).lock(1).await.unwrap();
        world.faulty.set_faults(Faults {
            lost_pushes: 1000,
            ..Faults::none()
        });
        let mut waiters = Vec::new();
        for _ in 0..3 {
            let (lock, env) = (mutexes(&b, Duration::from_secs(30)), world.env.clone());
            waiters.push(world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(60)).await.unwrap();
                env.sleep(millis(10)).await;
                guard.release().await.unwrap();
            }));
        }
        world.env.sleep(world.up_to(millis(8000))).await;
        let start = world.env.now();
        holder.release().await.unwrap();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        // A heartbeat each, and a claim window that passed unused.
        let took = world.env.now().since(start);
        assert!(took <= Duration::from_secs(3 * 6), "{took:?}");
    });
}

#[test]
fn a_waiter_whose_first_grant_came_too_late_is_still_told_of_the_next() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let slow = Faults {
            delay_after: millis(480),
            ..Faults::none()
        };
        world.faulty.set_faults(slow);
        let waiting = {
            let (lock, env) = (mutexes(&b, millis(60)), world.env.clone());
            world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(30)).await;
                (guard.unwrap(), env.now())
            })
        };
        world.env.sleep(millis(1)).await;
        world.faulty.set_faults(Faults::none());
        world.env.sleep(millis(60)).await;
        let Ok(holder) = mutexes(&a, Duration::from_secs(30)).try_lock(1).await else {
            // The first answer came in time after all.
            return;
        };
        world.env.sleep(millis(1000)).await;
        let released = world.env.now();
        holder.release().await.unwrap();
        let (_guard, granted) = waiting.await.unwrap();
        let took = granted.since(released);
        assert!(took <= millis(20), "{took:?} from the release to the grant");
    });
}

#[test]
fn a_lost_subscription_is_asked_for_again() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let holder = mutexes(&a, LONGEST_TTL).lock(1).await.unwrap();
        let waiting = {
            let lock = mutexes(&b, LONGEST_TTL);
            (world.env).spawn(async move { lock.lock_timeout(1, Duration::from_secs(9)).await })
        };
        // The answer "busy" comes, and the one to the subscription does not.
        world.faulty.set_faults(Faults {
            delay_after: millis(300),
            ..Faults::none()
        });
        world.env.sleep(millis(1)).await;
        world.faulty.set_faults(Faults {
            lost_requests: 1000,
            ..Faults::none()
        });
        world.env.sleep(millis(400)).await;
        world.calm();
        world.env.sleep(millis(500)).await;
        holder.release().await.unwrap();
        drop(waiting.await.unwrap().unwrap());
    });
}
