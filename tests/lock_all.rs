//! Several locks at once, on real stores, between clients that want them in different orders.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold::{Coordinator, Env};
use leasehold_testkit::RedisServer;

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 40;

async fn dine(url: &str) {
    let env = Env::system();
    let forks: Arc<[AtomicBool; 6]> = Arc::default();
    let mut philosophers = Vec::new();
    for n in 0..CLIENTS {
        let coord = leasehold::connect(url, "dinner").await.unwrap();
        for m in 0..2 {
            let (coord, forks) = (coord.clone(), Arc::clone(&forks));
            philosophers.push(env.spawn(async move { eat(&coord, &forks, n * 2 + m).await }));
        }
    }
    let all = async {
        for philosopher in philosophers {
            philosopher.await.unwrap();
        }
    };
    let in_time = env.timeout(Duration::from_secs(60), all).await;
    in_time.expect("they starve");
    let coord = leasehold::connect(url, "dinner").await.unwrap();
    // What was dropped is given back in the background.
    let deadline = env.now() + Duration::from_secs(10);
    loop {
        let left = coord.list("fork/{table}/", 10).await.unwrap();
        if left.resources.is_empty() {
            break;
        }
        assert!(env.now() < deadline, "{left:?}");
        env.sleep(Duration::from_millis(20)).await;
    }
}

/// Forks of a group, taken with a spoon apart from it.
async fn eat(coord: &Coordinator, forks: &[AtomicBool; 6], place: u64) {
    let class = coord.mutexes("fork").unwrap().wait(Duration::from_secs(60));
    let table = class.clone().group("table").unwrap();
    for round in 0..ROUNDS {
        let (one, other) = (place, (place + 1 + round % 4) % 6);
        let all = coord
            .lock_all()
            .add(&table, one)
            .add(&class, "spoon")
            .add(&table, other);
        let guard = all.lock().await.unwrap();
        let held = [one, other].map(|fork| &forks[usize::try_from(fork).unwrap()]);
        for fork in held {
            assert!(!fork.swap(true, Ordering::SeqCst), "two have one fork");
        }
        guard.run(tokio::task::yield_now()).await.unwrap();
        for fork in held {
            fork.store(false, Ordering::SeqCst);
        }
        if round % 5 == 0 {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn philosophers_dine_on_redis() {
    let server = RedisServer::start();
    dine(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn philosophers_dine_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    dine(&format!(
        "sqlite:{}",
        folder.path().join("dinner.db").display()
    ))
    .await;
}
