//! What tests do to a store and its network does what it says.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Done, Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Error, LostCause};

const TTL: Duration = Duration::from_secs(3);

async fn world() -> (Env, MemoryStore, FaultyStore, Coordinator) {
    let (env, memory) = (Env::simulated(5), MemoryStore::new());
    let faulty = FaultyStore::new(Arc::new(memory.clone()), env.clone(), Faults::none());
    let client = connect(&faulty, &env).await;
    (env, memory, faulty, client)
}

async fn connect(store: &FaultyStore, env: &Env) -> Coordinator {
    let builder = Coordinator::builder(store.clone(), "test").env(env.node());
    builder.connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_restarts_forgets_everything_and_its_waiters_ask_again() {
    let (env, memory, faulty, client) = world().await;
    let other = connect(&faulty, &env).await;
    let guard = client.mutexes("m").unwrap().ttl(TTL).lock(1).await.unwrap();
    let incarnation = client.members().incarnation.clone();
    let waiting = env.spawn(async move {
        let locks = other.mutexes("m").unwrap().ttl(TTL);
        let guard = locks.lock(1).await.unwrap();
        (guard, other)
    });
    env.sleep(Duration::from_millis(10)).await;
    let restarted = env.now();
    memory.restart();
    assert!(memory.records("test").is_empty());
    // Told to look again, the waiter finds it free at once; the holder learns with its next renewal.
    let (next, _other) = waiting.await.unwrap();
    assert_eq!(env.now(), restarted);
    assert_eq!(guard.lost().await, LostCause::Deleted);
    assert!(next.is_held());
    env.sleep(Duration::from_secs(6)).await;
    assert_ne!(client.members().incarnation, incarnation);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stands_still_takes_what_came_meanwhile_once_it_runs() {
    let (env, memory, _, client) = world().await;
    memory.stop();
    let locks = client.mutexes("m").unwrap().ttl(TTL);
    let denied = locks.try_lock(1).await;
    assert!(denied.unwrap_err().is_unavailable());
    assert!(memory.records("test").is_empty());
    memory.start();
    // The acquire and its end are both taken, in whatever order: nothing stays.
    env.sleep(Duration::from_millis(100)).await;
    drop(locks.try_lock(1).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn clocks_step_apart_from_one_another() {
    let (env, memory, _, client) = world().await;
    let guard = client.mutexes("m").unwrap().ttl(TTL).lock(1).await.unwrap();
    let before = memory.time(&env);
    memory.step_wall_clock(-5_000_000);
    memory.step_lease_clock(10_000_000);
    let after = memory.time(&env);
    assert_eq!(after.wall_us, before.wall_us - 5_000_000);
    assert_eq!(after.lease_us, before.lease_us + 10_000_000);
    // The lease is over at the store, and its holder hears of it when it renews.
    assert_eq!(guard.lost().await, LostCause::Deleted);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_does_nothing_and_is_no_outage() {
    let (_, memory, faulty, client) = world().await;
    faulty.set_faults(Faults {
        refusals: 1000,
        ..Faults::none()
    });
    let refused = client.mutexes("m").unwrap().try_lock(1).await.unwrap_err();
    assert!(matches!(refused, Error::Store(_)), "{refused}");
    assert!(memory.records("test").is_empty());
    assert!(faulty.befell() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_effect_twice_and_a_watcher_sees_each_step() {
    let (_, memory, faulty, client) = world().await;
    let steps = Arc::<Mutex<Vec<bool>>>::default();
    let seen = Arc::clone(&steps);
    memory.watch(move |step| {
        if let Done::Lease { before, after, .. } = &step.done {
            let holds = |r: &Option<_>| r.is_some();
            seen.lock().unwrap().push(holds(before) && holds(after));
        }
    });
    faulty.set_faults(Faults {
        duplicates: 1000,
        ..Faults::none()
    });
    let guard = client.mutexes("m").unwrap().try_lock(1).await.unwrap();
    assert_eq!(*steps.lock().unwrap(), [false, true]);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_hears_an_answer_only_when_it_runs_again() {
    let (env, memory, faulty, client) = world().await;
    faulty.set_faults(Faults {
        delay_after: Duration::from_millis(100),
        ..Faults::none()
    });
    let node = client.env().clone();
    let locking = env.spawn(async move { client.mutexes("m").unwrap().ttl(TTL).lock(1).await });
    env.sleep(Duration::from_millis(1)).await;
    node.pause();
    env.sleep(Duration::from_secs(1)).await;
    assert_eq!(memory.records("test").len(), 1);
    assert!(!locking.is_finished());
    node.resume();
    assert!(locking.await.unwrap().unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn holders_that_are_deleted_are_told_at_once() {
    let (env, memory, _, client) = world().await;
    let guard = client.mutexes("m").unwrap().lock(1).await.unwrap();
    let deleted = env.now();
    assert!(memory.delete_holders("test", guard.name()));
    assert_eq!(guard.lost().await, LostCause::Deleted);
    assert!(env.now().since(deleted) <= Duration::from_millis(1));
    assert!(!memory.delete_holders("test", guard.name()));
}
