//! Local lines and their visits, on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{TTL, World, ms, mutexes};
use leasehold_core::protocol::Op;
use leasehold_core::store::{Done, Faults};
use leasehold_core::{Coordinator, Env, Error, Fairness, LostCause, Mutexes};

type Order = Arc<Mutex<Vec<(&'static str, u64)>>>;

/// Tasks of `who`, each of which locks once, holds for `hold`, and says with which fence.
fn tasks(
    env: &Env,
    who: &'static str,
    mutexes: &Mutexes,
    count: usize,
    hold: Duration,
    order: &Order,
) -> Vec<tokio::task::JoinHandle<()>> {
    let one = |_| {
        let (env, mutexes, order) = (env.clone(), mutexes.clone(), Arc::clone(order));
        env.clone().spawn(async move {
            let guard = mutexes.lock(1).await.unwrap();
            order.lock().unwrap().push((who, guard.fence().get()));
            env.sleep(hold).await;
            guard.release().await.unwrap();
        })
    };
    (0..count).map(one).collect()
}

async fn all(tasks: Vec<tokio::task::JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

fn served(order: &Order) -> Vec<&'static str> {
    let order = order.lock().unwrap();
    assert!(
        order.is_sorted_by(|a, b| a.1 < b.1),
        "fences rise: {order:?}"
    );
    order.iter().map(|(who, _)| *who).collect()
}

/// Waits until so many of a node's tasks stand in line.
async fn until_waiting(node: &Coordinator, count: usize) {
    while node.health().waiting < count {
        node.env().sleep(ms(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_visit_serves_those_that_wait_at_its_start_and_then_goes_to_the_next_client() {
    let world = World::new();
    let (env, a, b) = (
        &world.env,
        world.node("node").await,
        world.node("node").await,
    );
    let order = Order::default();
    let guard = mutexes(&a).lock(1).await.unwrap();
    let mut running = tasks(env, "a", &mutexes(&a), 3, ms(20), &order);
    until_waiting(&a, 3).await;
    running.extend(tasks(env, "b", &mutexes(&b), 3, ms(20), &order));
    env.sleep(ms(50)).await;
    guard.release().await.unwrap();
    // They come while the visit at `b` lasts.
    env.sleep(ms(10)).await;
    running.extend(tasks(env, "B", &mutexes(&b), 2, ms(20), &order));
    all(running).await;
    let served = served(&order);
    assert_eq!(served, ["b", "b", "b", "a", "a", "a", "B", "B"]);
}

#[tokio::test(start_paused = true)]
async fn strict_fairness_makes_a_visit_one_turn() {
    let world = World::new();
    let (env, a, b) = (
        &world.env,
        world.node("node").await,
        world.node("node").await,
    );
    let order = Order::default();
    let strict = |node| mutexes(node).fairness(Fairness::Strict);
    let guard = strict(&a).lock(1).await.unwrap();
    let mut running = tasks(env, "a", &strict(&a), 3, ms(20), &order);
    running.extend(tasks(env, "b", &strict(&b), 3, ms(20), &order));
    env.sleep(ms(50)).await;
    guard.release().await.unwrap();
    all(running).await;
    assert_eq!(served(&order), ["b", "a", "b", "a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_visit_of_long_turns_ends_after_a_second_with_the_turn_in_hand() {
    let world = World::new();
    let (env, a, b) = (
        &world.env,
        world.node("node").await,
        world.node("node").await,
    );
    let order = Order::default();
    let guard = mutexes(&b).lock(1).await.unwrap();
    let mut running = tasks(env, "a", &mutexes(&a), 5, ms(400), &order);
    until_waiting(&a, 4).await;
    env.sleep(ms(50)).await;
    running.extend(tasks(env, "b", &mutexes(&b), 1, ms(10), &order));
    env.sleep(ms(50)).await;
    guard.release().await.unwrap();
    all(running).await;
    assert_eq!(served(&order), ["a", "a", "a", "b", "a", "a"]);
}

/// The tasks of one client share a grant: handing it on costs the store nothing.
#[tokio::test(start_paused = true)]
async fn turns_within_a_client_cost_no_request() {
    let world = World::new();
    let (env, a) = (&world.env, world.node("node").await);
    let order = Order::default();
    let guard = mutexes(&a).lock(1).await.unwrap();
    let running = tasks(env, "a", &mutexes(&a), 30, Duration::ZERO, &order);
    until_waiting(&a, 30).await;
    // Whatever is sent from here on is lost.
    world.store.cut(a.node());
    let before = env.now();
    drop(guard);
    while order.lock().unwrap().len() < 30 {
        assert!(env.now().since(before) < ms(50), "{:?}", order.lock());
        env.sleep(ms(1)).await;
    }
    world.store.heal(a.node());
    all(running).await;
    served(&order);
}

/// How often the store is asked for each of these, from now on.
fn counted(world: &World) -> Arc<Mutex<BTreeMap<&'static str, u32>>> {
    let counts = Arc::default();
    let counting: Arc<Mutex<BTreeMap<_, _>>> = Arc::clone(&counts);
    world.behind.watch(move |step| {
        if let Done::Lease { op, .. } = step.done {
            let what = match op {
                Op::Acquire(_) => "acquire",
                Op::Renew(_) => "renew",
                _ => "other",
            };
            *counting.lock().unwrap().entry(what).or_default() += 1;
        }
    });
    counts
}

/// While turns are short, those who were served may come again before the lock goes to the next client.
#[tokio::test(start_paused = true)]
async fn a_visit_of_short_turns_serves_those_who_come_again() {
    let world = World::new();
    let nodes = [world.node("a").await, world.node("b").await];
    let counts = counted(&world);
    let again_and_again = |node: &Coordinator| {
        let (env, mutexes) = (world.env.clone(), mutexes(node));
        world.env.spawn(async move {
            for _ in 0..50 {
                mutexes.lock(1).await.unwrap().release().await.unwrap();
                env.give_way().await;
            }
        })
    };
    let running = (0..4).flat_map(|_| nodes.iter().map(again_and_again));
    all(running.collect()).await;
    let acquires = counts.lock().unwrap()["acquire"];
    assert!(acquires <= 20, "{acquires} acquires for 400 turns");
}

/// A grant that was pushed is good for its claim window: who holds for less need not claim more.
#[tokio::test(start_paused = true)]
async fn a_short_hold_of_a_pushed_grant_costs_no_claim_and_a_long_one_is_claimed_in_time() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    let counts = counted(&world);
    for _ in 0..10 {
        let order = Order::default();
        let guard = mutexes(&a).lock(1).await.unwrap();
        let waiting = tasks(env, "b", &mutexes(&b), 1, ms(100), &order);
        env.sleep(ms(10)).await;
        guard.release().await.unwrap();
        all(waiting).await;
    }
    assert_eq!(counts.lock().unwrap().get("renew"), None);

    let guard = mutexes(&a).lock(1).await.unwrap();
    let mutexes_of_b = mutexes(&b);
    let waiting = env.spawn(async move { mutexes_of_b.lock(1).await });
    env.sleep(ms(10)).await;
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    env.sleep(ms(400)).await;
    assert_eq!(counts.lock().unwrap().get("renew"), Some(&1));
    env.sleep(ms(1000)).await;
    assert!(guard.is_held(), "it outlasts the claim window");
}

/// Taken up late, a pushed grant has less left than a quarter of its claim window: it is claimed before that is over.
#[tokio::test(start_paused = true)]
async fn a_pushed_grant_that_is_taken_up_late_is_claimed_in_time() {
    for late in [0, 500, 700, 800, 900, 970] {
        let world = World::new();
        let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
        let guard = mutexes(&a).lock(1).await.unwrap();
        let mut waiting = std::pin::pin!(mutexes(&b).lock(1));
        tokio::select! {
            biased;
            _ = &mut waiting => unreachable!("it is held"),
            () = env.sleep(ms(10)) => {}
        }
        guard.release().await.unwrap();
        // The task that waits has something else to do.
        env.sleep(ms(late)).await;
        let guard = waiting.await.unwrap();
        env.sleep(ms(2000)).await;
        assert!(
            guard.is_held(),
            "taken up after {late} ms: {:?}",
            guard.lost().await
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_before_it_is_taken_passes_on() {
    let world = World::new();
    let (env, a) = (&world.env, world.node("node").await);
    for patience in [ms(1), ms(5), ms(9), ms(11), ms(15)] {
        let guard = mutexes(&a).lock(1).await.unwrap();
        let order = Order::default();
        let impatient: Vec<_> = (0..4)
            .map(|_| {
                let (env, mutexes) = (env.clone(), mutexes(&a));
                env.clone().spawn(async move {
                    // Dropped while it waits, leads, or is being served.
                    let locked = env.timeout(patience, mutexes.lock(1)).await;
                    drop(locked);
                })
            })
            .collect();
        let patient = tasks(env, "a", &mutexes(&a), 2, Duration::ZERO, &order);
        env.sleep(ms(10)).await;
        drop(guard);
        all(impatient).await;
        all(patient).await;
        assert_eq!(served(&order), ["a", "a"]);
    }
    env.sleep(ms(500)).await;
    let health = a.health();
    assert_eq!((health.held, health.waiting, health.lines), (0, 0, 0));
    let name = mutexes(&a).name(1).unwrap();
    let left = a.record(&name).await.unwrap().value;
    assert_eq!(left.map_or(0, |record| record.entries.len()), 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_in_line_stands_in_the_queue_when_its_lead_goes() {
    let world = World::new();
    let (env, a, b) = (
        &world.env,
        world.node("node").await,
        world.node("node").await,
    );
    let guard = b.mutexes("m").unwrap().lock(1).await.unwrap();
    let (hasty, patient) = (mutexes(&a).wait(ms(100)), mutexes(&a));
    let first = env.spawn(async move { hasty.lock(1).await.map(drop) });
    env.sleep(ms(10)).await;
    let second = env.spawn(async move { patient.lock(1).await.map(drop) });
    env.sleep(ms(10)).await;
    let name = mutexes(&a).name(1).unwrap();
    let waits = async || {
        let record = a.record(&name).await.unwrap().value.unwrap();
        let waiters = record.entries.iter().filter(|e| !e.holds());
        waiters.map(|e| e.rid).collect::<Vec<_>>()
    };
    let before = waits().await;
    assert_eq!(before.len(), 1, "one entry for both");
    assert!(matches!(first.await.unwrap(), Err(Error::Busy(_))));
    assert_eq!(waits().await, before, "the same place in the queue");
    guard.release().await.unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_line_goes_on_without_a_guard_that_outstays_its_time() {
    let world = World::new();
    let a = world.node("node").await;
    let wedged = mutexes(&a).max_hold(ms(700)).lock(1).await.unwrap();
    let waiting = mutexes(&a);
    let waiting = world.env.spawn(async move { waiting.lock(1).await });
    let next = waiting.await.unwrap().unwrap();
    assert!(next.fence() > wedged.fence());
    assert_eq!(wedged.check().unwrap_err().cause, LostCause::MaxHold);
    // The late end of the one does not end the other.
    drop(wedged);
    world.env.sleep(TTL * 2).await;
    assert!(next.is_held());
    next.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_line_goes_on_when_its_tenure_is_lost() {
    let world = World::new();
    let (a, b) = (world.node("node").await, world.node("node").await);
    let guard = mutexes(&a).lock(1).await.unwrap();
    let waiting = mutexes(&a);
    let waiting = world.env.spawn(async move { waiting.lock(1).await });
    world.env.sleep(ms(10)).await;
    world.store.cut(a.node());
    guard.lost().await;
    let taken = mutexes(&b).lock(1).await.unwrap();
    world.store.heal(a.node());
    world.env.sleep(ms(100)).await;
    assert!(!waiting.is_finished());
    taken.release().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().fence() > guard.fence());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_what_it_holds_is_told_at_once() {
    let world = World::new();
    let a = world.node("node").await;
    let mutexes = mutexes(&a);
    let guard = mutexes.lock(1).await.unwrap();
    let before = world.env.now();
    let error = mutexes.lock(1).await.unwrap_err();
    assert_eq!(world.env.now(), before);
    let Error::Relock(relock) = &error else {
        panic!("{error}");
    };
    assert_eq!(relock.held_at.line() + 2, relock.asked_at.line());
    assert!(error.to_string().contains("tests/visits.rs"), "{error}");
    // Not so a try, which would not wait, nor another id.
    assert!(mutexes.try_lock(1).await.unwrap_err().is_busy());
    drop(mutexes.lock(2).await.unwrap());
    // Futures that take turns within a task may say so.
    let shared = mutexes.clone().allow_same_task();
    let both = async {
        tokio::join!(
            async {
                drop(shared.lock(3).await.unwrap());
            },
            async {
                drop(shared.lock(3).await.unwrap());
            },
        )
    };
    both.await;
    guard.release().await.unwrap();
    // Released, it is nobody's.
    drop(mutexes.lock(1).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lost_claim_sends_the_line_back_to_the_queue() {
    let world = World::new();
    let (env, a, b) = (
        &world.env,
        world.node("node").await,
        world.node("node").await,
    );
    let order = Order::default();
    let guard = mutexes(&b).lock(1).await.unwrap();
    let running = tasks(env, "a", &mutexes(&a), 3, ms(1), &order);
    until_waiting(&a, 2).await;
    env.sleep(ms(20)).await;
    // The grant is pushed, its claim gets lost for longer than the claim window.
    world.store.set_faults(Faults {
        lost_requests: 1000,
        ..Faults::none()
    });
    guard.release().await.unwrap_err();
    env.sleep(ms(3000)).await;
    world.store.set_faults(Faults::none());
    all(running).await;
    assert_eq!(served(&order).len(), 3);
}
