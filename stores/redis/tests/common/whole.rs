//! Everything that a client does on a server, in a few seconds.

use std::time::Duration;

use leasehold_core::{Coordinator, Error, Put, RegisterReply};
use leasehold_redis::RedisStore;
use leasehold_testkit::RedisServer;

const NAMESPACE: &str = "billing";
/// Far below the heartbeat of a waiter, after which it would look by itself.
const BY_PUSH: Duration = Duration::from_secs(2);

pub(crate) async fn connect(url: &str) -> Result<Coordinator, Error> {
    let store = RedisStore::new(url).unwrap();
    Coordinator::builder(store, NAMESPACE).connect().await
}

/// Locks with hand-over, renewals, registers, members, an election, and pushes over a reconnect.
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
