//! From the driver's errors to the store's, without anything secret.
//!
//! The driver's own texts are not passed on: some carry a value, or the words of a command, and so a password.

use std::error::Error;
use std::sync::Arc;

use leasehold_core::store::{StoreError, StoreErrorKind};
use redis::{ErrorKind, RedisError};

use crate::keys::Keys;
use crate::permission;
use crate::script::TOO_NEW;

const LOGIN_REFUSED: &str = "the password or user name was refused";

/// What a failure to connect, to send or to receive was.
pub(crate) fn describe(error: &RedisError) -> String {
    #[cfg(feature = "tls")]
    if let Some((_, text)) = tls_text(error) {
        return text;
    }
    match error.kind() {
        ErrorKind::Io => io_text(error),
        _ if matches!(error.code(), Some("NOAUTH")) => "the server asks for a password".into(),
        _ if is_refused_login(error) => LOGIN_REFUSED.into(),
        ErrorKind::InvalidClientConfig => {
            "the certificate, its key or the host's name cannot be used for TLS: do the first two belong together?"
                .into()
        }
        ErrorKind::RESP3NotSupported => {
            "the server does not speak RESP3: Redis 7.0 or newer is needed".into()
        }
        ErrorKind::Parse => "what answers there is not Redis".into(),
        _ if refused_database(error).is_some() => {
            refused_database(error).unwrap_or_default().into()
        }
        kind => match error.code() {
            Some(code) => format!("the server said {}", printable(code)),
            None => format!("{kind:?}"),
        },
    }
}

/// The operating system's text: it has no address and no word of a command in it.
fn io_text(error: &RedisError) -> String {
    io_error(error).map_or_else(|| "the connection broke".into(), ToString::to_string)
}

/// What a TLS port answers to one who does not speak TLS, among other causes.
pub(crate) fn is_reset(error: &RedisError) -> bool {
    io_error(error).is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset)
}

fn io_error(error: &RedisError) -> Option<&std::io::Error> {
    source_of(error)
}

/// The driver shares some of its sources.
fn source_of<T: Error + 'static>(error: &RedisError) -> Option<&T> {
    type Shared = Arc<dyn Error + Send + Sync>;
    let source = error.source()?;
    match source.downcast_ref::<Shared>() {
        Some(shared) => shared.downcast_ref(),
        None => source.downcast_ref(),
    }
}

/// What of TLS it is, if it is something of TLS.
#[cfg(feature = "tls")]
fn tls_text(error: &RedisError) -> Option<(StoreErrorKind, String)> {
    use StoreErrorKind::{Config, Refused};
    let of_handshake = io_error(error).and_then(|io| io.get_ref()?.downcast_ref());
    let of_set_up = || source_of::<rustls::Error>(error);
    if let Some(error) = of_handshake.or_else(of_set_up) {
        return Some((Refused, crate::tls::explain(error)));
    }
    if source_of::<rustls::pki_types::InvalidDnsNameError>(error).is_some() {
        return Some((
            Config,
            "no certificate can be for a host of that name".into(),
        ));
    }
    // The driver reads them also where another CA is given.
    let has_source = error.source().is_some() && io_error(error).is_none();
    let is_of_system = error.kind() == ErrorKind::Io && has_source;
    is_of_system.then(|| {
        let text =
            "the system's CA certificates cannot be read: look at SSL_CERT_FILE and SSL_CERT_DIR";
        (Config, text.into())
    })
}

/// Why the database in the address was not selected: the driver drops the server's code for it.
fn refused_database(error: &RedisError) -> Option<&'static str> {
    let detail = error.detail()?;
    if detail.contains("'select'") {
        Some("the user may not run SELECT: allow it +select, or use database 0")
    } else if detail.contains("DB index is out of range") {
        Some("the server has no database of that number")
    } else {
        None
    }
}

/// What kind of failure to connect it is: one that another attempt can mend is *unknown*.
pub(crate) fn connect_kind(error: &RedisError) -> StoreErrorKind {
    #[cfg(feature = "tls")]
    if let Some((kind, _)) = tls_text(error) {
        return kind;
    }
    match error.kind() {
        ErrorKind::InvalidClientConfig => StoreErrorKind::Config,
        ErrorKind::RESP3NotSupported => StoreErrorKind::Refused,
        _ if is_refused_login(error) || refused_database(error).is_some() => {
            StoreErrorKind::Refused
        }
        _ => StoreErrorKind::Unknown,
    }
}

/// Whether the server refused the credentials: a new attempt will not help.
fn is_refused_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}

/// What the server answered in place of a result.
pub(crate) fn refused(
    operation: &'static str,
    address: &str,
    keys: &Keys,
    error: &RedisError,
) -> StoreError {
    use StoreErrorKind::{Config, Refused, TooNew, Unknown};
    let code = error.code().unwrap_or("ERR");
    let permission = permission::refusal(code, error.detail().unwrap_or_default(), keys);
    let (kind, text) = match code {
        _ if permission.is_some() => (Refused, permission.unwrap_or_default()),
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
