//! Servers that stop, die, come back, or answer nothing.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/whole.rs"]
mod whole;

use std::time::Duration;

use common::{Node, REQUEST_TIMEOUT, acquire, name, release, renew};
use leasehold_core::protocol::{Op, Reply};
use leasehold_core::store::{Event, StoreErrorKind};
use leasehold_testkit::{Direction, Proxy, RedisServer, free_port};

/// For a busy machine; what a driver's own patience would add is several seconds.
const SLACK: Duration = Duration::from_secs(1);
const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x01_a_stopped_server_is_unknown_within_the_deadline_and_then_recovers() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let granted = node.call(acquire(node.rid(1))).await.unwrap();
    server.stop();
    // The first on the connection there is, the second on one that cannot be made.
    for _ in 0..2 {
        let start = node.env.now();
        let error = node.call(renew(node.rid(1), 1)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unknown);
        let took = node.env.now().since(start);
        assert!(took < REQUEST_TIMEOUT + SLACK, "{took:?}");
        assert!(took >= REQUEST_TIMEOUT, "{took:?}");
    }
    server.resume();
    node.answered(&renew(node.rid(1), 2), A_SECOND).await;
    let Reply::Granted { first, .. } = granted else {
        panic!("{granted:?}")
    };
    // The same request again is the same grant.
    let again = node.call(acquire(node.rid(1))).await.unwrap();
    assert!(matches!(again, Reply::Granted { first: f, .. } if f == first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x04_a_dead_server_costs_no_call_more_than_its_deadline() {
    let mut server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    server.kill();
    for _ in 0..4 {
        let start = node.env.now();
        let error = node.call(Op::Inspect).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unknown);
        let took = node.env.now().since(start);
        assert!(took < REQUEST_TIMEOUT + SLACK, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x07_after_a_restart_calls_recover_and_pushes_come_again() {
    let mut server = RedisServer::start();
    let holder = Node::open(&server.url()).await;
    let mut waiter = Node::open(&server.url()).await;
    let bucket = name("a").bucket();
    waiter.store.events.listen(bucket).await.unwrap();
    server.restart();
    // Without a call of the waiter's: it is told that it may have missed something.
    assert_eq!(waiter.event().await, Event::Recheck);
    let granted = holder.answered(&acquire(holder.rid(2)), A_SECOND).await;
    let queued = waiter.answered(&acquire(waiter.rid(1)), A_SECOND).await;
    assert!(matches!(queued, Reply::Queued { .. }), "{queued:?}");
    let release = release(holder.rid(2), &granted);
    holder.call(release).await.unwrap();
    let event = waiter.event().await;
    assert!(matches!(event, Event::Granted(handed) if handed.rid == waiter.rid(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x08_a_refused_resubscription_is_no_connection() {
    let server = RedisServer::start();
    let mut node = Node::open(&server.url()).await;
    node.store.events.listen(name("a").bucket()).await.unwrap();
    server.command(&["ACL", "SETUSER", "default", "resetchannels"]);
    // Whether the permission's end or this cuts the connection is the server's affair.
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    // The first may still go out on the connection that is being closed.
    let deadline = node.env.now() + A_SECOND * 5;
    loop {
        let error = node.call(Op::Inspect).await.unwrap_err();
        if error.to_string().contains("subscribing again") {
            break;
        }
        assert!(node.env.now() < deadline, "{error}");
    }
    assert!(node.events.try_recv().is_err());
    server.command(&["ACL", "SETUSER", "default", "allchannels"]);
    assert_eq!(node.event().await, Event::Recheck);
    node.call(Op::Inspect).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_use_channels_still_locks_hands_over_and_reconnects() {
    let server = RedisServer::start();
    let mut waiter = Node::open(&server.url()).await;
    waiter
        .store
        .events
        .listen(name("a").bucket())
        .await
        .unwrap();
    server.command(&[
        "ACL",
        "SETUSER",
        "mute",
        "on",
        ">pw",
        "~*",
        "+@all",
        "resetchannels",
    ]);
    let url = server.url().replace("redis://", "redis://mute:pw@");
    let mute = Node::open(&url).await;
    let granted = mute.call(acquire(mute.rid(1))).await.unwrap();
    assert!(matches!(granted, Reply::Granted { .. }));
    let queued = waiter.call(acquire(waiter.rid(1))).await.unwrap();
    assert!(matches!(queued, Reply::Queued { .. }), "{queued:?}");
    // The hand-over happens, and only its push does not.
    let released = mute.call(release(mute.rid(1), &granted)).await.unwrap();
    assert!(matches!(released, Reply::Released { .. }), "{released:?}");
    let taken = waiter.call(acquire(waiter.rid(1))).await.unwrap();
    assert!(matches!(taken, Reply::Granted { .. }), "{taken:?}");
    assert!(waiter.events.try_recv().is_err());
    // A subscription that was refused is not what a later reconnect fails of.
    let error = mute
        .store
        .events
        .listen(name("a").bucket())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    server.command(&["CLIENT", "KILL", "USER", "mute"]);
    mute.answered(&Op::Inspect, A_SECOND * 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l14_a_server_that_closes_at_once_is_not_asked_in_a_busy_loop() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    node.store.events.listen(name("a").bucket()).await.unwrap();
    let connections = || -> u32 { server.info("total_connections_received").parse().unwrap() };
    let (before, start) = (connections(), node.env.now());
    for _ in 0..20 {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        node.env.sleep(Duration::from_millis(25)).await;
    }
    let own = 21;
    let made = connections() - before - own;
    let took = u32::try_from(node.env.now().since(start).as_millis()).unwrap();
    // 20, 40, 80, 160, 320 ms, and then one each 500 ms, jittered.
    assert!((1..=8 + took / 400).contains(&made), "{made} in {took} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x05_a_silent_connection_is_replaced_after_one_deadline() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let mut node = Node::open(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    node.store.events.listen(name("a").bucket()).await.unwrap();
    node.call(acquire(node.rid(1))).await.unwrap();
    proxy.freeze();
    let error = node.call(renew(node.rid(1), 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    let renewed = node.call(renew(node.rid(1), 2)).await.unwrap();
    assert!(matches!(renewed, Reply::Renewed { .. }));
    assert_eq!(node.event().await, Event::Recheck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x11_no_blocking_command_is_sent_whatever_a_client_does() {
    let server = RedisServer::start();
    server.command(&["CONFIG", "RESETSTAT"]);
    whole::use_it_all(&server, &server.url()).await;
    let mut run = whole::commands_run(&server);
    run.retain(|command| !command.starts_with("client|") && !command.starts_with("config|"));
    run.sort();
    // What a command does to others on its connection was looked at for these; look before you add one.
    let known = [
        "del",
        "eval",
        "evalsha",
        "get",
        "mget",
        "hdel",
        "hello",
        "hget",
        "hgetall",
        "hlen",
        "hset",
        "hsetnx",
        "info",
        "pexpire",
        "scan",
        "set",
        "spublish",
        "ssubscribe",
        "time",
        "zadd",
        "zcard",
        "zcount",
        "zrange",
        "zrank",
        "zrem",
    ];
    let unknown: Vec<_> = run
        .iter()
        .filter(|c| !known.contains(&c.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(run.len() >= known.len() - 1, "{run:?}");
    for command in known {
        let flags = server.command(&["COMMAND", "INFO", command]);
        assert!(
            flags.contains(command) && !flags.lines().any(|flag| flag == "blocking"),
            "{flags}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x02_a_call_dropped_on_its_way_leaves_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let coord = whole::connect(&url).await.unwrap();
    let other = whole::connect(&server.url()).await.unwrap();
    let mutexes = coord.mutexes("m").unwrap().wait(A_SECOND);
    let delay = Duration::from_millis(60);
    let mut names = Vec::new();
    // Before it is sent, on its way there, at the server, on the way back.
    for patience in [0, 1, 30, 59, 61, 90, 119, 121] {
        proxy.delay(Direction::ToServer, delay);
        proxy.delay(Direction::ToClient, delay);
        let within = Duration::from_millis(patience);
        // Answered or not: a guard is dropped, too.
        drop(coord.env().timeout(within, mutexes.lock(patience)).await);
        proxy.heal();
        // Far sooner than its lease would end by itself.
        let taken = other.mutexes("m").unwrap().wait(A_SECOND * 5);
        let taken = taken.lock(patience).await.unwrap();
        names.push((patience, taken.name().clone()));
        taken.release().await.unwrap();
    }
    // What refuses late copies of the dropped requests goes with the first call after their time.
    let records = || server.command(&["KEYS", "*:l:*"]);
    let deadline = coord.env().now() + A_SECOND * 20;
    while !records().is_empty() {
        assert!(coord.env().now() < deadline, "{}", records());
        for (patience, name) in &names {
            let seen = other.inspect(name).await.unwrap();
            assert!(
                seen.holders.is_empty() && seen.waiters.is_empty(),
                "{seen:?}"
            );
            let guard = other.mutexes("m").unwrap().lock(patience).await.unwrap();
            guard.release().await.unwrap();
        }
        coord.env().sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_dead_address_is_named_without_its_password() {
    let port = free_port();
    let start = leasehold_core::Env::system().now();
    let url = format!("redis://user:s3cret@127.0.0.1:{port}");
    let error = Node::try_open(&url).await.err().unwrap();
    let took = leasehold_core::Env::system().now().since(start);
    assert!(took < A_SECOND, "{took:?}");
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    let text = format!("connect: redis://***@127.0.0.1:{port}: Connection refused (os error 111)");
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = RedisServer::start();
    server.stop();
    let env = leasehold_core::Env::system();
    let start = env.now();
    let error = Node::try_open(&server.url()).await.err().unwrap();
    let took = env.now().since(start);
    assert!(took < A_SECOND + SLACK, "{took:?}");
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    assert!(error.to_string().contains(&server.url()), "{error}");
}

#[tokio::test]
async fn x19_a_wrong_password_is_refused_and_not_repeated() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let port = server.port();
    for login in ["", ":wr0ng@", "wr0ng:wr0ng@"] {
        let url = format!("redis://{login}127.0.0.1:{port}");
        let error = Node::try_open(&url).await.err().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("wr0ng"), "{text}");
        assert!(text.contains("password"), "{text}");
    }
    let node = Node::open(&server.url()).await;
    node.call(Op::Inspect).await.unwrap();
    let text = format!("{:?}", node.store);
    assert!(!text.contains("right"), "{text}");
}
