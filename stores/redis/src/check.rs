//! What a server must be like, asked before a store on it opens.

use leasehold_core::store::{StoreError, StoreErrorKind};
use redis::{RedisError, Value};

use crate::address::OPEN;
use crate::connection::Connection;
use crate::error::malformed;
use crate::permission::{lacks, probe};
use crate::script::META_FORMAT;

const OLDEST_SERVER: u64 = 7;

/// What is opened although it may break a promise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accepted {
    /// A server that evicts keys.
    pub(crate) eviction: bool,
    /// A server that does not tell what it is.
    pub(crate) unchecked: bool,
}

/// Asks the server what it is, and what the user may do there; never by CONFIG, which managed servers refuse.
pub(crate) async fn check(connection: &Connection, accepted: Accepted) -> Result<(), StoreError> {
    let shared = &connection.shared;
    let deadline = connection.deadline();
    let link = shared.link(OPEN, deadline).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("INFO");
    pipeline.add_command(probe(&shared.keys));
    pipeline.cmd("HGET").arg(shared.keys.meta()).arg("format");
    let answers = connection
        .send_all(OPEN, &link, &pipeline, deadline)
        .await?;
    let Ok([info, missing, format]) = <[_; 3]>::try_from(answers) else {
        return Err(malformed(OPEN));
    };
    let refusal = |error: &RedisError| connection.refusal(OPEN, &link, error);
    let error = |kind, text: &str| {
        let text = format!("{}: {text}", shared.address);
        Err(StoreError::new(kind, OPEN, text))
    };

    match info {
        Ok(info) => {
            let info = match &info {
                Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
                Value::VerbatimString { text, .. } => text.into(),
                _ => return Err(malformed(OPEN)),
            };
            if let Err(text) = judge(&info, accepted) {
                return error(StoreErrorKind::Config, &text);
            }
        }
        Err(error) if !is_unavailable(&error) => return Err(refusal(&error)),
        Err(_) if accepted.unchecked => tracing::info!(
            address = shared.address,
            "INFO is not permitted: the server's version and eviction were not checked"
        ),
        Err(_) => {
            return error(
                StoreErrorKind::Refused,
                "INFO is not permitted, so nobody knows whether the server is Redis 7.0 or newer, a primary, and keeps \
                 all keys: allow the user +info, or accept it with RedisStore::accept_unchecked (?accept_unchecked=true)",
            );
        }
    }

    let missing = missing.map_err(|error| refusal(&error))?;
    let lacks = lacks(&missing, &shared.keys);
    if let Some(text) = lacks.needed {
        return error(StoreErrorKind::Refused, &text);
    }
    if let Some(text) = lacks.channels {
        tracing::warn!(address = shared.address, "{text}");
    }

    if let Value::BulkString(format) = format.map_err(|error| refusal(&error))? {
        let format = String::from_utf8_lossy(&format);
        if format.parse() != Ok(META_FORMAT) {
            let text = format!(
                "the namespace has format {format:?}, this version of leasehold knows {META_FORMAT}: \
                 upgrade leasehold here, or use another namespace"
            );
            return error(StoreErrorKind::TooNew, &text);
        }
    }
    Ok(())
}

/// Whether a command is not to be had: forbidden to the user, or renamed away.
fn is_unavailable(error: &RedisError) -> bool {
    let is_unknown =
        || (error.detail()).is_some_and(|detail| detail.starts_with("unknown command"));
    error.code() == Some("NOPERM") || is_unknown()
}

/// Whether a server that says this of itself can keep the promises.
fn judge(info: &str, accepted: Accepted) -> Result<(), String> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let version = field("redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|v| v.parse().ok());
    if major.unwrap_or(0) < OLDEST_SERVER {
        return Err(format!(
            "the server is Redis {version:?}: 7.0 or newer is needed"
        ));
    }
    match field("redis_mode") {
        Some("standalone") | None => {}
        Some(mode) => {
            return Err(format!(
                "the server runs in {mode} mode: only a single server is supported"
            ));
        }
    }
    if field("role") == Some("slave") {
        return Err("the server is a read-only replica: give the address of its primary".into());
    }
    let is_bounded = field("maxmemory").is_some_and(|limit| limit != "0");
    let policy = field("maxmemory_policy").unwrap_or("noeviction");
    if is_bounded && policy != "noeviction" && !accepted.eviction {
        return Err(format!(
            "the server evicts keys when it is full (maxmemory-policy {policy}), and with them held leases: \
             set maxmemory-policy to noeviction (on a managed server in its parameter group or configuration page), \
             use another server, or accept it with RedisStore::accept_eviction (?accept_eviction=true)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_cannot_keep_the_promises_are_refused() {
        let refusal = |info: &str| judge(info, Accepted::default());
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
        let info = "redis_version:7.0.15\r\nmaxmemory:1000\r\nmaxmemory_policy:volatile-lru";
        let error = judge(info, Accepted::default()).unwrap_err();
        assert!(error.contains("maxmemory-policy to noeviction"), "{error}");
        assert!(error.contains("managed"), "{error}");
        let accepted = Accepted {
            eviction: true,
            ..Accepted::default()
        };
        assert_eq!(judge(info, accepted), Ok(()));
        // Without a limit nothing is ever evicted, whatever the policy.
        let unbounded = info.replace(":1000", ":0");
        assert_eq!(judge(&unbounded, Accepted::default()), Ok(()));
    }
}
