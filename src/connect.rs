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
        scheme: String,
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

const KNOWN: &str = "memory://, sqlite:PATH, redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB]";

/// Connects to the store at `address`. The namespace is the application's own part of it: one for each application.
///
/// | address | store |
/// |---|---|
/// | `memory://` | this process alone, for tests |
/// | `sqlite:PATH` | all processes of this machine, no server (feature `sqlite`) |
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB][?OPTION=VALUE&..]` | one Redis or Valkey server (feature `redis`) |
/// | `rediss://..` | the same over TLS (feature `redis-tls`) |
///
/// The options of a Redis address: `accept_eviction=true`, `accept_unchecked=true`, and for TLS `ca=FILE`,
/// `cert=FILE&key=FILE`. Others are refused, with the known ones listed. The guide is `docs/redis.md`.
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
    match kind(address, &BUILT)? {
        Kind::Memory => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        Kind::Sqlite(path) => Ok(Arc::new(leasehold_sqlite::SqliteStore::new(path))),
        #[cfg(feature = "redis")]
        Kind::Redis => {
            let store = leasehold_redis::RedisStore::new(address);
            Ok(Arc::new(
                store.map_err(|error| Error::from_store("connect", error))?,
            ))
        }
        #[allow(unreachable_patterns)]
        _ => unreachable!("`kind` answers only what is built"),
    }
}

/// The stores' features in this build.
const BUILT: [(&str, bool); 3] = [
    ("sqlite", cfg!(feature = "sqlite")),
    ("redis", cfg!(feature = "redis")),
    ("redis-tls", cfg!(feature = "redis-tls")),
];

#[derive(Debug)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
enum Kind<'a> {
    Memory,
    Sqlite(&'a str),
    Redis,
}

/// What an address means to a build with these stores.
fn kind<'a>(address: &'a str, built: &[(&'static str, bool)]) -> Result<Kind<'a>, ConnectError> {
    let scheme = address
        .split_once(':')
        .filter(|(scheme, _)| is_scheme(scheme));
    let Some((scheme, rest)) = scheme else {
        return Err(ConnectError::Address {
            reason: "the store's address has no scheme".into(),
            example: "sqlite:app.db or redis://localhost",
        });
    };
    let kind = match scheme {
        "memory" if rest.is_empty() || rest == "//" => return Ok(Kind::Memory),
        "memory" => {
            return Err(ConnectError::Address {
                reason: "the memory store has no path: it is this process's own".into(),
                example: "memory://",
            });
        }
        // `sqlite:app.db`, and `sqlite:///var/lib/app.db` as a URL.
        "sqlite" => Kind::Sqlite(rest.strip_prefix("//").unwrap_or(rest)),
        "redis" | "rediss" => Kind::Redis,
        _ => {
            return Err(ConnectError::UnknownScheme {
                scheme: scheme.to_owned(),
                known: KNOWN.to_owned(),
            });
        }
    };
    let feature = match scheme {
        "redis" => "redis",
        "rediss" => "redis-tls",
        _ => "sqlite",
    };
    if built.contains(&(feature, false)) {
        let scheme = scheme.to_owned();
        return Err(ConnectError::CompiledOut { scheme, feature });
    }
    match kind {
        Kind::Sqlite("") => Err(ConnectError::Address {
            reason: "the address names no SQLite file".into(),
            example: "sqlite:app.db or sqlite:/var/lib/app/leases.db",
        }),
        kind => Ok(kind),
    }
}

/// RFC 3986, section 3.1. What is none may be a password: `secret@host:6379`.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && (text.chars()).all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_compiled_out_is_told_from_an_unknown_one() {
        let none = [("sqlite", false), ("redis", false), ("redis-tls", false)];
        for (address, feature) in [
            ("sqlite:a.db", "sqlite"),
            ("redis://localhost", "redis"),
            ("rediss://localhost", "redis-tls"),
        ] {
            let error = kind(address, &none).unwrap_err();
            assert!(matches!(error, ConnectError::CompiledOut { .. }), "{error}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("add the feature `{feature}`")),
                "{error}"
            );
        }
        let error = kind("mysql://localhost", &none).unwrap_err();
        assert!(
            matches!(error, ConnectError::UnknownScheme { .. }),
            "{error}"
        );
        assert!(matches!(kind("memory://", &none), Ok(Kind::Memory)));
        let plain = [("sqlite", false), ("redis", true), ("redis-tls", false)];
        let error = kind("rediss://localhost", &plain).unwrap_err();
        assert!(error.to_string().contains("`redis-tls`"), "{error}");
        assert!(kind("redis://localhost", &plain).is_ok());
    }

    #[test]
    fn a_file_may_be_written_as_a_path_or_as_a_url() {
        let all = [("sqlite", true), ("redis", true), ("redis-tls", true)];
        for (address, path) in [
            ("sqlite:app.db", "app.db"),
            ("sqlite:/var/app.db", "/var/app.db"),
            ("sqlite:///var/app.db", "/var/app.db"),
        ] {
            assert!(matches!(kind(address, &all), Ok(Kind::Sqlite(found)) if found == path));
        }
    }
}
