//! Read-write locks on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{TTL, World, ms};
use leasehold_core::name::Namespace;
use leasehold_core::protocol::{Acquire, Capacity, Op, Phase, Record, Rid, Weight};
use leasehold_core::store::{Connector as _, EventSender, Faults, LeaseCall, Session};
use leasehold_core::{
    Coordinator, Error, Fairness, Fence, GrantId, LostCause, NodeId, ReadGuard, RwLocks, WriteGuard,
};

fn locks(node: &Coordinator) -> RwLocks {
    let locks = node.rw_locks("page").unwrap().ttl(TTL);
    locks.wait(Duration::from_secs(60))
}

async fn record(node: &Coordinator) -> Record {
    let name = locks(node).name(7).unwrap();
    node.record(&name).await.unwrap().value.unwrap_or_default()
}

async fn holders(node: &Coordinator) -> usize {
    let record = record(node).await;
    record.entries.iter().filter(|entry| entry.holds()).count()
}

/// Waits until so many stand in the store's queue.
async fn until_queued(node: &Coordinator, count: usize) {
    let until = node.env().now() + Duration::from_secs(5);
    loop {
        let record = record(node).await;
        let waiting = record.entries.iter().filter(|e| e.phase == Phase::Waiting);
        if waiting.count() >= count {
            return;
        }
        assert!(node.env().now() < until, "{record:?}");
        node.env().sleep(ms(1)).await;
    }
}

/// Reads in a task of its own.
fn reads(locks: &RwLocks, node: &Coordinator) -> tokio::task::JoinHandle<ReadGuard> {
    let locks = locks.clone();
    node.env()
        .spawn(async move { locks.read(7).await.unwrap() })
}

fn writes(locks: &RwLocks, node: &Coordinator) -> tokio::task::JoinHandle<WriteGuard> {
    let locks = locks.clone();
    node.env()
        .spawn(async move { locks.write(7).await.unwrap() })
}

async fn assert_at_rest(world: &World, nodes: &[&Coordinator]) {
    world.env.sleep(ms(500)).await;
    for node in nodes {
        let health = node.health();
        let left = (health.held, health.waiting, health.lines, health.unreleased);
        assert_eq!(left, (0, 0, 0, 0));
        assert_eq!(record(node).await.entries.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_share_it_and_a_writer_has_it_alone() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let (one, other) = (
        locks(&a).read(7).await.unwrap(),
        locks(&b).read(7).await.unwrap(),
    );
    assert!(one.is_held() && other.is_held());
    for node in [&a, &b] {
        let error = locks(node).try_write(7).await.unwrap_err();
        assert!(error.is_busy(), "{error}");
    }
    one.release().await.unwrap();
    assert!(locks(&a).try_write(7).await.unwrap_err().is_busy());
    other.release().await.unwrap();
    let writer = locks(&a).try_write(7).await.unwrap();
    for node in [&a, &b] {
        let error = locks(node).try_read(7).await.unwrap_err();
        assert!(error.is_busy(), "{error}");
        assert!(locks(node).try_write(7).await.unwrap_err().is_busy());
    }
    // Others of the class are others.
    drop(locks(&b).try_write(8).await.unwrap());
    writer.release().await.unwrap();
    drop(locks(&b).try_read(7).await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn readers_and_writers_of_several_clients_stand_in_one_queue() {
    let world = World::new();
    let nodes = [
        world.node("a").await,
        world.node("b").await,
        world.node("c").await,
        world.node("d").await,
    ];
    let first = locks(&nodes[0]).read(7).await.unwrap();
    let writer = writes(&locks(&nodes[1]), &nodes[1]);
    until_queued(&nodes[0], 1).await;
    let mut behind = Vec::new();
    for (count, node) in nodes[2..].iter().enumerate() {
        behind.push(reads(&locks(node), node));
        until_queued(node, 2 + count).await;
    }
    assert!(locks(&nodes[3]).try_read(7).await.unwrap_err().is_busy());
    drop(first);
    let writing = writer.await.unwrap();
    world.env.sleep(ms(100)).await;
    assert!(behind.iter().all(|reader| !reader.is_finished()));
    writing.release().await.unwrap();
    let mut reading = Vec::new();
    for reader in behind {
        reading.push(reader.await.unwrap());
    }
    // Both at once.
    assert!(reading.iter().all(|guard| guard.is_held()));
    assert_eq!(holders(&nodes[0]).await, 2);
    drop(reading);
    assert_at_rest(&world, &[&nodes[0], &nodes[3]]).await;
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_client_are_one_entry_of_the_store_that_lasts_as_long_as_one_of_them() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let first = locks(&a).read(7).await.unwrap();
    // Whatever is sent from here on is lost: who joins asks nobody.
    world.store.cut(a.node());
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(locks(&a).read(7).await.unwrap());
    }
    let before = world.env.now();
    first.release().await.unwrap();
    assert_eq!(world.env.now(), before);
    world.store.heal(a.node());
    let mut ids: Vec<_> = others.iter().map(|guard| guard.grant_id().get()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert_eq!(holders(&b).await, 1);
    // Renewed for all.
    world.env.sleep(TTL * 3).await;
    let last = others.pop().unwrap();
    for guard in others {
        guard.release().await.unwrap();
        assert!(last.is_held());
    }
    assert_eq!(holders(&b).await, 1);
    assert!(locks(&b).try_write(7).await.unwrap_err().is_busy());
    last.release().await.unwrap();
    assert_eq!(holders(&b).await, 0);
    drop(locks(&b).try_write(7).await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_once_somebody_waits_elsewhere() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let first = locks(&a).read(7).await.unwrap();
    let writer = writes(&locks(&b), &b);
    first.contended().await;
    // The next one stands behind the writer, and so do those after it, while the first one goes on.
    let late = reads(&locks(&a), &a);
    until_queued(&a, 2).await;
    let later = reads(&locks(&a), &a);
    world.env.sleep(TTL * 2).await;
    assert!(first.is_held());
    assert!(!writer.is_finished() && !late.is_finished() && !later.is_finished());
    first.release().await.unwrap();
    let writing = writer.await.unwrap();
    world.env.sleep(ms(50)).await;
    assert!(!late.is_finished());
    drop(writing);
    let (late, later) = (late.await.unwrap(), later.await.unwrap());
    assert!(late.is_held() && later.is_held());
    assert_eq!(holders(&b).await, 1);
    drop((late, later));
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_of_the_same_client_is_heard_of_without_a_push() {
    let world = World::new();
    let a = world.node("a").await;
    world.store.set_faults(Faults {
        lost_pushes: 1000,
        ..Faults::none()
    });
    let first = locks(&a).read(7).await.unwrap();
    let writer = writes(&locks(&a), &a);
    until_queued(&a, 1).await;
    assert!(first.is_contended());
    let late = reads(&locks(&a), &a);
    world.env.sleep(ms(100)).await;
    assert!(!late.is_finished());
    world.store.set_faults(Faults::none());
    drop(first);
    drop(writer.await.unwrap());
    drop(late.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn readers_that_wait_together_read_together() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let writing = locks(&b).write(7).await.unwrap();
    let readers: Vec<_> = (0..5).map(|_| reads(&locks(&a), &a)).collect();
    until_queued(&a, 1).await;
    // Behind them: their lease is contended from its start.
    let next = writes(&locks(&b), &b);
    world.env.sleep(ms(50)).await;
    writing.release().await.unwrap();
    let mut reading = Vec::new();
    for reader in readers {
        reading.push(reader.await.unwrap());
    }
    assert!(reading.iter().all(|guard| guard.is_held()));
    assert_eq!(holders(&a).await, 1);
    assert!(!next.is_finished());
    drop(reading);
    drop(next.await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

/// A block has numbers for those who waited and for some more; who comes after them asks the store for new ones.
#[tokio::test(start_paused = true)]
async fn any_number_of_readers_of_a_client_get_in() {
    let world = World::new();
    let a = world.node("a").await;
    let mut reading = Vec::new();
    for _ in 0..100 {
        let before = world.env.now();
        reading.push(locks(&a).read(7).await.unwrap());
        assert_eq!(world.env.now(), before);
    }
    let mut ids: Vec<_> = reading.iter().map(|guard| guard.grant_id().get()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    let entries = holders(&a).await;
    assert!((2..10).contains(&entries), "{entries}");
    assert!(reading.iter().all(|guard| guard.is_held()));
    drop(reading);
    assert_at_rest(&world, &[&a]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_past_its_max_hold_is_lost_by_itself() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let short = locks(&a).max_hold(ms(700)).read(7).await.unwrap();
    let long = locks(&a).read(7).await.unwrap();
    assert_eq!(holders(&a).await, 1);
    assert_eq!(short.lost().await, LostCause::MaxHold);
    world.env.sleep(TTL * 2).await;
    assert!(long.is_held());
    assert!(locks(&b).try_write(7).await.unwrap_err().is_busy());
    let late = short.release().await.unwrap_err();
    assert!(late.is_lost(), "{late}");
    assert!(long.is_held());
    long.release().await.unwrap();
    drop(locks(&b).try_write(7).await.unwrap());

    // If all that are left outstay their time, the lease ends.
    let (one, other) = (
        locks(&a).max_hold(ms(200)).read(7).await.unwrap(),
        locks(&a).max_hold(ms(300)).read(7).await.unwrap(),
    );
    let ended = locks(&a).read(7).await.unwrap();
    drop(ended);
    world.env.sleep(ms(320)).await;
    assert_eq!(holders(&b).await, 0);
    drop(locks(&b).try_write(7).await.unwrap());
    assert!(!one.is_held() && !other.is_held());
    // One that comes after that has one of its own.
    let next = locks(&a).read(7).await.unwrap();
    drop((one, other));
    world.env.sleep(TTL).await;
    assert!(next.is_held());
    drop(next);
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_would_wait_for_itself_is_told_at_once() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let locks_a = locks(&a);
    let told = |error: Error| match error {
        Error::Relock(relock) => {
            assert!(relock.to_string().contains("tests/rwlock.rs"), "{relock}");
            (relock.held_at.line(), relock.asked_at.line())
        }
        other => panic!("{other}"),
    };
    let before = world.env.now();
    // Reads and asks to write.
    let reading = locks_a.read(7).await.unwrap();
    let (held_at, asked_at) = told(locks_a.write(7).await.unwrap_err());
    assert_eq!(held_at + 1, asked_at);
    // The same through the mutexes of that class, whose lock it is.
    told(a.mutexes("page").unwrap().lock(7).await.unwrap_err());
    // A try would not wait.
    assert!(locks_a.try_write(7).await.unwrap_err().is_busy());
    // Reading again is no wait, until a writer waits.
    drop(locks_a.read(7).await.unwrap());
    let writer = writes(&locks(&b), &b);
    until_queued(&a, 1).await;
    world.env.sleep(ms(5)).await;
    told(locks_a.read(7).await.unwrap_err());
    // Behind another one of its client.
    let other = reads(&locks_a, &a);
    until_queued(&a, 2).await;
    told(locks_a.read(7).await.unwrap_err());
    let other_writer = writes(&locks_a, &a);
    until_queued(&a, 3).await;
    told(locks_a.write(7).await.unwrap_err());
    drop(reading);
    drop(writer.await.unwrap());
    drop(other.await.unwrap());
    drop(other_writer.await.unwrap());
    // Writes and asks to read, or to write.
    let writing = locks_a.write(7).await.unwrap();
    told(locks_a.read(7).await.unwrap_err());
    told(locks_a.write(7).await.unwrap_err());
    // Who says so may wait for itself.
    let shared = locks_a.clone().allow_same_task();
    let busy = shared.read_timeout(7, ms(100)).await.unwrap_err();
    assert!(busy.is_busy());
    writing.release().await.unwrap();
    assert!(world.env.now().since(before) < ms(300));
    assert_at_rest(&world, &[&a, &b]).await;
}

/// A pushed grant does not say whether others wait: who comes before its claim is answered waits for that.
#[tokio::test(start_paused = true)]
async fn a_task_that_reads_again_before_its_claim_is_answered_is_told_if_a_writer_waits() {
    let cases = [(TTL, false), (TTL, true), (ms(900), false), (ms(900), true)];
    for (ttl, a_writer_waits) in cases {
        let world = World::new();
        let (a, b, c) = (
            world.node("a").await,
            world.node("b").await,
            world.node("c").await,
        );
        let writing = locks(&b).write(7).await.unwrap();
        let (locks_a, node) = (locks(&a).ttl(ttl), a.clone());
        let twice = world.env.spawn(async move {
            let first = locks_a.read(7).await.unwrap();
            // Another task comes between.
            let other = reads(&locks_a, &node);
            tokio::task::yield_now().await;
            let second = locks_a.read(7).await;
            first.check().unwrap();
            (second, other)
        });
        until_queued(&a, 1).await;
        let next = a_writer_waits.then(|| writes(&locks(&c), &c));
        world.env.sleep(ms(20)).await;
        world.store.set_faults(Faults {
            delay_after: ms(30),
            ..Faults::none()
        });
        drop(writing);
        let before = world.env.now();
        let (second, other) = twice.await.unwrap();
        assert!(world.env.now().since(before) < ms(200));
        match second {
            Ok(second) => assert!(!a_writer_waits && second.is_held()),
            Err(error) => {
                assert!(
                    a_writer_waits && matches!(error, Error::Relock(_)),
                    "{error}"
                );
            }
        }
        if let Some(next) = next {
            drop(next.await.unwrap());
        }
        drop(other.await.unwrap());
    }
}

/// The push that a writer waits may overtake the answer to the reader's own request.
#[tokio::test(start_paused = true)]
async fn nobody_joins_if_a_writer_came_while_the_grant_was_on_its_way() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    // From its first wait on each hears pushes.
    let guard = locks(&a).write(7).await.unwrap();
    let waiting = writes(&locks(&b), &b);
    until_queued(&b, 1).await;
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap();
    let waiting = reads(&locks(&a), &a);
    until_queued(&a, 1).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
    world.store.set_faults(Faults {
        delay_after: ms(200),
        ..Faults::none()
    });
    let reading = reads(&locks(&a), &a);
    world.env.sleep(ms(1)).await;
    world.store.set_faults(Faults::none());
    let writer = writes(&locks(&b), &b);
    until_queued(&b, 1).await;
    assert!(!reading.is_finished(), "the answer is on its way");
    let reading = reading.await.unwrap();
    let busy = locks(&a).try_read(7).await.unwrap_err();
    assert!(busy.is_busy());
    reading.release().await.unwrap();
    drop(writer.await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

/// Reading again what it reads is no wait for itself while no writer waits, also if another of its client asks just then.
#[tokio::test(start_paused = true)]
async fn a_task_that_reads_again_while_another_asks_is_told_only_if_a_writer_waits() {
    for a_writer_waits in [false, true] {
        let world = World::new();
        let (a, b) = (world.node("a").await, world.node("b").await);
        // Each reader has a lease of its own: the second one asks the store.
        let locks_a = locks(&a).fairness(Fairness::Strict);
        let first = locks_a.read(7).await.unwrap();
        let writer = a_writer_waits.then(|| writes(&locks(&b), &b));
        if a_writer_waits {
            until_queued(&b, 1).await;
        }
        world.store.set_faults(Faults {
            delay_before: ms(30),
            delay_after: ms(30),
            ..Faults::none()
        });
        let other = reads(&locks_a, &a);
        tokio::task::yield_now().await;
        let before = world.env.now();
        let again = locks_a.read(7).await;
        assert!(world.env.now().since(before) < ms(300));
        match again {
            Ok(again) => assert!(!a_writer_waits && again.is_held()),
            Err(Error::Relock(_)) => assert!(a_writer_waits, "nobody writes"),
            Err(error) => panic!("{error}"),
        }
        first.release().await.unwrap();
        if let Some(writer) = writer {
            drop(writer.await.unwrap());
        }
        drop(other.await.unwrap());
        world.store.set_faults(Faults::none());
        assert_at_rest(&world, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mutex_of_the_same_name_is_a_writer() {
    let world = World::new();
    let (a, b, c, d) = (
        world.node("a").await,
        world.node("b").await,
        world.node("c").await,
        world.node("d").await,
    );
    let mutexes = |node: &Coordinator| node.mutexes("page").unwrap().ttl(TTL);
    let held = mutexes(&a).lock(7).await.unwrap();
    assert!(locks(&b).try_read(7).await.unwrap_err().is_busy());
    assert!(locks(&a).try_read(7).await.unwrap_err().is_busy());
    held.release().await.unwrap();
    let (one, other) = (
        locks(&b).read(7).await.unwrap(),
        locks(&c).read(7).await.unwrap(),
    );
    assert!(mutexes(&a).try_lock(7).await.unwrap_err().is_busy());
    // One that waits makes nothing of it smaller: those behind it still read together.
    let waiting = mutexes(&a);
    let waiting = a.env().spawn(async move { waiting.lock(7).await.unwrap() });
    tokio::join!(one.contended(), other.contended());
    let behind = [reads(&locks(&b), &b), reads(&locks(&c), &c)];
    until_queued(&a, 3).await;
    drop((one, other));
    let held = waiting.await.unwrap();
    let again = mutexes(&d);
    let again = d.env().spawn(async move { again.lock(7).await.unwrap() });
    until_queued(&a, 3).await;
    held.release().await.unwrap();
    let mut reading = Vec::new();
    for reader in behind {
        reading.push(reader.await.unwrap());
    }
    assert!(reading.iter().all(|guard| guard.is_held()));
    drop(reading);
    drop(again.await.unwrap());
    assert_at_rest(&world, &[&a, &b, &c, &d]).await;
}

/// Readers come all the time, from two clients, each before the last one of its client goes. A writer gets in.
#[tokio::test(start_paused = true)]
async fn a_stream_of_readers_does_not_starve_a_writer() {
    const HOLD: Duration = ms(200);
    let world = World::new();
    let nodes = [world.node("a").await, world.node("b").await];
    let over = Arc::new(AtomicBool::new(false));
    let mut streams = Vec::new();
    for node in &nodes {
        for number in 0..4 {
            let (locks, env, over) = (locks(node), world.env.clone(), Arc::clone(&over));
            streams.push(world.env.spawn(async move {
                env.sleep(HOLD / 4 * number).await;
                while !over.load(Ordering::Relaxed) {
                    let guard = locks.read(7).await.unwrap();
                    env.sleep(HOLD).await;
                    drop(guard);
                }
            }));
        }
    }
    world.env.sleep(ms(1000)).await;
    for node in [&nodes[0], &world.node("c").await] {
        for _ in 0..5 {
            let before = world.env.now();
            let guard = locks(node).write(7).await.unwrap();
            let waited = world.env.now().since(before);
            // Those who read when it came, and nobody else.
            assert!(waited <= HOLD + ms(20), "{waited:?}");
            world.env.sleep(ms(10)).await;
            guard.release().await.unwrap();
            world.env.sleep(ms(300)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    assert_at_rest(&world, &[&nodes[0], &nodes[1]]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_writers_does_not_starve_a_reader() {
    const HOLD: Duration = ms(50);
    let world = World::new();
    let nodes = [world.node("a").await, world.node("b").await];
    let over = Arc::new(AtomicBool::new(false));
    let mut streams = Vec::new();
    for node in &nodes {
        for _ in 0..4 {
            let (locks, env, over) = (locks(node), world.env.clone(), Arc::clone(&over));
            streams.push(world.env.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let guard = locks.write(7).await.unwrap();
                    env.sleep(HOLD).await;
                    drop(guard);
                }
            }));
        }
    }
    world.env.sleep(ms(1000)).await;
    for node in [&nodes[0], &world.node("c").await] {
        for _ in 0..5 {
            let before = world.env.now();
            let guard = locks(node).read(7).await.unwrap();
            let waited = world.env.now().since(before);
            // A visit of each client, of the tasks that waited at its start.
            assert!(waited <= HOLD * 4 * 2 + ms(20), "{waited:?}");
            drop(guard);
            world.env.sleep(ms(300)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    assert_at_rest(&world, &[&nodes[0], &nodes[1]]).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_lost_for_all_who_share_it_and_nobody_joins_it() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let (one, other) = (
        locks(&a).read(7).await.unwrap(),
        locks(&a).read(7).await.unwrap(),
    );
    world.store.cut(a.node());
    let cause = one.lost().await;
    assert_eq!((cause, other.lost().await), (LostCause::Unreachable, cause));
    let lost = one.check().unwrap_err();
    assert_eq!((lost.fence, lost.grant_id), (None, one.grant_id()));
    let error = locks(&a).try_read(7).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let writing = locks(&b).write(7).await.unwrap();
    world.store.heal(a.node());
    let late = reads(&locks(&a), &a);
    world.env.sleep(ms(100)).await;
    assert!(!late.is_finished());
    writing.release().await.unwrap();
    let late = late.await.unwrap();
    // The late end of the ones does not end the other.
    drop((one, other));
    world.env.sleep(TTL * 2).await;
    assert!(late.is_held());
    drop(late);
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_lease_takes_no_more_readers_and_ends_after_its_grace() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let (one, other) = (
        locks(&a).read(7).await.unwrap(),
        locks(&a).read(7).await.unwrap(),
    );
    let name = locks(&b).name(7).unwrap();
    assert_eq!(b.revoke(&name, "maintenance", TTL).await.unwrap(), 1);
    assert_eq!(one.revoked().await.reason, "maintenance");
    let late = locks(&a).read(7).await.unwrap();
    assert_eq!(holders(&b).await, 2);
    assert_eq!(one.lost().await, LostCause::Revoked);
    assert!(!other.is_held() && late.is_held());
    drop((one, other, late));
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn strict_readers_stand_at_the_store_one_by_one() {
    let world = World::new();
    let a = world.node("a").await;
    let strict = locks(&a).fairness(Fairness::Strict);
    let mut reading = Vec::new();
    for _ in 0..3 {
        reading.push(strict.read(7).await.unwrap());
    }
    assert_eq!(holders(&a).await, 3);
    drop(reading);
    assert_at_rest(&world, &[&a]).await;
}

/// Dropped at any await, a call leaves nothing; those who share with it go on.
#[tokio::test(start_paused = true)]
async fn calls_that_are_dropped_leave_nothing() {
    for seed in 0..40 {
        let world = World::of(seed);
        let (a, b) = (world.node("a").await, world.node("b").await);
        world.store.set_faults(Faults::mild());
        let mut tasks = Vec::new();
        for number in 0..24_u64 {
            let node = if number % 2 == 0 { &a } else { &b };
            let (locks, env) = (locks(node), world.env.clone());
            tasks.push(world.env.spawn(async move {
                env.sleep(Duration::from_micros(env.random(200_000))).await;
                let patience = Duration::from_micros(env.random(60_000));
                let work = Duration::from_micros(env.random(20_000));
                let call = async {
                    if number % 3 == 0 {
                        let guard = locks.write(7).await?;
                        env.sleep(work).await;
                        guard.release().await
                    } else {
                        let guard = locks.read(7).await?;
                        env.sleep(work).await;
                        guard.release().await
                    }
                };
                drop(env.timeout(patience, call).await);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        world.store.set_faults(Faults::none());
        world.env.sleep(Duration::from_secs(3)).await;
        drop(locks(&a).try_write(7).await.unwrap());
        world.env.sleep(Duration::from_secs(130)).await;
        assert_at_rest(&world, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_until_his_signal_waits_no_longer() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let writing = locks(&b).write(7).await.unwrap();
    let (env, before) = (&world.env, world.env.now());
    // Longer than a round in the queue.
    let long = Duration::from_secs(1500);
    let error = locks(&a).read_until(7, env.sleep(long)).await.unwrap_err();
    assert!(matches!(&error, Error::Cancelled { name } if name.as_str() == "page/7"));
    let error = locks(&a).write_until(7, env.sleep(ms(50))).await;
    assert!(matches!(error, Err(Error::Cancelled { .. })));
    let mutexes = a.mutexes("page").unwrap();
    let error = mutexes.lock_until(7, async {}).await;
    assert!(matches!(error, Err(Error::Cancelled { .. })));
    let waited = env.now().since(before);
    assert!(waited >= long && waited < long + ms(100), "{waited:?}");
    // Not even a store that went away ends the wait.
    let patient = locks(&a);
    let never = std::future::pending();
    let patient = env.spawn(async move { patient.read_until(7, never).await.unwrap() });
    env.sleep(ms(100)).await;
    world.store.outage();
    env.sleep(Duration::from_secs(30)).await;
    world.store.recover();
    drop(writing);
    drop(patient.await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn closures_read_and_write_and_borrow_locals_of_a_spawned_task() {
    let world = World::new();
    let a = world.node("a").await;
    let (pages, env) = (locks(&a), world.env.clone());
    let task = a.env().spawn(async move {
        let text = String::from("page");
        let read = pages.with_read(7, async |shared| {
            env.sleep(ms(1)).await;
            (shared.grant_id(), text.len())
        });
        let (grant, length): (GrantId, usize) = read.await?;
        let written = pages.with_write(7, async |lease| {
            env.sleep(ms(1)).await;
            (lease.fence(), &text)
        });
        let (fence, same): (Fence, &String) = written.await?;
        assert_eq!((length, same), (4, &text));
        assert!(fence.get() > grant.get());
        Ok::<_, Error>(())
    });
    task.await.unwrap().unwrap();
    assert_at_rest(&world, &[&a]).await;
}

#[test]
fn guards_and_their_futures_can_be_sent() {
    fn sent<T: Send + 'static>(_: &T) {}
    fn guard<T: Send + Sync + 'static>() {}
    guard::<ReadGuard>();
    guard::<WriteGuard>();
    guard::<leasehold_core::MutexGuard>();
    guard::<leasehold_core::Leadership>();
    let futures = |locks: RwLocks, mutexes: leasehold_core::Mutexes| {
        sent(&locks.read("x".to_owned()));
        sent(&locks.read_timeout(1, TTL));
        sent(&locks.try_read(1));
        sent(&locks.read_until(1, async {}));
        sent(&locks.write(1));
        sent(&locks.write_timeout(1, TTL));
        sent(&locks.try_write(1));
        sent(&locks.write_until(1, std::future::pending()));
        sent(&mutexes.lock_until(1, async {}));
    };
    let _ = futures;
}

/// Of what is too small for it a reader is told at once, and not when its wait is over; also if it becomes too small while
/// it stands in the queue.
#[tokio::test(start_paused = true)]
async fn what_could_never_be_granted_is_told_at_once() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let (events, _events) = tokio::sync::mpsc::unbounded_channel();
    let session = Session {
        namespace: Namespace::new("test").unwrap(),
        node: NodeId::new(world.env.uuid()),
        env: world.env.clone(),
        events: EventSender::new(events),
        connect_timeout: TTL,
        request_timeout: TTL,
    };
    let raw = world.behind.open(&session).await.unwrap();
    // Another kind of lock of the same name, which takes it to have nothing to share.
    let whole = |seq| {
        Op::Acquire(Acquire {
            rid: Rid {
                node: session.node,
                seq,
            },
            not_after_us: a.store_now().lease_us + 60_000_000,
            weight: Weight::All,
            capacity: Capacity {
                size: 0,
                revision: 1,
            },
            ttl_us: 60_000_000,
            wait: true,
            want: 1,
            seen: 0,
            label: "other".into(),
        })
    };
    let name = locks(&a).name(7).unwrap();
    let call = |op| LeaseCall {
        name: name.clone(),
        op,
    };
    let told = |error: Error| {
        assert!(matches!(error, Error::TooHeavy(_)), "{error}");
        assert!(error.to_string().contains("capacity of 0"), "{error}");
    };
    let writing = locks(&b).write(7).await.unwrap();
    let queued = locks(&a);
    let queued = (world.env).spawn(async move { queued.read(7).await.unwrap_err() });
    until_queued(&a, 1).await;
    raw.leases.execute(&[call(whole(1))]).await.unwrap();
    let asked = world.env.now();
    told(locks(&a).ttl(TTL * 2).read(7).await.unwrap_err());
    assert_eq!(world.env.now(), asked);
    // It asks again at a heartbeat.
    told(queued.await.unwrap());
    assert!(world.env.now().since(asked) <= Duration::from_secs(6));
    drop(writing);
    assert_eq!(a.health().lines, 0);
}

/// What stands in the store: a reader is a unit, a writer all.
#[tokio::test(start_paused = true)]
async fn a_reader_weighs_one_unit_and_a_writer_all() {
    let world = World::new();
    let a = world.node("a").await;
    let reading = locks(&a).read(7).await.unwrap();
    assert_eq!(record(&a).await.entries[0].weight, Weight::ONE);
    let seen = locks(&a).peek(7).await.unwrap();
    assert_eq!(seen.holders[0].fence, None);
    reading.release().await.unwrap();
    let writing = locks(&a).write(7).await.unwrap();
    assert_eq!(record(&a).await.entries[0].weight, Weight::All);
    let seen = locks(&a).peek(7).await.unwrap();
    assert_eq!(seen.holders[0].fence, Some(writing.fence()));
}
