//! From an address to an open store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use leasehold_core::store::{Connector, Session, StoreError, StoreHandle};

use crate::address::{self, OPEN};
use crate::check::{Accepted, check};
use crate::connection::Connection;
use crate::keeper::Shared;
use crate::login::Credentials;
use crate::script::Crowded;
use crate::server::Server;
#[cfg(feature = "tls")]
use crate::tls::{Pem, Tls};

/// One Redis or Valkey server, 7.0 or newer.
///
/// Neither its `Debug` text nor its errors carry a password, a certificate or a key.
///
/// ```
/// use leasehold_core::store::Connector;
/// use leasehold_redis::RedisStore;
///
/// let store = RedisStore::new("redis://:secret@cache.example:6379")?;
/// assert_eq!(store.address(), "redis://***@cache.example:6379");
/// assert!(RedisStore::new("redis://cache.example?no_such_option=true").is_err());
/// # Ok::<(), leasehold_core::store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore {
    server: Server,
    accepted: Accepted,
    crowded: Crowded,
}

impl RedisStore {
    /// Checks and takes an address: `redis://[[user]:password@]host[:port][/database][?option=value&..]`, or `rediss://`
    /// for TLS (feature `tls`). Nothing is opened yet.
    ///
    /// | option | like |
    /// |---|---|
    /// | `accept_eviction=true` | [`accept_eviction`](Self::accept_eviction) |
    /// | `accept_unchecked=true` | [`accept_unchecked`](Self::accept_unchecked) |
    /// | `ca=FILE` | `ca_certificate`, read at each connect |
    /// | `cert=FILE&key=FILE` | `client_certificate`, read at each connect |
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let address = address::parse(url, cfg!(feature = "tls"))?;
        let options = address.options;
        Ok(Self {
            server: Server {
                info: address.server,
                address: address.text,
                credentials: None,
                #[cfg(feature = "tls")]
                tls: Tls {
                    ca: options.ca.map(Pem::File),
                    client: (options.certificate.map(Pem::File)).zip(options.key.map(Pem::File)),
                },
            },
            accepted: Accepted {
                eviction: options.accept_eviction,
                unchecked: options.accept_unchecked,
            },
            crowded: Crowded::MEASURED,
        })
    }

    /// Crowds from another size on than costs ask for.
    #[cfg(test)]
    pub(crate) fn crowded(mut self, crowded: Crowded) -> Self {
        self.crowded = crowded;
        self
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
        self.accepted.eviction = true;
        self
    }

    /// Opens also a server on which the user may not run `INFO`, and so may be too old, a replica, or evict keys.
    ///
    /// ```
    /// # use leasehold_redis::RedisStore;
    /// let store = RedisStore::new("redis://localhost")?.accept_unchecked();
    /// # Ok::<(), leasehold_core::store::StoreError>(())
    /// ```
    #[must_use = "this returns the store that accepts it"]
    pub fn accept_unchecked(mut self) -> Self {
        self.accepted.unchecked = true;
        self
    }

    /// Asks for user and password before each connect, for credentials that change; those in the address are not used
    /// (a user name there is, if the callback gives a password alone).
    ///
    /// ```
    /// use leasehold_redis::{CredentialsError, Login, RedisStore};
    ///
    /// let store = RedisStore::new("redis://cache.example")?.credentials(async || {
    ///     let password = std::fs::read_to_string("/run/secrets/redis")?;
    ///     Ok::<_, CredentialsError>(Login::new("billing", password.trim()))
    /// });
    /// # Ok::<(), leasehold_core::store::StoreError>(())
    /// ```
    #[must_use = "this returns the store that asks"]
    pub fn credentials(mut self, credentials: impl Credentials + 'static) -> Self {
        self.server.credentials = Some(Arc::new(credentials));
        self
    }

    /// Trusts servers whose certificate was issued by this CA (PEM, one or several), and no others: neither the system's
    /// CAs. For `rediss://` only. Checked when the store opens.
    ///
    /// ```
    /// # use leasehold_redis::RedisStore;
    /// # let ca = "-----BEGIN CERTIFICATE-----";
    /// let store = RedisStore::new("rediss://cache.example")?.ca_certificate(ca);
    /// # Ok::<(), leasehold_core::store::StoreError>(())
    /// ```
    #[cfg(feature = "tls")]
    #[must_use = "this returns the store that trusts it"]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.server.tls.ca = Some(Pem::Text(pem.into()));
        self
    }

    /// Shows this certificate (PEM, with its chain) to a server that asks for one (mTLS), and proves it with its key
    /// (PEM, not encrypted). For `rediss://` only. Checked when the store opens.
    ///
    /// ```
    /// # use leasehold_redis::RedisStore;
    /// # let (certificate, key) = ("-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----");
    /// let store = RedisStore::new("rediss://cache.example")?.client_certificate(certificate, key);
    /// # Ok::<(), leasehold_core::store::StoreError>(())
    /// ```
    #[cfg(feature = "tls")]
    #[must_use = "this returns the store that shows it"]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        let identity = (Pem::Text(certificate.into()), Pem::Text(key.into()));
        self.server.tls.client = Some(identity);
        self
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.server.address)
    }
}

#[async_trait]
impl Connector for RedisStore {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let shared = Arc::new(Shared::new(self.server.clone(), session.clone()));
        let opening = Box::pin(async {
            let link = shared.connect().await?;
            let connection = Connection::new(Arc::clone(&shared), link, self.crowded);
            check(&connection, self.accepted).await?;
            Ok(StoreHandle::of(connection))
        });
        let within = session.connect_timeout;
        let opened = session.env.timeout(within, opening).await;
        opened.unwrap_or_else(|_| {
            let text = format!("{}: not open within {within:?}", self.server.address);
            Err(StoreError::unknown(OPEN, text))
        })
    }

    fn address(&self) -> String {
        self.server.address.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x19_no_text_of_a_store_has_its_secrets() {
        let store = RedisStore::new("redis://user:s3cret@cache:7000/2").unwrap();
        assert_eq!(store.address(), "redis://***@cache:7000/2");
        assert!(!format!("{store:?}").contains("s3cret"));
        #[cfg(feature = "tls")]
        {
            let store = store
                .ca_certificate("s3cret")
                .client_certificate("s3cret", "s3cret");
            assert!(!format!("{store:?}").contains("s3cret"));
        }
    }
}
