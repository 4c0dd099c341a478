//! A holder that is killed or stopped, as an operating system does it, on every store that processes can share.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

#[path = "support/holding.rs"]
mod holding;

use std::time::Duration;

use leasehold::{Coordinator, Env, Put, RegisterReply};
use leasehold_testkit::RedisServer;

use holding::Holder;

const TTL: Duration = Duration::from_secs(1);

async fn connect(address: &str) -> Coordinator {
    leasehold::connect(address, "test").await.unwrap()
}

async fn killed_holder(address: &str) {
    let (mut holder, fence) = Holder::start(address, "test", TTL);
    let coord = connect(address).await;
    let waiting = {
        let mutexes = coord.mutexes("m").unwrap();
        coord
            .env()
            .spawn(async move { mutexes.lock(1).await.unwrap() })
    };
    // In the queue behind a holder that lives and renews.
    coord.env().sleep(TTL * 2).await;
    assert!(!waiting.is_finished());
    let killed = coord.env().now();
    holder.process.kill();
    let guard = waiting.await.unwrap();
    let took = coord.env().now().since(killed);
    assert!(took <= TTL + Duration::from_millis(200), "{took:?}");
    assert!(guard.fence() > fence);
}

async fn stopped_holder(address: &str) {
    let (mut holder, fence) = Holder::start(address, "test", TTL);
    let coord = connect(address).await;
    holder.process.signal("STOP");
    let guard = coord.mutexes("m").unwrap().lock(1).await.unwrap();
    assert!(guard.fence() > fence);
    let put = Put::new("new").fenced(guard.fence());
    let register = coord.register("balance").unwrap();
    assert!(matches!(
        register.put(&put).await.unwrap(),
        RegisterReply::Written { .. }
    ));

    // Its commands are waiting for it when it wakes.
    holder.say("check");
    holder.say("write");
    let continued = Env::system().now();
    holder.process.signal("CONT");
    let mut said = [holder.line(""), holder.line(""), holder.line("")];
    said.sort();
    let [check, lost, write] = said;
    assert_eq!(check, "check lost");
    assert_eq!(write, format!("write fenced {}", guard.fence()));
    let at: u64 = lost.strip_prefix("lost ").unwrap().parse().unwrap();
    let took = Duration::from_nanos(at - continued.as_nanos());
    assert!(took <= Duration::from_millis(50), "{took:?}");
    assert_eq!(register.get().await.unwrap().unwrap().value, b"new");
    guard.release().await.unwrap();
}

fn sqlite() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("test.db").display());
    (folder, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_is_followed_within_its_ttl_on_sqlite() {
    let (_folder, address) = sqlite();
    killed_holder(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_is_followed_within_its_ttl_on_redis() {
    let server = RedisServer::start();
    killed_holder(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_wakes_too_late_says_lost_and_its_write_is_refused_on_sqlite() {
    let (_folder, address) = sqlite();
    stopped_holder(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_wakes_too_late_says_lost_and_its_write_is_refused_on_redis() {
    let server = RedisServer::start();
    stopped_holder(&server.url()).await;
}
