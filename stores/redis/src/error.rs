//! From the driver's errors to the store's, without anything secret.
//!
//! The driver's own texts are not passed on: some carry a value, or the words of a command, and so a password.

use std::error::Error;
use std::sync::Arc;

use leasehold_core::store::{StoreError, StoreErrorKind};
use redis::{ErrorKind, RedisError};

use crate::script::TOO_NEW;

const LOGIN_REFUSED: &str = "the password or user name was refused";

/// What a failure to connect, to send or to receive was.
pub(crate) fn describe(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => io_text(error),
        _ if matches!(error.code(), Some("NOAUTH")) => "the server asks for a password".into(),
        _ if is_refused_login(error) => LOGIN_REFUSED.into(),
        ErrorKind::RESP3NotSupported => {
            "the server does not speak RESP3: Redis 7.0 or newer is needed".into()
        }
        ErrorKind::Parse => "what answers there is not Redis".into(),
        kind => match error.code() {
            Some(code) => format!("the server said {}", printable(code)),
            None => format!("{kind:?}"),
        },
    }
}

/// The operating system's text: it has no address and no word of a command in it.
fn io_text(error: &RedisError) -> String {
    type Shared = Arc<dyn Error + Send + Sync>;
    let source = error.source();
    let shared = source.and_then(|source| source.downcast_ref::<Shared>());
    let io = match shared {
        Some(shared) => shared.downcast_ref::<std::io::Error>(),
        None => source.and_then(|source| source.downcast_ref()),
    };
    io.map_or_else(|| "the connection broke".into(), ToString::to_string)
}

/// Whether the server refused the credentials: a new attempt will not help.
pub(crate) fn is_refused_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}

/// What the server answered in place of a result.
pub(crate) fn refused(operation: &'static str, address: &str, error: &RedisError) -> StoreError {
    use StoreErrorKind::{Config, Refused, TooNew, Unknown};
    let code = error.code().unwrap_or("ERR");
    let (kind, text) = match code {
        TOO_NEW => (
            TooNew,
            format!(
                "the data has format {}, which is newer than this version of leasehold knows: \
                 upgrade leasehold here, or use another namespace",
                error.detail().map_or_else(|| "?".into(), format_of)
            ),
        ),
        "OOM" => (
            Refused,
            "the server is out of memory: raise its maxmemory".into(),
        ),
        "NOPERM" => (
            Refused,
            "the user may not do this: allow it +@all on the namespace's keys and channels".into(),
        ),
        "NOAUTH" | "WRONGPASS" => (Refused, LOGIN_REFUSED.into()),
        "WRONGTYPE" => (
            Refused,
            "a key of this namespace holds something else: use another namespace".into(),
        ),
        "MOVED" | "ASK" | "CROSSSLOT" => {
            (Config, "this is a Redis Cluster: not supported yet".into())
        }
        // Nothing was done, and a later attempt can succeed: only the same request again tells.
        "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY"
        | "NOREPLICAS" | "MISCONF" => (Unknown, format!("not now ({code})")),
        _ => (Refused, format!("the server said {}", printable(code))),
    };
    StoreError::new(kind, operation, format!("{address}: {text}"))
}

/// An answer that does not look as it should.
pub(crate) fn malformed(operation: &'static str) -> StoreError {
    StoreError::unknown(operation, "the answer is not one of leasehold's scripts")
}

fn format_of(byte: &str) -> String {
    let byte = byte.trim().parse::<u8>();
    byte.map_or_else(|_| "?".into(), |byte| format!("{:?}", char::from(byte)))
}

/// A server's error code is a word in capitals; anything else is not repeated.
fn printable(code: &str) -> &str {
    let is_code = code.len() <= 24 && code.bytes().all(|b| b.is_ascii_uppercase());
    if is_code { code } else { "an error" }
}
