//! The queue: dead waiters, late grants, and who wakes up.

use std::sync::Arc;
use std::time::Duration;

use leasehold::{Coordinator, MutexGuard};
use leasehold_core::replay;
use leasehold_core::store::Faults;
use leasehold_testkit::RedisServer;
use tokio::task::JoinHandle;

use crate::world::{LONG, World, connect, millis, mutexes};

/// redisson#1353, #3004, #3730: each dead waiter at the head cost seconds again and again; live ones were evicted and hung.
#[test]
fn l05_dead_waiters_cost_once_and_live_ones_stay() {
    /// A heartbeat until somebody looks, and a claim window of a second for each of the two.
    const ONCE: Duration = millis(7300);
    const AT_ONCE: Duration = millis(20);
    replay(0..10, async |seed| {
        let world = World::new(seed);
        let (holder, first, second) = (
            world.client().await,
            world.client().await,
            world.client().await,
        );
        let guard = mutexes(&holder, LONG).lock(1).await.unwrap();
        for _ in 0..2 {
            let dead = world.client().await;
            wait(&world, &dead).await;
            world.network.cut(dead.node());
        }
        let first = wait(&world, &first).await;
        let second = wait(&world, &second).await;
        world.env.sleep(world.up_to(Duration::from_secs(6))).await;

        // Just died: each is given its turn, and time to take it.
        let (guard, took) = handed_over(&world, guard, first).await;
        assert!(took <= ONCE, "{took:?}");
        // Not again.
        let (guard, took) = handed_over(&world, guard, second).await;
        assert!(took <= AT_ONCE, "{took:?}");

        // Long dead: not even once. And whoever has waited for minutes is still there.
        let dead = world.client().await;
        wait(&world, &dead).await;
        world.network.cut(dead.node());
        let third = wait(&world, &holder).await;
        world.env.sleep(Duration::from_secs(300)).await;
        let (_guard, took) = handed_over(&world, guard, third).await;
        assert!(took <= AT_ONCE, "{took:?}");
    });
}

type Waiting = JoinHandle<MutexGuard>;

/// A waiter that stands in the queue.
async fn wait(world: &World, client: &Coordinator) -> Waiting {
    let lock = mutexes(client, LONG).lock_timeout(1, LONG * 10);
    let waiting = world.env.spawn(async move { lock.await.unwrap() });
    world.env.sleep(millis(10)).await;
    waiting
}

/// How long it takes from this release to that grant.
async fn handed_over(world: &World, from: MutexGuard, to: Waiting) -> (MutexGuard, Duration) {
    let released = world.env.now();
    from.release().await.unwrap();
    let guard = to.await.unwrap();
    assert!(guard.is_held());
    (guard, world.env.now().since(released))
}

/// etcd#11456: a waiter was granted after its own lease had died.
#[test]
fn l20_a_waiter_that_was_away_is_not_granted_what_passed_on() {
    replay(0..40, async |seed| {
        let world = World::new(seed);
        let (holder, away, next) = (
            world.client().await,
            world.client().await,
            world.client().await,
        );
        let guard = mutexes(&holder, LONG).lock(1).await.unwrap();
        let waiting = wait(&world, &away).await;
        let behind = wait(&world, &next).await;
        // Granted while it is cut off, or told of it when the turn is over.
        if seed % 2 == 0 {
            world.network.cut(away.node());
        } else {
            world.network.set_faults(Faults {
                push_delay: Duration::from_secs(4),
                ..Faults::none()
            });
        }
        guard.release().await.unwrap();
        world.env.sleep(Duration::from_secs(3)).await;
        world.network.heal(away.node());
        world.env.sleep(Duration::from_secs(10)).await;
        // One of the two has it; if that is the one behind, the one that was away still waits.
        let (first, second) = if behind.is_finished() {
            (behind, waiting)
        } else {
            assert!(seed % 2 == 1, "the one that was cut off has it");
            (waiting, behind)
        };
        let guard = first.await.unwrap();
        assert!(guard.is_held() && !second.is_finished());
        let fence = guard.fence();
        let (guard, _) = handed_over(&world, guard, second).await;
        assert!(guard.fence() > fence);
    });
}

/// consul#7523: every waiter woke at each release.
#[tokio::test(flavor = "multi_thread")]
async fn l24_a_release_wakes_one_waiter() {
    const WAITERS: usize = 24;
    let server = RedisServer::start();
    // Scripts, and what else a waiter could look with.
    let requests = || -> u64 {
        let stats = server.command(&["INFO", "commandstats"]);
        let calls = stats.lines().filter_map(|line| {
            let (command, stats) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = stats.strip_prefix("calls=")?.split(',').next()?;
            (["eval", "evalsha", "fcall"].contains(&command)).then(|| calls.parse::<u64>().unwrap())
        });
        calls.sum()
    };
    let (holder, a, b) = (
        connect(&server.url()).await,
        connect(&server.url()).await,
        connect(&server.url()).await,
    );
    let guard = mutexes(&holder, LONG).lock(1).await.unwrap();
    let env = holder.env().clone();
    let served = Arc::new(tokio::sync::Semaphore::new(0));
    for number in 0..WAITERS {
        let (lock, served) = (mutexes([&a, &b][number % 2], LONG), Arc::clone(&served));
        env.spawn(async move {
            let guard = lock.lock_timeout(1, LONG).await.unwrap();
            served.add_permits(1);
            // It keeps it: one release is what is counted.
            std::future::pending::<()>().await;
            drop(guard);
        });
    }
    // All stand in the queue when nobody asks any more.
    let mut before = requests();
    loop {
        env.sleep(millis(300)).await;
        let now = requests();
        if now == before {
            break;
        }
        before = now;
    }
    let before = requests();
    guard.release().await.unwrap();
    drop(served.acquire().await.unwrap());
    env.sleep(millis(300)).await;
    // The release, the next one's confirmation, its claim, and a heartbeat or two of somebody.
    let made = requests() - before;
    assert!(made <= 8, "{made} requests for one release");
}
