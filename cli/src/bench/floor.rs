//! The least that a lock on Redis can take: `SET NX PX`, then compare-and-delete by a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold::{Env, Moment};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, RedisError, Script,
};

use super::Target;
use crate::exit::Failure;

const TTL_MS: u64 = 30_000;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const GET_AND_SET: &str = "local was = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return was";
const DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One connection of the library that leasehold's own store uses, set up as that one is.
#[derive(Clone)]
pub(super) struct Floor {
    connection: MultiplexedConnection,
    delete: Arc<Script>,
    get_and_set: Arc<Script>,
    sent: Arc<AtomicU64>,
    env: Env,
}

/// A key, and what only its holder knows.
pub(super) struct Held {
    key: String,
    token: String,
}

impl Floor {
    pub(super) async fn connect(url: &str, address: &str) -> Result<Self, Failure> {
        if !url.starts_with("redis") {
            return Err(Failure::NoFloor(address.to_owned()));
        }
        // Options are leasehold's own.
        let url = url.split('?').next().unwrap_or_default();
        let info = url.into_connection_info().map_err(|e| failed(&e))?;
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_redis_settings(settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(|e| failed(&e))?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT_WITHIN));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        Ok(Self {
            connection: connection.map_err(|e| failed(&e))?,
            delete: Arc::new(Script::new(DELETE)),
            get_and_set: Arc::new(Script::new(GET_AND_SET)),
            sent: Arc::default(),
            env: Env::system(),
        })
    }

    /// What the server has allocated.
    pub(super) async fn used_memory(&self) -> Result<u64, Failure> {
        let mut connection = self.connection.clone();
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut connection)
            .await
            .map_err(|e| failed(&e))?;
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|bytes| bytes.trim().parse().ok())
            .ok_or_else(|| Failure::Redis("INFO does not tell the memory in use".into()))
    }

    /// The least that a limit could take: one read and one write of its key.
    pub(super) async fn get_and_set(&self) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        let mut script = self.get_and_set.key("{leasehold-bench}:floor:limit");
        let run = script.arg(1_800_000_000_000_000_u64).arg(TTL_MS);
        let was = run.invoke_async::<Option<u64>>(&mut connection).await;
        was.map(drop).map_err(|e| failed(&e))
    }

    /// One round trip.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        let pong = redis::cmd("PING").exec_async(&mut connection).await;
        pong.map_err(|e| failed(&e))
    }
}

impl Target for Floor {
    type Held = Held;

    async fn lock(&self, id: &str, until: Moment) -> Result<Option<Held>, Failure> {
        let mut connection = self.connection.clone();
        let key = format!("{{leasehold-bench}}:floor:{id}");
        let number = self.sent.load(Ordering::Relaxed);
        let token = format!("{}-{number}", std::process::id());
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&token).arg("NX").arg("PX").arg(TTL_MS);
        loop {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let answer: Option<String> = set
                .query_async(&mut connection)
                .await
                .map_err(|e| failed(&e))?;
            if answer.is_some() {
                return Ok(Some(Held { key, token }));
            }
            if self.env.now() >= until {
                return Ok(None);
            }
        }
    }

    async fn unlock(&self, held: Held) -> Result<(), Failure> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut connection = self.connection.clone();
        let mut delete = self.delete.key(&held.key);
        let deleted = delete
            .arg(&held.token)
            .invoke_async::<u64>(&mut connection)
            .await;
        deleted.map_err(|e| failed(&e))?;
        Ok(())
    }

    fn requests(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn env(&self) -> &Env {
        &self.env
    }
}

/// Of an error of the library only its kind: its text may repeat what was sent.
fn failed(error: &RedisError) -> Failure {
    let io = error.is_io_error().then(|| format!(": {error}"));
    Failure::Redis(format!("{}{}", error.category(), io.unwrap_or_default()))
}
