//! From an address to a store.

use std::sync::Arc;

use leasehold_core::store::{Connector, MemoryStore};
use leasehold_core::{Coordinator, Error};

/// Why an address leads to no store, or the store to no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No store has this scheme.
    #[error("no store has the scheme `{scheme}`; known are {known}")]
    UnknownScheme {
        /// What stands before the first colon.
        scheme: String,
        /// The schemes there are.
        known: String,
    },
    /// The store exists, but not in this build.
    #[error(
        "the store for `{scheme}` is not compiled in: add the feature `{feature}` to the dependency on leasehold"
    )]
    CompiledOut {
        /// The scheme.
        scheme: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The address does not say where the store is.
    #[error("{reason}; write it like {example}")]
    Address {
        /// What is wrong.
        reason: String,
        /// An address that works.
        example: &'static str,
    },
    /// The store was found, and could not be used.
    #[error(transparent)]
    Store(#[from] Error),
}

const KNOWN: &str = "memory://, sqlite:PATH, redis://HOST[:PORT][/DB]";

/// Connects to the store at `address`. The namespace is the application's own part of it: one for each application.
///
/// | address | store |
/// |---|---|
/// | `memory://` | this process alone, for tests |
/// | `sqlite:PATH` | all processes of this machine, no server (feature `sqlite`) |
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | one Redis or Valkey server (feature `redis`) |
///
/// For other settings use [`Coordinator::builder_dyn`] with [`store`].
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let coord = leasehold::connect("memory://", "billing").await?;
/// let guard = coord.mutexes("invoice")?.lock(42).await?;
/// guard.release().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// # Errors
/// [`ConnectError`], within the connect timeout of 5 s; the address is named without its password.
///
/// # Cancel safety
/// Cancel safe.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn connect(address: &str, namespace: &str) -> Result<Coordinator, ConnectError> {
    let builder = Coordinator::builder_dyn(store(address)?, namespace);
    Ok(builder.connect().await?)
}

/// The store at `address`, not connected yet.
///
/// # Errors
/// [`ConnectError`]; it never repeats the address whole, since that may have a password in it.
pub fn store(address: &str) -> Result<Arc<dyn Connector>, ConnectError> {
    let Some((scheme, rest)) = address.split_once(':') else {
        return Err(ConnectError::Address {
            reason: "the store's address has no scheme".into(),
            example: "sqlite:app.db or redis://localhost",
        });
    };
    match scheme {
        "memory" => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => sqlite(rest),
        "redis" | "rediss" => redis(address),
        _ => Err(ConnectError::UnknownScheme {
            scheme: scheme.to_owned(),
            known: KNOWN.to_owned(),
        }),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(rest: &str) -> Result<Arc<dyn Connector>, ConnectError> {
    // `sqlite:app.db`, and `sqlite:///var/lib/app.db` as a URL.
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err(ConnectError::Address {
            reason: "the address names no SQLite file".into(),
            example: "sqlite:app.db or sqlite:/var/lib/app/leases.db",
        });
    }
    Ok(Arc::new(leasehold_sqlite::SqliteStore::new(path)))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_rest: &str) -> Result<Arc<dyn Connector>, ConnectError> {
    Err(ConnectError::CompiledOut {
        scheme: "sqlite:",
        feature: "sqlite",
    })
}

#[cfg(feature = "redis")]
fn redis(address: &str) -> Result<Arc<dyn Connector>, ConnectError> {
    let store = leasehold_redis::RedisStore::new(address);
    Ok(Arc::new(
        store.map_err(|error| Error::from_store("connect", error))?,
    ))
}

#[cfg(not(feature = "redis"))]
fn redis(_address: &str) -> Result<Arc<dyn Connector>, ConnectError> {
    Err(ConnectError::CompiledOut {
        scheme: "redis://",
        feature: "redis",
    })
}
