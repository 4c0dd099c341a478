//! Callers whose calls travel in one script call: each has its own answer, error, deadline and end.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{NEVER, Node, REQUEST_TIMEOUT, name};
use leasehold_core::Env;
use leasehold_core::protocol::{Acquire, Capacity, Op, Release, Reply, Was, Weight};
use leasehold_core::store::{LeaseCall, StoreError, StoreErrorKind};
use leasehold_testkit::{Proxy, RedisServer};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// For a busy machine.
const SLACK: Duration = Duration::from_millis(150);

/// Of the resource and with the request id `i`; it does not wait.
fn acquire(node: &Node, i: u64) -> LeaseCall {
    LeaseCall {
        name: name(&format!("r{i}")),
        op: Op::Acquire(Acquire {
            rid: node.rid(i),
            not_after_us: NEVER,
            weight: Weight::All,
            capacity: Capacity::ONE,
            ttl_us: 30_000_000,
            wait: false,
            want: 1,
            seen: 0,
            label: format!("caller {i}").into(),
        }),
    }
}

fn release(node: &Node, i: u64) -> LeaseCall {
    LeaseCall {
        name: name(&format!("r{i}")),
        op: Op::Release(Release {
            rid: node.rid(i),
            not_after_us: NEVER,
            used: 0,
            close_until_us: 0,
        }),
    }
}

async fn execute(node: &Node, call: LeaseCall) -> Result<Reply, StoreError> {
    let mut answers = node.store.leases.execute(&[call]).await?;
    assert_eq!(answers.value.len(), 1);
    Ok(answers.value.remove(0))
}

/// All at once; their answers in the same order.
async fn at_once(node: &Arc<Node>, calls: Vec<LeaseCall>) -> Vec<Result<Reply, StoreError>> {
    let mut callers = JoinSet::new();
    for (at, call) in calls.into_iter().enumerate() {
        let node = Arc::clone(node);
        callers.spawn(async move { (at, execute(&node, call).await) });
    }
    let mut answers = callers.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// From now on the server knows the scripts.
async fn warm_up(node: &Arc<Node>) {
    warm_up_on(node, 0..20).await;
}

async fn warm_up_on(node: &Arc<Node>, resources: Range<u64>) {
    let acquires = resources.clone().map(|i| acquire(node, i));
    let granted = at_once(node, acquires.collect()).await;
    assert!(granted.iter().all(is_granted), "{granted:?}");
    let released = at_once(node, resources.map(|i| release(node, i)).collect()).await;
    assert!(released.iter().all(was_held), "{released:?}");
}

fn is_granted(reply: &Result<Reply, StoreError>) -> bool {
    matches!(reply, Ok(Reply::Granted { .. }))
}

fn was_held(reply: &Result<Reply, StoreError>) -> bool {
    matches!(reply, Ok(Reply::Released { was: Was::Held }))
}

fn script_calls(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| {
        let rest = line.strip_prefix("cmdstat_eval")?;
        let (_, calls) = rest.split_once("calls=")?;
        calls.split(',').next()?.parse::<u64>().ok()
    });
    calls.sum()
}

fn exists(server: &RedisServer, i: u64) -> bool {
    let pattern = format!("*:l:mutex/r{i}");
    server.command(&["KEYS", &pattern]).contains(":l:mutex/")
}

/// Lets a future begin.
fn begin<T>(future: Pin<&mut impl Future<Output = T>>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "it has an answer at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_travel_in_few_script_calls() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    server.command(&["CONFIG", "RESETSTAT"]);
    let mut requests = 0;
    for _ in 0..10 {
        let acquires: Vec<_> = (0..100).map(|i| acquire(&node, i)).collect();
        let releases: Vec<_> = (0..100).map(|i| release(&node, i)).collect();
        requests += acquires.len() + releases.len();
        let granted = at_once(&node, acquires).await;
        assert!(granted.iter().all(is_granted), "{granted:?}");
        let released = at_once(&node, releases).await;
        assert!(released.iter().all(was_held), "{released:?}");
    }
    let calls = script_calls(&server);
    assert!(calls * 3 < requests as u64, "{calls} for {requests}");
    assert!(!exists(&server, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_caller_s_calls_are_one_script_call_each() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    for call in [acquire(&node, 1), release(&node, 1)] {
        // The scripts are there from now on.
        execute(&node, call).await.unwrap();
    }
    server.command(&["CONFIG", "RESETSTAT"]);
    for i in 0..10 {
        assert!(is_granted(&execute(&node, acquire(&node, i)).await));
        assert!(was_held(&execute(&node, release(&node, i)).await));
    }
    assert_eq!(script_calls(&server), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_meets_is_not_what_others_are_told() {
    let server = RedisServer::start();
    let holder = Node::open(&server.url()).await;
    for i in (0..60).step_by(3) {
        execute(&holder, acquire(&holder, i)).await.unwrap();
    }
    let node = Arc::new(Node::open(&server.url()).await);
    let granted = at_once(&node, (0..60).map(|i| acquire(&node, i)).collect()).await;
    for (i, reply) in granted.iter().enumerate() {
        match reply {
            Ok(Reply::Busy { holder, .. }) if i % 3 == 0 => {
                assert_eq!(*holder, format!("caller {i}"));
            }
            reply => assert!(i % 3 != 0 && is_granted(reply), "{i}: {reply:?}"),
        }
    }
    let released = at_once(&node, (0..60).map(|i| release(&node, i)).collect()).await;
    for (i, reply) in released.iter().enumerate() {
        let was = if i % 3 == 0 { Was::Absent } else { Was::Held };
        assert!(
            matches!(reply, Ok(Reply::Released { was: w }) if *w == was),
            "{i}: {reply:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_contended_a_moment_ago_is_asked_of_the_full_script_at_once() {
    let server = RedisServer::start();
    let holder = Node::open(&server.url()).await;
    execute(&holder, acquire(&holder, 0)).await.unwrap();
    let node = Arc::new(Node::open(&server.url()).await);
    warm_up_on(&node, 20..40).await;
    let of_it = |i| LeaseCall {
        name: name("r0"),
        ..acquire(&node, i)
    };
    let all_busy = |answers: &[Result<Reply, StoreError>]| {
        let mut answers = answers.iter();
        assert!(answers.all(|reply| matches!(reply, Ok(Reply::Busy { .. }))));
    };
    // The second one leaves the full script there.
    for i in 100..102 {
        all_busy(&at_once(&node, vec![of_it(i)]).await);
    }
    server.command(&["CONFIG", "RESETSTAT"]);
    // Together they would meet the holder in the fast script, and each would have to ask again.
    all_busy(&at_once(&node, (110..130).map(of_it).collect()).await);
    assert_eq!(script_calls(&server), 20);
}

#[tokio::test]
async fn two_callers_of_one_resource_are_served_in_their_order() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    execute(&node, acquire(&node, 1)).await.unwrap();
    let mut next = acquire(&node, 2);
    next.name = name("r1");
    let mut late = acquire(&node, 3);
    late.name = name("r1");
    // The first goes alone, and the others along: in this runtime they come in this order.
    let calls = vec![acquire(&node, 9), release(&node, 1), next, late];
    let answers = at_once(&node, calls).await;
    assert!(is_granted(&answers[0]), "{answers:?}");
    assert!(was_held(&answers[1]), "{answers:?}");
    assert!(is_granted(&answers[2]), "{answers:?}");
    assert!(matches!(answers[3], Ok(Reply::Busy { .. })), "{answers:?}");
}

#[tokio::test]
async fn who_is_dropped_before_it_is_sent_leaves_nothing() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let mut first = pin!(execute(&node, acquire(&node, 0)));
    begin(first.as_mut());
    {
        let mut dropped = pin!(execute(&node, acquire(&node, 1)));
        begin(dropped.as_mut());
    }
    let mut second = pin!(execute(&node, acquire(&node, 2)));
    begin(second.as_mut());
    assert!(is_granted(&first.await));
    assert!(is_granted(&second.await));
    assert!(!exists(&server, 1), "it was sent");
    assert!(exists(&server, 2));
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// As that of a thread that blocks on one call, and then does something else.
#[tokio::test]
async fn a_runtime_that_is_not_run_any_more_keeps_nobody_s_answer() {
    let server = RedisServer::start();
    let node = Node::open(&server.url()).await;
    let idle = runtime();
    let mut first = pin!(execute(&node, acquire(&node, 0)));
    begin(first.as_mut());
    {
        let mut elsewhere = pin!(execute(&node, acquire(&node, 1)));
        let _entered = idle.enter();
        begin(elsewhere.as_mut());
    }
    let second = execute(&node, acquire(&node, 2));
    let (first, second) = tokio::join!(first, node.env.timeout(2 * REQUEST_TIMEOUT, second));
    assert!(is_granted(&first));
    assert!(is_granted(&second.expect("it is not told anything")));
    idle.shutdown_background();
}

/// The connections that clients have, but for this one.
fn connections(server: &RedisServer) -> Vec<String> {
    let clients = server.command(&["CLIENT", "LIST"]);
    let ours = clients.lines().filter(|line| line.contains("cmd=eval"));
    let ids = ours.filter_map(|line| line.split(' ').next().map(str::to_owned));
    ids.collect()
}

/// Its deadline is over before it is sent: that says nothing of the connection.
#[tokio::test]
async fn who_is_carried_too_late_costs_nobody_the_connection() {
    let server = RedisServer::start();
    let url = server.url();
    let busy = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let node = busy.spawn(async move { Node::open(&url).await }).await;
    let node = Arc::new(node.unwrap());
    warm_up(&node).await;
    // What carried these calls ends: on one thread, tasks have their turns.
    for _ in 0..20 {
        busy.spawn(async {}).await.unwrap();
    }
    let before = connections(&server);
    assert_eq!(before.len(), 1, "{before:?}");
    // As long as one thread has other work.
    let (started, starts) = std::sync::mpsc::channel();
    let stall = busy.spawn(async move {
        started.send(()).unwrap();
        std::thread::sleep(REQUEST_TIMEOUT.mul_f32(1.2));
    });
    starts.recv().unwrap();
    let mut alone = pin!(execute(&node, acquire(&node, 0)));
    begin(alone.as_mut());
    let late = execute(&node, acquire(&node, 1)).await.unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Unknown);
    stall.await.unwrap();
    assert!(is_granted(&execute(&node, acquire(&node, 2)).await));
    assert_eq!(connections(&server), before);
    busy.shutdown_background();
}

#[tokio::test]
async fn who_waits_for_a_store_whose_runtime_has_ended_is_told() {
    let server = RedisServer::start();
    let (env, url) = (Env::system(), server.url());
    let ends = runtime();
    let (node, ends) = std::thread::spawn(move || (ends.block_on(Node::open(&url)), ends))
        .join()
        .unwrap();
    // Alone, and along.
    let mut first = pin!(execute(&node, acquire(&node, 0)));
    begin(first.as_mut());
    let mut second = pin!(execute(&node, acquire(&node, 1)));
    begin(second.as_mut());
    ends.shutdown_background();
    for answer in [first, second] {
        let answer = env.timeout(2 * REQUEST_TIMEOUT, answer).await;
        let error = answer.expect("it is not told anything").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_dropped_under_way_is_done_whole_and_takes_nobody_s_answer() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    warm_up(&node).await;
    server.stop();
    let (mut stay, mut go) = (JoinSet::new(), JoinSet::new());
    for i in 0..20 {
        let callers = if i % 2 == 0 { &mut stay } else { &mut go };
        let node = Arc::clone(&node);
        callers.spawn(async move { execute(&node, acquire(&node, i)).await });
    }
    // Long enough for all of them to be sent, and well within their deadlines.
    node.env.sleep(REQUEST_TIMEOUT / 4).await;
    go.shutdown().await;
    server.resume();
    let granted = stay.join_all().await;
    assert!(
        granted.len() == 10 && granted.iter().all(is_granted),
        "{granted:?}"
    );
    // The same requests again: the same grants, whole.
    let again = at_once(&node, (0..20).map(|i| acquire(&node, i)).collect()).await;
    assert!(again.iter().all(is_granted), "{again:?}");
    let released = at_once(&node, (0..20).map(|i| release(&node, i)).collect()).await;
    assert!(released.iter().all(was_held), "{released:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x03_a_lost_answer_is_unknown_to_each_and_the_same_request_gets_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let node = Node::open(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let node = Arc::new(node);
    warm_up(&node).await;
    proxy.swallow_replies();
    let answers = at_once(&node, (0..20).map(|i| acquire(&node, i)).collect()).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Unknown);
    }
    assert!(
        exists(&server, 0) && exists(&server, 19),
        "they were not sent"
    );
    proxy.heal();
    let deadline = node.env.now() + Duration::from_secs(5);
    loop {
        let again = at_once(&node, (0..20).map(|i| acquire(&node, i)).collect()).await;
        if again.iter().all(is_granted) {
            break;
        }
        assert!(node.env.now() < deadline, "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_s_deadline_is_its_own() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    server.stop();
    let mut callers = JoinSet::new();
    for i in 0..30 {
        let task = Arc::clone(&node);
        callers.spawn(async move {
            let begin = task.env.now();
            let error = execute(&task, acquire(&task, i)).await.unwrap_err();
            (error.kind(), task.env.now().since(begin))
        });
        // As many script calls as there are at most, and then callers who wait for one for most of their time.
        let apart = if i < 20 { 100 } else { 15 };
        node.env.sleep(REQUEST_TIMEOUT / apart).await;
    }
    for (kind, took) in callers.join_all().await {
        assert_eq!(kind, StoreErrorKind::Unknown);
        assert!(took >= REQUEST_TIMEOUT.mul_f32(0.99), "{took:?}");
        assert!(took < REQUEST_TIMEOUT + SLACK, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x15_a_full_server_refuses_acquires_and_still_releases_what_travels_with_them() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    let held = at_once(&node, (0..20).map(|i| acquire(&node, i)).collect()).await;
    assert!(held.iter().all(is_granted), "{held:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let calls = (0..20).flat_map(|i| [release(&node, i), acquire(&node, 100 + i)]);
    let answers = at_once(&node, calls.collect()).await;
    for pair in answers.chunks(2) {
        assert!(was_held(&pair[0]), "{pair:?}");
        let error = pair[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        assert!(error.to_string().contains("out of memory"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x10_scripts_that_were_flushed_are_sent_again() {
    let server = RedisServer::start();
    let node = Arc::new(Node::open(&server.url()).await);
    for _ in 0..3 {
        server.command(&["SCRIPT", "FLUSH"]);
        let granted = at_once(&node, (0..40).map(|i| acquire(&node, i)).collect()).await;
        assert!(granted.iter().all(is_granted), "{granted:?}");
        server.command(&["SCRIPT", "FLUSH"]);
        let released = at_once(&node, (0..40).map(|i| release(&node, i)).collect()).await;
        assert!(released.iter().all(was_held), "{released:?}");
    }
}
