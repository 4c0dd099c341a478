//! A server, a connection to it, and scripts that take the time as an argument.

use std::sync::{Arc, Mutex};

use leasehold_core::Namespace;
use leasehold_core::name::{Bucket, ResourceName};
use leasehold_core::protocol::{NodeId, Now};
use leasehold_core::store::Event;
use leasehold_testkit::RedisServer;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, PushInfo, Value};

use crate::events::{is_acknowledgement, subscribe, take_push};
use crate::keys::Keys;
use crate::script::{Crowded, Script, Scripts};

pub(super) struct Rig {
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pushes: Arc<Mutex<Vec<Event>>>,
    driver: MultiplexedConnection,
    runtime: tokio::runtime::Runtime,
    _server: RedisServer,
}

impl Rig {
    /// Pushes for `nodes` in `bucket` are collected.
    pub(super) fn new(bucket: Bucket, nodes: &[NodeId]) -> Self {
        Self::crowding(bucket, nodes, Crowded::MEASURED)
    }

    pub(super) fn crowding(bucket: Bucket, nodes: &[NodeId], crowded: Crowded) -> Self {
        let server = RedisServer::start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let keys = Keys::new(&Namespace::new("differential {1}").unwrap());
        let pushes = Arc::new(Mutex::new(Vec::new()));
        let (sink, known) = (Arc::clone(&pushes), nodes.to_vec());
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            for node in &known {
                sink.lock().unwrap().extend(take_push(&push, *node));
            }
            Ok::<_, redis::aio::SendError>(())
        });
        let url = format!("{}?protocol=resp3", server.url());
        let mut driver = runtime
            .block_on(async {
                let client = redis::Client::open(url).unwrap();
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
            })
            .unwrap();
        for node in nodes {
            let channel = subscribe(&keys.channel(bucket, *node));
            let answer = runtime.block_on(driver.send_packed_command(&channel));
            assert!(is_acknowledgement(&answer.unwrap()));
        }
        Self {
            keys,
            scripts: Scripts::on_a_test_clock(crowded),
            pushes,
            driver,
            runtime,
            _server: server,
        }
    }

    pub(super) fn command(&self, cmd: &Cmd) -> Value {
        let answer = self.try_command(cmd);
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn try_command(&self, cmd: &Cmd) -> redis::RedisResult<Value> {
        let mut driver = self.driver.clone();
        let answer = self.runtime.block_on(driver.send_packed_command(cmd));
        answer.and_then(Value::extract_error)
    }

    /// Runs a script at `now`; `keys` puts the number of keys and the keys, `words` the rest.
    pub(super) fn run(
        &self,
        script: &Script,
        now: Now,
        keys: impl FnOnce(&mut Cmd),
        words: impl FnOnce(&mut Cmd),
    ) -> Value {
        let mut cmd = script.by_text();
        keys(&mut cmd);
        cmd.arg(now.lease_us).arg(now.wall_us).arg(now.epoch);
        words(&mut cmd);
        self.command(&cmd)
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.command(redis::cmd("GET").arg(key)) {
            Value::Nil => None,
            Value::BulkString(bytes) => Some(bytes),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn set(&self, key: &str, value: &[u8]) {
        self.command(redis::cmd("SET").arg(key).arg(value));
    }

    pub(super) fn delete(&self, key: &str) {
        self.command(redis::cmd("DEL").arg(key));
    }

    /// How many commands ran since the statistics were reset, those of scripts too.
    pub(super) fn calls(&self) -> u64 {
        let text = match self.command(redis::cmd("INFO").arg("commandstats")) {
            Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            Value::VerbatimString { text, .. } => text,
            other => panic!("{other:?}"),
        };
        let calls = |line: &str| {
            let (_, fields) = line.split_once(":calls=")?;
            fields.split(',').next()?.parse::<u64>().ok()
        };
        text.lines().filter_map(calls).sum()
    }

    /// The keys of a crowd, but for the resource's own.
    pub(super) fn parts(&self, name: &ResourceName) -> Vec<String> {
        let own = self.keys.lease(name);
        let text = |value: Value| match value {
            Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        };
        let Value::Array(keys) = self.command(redis::cmd("KEYS").arg("*")) else {
            panic!("KEYS answers with keys");
        };
        let of_its_name = |key: &String| *key != own && key.ends_with(&format!(":{name}"));
        keys.into_iter().map(text).filter(of_its_name).collect()
    }

    pub(super) fn time_to_live_ms(&self, key: &str) -> i64 {
        match self.command(redis::cmd("PTTL").arg(key)) {
            Value::Int(ms) => ms,
            other => panic!("{other:?}"),
        }
    }

    /// Until when the server keeps a key, in ms of its clock.
    pub(super) fn kept_until_ms(&self, key: &str) -> u64 {
        match self.command(redis::cmd("PEXPIRETIME").arg(key)) {
            Value::Int(ms) => u64::try_from(ms).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The pushes since the last time. A script's pushes to its own connection come before its answer.
    pub(super) fn take_pushes(&self) -> Vec<Event> {
        std::mem::take(&mut self.pushes.lock().unwrap())
    }
}

/// The same cases in every run.
pub(super) fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// 2100-01-01 00:00 UTC: an instant until which a key is kept is not over on the server's own clock.
pub(super) const START_US: u64 = 4_102_444_800_000_000;

/// Moves a clock; it may go back.
pub(super) fn step(now: Now, by_us: i64) -> Now {
    Now {
        lease_us: now.lease_us.saturating_add_signed(by_us),
        wall_us: now.wall_us.saturating_add_signed(by_us),
        epoch: now.epoch,
    }
}
