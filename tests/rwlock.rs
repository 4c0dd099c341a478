//! Readers and writers of several clients and processes, on every store that processes can share.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

#[path = "support/holding.rs"]
mod holding;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold::{Coordinator, RwLocks};
use leasehold_testkit::RedisServer;

use holding::Holder;

const TTL: Duration = Duration::from_secs(1);
const CLIENTS: u64 = 3;
const TASKS: u64 = 8;
const TURNS: u64 = 12;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn connect(address: &str) -> Coordinator {
    leasehold::connect(address, "test").await.unwrap()
}

fn sqlite() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("test.db").display());
    (folder, address)
}

/// Who is inside, and the most that were at once.
#[derive(Default)]
struct Inside {
    readers: AtomicU64,
    writers: AtomicU64,
    most_readers: AtomicU64,
    written: AtomicU64,
}

async fn reads(locks: &RwLocks, inside: &Inside, coord: &Coordinator) {
    let guard = locks.read(1).await.unwrap();
    let readers = inside.readers.fetch_add(1, Ordering::SeqCst) + 1;
    inside.most_readers.fetch_max(readers, Ordering::SeqCst);
    let seen = inside.written.load(Ordering::SeqCst);
    assert_eq!(inside.writers.load(Ordering::SeqCst), 0);
    coord.env().sleep(ms(3)).await;
    // What it reads stays as it is.
    assert_eq!(inside.written.load(Ordering::SeqCst), seen);
    guard.check().unwrap();
    inside.readers.fetch_sub(1, Ordering::SeqCst);
    guard.release().await.unwrap();
}

async fn writes(locks: &RwLocks, inside: &Inside, coord: &Coordinator) {
    let guard = locks.write(1).await.unwrap();
    assert_eq!(inside.writers.fetch_add(1, Ordering::SeqCst), 0);
    assert_eq!(inside.readers.load(Ordering::SeqCst), 0);
    let before = inside.written.swap(guard.fence().get(), Ordering::SeqCst);
    assert!(before < guard.fence().get());
    coord.env().sleep(ms(1)).await;
    assert_eq!(inside.readers.load(Ordering::SeqCst), 0);
    guard.check().unwrap();
    inside.writers.fetch_sub(1, Ordering::SeqCst);
    guard.release().await.unwrap();
}

/// Tasks of several clients, a quarter of them writers: readers overlap, writers do not, and all get in.
async fn readers_share_and_writers_exclude(address: &str) {
    let inside = Arc::new(Inside::default());
    let (mut clients, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let coord = connect(address).await;
        let locks = coord.rw_locks("page").unwrap();
        let locks = locks.wait(Duration::from_secs(30));
        for task in 0..TASKS {
            let (coord, locks, inside) = (coord.clone(), locks.clone(), Arc::clone(&inside));
            tasks.push(coord.env().clone().spawn(async move {
                for _ in 0..TURNS {
                    if task % 4 == 0 {
                        writes(&locks, &inside, &coord).await;
                    } else {
                        reads(&locks, &inside, &coord).await;
                    }
                }
            }));
        }
        clients.push(coord);
    }
    for task in tasks {
        task.await.unwrap();
    }
    let most = inside.most_readers.load(Ordering::SeqCst);
    assert!(most > 1, "{most} readers at once");
    // Of several clients, too: whether they met above is chance.
    let mut guards = Vec::new();
    for coord in &clients {
        let locks = coord.rw_locks("page").unwrap();
        guards.push(locks.try_read(1).await.unwrap());
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    let name = clients[0].rw_locks("page").unwrap().name(1).unwrap();
    for coord in &clients {
        let health = coord.health();
        let left = (health.held, health.waiting, health.lines, health.unreleased);
        assert_eq!(left, (0, 0, 0, 0));
    }
    let left = clients[0].inspect(&name).await.unwrap();
    assert_eq!((left.holders.len(), left.waiters.len()), (0, 0));
}

/// One of several readers is killed: a writer gets in when that one's lease is over and the others have gone.
async fn killed_reader(address: &str) {
    let reader = || Holder::waiting(address, "test", TTL, &[("READS", "1")]);
    let (mut killed, mut other) = (reader(), reader());
    killed.line("held ");
    other.line("held ");
    let coord = connect(address).await;
    let locks = coord.rw_locks("m").unwrap().ttl(TTL);
    let own = locks.read(1).await.unwrap();
    assert_eq!(locks.peek(1).await.unwrap().holders.len(), 3);
    let started = coord.env().now();
    let writing = {
        let locks = locks.clone();
        coord
            .env()
            .spawn(async move { locks.write(1).await.unwrap() })
    };
    own.contended().await;
    own.release().await.unwrap();
    other.process.kill();
    killed.process.kill();
    let guard = writing.await.unwrap();
    let took = coord.env().now().since(started);
    assert!(took >= TTL / 3 && took <= TTL * 2, "{took:?}");
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_and_writers_exclude_on_sqlite() {
    let (_folder, address) = sqlite();
    readers_share_and_writers_exclude(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_and_writers_exclude_on_redis() {
    let server = RedisServer::start();
    readers_share_and_writers_exclude(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_is_followed_within_its_ttl_on_sqlite() {
    let (_folder, address) = sqlite();
    killed_reader(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_is_followed_within_its_ttl_on_redis() {
    let server = RedisServer::start();
    killed_reader(&server.url()).await;
}
