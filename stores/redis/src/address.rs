//! From an address to what it says: where, as whom, and with which options.

use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::store::{StoreError, StoreErrorKind};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use url::Url;

pub(crate) const OPEN: &str = "open";
/// A flow that carries nothing for this long is dead: TCP itself would wait for many minutes.
const TCP_PATIENCE: Duration = Duration::from_secs(3);

const FORM: &str = "redis://[[user]:password@]host[:port][/database][?option=value]";
const OPTIONS: &str = "accept_eviction, accept_unchecked, ca, cert, key";

/// What an address says.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) server: ConnectionInfo,
    /// For people: without who logs in, and without options.
    pub(crate) text: String,
    pub(crate) options: Options,
}

/// What stands after the question mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) accept_eviction: bool,
    pub(crate) accept_unchecked: bool,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

fn config(text: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Config, OPEN, text)
}

/// Reads an address. The parsers' own texts are not repeated: there may be a password in it.
pub(crate) fn parse(url: &str, has_tls: bool) -> Result<Address, StoreError> {
    let not_an_address = || config(format!("not an address of the form {FORM}"));
    let mut parsed = Url::parse(url).map_err(|_| not_an_address())?;
    let after = parsed.query().into_iter().chain(parsed.fragment());
    if after.clone().any(|text| text.contains('@')) {
        // The `?` or `#` of a password; what stands before it is no host, and what follows is not to be shown.
        return Err(config(
            "an @ after ? or #: in a user name or password write ? as %3F, # as %23, / as %2F and @ as %40",
        ));
    }
    let text = without_password(&parsed);
    match parsed.scheme() {
        "redis" => {}
        "rediss" if has_tls => {}
        "rediss" => {
            return Err(config(format!(
                "{text}: rediss:// needs TLS, which is not compiled in: enable feature redis-tls of leasehold \
                 (tls of leasehold-redis), or use redis:// on a trusted network"
            )));
        }
        scheme => {
            return Err(config(format!(
                "{text}: {scheme}:// is not an address of one Redis server: use redis:// or rediss://"
            )));
        }
    }
    if parsed.fragment().is_some() {
        return Err(config(format!(
            "{text}: nothing may follow a # in the address; options follow a ?: {OPTIONS}"
        )));
    }
    let options = options(&parsed, &text)?;
    parsed.set_query(None);
    // Not even `text`: without a host, what was meant for a password may stand anywhere.
    let server = parsed
        .as_str()
        .into_connection_info()
        .map_err(|_| not_an_address())?;
    let login = server
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        // The library's name in CLIENT LIST is not worth a permission to run CLIENT.
        .set_skip_set_lib_name();
    let server = server
        .set_redis_settings(login)
        .set_tcp_settings(tcp_settings());
    Ok(Address {
        server,
        text,
        options,
    })
}

fn options(url: &Url, text: &str) -> Result<Options, StoreError> {
    let mut options = Options::default();
    for (name, value) in url.query_pairs() {
        let flag = || match &*value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(config(format!("{text}: {name} is true or false"))),
        };
        let file = || match &*value {
            "" => Err(config(format!("{text}: {name} is the path of a PEM file"))),
            _ if url.scheme() != "rediss" => Err(config(format!(
                "{text}: {name} is for TLS: write rediss:// in place of redis://"
            ))),
            path => Ok(Some(PathBuf::from(path))),
        };
        match &*name {
            "accept_eviction" => options.accept_eviction = flag()?,
            "accept_unchecked" => options.accept_unchecked = flag()?,
            "ca" => options.ca = file()?,
            "cert" => options.certificate = file()?,
            "key" => options.key = file()?,
            _ => {
                return Err(config(format!(
                    "{text}: no option is called {}; known are {OPTIONS}",
                    shown(&name)
                )));
            }
        }
    }
    if options.certificate.is_some() != options.key.is_some() {
        let text = format!("{text}: cert and key are the two halves of one identity: give both");
        return Err(config(text));
    }
    Ok(options)
}

/// A word as options have them; anything else may be a secret that lost its way.
fn shown(name: &str) -> String {
    let is_word =
        name.len() <= 24 && (name.bytes()).all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
    if is_word && !name.is_empty() {
        format!("`{name}`")
    } else {
        "that".into()
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

    fn refusal(url: &str, has_tls: bool) -> String {
        let error = parse(url, has_tls).err().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Config);
        format!("{error}")
    }

    #[test]
    fn x19_no_text_has_the_password() {
        for url in [
            "rediss://:s3cret@cache",
            "redis://:s3cret@cache:99999",
            "redis://:s3cret@cache/notanumber",
            "redis://:s3cret@cache?no=s3cret",
            "redis://:s3cret@cache#insecure",
            "redis://user:12?s3cret@cache",
            "redis://user:12#s3cret@cache",
            "redis://cache?s3cret",
            "redis://cache?S3CRET=x",
            "unix://:s3cret@cache/x",
            "s3cret",
        ] {
            let text = refusal(url, false).to_lowercase();
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn tls_that_is_not_compiled_in_is_refused_with_the_feature() {
        let text = refusal("rediss://cache", false);
        assert!(text.contains("enable feature redis-tls"), "{text}");
        assert!(parse("rediss://cache", true).is_ok());
    }

    #[test]
    fn options_are_read_and_unknown_ones_listed() {
        let read = |url| parse(url, true).map(|address| address.options);
        let options = read("redis://cache/1?accept_eviction=true&accept_unchecked=true").unwrap();
        assert!(options.accept_eviction && options.accept_unchecked);
        assert_eq!(
            read("redis://cache?accept_eviction=false").unwrap(),
            Options::default()
        );
        let options = read("rediss://cache?ca=/etc/ca.pem&cert=a%20b.pem&key=k").unwrap();
        assert_eq!(options.ca, Some("/etc/ca.pem".into()));
        assert_eq!(options.certificate, Some("a b.pem".into()));
        for (url, said) in [
            (
                "redis://cache?evict=true",
                "`evict`; known are accept_eviction,",
            ),
            ("redis://cache?accept_eviction=1", "true or false"),
            ("redis://cache?ca=/etc/ca.pem", "write rediss://"),
            ("rediss://cache?cert=c.pem", "give both"),
            ("rediss://cache?ca=", "the path of a PEM file"),
            ("rediss://cache#insecure", "options follow a ?"),
        ] {
            let text = refusal(url, true);
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn what_is_shown_has_no_options() {
        let address = parse(
            "redis://user:s3cret@cache:7000/2?accept_eviction=true",
            true,
        );
        assert_eq!(address.unwrap().text, "redis://***@cache:7000/2");
    }
}
