//! What quotas cost the server: memory, commands, and nothing once they are spent.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{NEVER, Node};
use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{Charge, Quota};
use leasehold_core::store::{QuotaCall, QuotaReply, Take};
use leasehold_testkit::RedisServer;
use tokio::task::JoinSet;

fn take(name: &ResourceName, quota: Quota) -> QuotaCall {
    let charge = Charge {
        quota,
        cost: 1,
        least: 1,
    };
    QuotaCall::Take(Take {
        not_after_us: NEVER,
        longest_wait_us: 0,
        charges: vec![(name.clone(), charge)],
        lease: None,
    })
}

fn used_memory(server: &RedisServer) -> usize {
    let info = server.command(&["INFO", "memory"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

/// How much memory a key takes, of 100,000 with ids of 24 bytes, and so keys of 40 to 42. The server's allocator has steps of
/// 16 bytes: a key of 45 takes as many more.
async fn bytes_a_key(quota: Quota) -> usize {
    const KEYS: usize = 100_000;
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let class = Class::new("api").unwrap();
    let mut buckets: BTreeMap<_, Vec<QuotaCall>> = BTreeMap::new();
    for i in 0..KEYS {
        let name = class.resource(format!("user-{i:019}")).unwrap();
        buckets
            .entry(name.bucket())
            .or_default()
            .push(take(&name, quota));
    }
    // The script is there, and the buffers have their size.
    let other = class.resource("other").unwrap();
    let calls = vec![take(&other, quota); 128];
    node.store.quotas.quotas(&calls).await.unwrap();
    let before = used_memory(&server);
    for calls in buckets.values().flat_map(|calls| calls.chunks(128)) {
        let replies = node.store.quotas.quotas(calls).await.unwrap().value;
        let is_taken = |reply: &QuotaReply| matches!(reply, QuotaReply::Taken { charged, .. } if charged[0].units == 1);
        assert!(replies.iter().all(is_taken));
    }
    assert_eq!(server.command(&["DBSIZE"]).trim(), (KEYS + 1).to_string());
    (used_memory(&server) - before) / KEYS
}

#[tokio::test]
async fn a_key_takes_at_most_150_bytes() {
    let hour = 3_600_000_000;
    let whole = Quota::new(100, hour, 20).unwrap();
    let parts = Quota::new(7, hour, 20).unwrap();
    let (bytes, with_parts) = (bytes_a_key(whole).await, bytes_a_key(parts).await);
    let announced = bytes_a_key(whole.revision(1)).await;
    println!("{bytes} bytes a key, {with_parts} with parts of a µs, {announced} announced");
    assert!(bytes <= 150, "{bytes}");
    assert!(with_parts <= 166, "{with_parts}");
    assert!(announced <= 200, "{announced}");
}

#[tokio::test]
async fn a_key_goes_when_it_is_spent_and_a_refusal_writes_nothing() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let name = Class::internal("~limit").resource("a").unwrap();
    let quota = Quota::new(1, 200_000, 1).unwrap();
    for units in [1, 0, 0] {
        let reply = node
            .store
            .quotas
            .quotas(&[take(&name, quota)])
            .await
            .unwrap();
        let QuotaReply::Taken { charged, .. } = &reply.value[0] else {
            panic!("{reply:?}");
        };
        assert_eq!(charged[0].units, units);
    }
    let stats = server.command(&["INFO", "commandstats"]);
    assert!(stats.contains("cmdstat_set:calls=1,"), "{stats}");
    let deadline = node.env.now() + Duration::from_secs(5);
    while server.command(&["KEYS", "*:q:*"]).trim() != "" {
        assert!(node.env.now() < deadline, "the key stays");
        node.env.sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn charges_that_come_together_travel_together_and_none_is_lost() {
    const TASKS: usize = 64;
    const EACH: usize = 20;
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let class = Class::internal("~limit");
    let hot = class.resource("hot").unwrap();
    let quota = Quota::new(1, 3_600_000_000, 1_000).unwrap();
    node.store
        .quotas
        .quotas(&[take(&hot, quota)])
        .await
        .unwrap();
    server.command(&["CONFIG", "RESETSTAT"]);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let quotas = node.store.quotas.clone();
        let (hot, own) = (hot.clone(), class.resource(task).unwrap());
        tasks.spawn(async move {
            let mut units = 0;
            for _ in 0..EACH {
                for name in [&hot, &own] {
                    let reply = quotas.quotas(&[take(name, quota)]).await.unwrap();
                    let QuotaReply::Taken { charged, .. } = &reply.value[0] else {
                        panic!("{reply:?}");
                    };
                    units += if *name == hot { charged[0].units } else { 0 };
                    // Each is told of its own.
                    let used = 1_000 - charged[0].standing.remaining;
                    assert!(*name == hot || usize::try_from(used).unwrap() <= EACH);
                }
            }
            units
        });
    }
    let units: u64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(units, 999, "what the first charge left");
    let stats = server.command(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls: usize = calls.unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(calls * 4 < 2 * TASKS * EACH, "{calls} script calls");
}
