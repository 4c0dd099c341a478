//! Members as a client sees them, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env};

async fn connect(store: &MemoryStore, env: &Env, label: &str) -> Coordinator {
    let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
    builder.label(label).connect().await.unwrap()
}

fn labels(coord: &Coordinator) -> Vec<String> {
    let members = coord.members();
    let members = members.members.iter();
    let mut labels: Vec<_> = members.map(|member| member.label.clone()).collect();
    labels.sort();
    labels
}

#[tokio::test(start_paused = true)]
async fn nodes_see_each_other_within_a_heartbeat_and_no_longer_after_a_shutdown() {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let a = connect(&store, &env, "a").await;
    let b = connect(&store, &env, "b").await;
    assert_eq!(labels(&b), ["a", "b"]);
    env.sleep(Duration::from_secs(6)).await;
    assert_eq!(labels(&a), ["a", "b"]);
    b.shutdown(Duration::ZERO).await;
    env.sleep(Duration::from_secs(6)).await;
    assert_eq!(labels(&a), ["a"]);
    assert_eq!(a.members().incarnation, b.members().incarnation);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_its_membership_and_its_locks_with_it() {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let a = connect(&store, &env, "a").await;
    let b = connect(&store, &env, "b").await;
    let guard = b.mutexes("m").unwrap().lock(1).await.unwrap();
    drop(b);
    // The guard keeps its client alive.
    env.sleep(Duration::from_secs(60)).await;
    assert_eq!(labels(&a), ["a", "b"]);
    assert!(guard.is_held());
    drop(guard);
    env.sleep(Duration::from_secs(6)).await;
    assert_eq!(labels(&a), ["a"]);
    let guard = a.mutexes("m").unwrap().try_lock(1).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn announcements_reach_the_others_and_can_be_taken_back() {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let a = connect(&store, &env, "a").await;
    a.announce("version", "7");
    env.sleep(Duration::from_millis(1)).await;
    let b = connect(&store, &env, "b").await;
    let seen = |coord: &Coordinator| {
        let members = coord.members();
        members
            .members
            .iter()
            .find_map(|member| member.meta.get("version").cloned())
    };
    assert_eq!(seen(&b).as_deref(), Some("7"));
    a.announce("version", "8");
    env.sleep(Duration::from_secs(12)).await;
    assert_eq!(seen(&b).as_deref(), Some("8"));
    a.retract("version");
    env.sleep(Duration::from_secs(6)).await;
    assert_eq!(seen(&b), None);
}
