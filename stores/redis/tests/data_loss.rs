//! Servers that lose what they acknowledged: leases go with it, and fences rise all the same.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use leasehold_core::{Coordinator, LostCause, Mutexes, Put, RegisterReply};
use leasehold_redis::RedisStore;
use leasehold_testkit::{Direction, Proxy, RedisServer, wait_until};

const TTL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);

async fn connect(port: u16) -> Coordinator {
    let store = RedisStore::new(&format!("redis://127.0.0.1:{port}")).unwrap();
    Coordinator::builder(store, "tests")
        .connect()
        .await
        .unwrap()
}

fn mutexes(coord: &Coordinator) -> Mutexes {
    coord.mutexes("m").unwrap().ttl(TTL)
}

/// The number that a plain counter gives out.
fn count(server: &RedisServer) -> String {
    server.command(&["INCR", "counter"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x12_a_promoted_replica_without_the_last_writes_grants_again_under_a_greater_fence() {
    let mut primary = RedisServer::start();
    let replica = RedisServer::start();
    let (replication, front) = (Proxy::start(primary.port()), Proxy::start(primary.port()));
    let port = replication.port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    primary.command(&["SET", "before", "1"]);
    wait_until(PATIENCE, "the replica to follow", || {
        replica.command(&["GET", "before"]) == "1"
    });
    replication.delay(Direction::ToClient, Duration::MAX);

    let (a, b) = (connect(front.port()).await, connect(front.port()).await);
    let first = mutexes(&a).lock(1).await.unwrap();
    let counted = count(&primary);
    primary.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    front.redirect(replica.port());
    front.cut();

    let second = mutexes(&b).wait(PATIENCE).lock(1).await.unwrap();
    assert!(second.fence() > first.fence(), "{second:?} after {first:?}");
    assert_eq!(count(&replica), counted, "a plain counter starts again");
    // One who has seen nothing of the namespace before; so does the lock of another.
    let other = connect(replica.port()).await;
    let third = mutexes(&other).lock(2).await.unwrap();
    assert!(third.fence() > first.fence());
    // The holder is told by its next renewal, and what it still writes is refused.
    let cause = a.env().timeout(TTL, first.lost()).await.unwrap();
    assert_eq!(cause, LostCause::Deleted);
    let write = async |coord: &Coordinator, fence| {
        let put = Put::new("x").fenced(fence);
        coord.register("r").unwrap().put(&put).await.unwrap()
    };
    let written = write(&b, second.fence()).await;
    assert!(
        matches!(written, RegisterReply::Written { .. }),
        "{written:?}"
    );
    let late = write(&a, first.fence()).await;
    assert!(matches!(late, RegisterReply::Fenced { .. }), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x13_a_restart_without_persistence_is_loss_and_fences_go_on() {
    let mut server = RedisServer::start();
    let a = connect(server.port()).await;
    let first = mutexes(&a).lock(1).await.unwrap();
    let counted = count(&server);
    server.restart();
    let cause = a.env().timeout(TTL, first.lost()).await.unwrap();
    assert_eq!(cause, LostCause::Deleted);
    let lost = first.check().unwrap_err().to_string();
    assert!(lost.contains("was its data lost or deleted?"), "{lost}");
    assert_eq!(count(&server), counted, "a plain counter starts again");
    // One who has seen nothing of the namespace before.
    let b = connect(server.port()).await;
    let second = mutexes(&b).lock(1).await.unwrap();
    assert!(second.fence() > first.fence(), "{second:?} after {first:?}");
}
