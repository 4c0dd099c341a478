//! Acquires that are dropped, late, unheard or in vain.

use std::time::Duration;

use leasehold_core::replay;
use leasehold_core::store::Faults;

use crate::{LOST_REPLIES, World, assert_stays_free, is_held, millis, mutexes};

#[test]
fn the_cleaner_ends_what_a_dropped_acquire_left_however_often_the_store_fails() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(LOST_REPLIES);
        let lock = mutexes(&client, Duration::from_secs(60));
        let dropped = world.env.timeout(world.up_to(millis(400)), lock.lock(1));
        assert!(dropped.await.is_err());
        world.faulty.outage();
        world.env.sleep(millis(5000)).await;
        world.faulty.recover();
        // Releases take effect, and are sent again since nobody says so.
        world.env.sleep(millis(2000)).await;
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, millis(5000)).await;
    });
}

#[test]
fn a_dropped_acquire_holds_until_the_cleaner_gets_through() {
    replay(0..1, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(LOST_REPLIES);
        let lock = mutexes(&client, Duration::from_secs(60));
        let dropped = world.env.timeout(millis(20), lock.lock(1)).await;
        world.faulty.outage();
        assert!(dropped.is_err());
        world.env.sleep(millis(10_000)).await;
        assert!(is_held(&observer, 1).await);
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert!(!is_held(&observer, 1).await);
    });
}

#[test]
fn a_late_copy_of_a_cancelled_acquire_is_granted_to_nobody() {
    replay(0..50, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(Faults {
            lost_requests: 1000,
            late_copies: 1000,
            late_by: Duration::from_secs(4),
            ..Faults::none()
        });
        let wait = Duration::from_secs(10);
        let lock = mutexes(&client, Duration::from_secs(30));
        let cancelled = world.env.timeout(millis(400), lock.lock_timeout(1, wait));
        assert!(cancelled.await.is_err());
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, Duration::from_secs(5)).await;
    });
}

#[test]
fn a_free_mutex_is_never_called_busy() {
    replay(0..200, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        world.faulty.set_faults(Faults {
            delay_before: millis(700),
            delay_after: millis(300),
            lost_requests: 200,
            ..Faults::none()
        });
        let lock = mutexes(&client, millis(300));
        let result = match seed % 2 {
            0 => lock.try_lock(1).await,
            _ => lock.lock_timeout(1, world.up_to(millis(1500))).await,
        };
        if let Err(error) = result {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}
