//! From an address to an open store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::store::{Connector, Session, StoreError, StoreErrorKind, StoreHandle};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, Value};
use url::Url;

use crate::connection::Connection;
use crate::keeper::Shared;
use crate::script::META_FORMAT;

const OPEN: &str = "open";
/// A flow that carries nothing for this long is dead: TCP itself would wait for many minutes.
const TCP_PATIENCE: Duration = Duration::from_secs(3);
const OLDEST_SERVER: u64 = 7;

/// One Redis or Valkey server, 7.0 or newer.
///
/// Neither its `Debug` text nor its errors carry the password.
///
/// ```
/// use leasehold_core::store::Connector;
/// use leasehold_redis::RedisStore;
///
/// let store = RedisStore::new("redis://:secret@cache.example:6379")?;
/// assert_eq!(store.address(), "redis://***@cache.example:6379");
/// assert!(RedisStore::new("rediss://cache.example").is_err());
/// # Ok::<(), leasehold_core::store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore {
    server: ConnectionInfo,
    address: String,
    eviction: Eviction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eviction {
    Refused,
    Accepted,
}

impl RedisStore {
    /// Checks and takes an address: `redis://[user][:password@]host[:port][/database]`. Nothing is opened yet.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let config = |text: &str| StoreError::new(StoreErrorKind::Config, OPEN, text);
        // The parsers' own texts are not repeated: the address has a password in it.
        let parsed = Url::parse(url)
            .map_err(|_| config("not an address of the form redis://[:password@]host[:port]"))?;
        let address = without_password(&parsed);
        match parsed.scheme() {
            "redis" => {}
            "rediss" => {
                return Err(config(&format!(
                    "{address}: rediss:// needs TLS, which this version does not have: use redis:// on a trusted network"
                )));
            }
            scheme => {
                return Err(config(&format!(
                    "{address}: {scheme}:// is not an address of one Redis server: use redis://"
                )));
            }
        }
        let server = parsed.as_str().into_connection_info().map_err(|_| {
            // Not even `address`: without a host, what was meant for a password may stand anywhere.
            config("not an address of the form redis://[:password@]host[:port][/database]")
        })?;
        let login = server
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let server = server
            .set_redis_settings(login)
            .set_tcp_settings(tcp_settings());
        Ok(Self {
            server,
            address,
            eviction: Eviction::Refused,
        })
    }

    /// Opens also a server whose `maxmemory-policy` evicts keys when its memory is full. It may then evict the lease
    /// of a live holder, and give it to another: only what fences protect stays protected.
    ///
    /// ```
    /// # use leasehold_redis::RedisStore;
    /// let store = RedisStore::new("redis://localhost")?.accept_eviction();
    /// # Ok::<(), leasehold_core::store::StoreError>(())
    /// ```
    #[must_use = "this returns the store that accepts it"]
    pub fn accept_eviction(mut self) -> Self {
        self.eviction = Eviction::Accepted;
        self
    }

    fn check(&self, info: &str) -> Result<(), StoreError> {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let error = |kind, text: String| {
            Err(StoreError::new(
                kind,
                OPEN,
                format!("{}: {text}", self.address),
            ))
        };
        let version = field("redis_version").unwrap_or_default();
        let major = version.split('.').next().and_then(|v| v.parse().ok());
        if major.unwrap_or(0) < OLDEST_SERVER {
            return error(
                StoreErrorKind::Config,
                format!("the server is Redis {version:?}: 7.0 or newer is needed"),
            );
        }
        match field("redis_mode") {
            Some("standalone") | None => {}
            Some(mode) => {
                return error(
                    StoreErrorKind::Config,
                    format!("the server runs in {mode} mode: only a single server is supported"),
                );
            }
        }
        if field("role") == Some("slave") {
            return error(
                StoreErrorKind::Config,
                "the server is a read-only replica: give the address of its primary".into(),
            );
        }
        let is_bounded = field("maxmemory").is_some_and(|limit| limit != "0");
        let policy = field("maxmemory_policy").unwrap_or("noeviction");
        if is_bounded && policy != "noeviction" && self.eviction == Eviction::Refused {
            return error(
                StoreErrorKind::Config,
                format!(
                    "the server evicts keys when it is full (maxmemory-policy {policy}), and with them held leases: \
                     set noeviction, use another server, or accept it with RedisStore::accept_eviction"
                ),
            );
        }
        Ok(())
    }

    async fn check_server(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("INFO");
        let meta = connection.shared.keys.meta();
        pipeline.cmd("HGET").arg(meta).arg("format");
        let answers = connection.pipeline(OPEN, &pipeline).await?;
        let [info, format] = &*answers else {
            return Err(crate::error::malformed(OPEN));
        };
        let info = match info {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
            Value::VerbatimString { text, .. } => text.into(),
            _ => return Err(crate::error::malformed(OPEN)),
        };
        self.check(&info)?;
        if let Value::BulkString(format) = format {
            let format = String::from_utf8_lossy(format);
            if format.parse() != Ok(META_FORMAT) {
                let text = format!(
                    "{}: the namespace has format {format:?}, this version of leasehold knows {META_FORMAT}: \
                     upgrade leasehold here, or use another namespace",
                    self.address
                );
                return Err(StoreError::new(StoreErrorKind::TooNew, OPEN, text));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.address)
    }
}

#[async_trait]
impl Connector for RedisStore {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let client = Client::open(self.server.clone()).map_err(|_| {
            let text = format!("{}: the driver cannot use it", self.address);
            StoreError::new(StoreErrorKind::Config, OPEN, text)
        })?;
        let shared = Arc::new(Shared::new(client, self.address.clone(), session.clone()));
        let opening = Box::pin(async {
            let link = shared.connect().await?;
            let connection = Connection::new(Arc::clone(&shared), link);
            self.check_server(&connection).await?;
            Ok(StoreHandle::of(Arc::new(connection)))
        });
        let within = session.connect_timeout;
        let opened = session.env.timeout(within, opening).await;
        opened.unwrap_or_else(|_| {
            let text = format!("{}: not open within {within:?}", self.address);
            Err(StoreError::unknown(OPEN, text))
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_PATIENCE)
        .with_interval(Duration::from_secs(1));
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(TCP_PATIENCE);
    settings
}

/// Scheme, host, port and database; never who logs in.
fn without_password(url: &Url) -> String {
    let login = if url.username().is_empty() && url.password().is_none() {
        ""
    } else {
        "***@"
    };
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    // Anything but a number may be what is left of a password with a slash in it.
    let database = url.path().trim_end_matches('/');
    let is_number = database.chars().skip(1).all(|c| c.is_ascii_digit());
    let database = if is_number { database } else { "" };
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    format!("{scheme}://{login}{host}{port}{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x19_no_text_of_a_store_has_its_password() {
        let store = RedisStore::new("redis://user:s3cret@cache:7000/2").unwrap();
        assert_eq!(store.address(), "redis://***@cache:7000/2");
        assert!(!format!("{store:?}").contains("s3cret"));
        for url in [
            "rediss://:s3cret@cache",
            "redis://:s3cret@cache:99999",
            "redis://:s3cret@cache/notanumber",
            "unix://:s3cret@cache/x",
            "s3cret",
        ] {
            let error = RedisStore::new(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn tls_is_refused_with_the_reason() {
        let error = RedisStore::new("rediss://cache").unwrap_err();
        let text = "open: rediss://cache: rediss:// needs TLS";
        assert!(error.to_string().starts_with(text), "{error}");
    }

    #[test]
    fn servers_that_cannot_keep_the_promises_are_refused() {
        let store = RedisStore::new("redis://cache").unwrap();
        let refusal = |info: &str| store.check(info).map_err(|error| error.to_string());
        assert_eq!(refusal("redis_version:7.0.15\r\nrole:master"), Ok(()));
        for (info, text) in [
            ("redis_version:6.2.1", "7.0 or newer is needed"),
            ("", "7.0 or newer is needed"),
            ("redis_version:7.2.0\r\nredis_mode:cluster", "cluster mode"),
            ("redis_version:7.2.0\r\nrole:slave", "its primary"),
        ] {
            assert!(refusal(info).unwrap_err().contains(text), "{info}");
        }
    }

    #[test]
    fn x14_an_evicting_server_is_refused_unless_accepted() {
        let store = RedisStore::new("redis://cache").unwrap();
        let info = "redis_version:7.0.15\r\nmaxmemory:1000\r\nmaxmemory_policy:volatile-lru";
        let error = store.check(info).unwrap_err();
        assert!(error.to_string().contains("noeviction"), "{error}");
        assert!(store.clone().accept_eviction().check(info).is_ok());
        assert!(store.check(&info.replace(":1000", ":0")).is_ok());
    }
}
