//! Pushes that come too early, get lost, or come to a subscription that is gone.

use std::time::Duration;

use leasehold_core::replay;
use leasehold_core::store::Faults;
use leasehold_testkit::{RedisServer, wait_until};

use crate::world::{LONG, World, connect, millis, mutexes};

/// Less than a waiter's heartbeat of 5 s: who is served within it was told.
const TOLD: Duration = Duration::from_secs(3);

/// redisson#1763, #5761, #5762: the unlock was published before the waiter's subscription was complete.
#[tokio::test(flavor = "multi_thread")]
async fn l03_unlock_before_subscribe_is_not_lost() {
    const ROUNDS: u64 = 300;
    let server = RedisServer::start();
    let holder = connect(&server.url()).await;
    let mut rng = fastrand::Rng::with_seed(3);
    // A client subscribes to a bucket once: a new one for every hundred names.
    let mut waiter = connect(&server.url()).await;
    for id in 0..ROUNDS {
        if id % 100 == 99 {
            waiter = connect(&server.url()).await;
        }
        let guard = mutexes(&holder, LONG).lock(id).await.unwrap();
        let env = waiter.env().clone();
        let start = env.now();
        let later = Duration::from_micros(rng.u64(0..3000));
        let release = async {
            env.sleep(later).await;
            guard.release().await.unwrap();
        };
        let wait = mutexes(&waiter, LONG).lock_timeout(id, LONG);
        let (got, ()) = tokio::join!(wait, release);
        let took = env.now().since(start);
        assert!(took < TOLD, "{took:?} in round {id}");
        got.unwrap().release().await.unwrap();
    }
}

/// The same, where the message itself was dropped: a delay, and no hang.
#[test]
fn l03_a_dropped_message_costs_a_heartbeat_and_no_more() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let guard = mutexes(&a, LONG).lock(1).await.unwrap();
        world.network.set_faults(Faults {
            lost_pushes: 1000,
            ..Faults::none()
        });
        let waiting = {
            let lock = mutexes(&b, LONG);
            (world.env).spawn(async move { lock.lock_timeout(1, LONG).await })
        };
        world.env.sleep(world.up_to(Duration::from_secs(10))).await;
        let released = world.env.now();
        guard.release().await.unwrap();
        waiting.await.unwrap().unwrap().release().await.unwrap();
        let took = world.env.now().since(released);
        assert!(took <= Duration::from_secs(6), "{took:?}");
    });
}

/// redisson#4064, #3821, #4216, #6026: subscriptions leaked, ran out, or were not restored after a fail-over.
#[tokio::test(flavor = "multi_thread")]
async fn l04_subscriptions_are_few_and_restored_and_given_back() {
    const LOCKS: u64 = 600;
    const BUCKETS: usize = 256;
    let server = RedisServer::start();
    let subscriptions = || {
        let channels = server.command(&["PUBSUB", "SHARDCHANNELS"]);
        channels.lines().filter(|line| !line.is_empty()).count()
    };
    let (holder, waiter) = (connect(&server.url()).await, connect(&server.url()).await);
    let mut guards = Vec::new();
    for id in 0..LOCKS {
        guards.push(mutexes(&holder, LONG).lock(id).await.unwrap());
    }
    let waiting: Vec<_> = (0..LOCKS)
        .map(|id| {
            let lock = mutexes(&waiter, LONG);
            (waiter.env()).spawn(async move { lock.lock_timeout(id, LONG).await })
        })
        .collect();
    // 600 names fall into nearly all buckets; all that wait have subscribed before.
    let most = BUCKETS * 8 / 10;
    wait_until(LONG, "the subscriptions", || subscriptions() >= most);
    let before = subscriptions();
    assert!(before <= BUCKETS, "{before}");

    // As a fail-over does it.
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let back = || subscriptions() >= before;
    wait_until(Duration::from_secs(10), "them to be back", back);
    assert!(subscriptions() <= BUCKETS);
    // Past the look that every reconnect entails.
    waiter.env().sleep(millis(500)).await;
    let released = holder.env().now();
    for guard in guards {
        guard.release().await.unwrap();
    }
    for waiting in waiting {
        drop(waiting.await.unwrap().unwrap());
    }
    let took = holder.env().now().since(released);
    assert!(took < TOLD, "{took:?}");

    waiter.shutdown(TOLD).await;
    drop(waiter);
    wait_until(TOLD, "the subscriptions to end", || subscriptions() == 0);
}
