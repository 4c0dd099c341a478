//! Semaphores: permits that were minted, leaked, starved, stolen or orphaned.

use std::time::Duration;

use leasehold::{Coordinator, LostCause, Permit, Semaphore};
use leasehold_core::replay;
use leasehold_core::store::Faults;
use tokio::task::JoinHandle;

use crate::world::{World, millis};

const TTL: Duration = Duration::from_secs(2);

fn semaphore(coord: &Coordinator, permits: u32) -> Semaphore {
    let semaphore = coord.semaphore("stripe", permits).unwrap();
    semaphore.ttl(TTL).wait(Duration::from_secs(60))
}

fn acquires(world: &World, semaphore: &Semaphore, permits: u32) -> JoinHandle<Permit> {
    let acquiring = semaphore.acquire_many(permits);
    world.env.spawn(async move { acquiring.await.unwrap() })
}

/// What the store has given out, and how many wait there.
async fn out(coord: &Coordinator) -> (u32, usize) {
    let found = semaphore(coord, 1).peek().await.unwrap();
    let weights = found.holders.iter().map(|holder| u32::from(holder.weight));
    (weights.sum(), found.waiters.len())
}

/// All permits that are to be had at once, with none to spare.
async fn assert_there_are(coord: &Coordinator, permits: u32) {
    let all = semaphore(coord, permits).try_acquire_many(permits).await;
    let all = all.unwrap_or_else(|error| panic!("not all of {permits} are there: {error}"));
    let more = semaphore(coord, permits).try_acquire().await;
    assert!(more.is_err(), "there are more than {permits}");
    all.release().await.unwrap();
}

/// redisson#5066: a double release minted permits.
#[test]
fn r01_a_repeated_release_mints_nothing() {
    replay(0..40, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let kept = semaphore(&a, 3).acquire().await.unwrap();
        for _ in 0..6 {
            let permit = semaphore(&a, 3).acquire_many(2).await.unwrap();
            // Its request arrives twice, or its answer is lost and it is sent again; or nobody waits for the answer, and
            // the background sends it again, too.
            world.network.set_faults(Faults {
                duplicates: 500,
                lost_replies: 400,
                late_copies: 500,
                late_by: Duration::from_secs(1),
                ..Faults::none()
            });
            let waits = world.up_to(millis(4));
            let released = world.env.timeout(waits, permit.release()).await;
            drop(released);
            world.env.sleep(millis(700)).await;
            world.network.set_faults(Faults::none());
            world.env.sleep(millis(1500)).await;
            let rest = semaphore(&b, 3).try_acquire_many(2).await.unwrap();
            assert!(semaphore(&b, 3).try_acquire().await.is_err());
            rest.release().await.unwrap();
        }
        assert!(kept.is_held());
        kept.release().await.unwrap();
        assert_there_are(&b, 3).await;
    });
}

/// redisson#2045: permits leaked when their holder crashed.
#[test]
fn r02_the_permits_of_a_crashed_holder_come_back() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let mut lost = Vec::new();
        for permits in [1, 3, 2] {
            lost.push(semaphore(&a, 8).acquire_many(permits).await.unwrap());
        }
        let kept = semaphore(&b, 8).acquire_many(2).await.unwrap();
        let waiting = acquires(&world, &semaphore(&b, 8), 6);
        world.env.sleep(world.up_to(Duration::from_secs(3))).await;
        assert!(!waiting.is_finished());
        // It is never heard of again.
        world.network.cut(a.node());
        let crashed = world.env.now();
        let all = waiting.await.unwrap();
        let took = world.env.now().since(crashed);
        assert!(took <= TTL + millis(200), "{took:?}");
        assert!(lost.iter().all(|permit| !permit.is_held()));
        assert!(all.is_held() && kept.is_held());
        drop((all, kept));
        world.env.sleep(millis(100)).await;
        assert_there_are(&b, 8).await;
    });
}

/// redisson#3573, #6665: starvation, and waiters for several permits that nobody woke.
#[test]
fn r03_who_wants_many_is_woken_and_not_starved() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b, c) = (
            world.client().await,
            world.client().await,
            world.client().await,
        );
        // Small ones that come again and again, here and elsewhere.
        let small = |coord: &Coordinator| {
            let (semaphore, env) = (semaphore(coord, 4), world.env.clone());
            let hold = millis(5 + world.env.random(20));
            world.env.spawn(async move {
                loop {
                    let permit = semaphore.acquire().await.unwrap();
                    env.sleep(hold).await;
                    drop(permit);
                }
            })
        };
        let busy: Vec<_> = (0..12)
            .map(|i| small(if i % 2 == 0 { &a } else { &b }))
            .collect();
        world.env.sleep(world.up_to(millis(300))).await;
        for coord in [&a, &c] {
            for permits in [4, 3, 2] {
                let asked = world.env.now();
                let large = semaphore(coord, 4).acquire_many(permits).await.unwrap();
                let took = world.env.now().since(asked);
                assert!(took <= millis(600), "{permits} took {took:?}");
                large.release().await.unwrap();
            }
        }
        busy.iter().for_each(JoinHandle::abort);
        world.env.sleep(millis(500)).await;
        // One release serves several that wait.
        let all = semaphore(&a, 4).acquire_many(4).await.unwrap();
        let waiting = [
            acquires(&world, &semaphore(&b, 4), 2),
            acquires(&world, &semaphore(&c, 4), 1),
            acquires(&world, &semaphore(&a, 4), 1),
        ];
        world.env.sleep(millis(50)).await;
        all.release().await.unwrap();
        world.env.sleep(millis(50)).await;
        assert!(waiting.iter().all(JoinHandle::is_finished));
    });
}

/// redisson#7329, #7342: a refund was counted twice, and then permits collapsed: two sources of truth.
#[test]
fn r04_what_comes_back_counts_once_also_when_a_lease_ends_at_the_same_time() {
    replay(0..60, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        for _ in 0..4 {
            let max_hold = millis(100) + world.up_to(millis(100));
            let one = semaphore(&a, 4)
                .max_hold(max_hold)
                .acquire_many(2)
                .await
                .unwrap();
            let other = semaphore(&a, 4).acquire().await.unwrap();
            let waiting = acquires(&world, &semaphore(&b, 4), 3);
            // Its guard is dropped about when its time is over, and its client is cut off for about a lease.
            world
                .env
                .sleep(max_hold.saturating_sub(millis(1)) + world.up_to(millis(2)))
                .await;
            let cut = world.env.random(2) == 0;
            if cut {
                world.network.cut(a.node());
            }
            drop(one);
            world.env.sleep(world.up_to(TTL)).await;
            drop(other);
            world.env.sleep(world.up_to(TTL)).await;
            world.network.heal(a.node());
            let theirs = waiting.await.unwrap();
            let (held, _) = out(&b).await;
            assert!((3..=4).contains(&held), "{held}");
            theirs.release().await.unwrap();
            world.env.sleep(TTL * 2).await;
            assert_eq!(out(&b).await, (0, 0));
            assert_there_are(&b, 4).await;
        }
    });
}

/// redis-semaphore (npm): one client's own timeout evicted other clients' live holders.
#[test]
fn r06_a_short_timeout_of_one_client_ends_nobody_else() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b, c) = (
            world.client().await,
            world.client().await,
            world.client().await,
        );
        let kept = semaphore(&a, 3).acquire().await.unwrap();
        // Shorter in every way: its lease, its hold, its wait.
        let short = semaphore(&b, 3).ttl(millis(300)).max_hold(millis(500));
        let beside = semaphore(&a, 3).max_hold(millis(400));
        let (theirs, beside) = (
            short.acquire().await.unwrap(),
            beside.acquire().await.unwrap(),
        );
        let late = semaphore(&c, 3).acquire_timeout(millis(200));
        assert!(late.await.unwrap_err().is_busy());
        assert_eq!(beside.lost().await, LostCause::MaxHold);
        assert_eq!(theirs.lost().await, LostCause::MaxHold);
        world.network.cut(b.node());
        world.env.sleep(TTL * 3).await;
        assert!(kept.is_held());
        assert_eq!(out(&c).await, (1, 0));
        let rest = semaphore(&c, 3).try_acquire_many(2).await.unwrap();
        assert!(semaphore(&c, 3).try_acquire().await.is_err());
        drop((rest, kept));
    });
}

/// redis-semaphore, redisson: a client's fast clock stole permits.
#[test]
fn r07_a_fast_or_slow_clock_of_a_client_steals_nothing() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let fast = world.client_with_drift(5_000).await;
        let slow = world.client_with_drift(-5_000).await;
        let (of_fast, of_slow) = (
            semaphore(&fast, 2).acquire().await.unwrap(),
            semaphore(&slow, 2).acquire().await.unwrap(),
        );
        for _ in 0..10 {
            world.env.sleep(world.up_to(TTL)).await;
            for coord in [&fast, &slow] {
                assert!(semaphore(coord, 2).try_acquire().await.is_err(), "stolen");
            }
            assert!(of_fast.is_held() && of_slow.is_held());
        }
        // Cut off, each says "lost" before the store gives to another what it had.
        let (victim, other, permit) = if seed % 2 == 0 {
            (&fast, &slow, of_fast)
        } else {
            (&slow, &fast, of_slow)
        };
        let waiting = acquires(&world, &semaphore(other, 2), 1);
        world.env.sleep(millis(50)).await;
        world.network.cut(victim.node());
        drop(waiting.await.unwrap());
        assert!(!permit.is_held());
    });
}

/// curator#982, #835, #855: an acquire that was interrupted left an orphan lease.
#[test]
fn r14_an_interrupted_acquire_leaves_nothing() {
    replay(0..60, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let held = semaphore(&b, 4)
            .acquire_many(1 + (seed % 4) as u32)
            .await
            .unwrap();
        world.network.set_faults(Faults {
            delay_before: millis(5),
            delay_after: millis(5),
            lost_replies: 200,
            lost_requests: 200,
            late_copies: 500,
            late_by: millis(500),
            ..Faults::none()
        });
        for _ in 0..6 {
            let asking: Vec<_> = [1, 2, 3, 1]
                .map(|permits| acquires(&world, &semaphore(&a, 4), permits))
                .into();
            for task in asking {
                world.env.sleep(world.up_to(millis(15))).await;
                task.abort();
            }
        }
        drop(held);
        world.network.set_faults(Faults::none());
        // What was on its way has come.
        world.env.sleep(Duration::from_secs(5)).await;
        assert_eq!(out(&b).await, (0, 0));
        assert_there_are(&b, 4).await;
    });
}
