//! Releases that are lost, late, repeated or given up.

use std::time::Duration;

use leasehold_core::store::Faults;
use leasehold_core::{Error, replay};

use crate::{LONGEST_TTL, LOST_REPLIES, World, assert_stays_free, is_held, millis, mutexes};

#[test]
fn a_retried_release_is_released_or_unknown_never_lost() {
    replay(0..200, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let guard = mutexes(&client, millis(600)).lock(1).await.unwrap();
        world.env.sleep(world.up_to(millis(3000))).await;
        world.faulty.set_faults(Faults {
            delay_before: millis(400),
            lost_requests: 300,
            lost_replies: 500,
            silences: 200,
            ..Faults::none()
        });
        match guard.release().await {
            Ok(()) | Err(Error::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn a_release_is_not_overtaken_by_what_the_renewer_gives_up() {
    replay(0..300, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let slow = Faults {
            delay_before: millis(100),
            ..Faults::none()
        };
        world.faulty.set_faults(slow);
        let guard = mutexes(&client, millis(600)).lock(1).await.unwrap();
        // Renewals take effect and nobody says so: the renewer gives up when this client's time is over, which at the
        // store it is not.
        world.faulty.set_faults(Faults {
            lost_replies: 1000,
            silences: 1000,
            ..slow
        });
        let last_moment = world.up_to(millis(60));
        while guard.remaining() > last_moment {
            world.env.sleep(millis(2)).await;
        }
        world.faulty.set_faults(slow);
        if !guard.is_held() {
            return;
        }
        if let Err(error) = guard.release().await {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}

#[test]
fn a_release_whose_reply_was_lost_is_released() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        let guard = mutexes(&client, LONGEST_TTL).lock(1).await.unwrap();
        world.faulty.set_faults(LOST_REPLIES);
        let release = world.env.spawn(guard.release());
        world.env.sleep(millis(10)).await;
        assert!(!is_held(&observer, 1).await);
        world.calm();
        release.await.unwrap().unwrap();
    });
}

#[test]
fn a_release_that_was_given_up_or_dropped_is_ended_in_the_background() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        let lock = mutexes(&client, Duration::from_secs(60));
        let guard = lock.lock(1).await.unwrap();
        world.faulty.outage();
        if seed.is_multiple_of(2) {
            assert!(guard.release().await.unwrap_err().is_unavailable());
        } else {
            let dropped = world.env.timeout(world.up_to(millis(400)), guard.release());
            assert!(dropped.await.is_err());
        }
        world.env.sleep(millis(5000)).await;
        assert!(is_held(&observer, 1).await);
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, millis(1000)).await;
    });
}

#[test]
fn a_release_that_came_after_the_leases_end_is_no_loss() {
    replay(0..50, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let guard = mutexes(&client, millis(200)).lock(1).await.unwrap();
        world.faulty.cut(client.node());
        world.env.sleep(millis(170)).await;
        world.faulty.heal(client.node());
        world.faulty.set_faults(Faults {
            delay_before: millis(400),
            ..Faults::none()
        });
        assert!(guard.is_held());
        // It was held, on this clock, until the call: nobody else can have had it before.
        if let Err(error) = guard.release().await {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}
