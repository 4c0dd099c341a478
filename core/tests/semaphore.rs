//! Semaphores on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::counting::Counting;
use common::{TTL, World, ms};
use leasehold_core::protocol::{Phase, Record, Weight};
use leasehold_core::store::{Faults, MemoryStore};
use leasehold_core::{
    Coordinator, Env, Error, Inspection, LostCause, Permit, PermitsError, Semaphore, Semaphores,
};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);

fn semaphore(node: &Coordinator, permits: u32) -> Semaphore {
    let semaphore = node.semaphore("stripe", permits).unwrap();
    semaphore.ttl(TTL).wait(LONG)
}

async fn record(node: &Coordinator) -> Record {
    let name = semaphore(node, 1).name().unwrap();
    node.record(&name).await.unwrap().value.unwrap_or_default()
}

fn units(weight: Weight) -> u32 {
    weight.into()
}

/// What each holder of the store has.
async fn weights(node: &Coordinator) -> Vec<u32> {
    let record = record(node).await;
    let holders = record.entries.iter().filter(|entry| entry.holds());
    holders.map(|entry| units(entry.weight)).collect()
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

/// Waits until so many tasks of this client wait.
async fn until_waiting(node: &Coordinator, count: usize) {
    let until = node.env().now() + Duration::from_secs(5);
    while node.health().waiting < count {
        assert!(node.env().now() < until, "{:?}", node.health());
        node.env().sleep(ms(1)).await;
    }
}

/// Acquires in a task of its own.
fn acquires(semaphore: &Semaphore, env: &Env, permits: u32) -> JoinHandle<Permit> {
    let semaphore = semaphore.clone();
    env.spawn(async move { semaphore.acquire_many(permits).await.unwrap() })
}

async fn assert_at_rest(world: &World, nodes: &[&Coordinator]) {
    world.env.sleep(ms(500)).await;
    for node in nodes {
        let health = node.health();
        let left = (health.held, health.waiting, health.lines, health.unreleased);
        assert_eq!(left, (0, 0, 0, 0));
        assert_eq!(record(node).await.entries, []);
    }
}

#[tokio::test(start_paused = true)]
async fn permits_are_shared_by_number_and_not_one_more() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let one = semaphore(&a, 5).acquire().await.unwrap();
    let three = semaphore(&b, 5).acquire_many(3).await.unwrap();
    let last = semaphore(&a, 5).try_acquire().await.unwrap();
    assert_eq!((one.permits(), three.permits()), (1, 3));
    assert_eq!(weights(&a).await, [2, 3]);
    for node in [&a, &b] {
        let error = semaphore(node, 5).try_acquire().await.unwrap_err();
        assert!(error.is_busy(), "{error}");
        let short = semaphore(node, 5).acquire_timeout(ms(300));
        assert!(short.await.unwrap_err().is_busy());
    }
    three.release().await.unwrap();
    let error = semaphore(&b, 5).try_acquire_many(4).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    let again = semaphore(&a, 5).try_acquire_many(3).await.unwrap();
    assert_eq!(weights(&a).await, [5]);
    let ids: std::collections::BTreeSet<_> =
        [&one, &last, &again].map(|p| p.grant_id().get()).into();
    assert_eq!(ids.len(), 3);
    drop((one, last));
    again.release().await.unwrap();
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn an_uncontended_acquire_and_its_release_are_one_request_each() {
    let env = Env::simulated(1);
    let store = Counting::new(MemoryStore::new());
    let node = store.node(&env, "a").await;
    let semaphore = semaphore(&node, 20);
    for _ in 0..3 {
        let before = store.requests();
        let permit = semaphore.acquire().await.unwrap();
        assert_eq!(store.requests(), before + 1);
        permit.release().await.unwrap();
        assert_eq!(store.requests(), before + 2);
    }
    // The same beside others: the entry grows and shrinks.
    let held = semaphore.acquire().await.unwrap();
    for permits in 1..4 {
        let before = store.requests();
        let permit = semaphore.acquire_many(permits).await.unwrap();
        assert_eq!(weights(&node).await, [1 + permits]);
        assert_eq!(store.requests(), before + 2, "one of them looks");
        permit.release().await.unwrap();
        assert_eq!(weights(&node).await, [1]);
        assert_eq!(store.requests(), before + 4);
    }
    held.release().await.unwrap();
    assert_eq!(node.health().lines, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_goes_to_the_next_task_without_the_store_while_nobody_waits_elsewhere() {
    let env = Env::simulated(1);
    let store = Counting::new(MemoryStore::new());
    let node = store.node(&env, "a").await;
    let semaphore = semaphore(&node, 4);
    let served = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (semaphore, env, served) = (semaphore.clone(), env.clone(), Arc::clone(&served));
            env.clone().spawn(async move {
                for _ in 0..20 {
                    let permit = semaphore.acquire().await.unwrap();
                    env.sleep(ms(5)).await;
                    permit.release().await.unwrap();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    env.sleep(ms(100)).await;
    let before = store.requests();
    env.sleep(ms(200)).await;
    assert_eq!(store.requests(), before);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(served.load(Ordering::Relaxed), 320);
    env.sleep(ms(500)).await;
    assert_eq!(node.health().lines, 0);
    assert_eq!(record(&node).await.entries, []);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_elsewhere_get_their_turn_and_large_ones_are_not_passed() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let of_a = semaphore(&a, 4);
    let held: Vec<_> = [
        of_a.acquire().await.unwrap(),
        of_a.acquire().await.unwrap(),
        of_a.acquire().await.unwrap(),
        of_a.acquire().await.unwrap(),
    ]
    .into();
    let large = acquires(&semaphore(&b, 4), &world.env, 3);
    until_queued(&a, 1).await;
    let small = acquires(&of_a, &world.env, 1);
    until_queued(&a, 2).await;
    let mut held = held.into_iter();
    for _ in 0..2 {
        drop(held.next());
        world.env.sleep(ms(50)).await;
        assert!(!large.is_finished() && !small.is_finished());
    }
    drop(held.next());
    let large = large.await.unwrap();
    assert!(!small.is_finished());
    drop(held.next());
    let small = small.await.unwrap();
    assert!(large.is_held() && small.is_held());
    drop((large, small));
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn who_looks_sees_how_many_of_how_many() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let of = |node: &Coordinator| node.semaphores("db", 5).unwrap();
    let held = of(&a).acquire_many("eu", 3).await.unwrap();
    let more = of(&b).revision(1).acquire_many("eu", 2).await.unwrap();
    let found = of(&b).peek("eu").await.unwrap();
    let weights = |found: &Inspection| {
        let holders = found.holders.iter().map(|h| u32::from(h.weight));
        holders.collect::<Vec<_>>()
    };
    assert_eq!((found.permits, weights(&found)), (Some(5), vec![3, 2]));
    drop((held, more));
    // Nobody uses it: nobody says how many there are.
    world.env.sleep(ms(100)).await;
    assert_eq!(of(&b).peek("eu").await.unwrap().permits, None);
    // Nor are there so many of what one has, or any number.
    let lock = a.mutexes("db").unwrap().lock("us").await.unwrap();
    assert_eq!(of(&b).peek("us").await.unwrap().permits, None);
    lock.release().await.unwrap();
    let shared = a.rw_locks("db").unwrap().read("us").await.unwrap();
    assert_eq!(of(&b).peek("us").await.unwrap().permits, None);
    drop(shared);
}

#[tokio::test(start_paused = true)]
async fn misuse_is_told_at_once() {
    let world = World::new();
    let node = world.node("a").await;
    let none = node.semaphore("stripe", 0).unwrap_err();
    assert!(
        matches!(none, Error::Permits(PermitsError::NoCapacity)),
        "{none}"
    );
    let semaphore = semaphore(&node, 3);
    let zero = semaphore.acquire_many(0).await.unwrap_err();
    assert!(
        matches!(zero, Error::Permits(PermitsError::NoneAsked)),
        "{zero}"
    );
    let none = semaphore.resize(0).await.unwrap_err();
    assert!(matches!(none, Error::Permits(PermitsError::NoCapacity)));
    let start = world.env.now();
    let heavy = semaphore.acquire_many(4).await.unwrap_err();
    assert!(
        matches!(&heavy, Error::TooHeavy(e) if e.capacity == 3),
        "{heavy}"
    );
    let heavy = semaphore.acquire_many(u32::MAX).await.unwrap_err();
    assert!(matches!(heavy, Error::TooHeavy(_)), "{heavy}");
    assert!(world.env.now().since(start) < ms(100));
    assert!(
        node.semaphore(&"x".repeat(300), 3).is_err(),
        "no room for its size"
    );
    assert!(node.semaphore("a/b", 3).is_err());
    world.store.outage();
    let away = semaphore.clone().wait(ms(300)).acquire().await.unwrap_err();
    assert!(away.is_unavailable(), "{away}");
    assert!(semaphore.try_acquire().await.unwrap_err().is_unavailable());
}

#[test]
fn permits_can_be_sent_and_kept() {
    fn is<T: Send + Sync + 'static>() {}
    is::<Permit>();
    is::<Semaphore>();
    is::<Semaphores>();
}

#[tokio::test(start_paused = true)]
async fn a_permit_beyond_its_time_is_lost_alone() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let kept = semaphore(&a, 3).acquire().await.unwrap();
    let short = semaphore(&a, 3).max_hold(Duration::from_secs(1));
    let short = short.acquire_many(2).await.unwrap();
    let waiting = acquires(&semaphore(&b, 3), &world.env, 2);
    assert_eq!(short.lost().await, LostCause::MaxHold);
    let theirs = waiting.await.unwrap();
    assert!(kept.is_held() && theirs.is_held());
    assert_eq!(weights(&a).await, [1, 2]);
    let error = short.release().await.unwrap_err();
    assert!(error.is_lost(), "{error}");
    assert_eq!(weights(&a).await, [1, 2], "nothing is given back twice");
    world.env.sleep(TTL * 4).await;
    assert!(kept.is_held() && theirs.is_held());
    drop((kept, theirs));
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn all_permits_of_a_lost_entry_are_lost_and_say_why() {
    for cut in [true, false] {
        let world = World::new();
        let (a, b) = (world.node("a").await, world.node("b").await);
        let permits = [
            semaphore(&a, 3).acquire().await.unwrap(),
            semaphore(&a, 3).acquire_many(2).await.unwrap(),
        ];
        let waiting = acquires(&semaphore(&b, 3), &world.env, 3);
        until_queued(&b, 1).await;
        let since = world.env.now();
        if cut {
            world.store.cut(a.node());
        } else {
            let name = semaphore(&a, 3).name().unwrap();
            assert_eq!(a.revoke(&name, "deploy", ms(500)).await.unwrap(), 1);
        }
        for permit in &permits {
            let cause = permit.lost().await;
            let says = [LostCause::Revoked, LostCause::Unreachable];
            assert_eq!(cause, says[usize::from(cut)]);
        }
        let theirs = waiting.await.unwrap();
        let took = world.env.now().since(since);
        assert!(took <= TTL + ms(200), "{took:?}");
        world.store.heal(a.node());
        for permit in permits {
            assert!(permit.release().await.unwrap_err().is_lost());
        }
        assert_eq!(weights(&b).await, [3]);
        theirs.release().await.unwrap();
        assert_at_rest(&world, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_futures_leave_nothing() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let all = semaphore(&a, 4).acquire_many(4).await.unwrap();
    let waiting = [
        acquires(&semaphore(&b, 4), &world.env, 3),
        acquires(&semaphore(&b, 4), &world.env, 1),
    ];
    until_queued(&a, 1).await;
    waiting[0].abort();
    world.env.sleep(ms(20)).await;
    let record = record(&a).await;
    let asks: Vec<_> = record.entries.iter().map(|e| units(e.weight)).collect();
    assert_eq!(asks.len(), 2, "the next one still waits: {record:?}");
    waiting[1].abort();
    world.env.sleep(ms(20)).await;
    assert_eq!(weights(&a).await, [4]);
    drop(all);
    assert_at_rest(&world, &[&a, &b]).await;
    // At any point of the way.
    for delay in 0..40 {
        world.store.set_faults(Faults {
            delay_before: ms(3),
            delay_after: ms(3),
            ..Faults::none()
        });
        let held = semaphore(&b, 4).acquire_many(2).await.unwrap();
        let tasks: Vec<_> = (0..5)
            .map(|_| acquires(&semaphore(&a, 4), &world.env, 1))
            .collect();
        world.env.sleep(ms(delay)).await;
        tasks.iter().for_each(JoinHandle::abort);
        held.release().await.unwrap();
        drop(tasks);
        assert_at_rest(&world, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tries_do_not_pass_those_who_wait() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let some = semaphore(&a, 4).acquire_many(3).await.unwrap();
    let large = acquires(&semaphore(&a, 4), &world.env, 2);
    until_waiting(&a, 1).await;
    for node in [&a, &b] {
        world.env.sleep(ms(20)).await;
        let error = semaphore(node, 4).try_acquire().await.unwrap_err();
        assert!(error.is_busy(), "{error}");
    }
    drop(some);
    drop(large.await.unwrap());
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_everything_back() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let held = semaphore(&a, 4).acquire_many(3).await.unwrap();
    let kept = semaphore(&b, 4).acquire().await.unwrap();
    let waiting = {
        let semaphore = semaphore(&a, 4);
        world.env.spawn(async move { semaphore.acquire().await })
    };
    until_queued(&b, 1).await;
    let done = a.shutdown(ms(100)).await;
    assert_eq!((done.cut_short, done.unreleased), (1, 0));
    assert!(matches!(waiting.await.unwrap(), Err(Error::ShutDown)));
    assert_eq!(held.lost().await, LostCause::ShutDown);
    assert_eq!(weights(&b).await, [1]);
    assert!(matches!(
        semaphore(&a, 4).acquire().await,
        Err(Error::ShutDown)
    ));
    drop((held, kept));
    assert_at_rest(&world, &[&b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_counts_for_the_fleet_and_what_is_in_use_drains() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let held: Vec<_> = (0..4)
        .map(|_| acquires(&semaphore(&a, 8), &world.env, 1))
        .collect();
    let mut of_a = Vec::new();
    for task in held {
        of_a.push(task.await.unwrap());
    }
    let of_b = semaphore(&b, 8).acquire_many(4).await.unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| acquires(&semaphore(&a, 8), &world.env, 1))
        .collect();
    until_waiting(&a, 3).await;
    semaphore(&b, 8).resize(3).await.unwrap();
    assert_eq!(semaphore(&a, 8).size().await.unwrap(), 3);
    world.env.sleep(Duration::from_secs(6)).await;
    assert!(of_b.is_held() && of_a.iter().all(|permit| permit.is_held()));
    // Of its own, `a` would have room; the fleet has none.
    for _ in 0..3 {
        drop(of_a.pop());
        world.env.sleep(ms(50)).await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
    }
    let error = semaphore(&a, 8).acquire_many(4).await.unwrap_err();
    assert!(
        matches!(&error, Error::TooHeavy(e) if e.capacity == 3),
        "{error}"
    );
    drop(of_b);
    world.env.sleep(ms(50)).await;
    let served = waiting.iter().filter(|task| task.is_finished()).count();
    assert_eq!(served, 2);
    // And up again.
    semaphore(&b, 8).resize(10).await.unwrap();
    world.env.sleep(Duration::from_secs(6)).await;
    assert!(waiting.iter().all(JoinHandle::is_finished));
    let seven = semaphore(&b, 8).try_acquire_many(6).await.unwrap();
    assert!(semaphore(&a, 8).try_acquire().await.unwrap_err().is_busy());
    drop((waiting, seven, of_a));
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn the_size_of_the_highest_revision_counts_in_a_rolling_deploy() {
    let world = World::new();
    let (old, new) = (world.node("old").await, world.node("new").await);
    let first = semaphore(&old, 4).acquire_many(2).await.unwrap();
    let more = semaphore(&new, 6)
        .revision(1)
        .acquire_many(4)
        .await
        .unwrap();
    assert!(
        semaphore(&old, 4)
            .try_acquire()
            .await
            .unwrap_err()
            .is_busy()
    );
    drop(more);
    world.env.sleep(ms(50)).await;
    // The new ones are gone: as before.
    let second = semaphore(&old, 4).try_acquire_many(2).await.unwrap();
    assert!(
        semaphore(&old, 4)
            .try_acquire()
            .await
            .unwrap_err()
            .is_busy()
    );
    // Of equal revisions the smaller.
    drop((first, second));
    world.env.sleep(ms(50)).await;
    let one = semaphore(&new, 6).acquire().await.unwrap();
    let three = semaphore(&old, 4).try_acquire_many(3).await.unwrap();
    assert!(
        semaphore(&new, 6)
            .try_acquire()
            .await
            .unwrap_err()
            .is_busy()
    );
    // A resize is above all that are known.
    semaphore(&new, 6).revision(7).resize(5).await.unwrap();
    assert_eq!(semaphore(&old, 4).revision(7).size().await.unwrap(), 5);
    assert_eq!(semaphore(&old, 4).revision(9).size().await.unwrap(), 4);
    drop((one, three));
    assert_at_rest(&world, &[&old, &new]).await;
}

/// Who was served, in which order.
type Order = Arc<Mutex<Vec<&'static str>>>;

fn tasks(who: &'static str, semaphore: &Semaphore, env: &Env, count: usize, order: &Order) {
    for _ in 0..count {
        let (semaphore, order, env) = (semaphore.clone(), Arc::clone(order), env.clone());
        env.clone().spawn(async move {
            let permit = semaphore.acquire().await.unwrap();
            order.lock().unwrap().push(who);
            env.sleep(ms(20)).await;
            permit.release().await.unwrap();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_visits_the_tasks_that_waited_when_others_came_and_then_goes_to_them() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let order = Order::default();
    let guard = semaphore(&a, 1).acquire().await.unwrap();
    tasks("a", &semaphore(&a, 1), &world.env, 3, &order);
    until_waiting(&a, 3).await;
    tasks("b", &semaphore(&b, 1), &world.env, 2, &order);
    until_queued(&a, 2).await;
    // It comes when others wait.
    world.env.sleep(ms(10)).await;
    guard.release().await.unwrap();
    world.env.sleep(ms(5)).await;
    tasks("late", &semaphore(&a, 1), &world.env, 1, &order);
    world.env.sleep(ms(500)).await;
    assert_eq!(*order.lock().unwrap(), ["a", "a", "a", "b", "b", "late"]);
    assert_at_rest(&world, &[&a, &b]).await;
}

/// Counted by those who waited, two units would go to the others after half as many turns.
#[tokio::test(start_paused = true)]
async fn each_unit_of_several_takes_a_turn_for_each_task_that_waited() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    let order = Order::default();
    for _ in 0..6 {
        let (semaphore, order) = (semaphore(&a, 2), Arc::clone(&order));
        let env = world.env.clone();
        world.env.spawn(async move {
            for _ in 0..10 {
                let permit = semaphore.acquire().await.unwrap();
                order.lock().unwrap().push("a");
                env.sleep(ms(20)).await;
                permit.release().await.unwrap();
            }
        });
    }
    until_waiting(&a, 4).await;
    tasks("b", &semaphore(&b, 2), &world.env, 2, &order);
    until_queued(&b, 1).await;
    let before = order.lock().unwrap().len();
    world.env.sleep(ms(500)).await;
    let order = order.lock().unwrap();
    let turns = order[before..].iter().position(|who| *who == "b");
    // Four wait: each unit takes four turns, and is not kept for those who come again.
    assert!(
        turns.is_some_and(|turns| (7..=9).contains(&turns)),
        "{turns:?}: {order:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_clients_that_want_much_do_not_wait_for_what_neither_uses() {
    let world = World::new();
    let (a, b) = (world.node("a").await, world.node("b").await);
    for _ in 0..20 {
        // Both have some, and both want more than is left, while what they have comes back bit by bit.
        let mut some = Vec::new();
        for node in [&a, &b] {
            for _ in 0..5 {
                some.push(semaphore(node, 10).acquire().await.unwrap());
            }
        }
        let large = [
            acquires(&semaphore(&a, 10), &world.env, 7),
            acquires(&semaphore(&b, 10), &world.env, 8),
        ];
        for permit in some {
            world
                .env
                .sleep(Duration::from_micros(world.env.random(4000)))
                .await;
            drop(permit);
        }
        for task in large {
            let served = world.env.timeout(Duration::from_secs(5), task).await;
            drop(served.expect("served").unwrap());
        }
    }
    assert_at_rest(&world, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_of_grants_do_not_run_out_and_are_never_given_twice() {
    let world = World::new();
    let node = world.node("a").await;
    let semaphore = semaphore(&node, 2);
    let kept = semaphore.acquire().await.unwrap();
    let mut seen = std::collections::BTreeSet::from([kept.grant_id().get()]);
    for _ in 0..3000 {
        let permit = semaphore.acquire().await.unwrap();
        assert!(seen.insert(permit.grant_id().get()));
        permit.release().await.unwrap();
    }
    assert!(kept.is_held());
}

/// Four clients with more tasks than there are permits; requests take a while, as do pushes.
#[tokio::test(start_paused = true)]
async fn clients_that_want_more_than_there_is_share_it_evenly_and_use_it() {
    const HOLD: Duration = ms(200);
    const RUN: Duration = Duration::from_secs(60);
    let world = World::new();
    world.store.set_faults(Faults {
        delay_before: ms(5),
        delay_after: ms(5),
        push_delay: ms(5),
        ..Faults::none()
    });
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(world.node("node").await);
    }
    let until = world.env.now() + RUN;
    let mut tasks = Vec::new();
    for node in &nodes {
        for _ in 0..16 {
            let (semaphore, env) = (semaphore(node, 20), world.env.clone());
            tasks.push(world.env.spawn(async move {
                let mut held = Duration::ZERO;
                while env.now() < until {
                    let permit = semaphore.acquire().await.unwrap();
                    let since = env.now();
                    env.sleep(HOLD).await;
                    held += env.now().min(until).since(since);
                    permit.release().await.unwrap();
                }
                held
            }));
        }
    }
    let mut shares = Vec::new();
    for task in tasks {
        shares.push(task.await.unwrap().as_secs_f64());
    }
    let all: f64 = shares.iter().sum();
    let used = all / (20.0 * RUN.as_secs_f64());
    let mean = all / 64.0;
    let least = shares.iter().copied().fold(f64::MAX, f64::min) / mean;
    let most = shares.iter().copied().fold(0.0, f64::max) / mean;
    eprintln!("used {used:.3}, shares from {least:.2} to {most:.2}");
    assert!(used >= 0.95, "used {used:.3}");
    assert!(
        least >= 0.75 && most <= 1.25,
        "shares from {least:.2} to {most:.2} of the mean"
    );
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_is_asked_for_once() {
    let world = World::new();
    let node = world.node("a").await;
    let at_once = semaphore(&node, 2).wait(Duration::ZERO);
    let first = at_once.acquire_many(2).await.unwrap();
    assert!(at_once.acquire().await.unwrap_err().is_busy());
    first.release().await.unwrap();
    let again = at_once.acquire_timeout(Duration::ZERO).await.unwrap();
    again.release().await.unwrap();
}
