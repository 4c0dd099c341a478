//! What is kept on the server, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Node, acquire, name, release, renew};
use leasehold_core::protocol::{Expect, Op, RegisterReply, RegisterWrite, Reply, Was};
use leasehold_core::store::{Beat, Event, LeaseCall, StoreErrorKind};
use leasehold_testkit::RedisServer;

#[tokio::test]
async fn a_released_lease_leaves_no_key() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    for seq in 1..20 {
        let rid = node.rid(seq);
        let granted = node.call(acquire(rid)).await.unwrap();
        assert!(matches!(granted, Reply::Granted { claimed: true, .. }));
        assert_eq!(server.command(&["DBSIZE"]), "1");
        let released = node.call(release(rid, &granted)).await.unwrap();
        assert_eq!(released, Reply::Released { was: Was::Held });
        assert_eq!(server.command(&["DBSIZE"]), "0");
    }
}

#[tokio::test]
async fn every_key_collects_itself() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    node.call(acquire(node.rid(1))).await.unwrap();
    let write = RegisterWrite {
        expect: Expect::Any,
        fence: None,
        ttl_us: 1,
        value: vec![0, 255],
    };
    node.store
        .registers
        .write(&name("r"), &write)
        .await
        .unwrap();
    node.store.members.beat(&beat(&node, 1)).await.unwrap();
    let keys = server.command(&["KEYS", "*"]);
    assert_eq!(keys.lines().count(), 5, "{keys}");
    for key in keys.lines() {
        let ttl: i64 = server.command(&["PTTL", key]).parse().unwrap();
        assert!(ttl > 0, "{key}: {ttl}");
    }
}

#[tokio::test]
async fn the_scripts_survive_a_flush() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let granted = node.call(acquire(node.rid(1))).await.unwrap();
    server.command(&["SCRIPT", "FLUSH"]);
    let rid = node.rid(1);
    assert!(matches!(
        node.call(renew(rid, 1)).await.unwrap(),
        Reply::Renewed { .. }
    ));
    server.command(&["SCRIPT", "FLUSH"]);
    node.call(release(rid, &granted)).await.unwrap();
}

#[tokio::test]
async fn a_waiter_hears_of_its_turn() {
    let server = RedisServer::start();
    let (holder, mut waiter) = (
        Node::open(&server.url()).await,
        Node::open(&server.url()).await,
    );
    let granted = holder.call(acquire(holder.rid(1))).await.unwrap();
    waiter
        .store
        .events
        .listen(name("a").bucket())
        .await
        .unwrap();
    waiter
        .store
        .events
        .listen(name("a").bucket())
        .await
        .unwrap();
    let queued = waiter.call(acquire(waiter.rid(1))).await.unwrap();
    assert!(matches!(queued, Reply::Queued { ahead: 0, .. }));
    let release = release(holder.rid(1), &granted);
    holder.call(release).await.unwrap();
    let event = waiter.event().await;
    assert!(matches!(event, Event::Granted(handed) if handed.rid == waiter.rid(1)));
    let turn = waiter.call(acquire(waiter.rid(1))).await.unwrap();
    assert!(matches!(turn, Reply::Granted { claimed: false, .. }));
}

#[tokio::test]
async fn a_newer_record_is_refused_and_kept() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let bucket = name("a").bucket();
    let lease = format!("{{tests#{bucket}}}:l:mutex/a");
    let register = format!("{{tests#{bucket}}}:r:mutex/a");
    for key in [&lease, &register] {
        server.command(&["SET", key, "3something"]);
    }
    let calls = [
        LeaseCall {
            name: name("a"),
            op: acquire(node.rid(1)),
        },
        LeaseCall {
            name: name("a"),
            op: Op::Inspect,
        },
    ];
    let error = node.store.leases.execute(&calls).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("format '3'"), "{error}");
    let error = node.store.registers.read(&[name("a")]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    let write = RegisterWrite {
        expect: Expect::Any,
        fence: None,
        ttl_us: 1_000_000,
        value: vec![],
    };
    let error = (node.store.registers.write(&name("a"), &write))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    for key in [&lease, &register] {
        assert_eq!(server.command(&["GET", key]), "3something");
    }
}

#[tokio::test]
async fn a_newer_namespace_is_not_opened() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    node.store
        .members
        .beat(&beat(&node, 1_000_000))
        .await
        .unwrap();
    drop(Node::open(&server.url()).await);
    server.command(&["HSET", "{tests#m}:meta", "format", "2"]);
    let error = Node::try_open(&server.url()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    // A namespace that was upgraded under an open store, too.
    let beat = beat(&node, 1_000_000);
    let error = node.store.members.beat(&beat).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
}

#[tokio::test]
async fn registers_keep_any_bytes_and_expire() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let value: Vec<u8> = (0..=255).collect();
    let write = |ttl_us, value: &[u8]| RegisterWrite {
        expect: Expect::Absent,
        fence: None,
        ttl_us,
        value: value.to_vec(),
    };
    let registers = &node.store.registers;
    let written = registers
        .write(&name("long"), &write(60_000_000, &value))
        .await
        .unwrap();
    let RegisterReply::Written { version } = written.value else {
        panic!("{written:?}")
    };
    assert_eq!(version, written.now.wall_us);
    registers
        .write(&name("short"), &write(20_000, b"x"))
        .await
        .unwrap();
    let names = [name("none"), name("long"), name("short")];
    let deadline = node.env.now() + Duration::from_secs(5);
    loop {
        let read = registers.read(&names).await.unwrap().value;
        assert_eq!(read[0], None);
        assert_eq!(read[1].as_ref().unwrap().value, value);
        assert_eq!(read[1].as_ref().unwrap().version, version);
        if read[2].is_none() {
            break;
        }
        assert!(node.env.now() < deadline, "it does not expire");
    }
    let conflict = registers
        .write(&name("long"), &write(1, b""))
        .await
        .unwrap();
    let RegisterReply::Conflict(Some(kept)) = conflict.value else {
        panic!("{conflict:?}")
    };
    assert_eq!(kept.value, value);
}

fn beat(node: &Node, ttl_us: u64) -> Beat {
    Beat {
        node: node.id,
        label: "büro {1}".into(),
        meta: BTreeMap::from([("rev".into(), "7".into())]),
        ttl_us,
    }
}

#[tokio::test]
async fn members_come_and_go_by_the_servers_clock() {
    let server = RedisServer::start();
    let (a, b) = (
        Node::open(&server.url()).await,
        Node::open(&server.url()).await,
    );
    let first = (a.store.members.beat(&beat(&a, 60_000_000)).await)
        .unwrap()
        .value;
    assert_eq!(first.members.len(), 1);
    assert_eq!(first.members[0].label, "büro {1}");
    assert_eq!(first.members[0].meta["rev"], "7");
    let second = (b.store.members.beat(&beat(&b, 30_000)).await)
        .unwrap()
        .value;
    assert_eq!(second.incarnation, first.incarnation);
    let ids: Vec<_> = second.members.iter().map(|m| m.node).collect();
    assert_eq!(ids, [a.id.min(b.id), a.id.max(b.id)]);
    let deadline = a.env.now() + Duration::from_secs(5);
    while a
        .store
        .members
        .beat(&beat(&a, 60_000_000))
        .await
        .unwrap()
        .value
        != first
    {
        assert!(a.env.now() < deadline, "it stays for ever");
    }
    a.store.members.leave(a.id).await.unwrap();
    let alone = b.store.members.beat(&beat(&b, 60_000_000)).await.unwrap();
    assert_eq!(alone.value.members.len(), 1);
    server.command(&["FLUSHALL"]);
    let lost = b.store.members.beat(&beat(&b, 60_000_000)).await.unwrap();
    assert_ne!(lost.value.incarnation, first.incarnation);
}

#[tokio::test]
async fn x14_an_evicting_server_is_refused() {
    let server =
        RedisServer::start_with(&["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"]);
    let error = Node::try_open(&server.url()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("volatile-lru"), "{error}");
}

#[tokio::test]
async fn x15_a_full_server_grants_nothing_but_renews_and_releases() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let rid = node.rid(1);
    let granted = node.call(acquire(rid)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    drop(Node::open(&server.url()).await);
    let error = node.call(acquire(node.rid(2))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("out of memory"), "{error}");
    let renewed = node.call(renew(rid, 1)).await.unwrap();
    assert!(matches!(renewed, Reply::Renewed { .. }));
    let released = node.call(release(rid, &granted)).await.unwrap();
    assert_eq!(released, Reply::Released { was: Was::Held });
    node.store.members.beat(&beat(&node, 1_000)).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::start();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    let error = Node::try_open(&replica.url()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("primary"), "{error}");
}
