//! The Redis scripts, on a real server.

use leasehold::Fence;
use leasehold::fencing::redis::{GUARD, KEEP_MS, SET, fence_key};
use leasehold_testkit::RedisServer;
use redis::RedisResult;

const KEY: &str = "report:7";

struct Redis {
    server: RedisServer,
    connection: redis::aio::MultiplexedConnection,
}

impl Redis {
    async fn start() -> Self {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { server, connection }
    }

    async fn run(&mut self, script: &str, arguments: &[&str]) -> RedisResult<u64> {
        let script = redis::Script::new(script);
        let mut call = script.key(fence_key(KEY).unwrap());
        call.key(KEY).arg(arguments);
        call.invoke_async(&mut self.connection).await
    }

    async fn set(&mut self, fence: u64, value: &str) -> u64 {
        let arguments = [&fence.to_string(), &KEEP_MS.to_string(), value, "60000"];
        self.run(SET, &arguments).await.unwrap()
    }

    fn get(&self) -> String {
        self.server.command(&["GET", KEY])
    }
}

#[tokio::test]
async fn fences_are_compared_and_kept_whole_up_to_the_largest() {
    let mut redis = Redis::start().await;
    let largest = Fence::MAX.get();
    assert_eq!(largest, 9_007_199_254_740_991);
    for (fence, stored) in [
        (1_795_425_306_933_629, 1_795_425_306_933_629),
        (1_795_425_306_933_628, 1_795_425_306_933_629),
        (largest - 1, largest - 1),
        (largest, largest),
        (largest, largest),
        (largest - 1, largest),
    ] {
        assert_eq!(redis.set(fence, &format!("by {fence}")).await, stored);
        assert_eq!(redis.get(), format!("by {stored}"));
        let kept = redis.server.command(&["GET", "{report:7}:fence"]);
        assert_eq!(kept, stored.to_string());
    }
}

#[tokio::test]
async fn value_and_fence_expire_and_the_fence_not_first() {
    let mut redis = Redis::start().await;
    let expiry = |redis: &Redis, key| -> i64 {
        let left = redis.server.command(&["PTTL", key]);
        left.parse().unwrap()
    };
    let key = fence_key(KEY).unwrap();
    redis.set(7, "a").await;
    assert!((1..=60_000).contains(&expiry(&redis, KEY)));
    let keep = i64::try_from(KEEP_MS).unwrap();
    assert!((keep - 60_000..=keep).contains(&expiry(&redis, &key)));
    // Remembered for a second by what the caller says, but the value stays for a minute.
    redis.run(SET, &["7", "1000", "b", "60000"]).await.unwrap();
    assert!((1_001..=60_000).contains(&expiry(&redis, &key)));
}

#[tokio::test]
async fn a_script_of_ones_own_runs_behind_the_guard() {
    let mut redis = Redis::start().await;
    let script =
        format!("{GUARD}\nredis.call('HINCRBY', KEYS[2], 'n', ARGV[3])\nreturn fence_text");
    for (fence, stored) in [("7", 7), ("8", 8), ("7", 8), ("8", 8)] {
        let answer = redis.run(&script, &[fence, "60000", "1"]).await;
        assert_eq!(answer.unwrap(), stored);
    }
    assert_eq!(redis.server.command(&["HGET", KEY, "n"]), "3");
}

#[tokio::test]
async fn arguments_that_are_none_are_named_and_nothing_is_written() {
    let mut redis = Redis::start().await;
    for (arguments, named) in [
        (["9007199254740992", "1000", "x", "1000"], "ARGV[1]"),
        (["-1", "1000", "x", "1000"], "ARGV[1]"),
        (["1.5", "1000", "x", "1000"], "ARGV[1]"),
        (["nan", "1000", "x", "1000"], "ARGV[1]"),
        (["", "1000", "x", "1000"], "ARGV[1]"),
        (["7", "0", "x", "1000"], "ARGV[2]"),
        (["7", "1000", "x", "0"], "ARGV[4]"),
        (["7", "1000", "x", "soon"], "ARGV[4]"),
    ] {
        let error = redis.run(SET, &arguments).await.unwrap_err();
        assert_eq!(error.code(), Some("FENCE"));
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(redis.get(), "(nil)");
    }
    // Not a fence's key: it is left as it is.
    let key = fence_key(KEY).unwrap();
    redis.server.command(&["SET", &key, "a report"]);
    let error = redis
        .run(SET, &["7", "1000", "x", "1000"])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("KEYS[1] holds no fence"),
        "{error}"
    );
    assert_eq!(redis.server.command(&["GET", &key]), "a report");
}

#[tokio::test]
async fn a_key_and_its_fence_live_in_one_slot() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    for key in ["report:7", "{report}:7", "a{b}c{d}", "report:{7}", "a{{b}c"] {
        let slot = |key: &str| server.command(&["CLUSTER", "KEYSLOT", key]);
        let fence = fence_key(key).unwrap();
        assert_eq!(slot(key), slot(&fence), "{key} {fence}");
    }
    assert_ne!(fence_key("a"), fence_key("{a}"));
}
