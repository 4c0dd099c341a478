//! What dropping a guard does, and what holding one promises.

use std::time::Duration;

use leasehold::{Coordinator, Put, RegisterReply};
use leasehold_testkit::RedisServer;
use tokio::runtime::{Builder, Runtime};

use crate::world::{LONG, connect, free_within, millis, mutexes, sqlite};

/// rslock 0.10: on the async runtime the guard's drop released nothing.
#[test]
fn l15_a_dropped_guard_releases_wherever_it_is_dropped() {
    let server = RedisServer::start();
    dropped_everywhere(&server.url());
    let (_folder, address) = sqlite();
    dropped_everywhere(&address);
}

fn dropped_everywhere(address: &str) {
    let home = Runtime::new().unwrap();
    let (coord, other) = home.block_on(async { (connect(address).await, connect(address).await) });
    let lock = async |id| mutexes(&coord, LONG).lock(id).await.unwrap();
    // In a task of a runtime with one thread, and of one with several.
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    single.block_on(async { drop(lock(1).await) });
    home.block_on(async { drop(lock(2).await) });
    // Outside any runtime, on a thread that never knew one.
    let guard = home.block_on(lock(3));
    std::thread::spawn(move || drop(guard)).join().unwrap();
    // While a panic unwinds.
    let guard = home.block_on(lock(4));
    let panicked = std::thread::spawn(move || {
        let _guard = guard;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    // When its runtime is already gone.
    let guard = single.block_on(lock(5));
    drop(single);
    drop(guard);
    // As the last that is left of its client.
    let guard = home.block_on(last_of_its_client(address));
    drop(guard);
    home.block_on(async {
        for id in 1..=6 {
            let guard = free_within(&other, id, Duration::from_secs(5)).await;
            guard.release().await.unwrap();
        }
    });
}

async fn last_of_its_client(address: &str) -> leasehold::MutexGuard {
    let coord: Coordinator = connect(address).await;
    mutexes(&coord, LONG).lock(6).await.unwrap()
}

/// redisson's `FencedLock`: locking again raised the fence, and the holder's own earlier writes were refused.
#[tokio::test(flavor = "multi_thread")]
async fn l25_a_holders_earlier_fence_stays_good_while_it_holds() {
    const TTL: Duration = Duration::from_secs(1);
    let server = RedisServer::start();
    let coord = connect(&server.url()).await;
    let register = coord.register("balance").unwrap();
    let guard = mutexes(&coord, TTL).lock(1).await.unwrap();
    let fence = guard.fence();
    let until = coord.env().now() + TTL * 3;
    while coord.env().now() < until {
        // Renewals go by, and the holder asks for its own lock again: neither changes what it has.
        let again = mutexes(&coord, TTL).try_lock(1).await;
        assert!(again.is_err(), "locked twice");
        for fence in [guard.fence(), fence] {
            let put = Put::new("x").fenced(fence);
            let reply = register.put(&put).await.unwrap();
            assert!(matches!(reply, RegisterReply::Written { .. }), "{reply:?}");
        }
        coord.env().sleep(millis(50)).await;
    }
    guard.release().await.unwrap();
}
