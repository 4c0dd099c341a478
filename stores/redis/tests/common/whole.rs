//! Everything that a client does on a server, in a few seconds.

use std::time::Duration;

use leasehold_core::protocol::{Acquire, Capacity, Op, Reply, Rid, Was, Weight};
use leasehold_core::store::{Connector, LeaseCall, ListQuery};
use leasehold_core::{Coordinator, Error, Put, RegisterReply};
use leasehold_redis::RedisStore;
use leasehold_testkit::RedisServer;

use crate::common::{NEVER, name, release, session};

const NAMESPACE: &str = "billing";
/// Far below the heartbeat of a waiter, after which it would look by itself.
const BY_PUSH: Duration = Duration::from_secs(2);

pub(crate) async fn connect(url: &str) -> Result<Coordinator, Error> {
    let store = RedisStore::new(url).unwrap();
    Coordinator::builder(store, NAMESPACE).connect().await
}

/// Locks with hand-over, renewals, registers, members, an election, pushes over a reconnect, and a crowd.
pub(crate) async fn use_it_all(server: &RedisServer, url: &str) {
    let (a, b) = (connect(url).await.unwrap(), connect(url).await.unwrap());
    let renewed = a.mutexes("m").unwrap().ttl(Duration::from_millis(600));
    let renewed = renewed.lock("renewed").await.unwrap();
    hand_over(&a, &b).await;

    let register = a.register("r").unwrap();
    let written = register.put(&Put::new("x").fenced(renewed.fence())).await;
    assert!(
        matches!(written, Ok(RegisterReply::Written { .. })),
        "{written:?}"
    );
    let read = b.register("r").unwrap().get().await.unwrap();
    assert_eq!(read.unwrap().value, b"x");
    let leader = a.election("e").unwrap().campaign().await.unwrap();
    leader.resign().await.unwrap();

    // Both connections of both clients, and the subscriptions with them.
    for kind in ["normal", "pubsub"] {
        server.command(&["CLIENT", "KILL", "TYPE", kind]);
    }
    hand_over(&b, &a).await;
    a.env().sleep(Duration::from_millis(700)).await;
    renewed.release().await.unwrap();
    let members = b.members().members.len();
    assert!(members >= 1, "{members}");
    a.shutdown(Duration::ZERO).await;
    b.shutdown(Duration::ZERO).await;
    crowd(url).await;
}

/// Ten that hold and ten that wait, of whom the first does not take its turn.
async fn crowd(url: &str) {
    let (session, _events) = session(NAMESPACE);
    let store = RedisStore::new(url).unwrap().open(&session).await.unwrap();
    let call = async |op| {
        let calls = [LeaseCall {
            name: name("crowd"),
            op,
        }];
        let mut answers = store.leases.execute(&calls).await.unwrap();
        answers.value.remove(0)
    };
    let rid = |seq| Rid {
        node: session.node,
        seq,
    };
    let ask = |seq| {
        Op::Acquire(Acquire {
            rid: rid(seq),
            not_after_us: NEVER,
            weight: Weight::ONE,
            capacity: Capacity {
                size: 10,
                revision: 0,
            },
            ttl_us: 30_000_000,
            wait: true,
            want: 1,
            seen: 0,
            label: "of a crowd".into(),
        })
    };
    let mut granted = Vec::new();
    for seq in 0..20 {
        granted.push(call(ask(seq)).await);
    }
    let released = call(release(rid(0), &granted[0])).await;
    assert_eq!(released, Reply::Released { was: Was::Held });
    // The claim window.
    session.env.sleep(Duration::from_millis(1_050)).await;
    let last = call(ask(19)).await;
    assert!(matches!(last, Reply::Queued { ahead: 8, .. }), "{last:?}");
    let query = ListQuery {
        prefix: "mutex/crowd".into(),
        limit: 1000,
        ..ListQuery::default()
    };
    let page = store.leases.list(&query).await.unwrap().value;
    let seqs = page.resources[0].1.entries.iter().map(|e| e.rid.seq);
    assert_eq!(seqs.collect::<Vec<_>>(), (1..20).collect::<Vec<_>>());
    for seq in 1..20 {
        call(release(rid(seq), &last)).await;
    }
    assert_eq!(call(Op::Inspect).await, Reply::Inspected(None));
}

/// `to` waits for what `from` holds, and hears of its turn by a push.
async fn hand_over(from: &Coordinator, to: &Coordinator) {
    let held = from.mutexes("m").unwrap().lock("handed").await.unwrap();
    let (name, fence, env) = (held.name().clone(), held.fence(), to.env().clone());
    let waiting = env.spawn({
        let mutexes = to.mutexes("m").unwrap();
        async move { mutexes.lock("handed").await }
    });
    let deadline = env.now() + Duration::from_secs(5);
    loop {
        let seen = from.inspect(&name).await.unwrap();
        if seen.waiters.len() == 1 {
            break;
        }
        assert!(
            env.now() < deadline && !waiting.is_finished(),
            "nobody waits"
        );
        env.sleep(Duration::from_millis(5)).await;
    }
    held.release().await.unwrap();
    let taken = env.timeout(BY_PUSH, waiting).await.expect("a push");
    let taken = taken.unwrap().unwrap();
    assert!(taken.fence() > fence);
    taken.release().await.unwrap();
}

/// The commands that the server has run since its statistics were reset, in lower case.
pub(crate) fn commands_run(server: &RedisServer) -> Vec<String> {
    let stats = server.command(&["INFO", "commandstats"]);
    let command = |line: &str| {
        let (name, _) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        Some(name.to_owned())
    };
    stats.lines().filter_map(command).collect()
}
