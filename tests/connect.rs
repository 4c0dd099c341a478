//! Bad addresses and bad names: each a typed error that says what to do.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::time::{Duration, Instant};

use leasehold::{ConnectError, Error, NameError, connect};
use leasehold_testkit::{RedisServer, free_port};

async fn refused(address: &str) -> ConnectError {
    connect(address, "test").await.unwrap_err()
}

#[tokio::test]
async fn an_unknown_scheme_lists_the_known_ones() {
    let error = refused("mongodb://localhost").await;
    assert!(matches!(error, ConnectError::UnknownScheme { .. }));
    assert_eq!(
        error.to_string(),
        "no store has the scheme `mongodb`; known are memory://, sqlite:PATH, redis://HOST[:PORT][/DB], \
         rediss://HOST[:PORT][/DB]"
    );
}

#[tokio::test]
async fn an_address_that_does_not_parse_says_how_to_write_it() {
    for address in [
        "",
        "localhost",
        "s3cret@cache:6379",
        "sqlite:",
        "sqlite://",
        "memory:leases",
    ] {
        let error = refused(address).await;
        assert!(
            matches!(error, ConnectError::Address { .. }),
            "{address}: {error}"
        );
        assert!(error.to_string().contains("write it like"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    for address in [
        "redis://",
        "redis://host:port",
        "redis://:hunter2@[::1",
        "redis:hunter2",
        "redis://localhost?password=hunter2",
        "redis://localhost?accept_eviction=hunter2",
        "redis://localhost#hunter2",
    ] {
        let error = refused(address).await;
        assert!(
            matches!(error, ConnectError::Store(Error::Store(_))),
            "{address}: {error}"
        );
        assert!(error.to_string().contains("redis://"), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test]
// The test measures real time on purpose.
#[allow(clippy::disallowed_methods)]
async fn a_server_that_is_not_there_is_named_within_the_connect_timeout() {
    let address = format!("redis://:hunter2@127.0.0.1:{}", free_port());
    let start = Instant::now();
    let error = refused(&address).await;
    assert!(start.elapsed() < Duration::from_secs(6));
    assert!(
        matches!(error, ConnectError::Store(Error::Unavailable { .. })),
        "{error:?}"
    );
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("127.0.0.1") && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_is_refused_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "text").unwrap();
    for path in [
        folder.path().join("missing/leases.db"),
        folder.path().to_owned(),
        file.join("leases.db"),
        file.clone(),
        "/proc/leases.db".into(),
    ] {
        let error = refused(&format!("sqlite:{}", path.display())).await;
        assert!(
            matches!(error, ConnectError::Store(Error::Store(_))),
            "{}: {error:?}",
            path.display()
        );
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        println!("{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
}

#[tokio::test]
async fn a_namespace_is_mandatory_and_checked() {
    let long = "x".repeat(513);
    for namespace in ["", "a\0b", "tab\tbed", &long] {
        let error = connect("memory://", namespace).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Store(Error::Name(_))),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn bad_names_are_refused_before_the_store_is_asked() {
    let coord = connect("memory://", "test").await.unwrap();
    assert!(matches!(
        coord.mutexes("a/b").unwrap_err(),
        Error::Name(NameError::Reserved { .. })
    ));
    let mutexes = coord.mutexes("m").unwrap();
    let error = mutexes.lock("").await.unwrap_err();
    assert!(matches!(error, Error::Name(NameError::Empty { .. })));
    let error = mutexes.lock("x".repeat(513)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Name(NameError::TooLong { bytes: 513, .. })
    ));
    let error = mutexes.lock("\u{7f}").await.unwrap_err();
    assert!(matches!(error, Error::Name(NameError::Control { .. })));
    assert!(coord.election("").is_err() && coord.register("\n").is_err());
}

#[tokio::test]
async fn x14_an_evicting_server_is_opened_only_if_the_address_accepts_it() {
    let server =
        RedisServer::start_with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let error = refused(&server.url()).await.to_string();
    assert!(error.contains("maxmemory-policy allkeys-lru"), "{error}");
    assert!(error.contains("?accept_eviction=true"), "{error}");
    let refused_still = format!("{}?accept_eviction=false", server.url());
    refused(&refused_still).await;
    let accepted = format!("{}?accept_eviction=true", server.url());
    let coord = connect(&accepted, "test").await.unwrap();
    let guard = coord.mutexes("m").unwrap().lock(1).await.unwrap();
    guard.release().await.unwrap();
    // Without a limit nothing is evicted, whatever the policy.
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    connect(&server.url(), "test").await.unwrap();
}

#[tokio::test]
async fn an_unknown_option_of_a_redis_address_lists_the_known_ones() {
    let error = refused("redis://localhost?timeout=5").await;
    assert_eq!(
        error.to_string(),
        "open: redis://localhost: no option is called `timeout`; \
         known are accept_eviction, accept_unchecked, ca, cert, key"
    );
}
