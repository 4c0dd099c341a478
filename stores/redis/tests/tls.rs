//! TLS and client certificates, with a private CA.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/tls.rs"]
mod pki;

use std::time::Duration;

use leasehold_core::{Coordinator, Error};
use leasehold_redis::RedisStore;
use leasehold_testkit::RedisServer;
use pki::{Ca, TlsServer};

async fn connect(store: RedisStore) -> Result<Coordinator, Error> {
    Coordinator::builder(store, "tests").connect().await
}

fn store(url: &str) -> RedisStore {
    RedisStore::new(url).unwrap()
}

/// The refusal of an open, which is neither *unknown* nor late.
async fn refused(store: RedisStore) -> String {
    let error = connect(store).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("PRIVATE") && !text.contains("MII"), "{text}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_private_ca_is_used_over_tls_with_hand_over_and_reconnect() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "no");
    let a = connect(store(&tls.url()).ca_certificate(&*ca.pem))
        .await
        .unwrap();
    // The same by the address.
    let file = tls.file("private ca.pem", &ca.pem);
    let url = format!("{}?ca={}", tls.url(), file.display()).replace(' ', "%20");
    let b = connect(store(&url)).await.unwrap();
    let first = a.mutexes("m").unwrap().lock(1).await.unwrap();
    let waiting = b.env().spawn({
        let b = b.clone();
        async move { b.mutexes("m").unwrap().lock(1).await.unwrap() }
    });
    while a.inspect(first.name()).await.unwrap().waiters.is_empty() {
        a.env().sleep(Duration::from_millis(5)).await;
    }
    let fence = first.fence();
    first.release().await.unwrap();
    let second = waiting.await.unwrap();
    assert!(second.fence() > fence);
    tls.server
        .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    tls.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    second.release().await.unwrap();
    drop(a.mutexes("m").unwrap().lock(1).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_ca_is_refused_with_what_to_do() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "no");
    for store in [
        store(&tls.url()),
        store(&tls.url()).ca_certificate(Ca::new().pem),
    ] {
        let text = refused(store).await;
        assert!(text.contains("a CA that is not known here"), "{text}");
        assert!(text.contains("RedisStore::ca_certificate"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_host_name_is_refused() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "no");
    let text = refused(store(&tls.url_by_name()).ca_certificate(&*ca.pem)).await;
    assert!(text.contains("is for another host name"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_shown_to_a_server_that_demands_one() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "yes");
    let trusting = || store(&tls.url()).ca_certificate(&*ca.pem);
    let own = ca.client();
    let coord = connect(trusting().client_certificate(&*own.certificate, &*own.key))
        .await
        .unwrap();
    drop(coord.mutexes("m").unwrap().lock(1).await.unwrap());
    // The same by the address.
    let url = format!(
        "{}?ca={}&cert={}&key={}",
        tls.url(),
        tls.file("ca.pem", &ca.pem).display(),
        tls.file("own.pem", &own.certificate).display(),
        tls.file("own.key", &own.key).display(),
    );
    connect(store(&url)).await.unwrap();

    let text = refused(trusting()).await;
    assert!(text.contains("asks for a client certificate"), "{text}");
    assert!(text.contains("RedisStore::client_certificate"), "{text}");
    let other = Ca::new().client();
    let text = refused(trusting().client_certificate(&*other.certificate, &*other.key)).await;
    assert!(text.contains("refused the handshake"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_cannot_be_used_are_refused_with_the_reason() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "no");
    let (own, other) = (ca.client(), ca.client());
    let trusting = || store(&tls.url()).ca_certificate(&*ca.pem);
    let missing = format!("{}?ca=/no/such/ca.pem", tls.url());
    for (store, said) in [
        (
            store(&tls.url()).ca_certificate("no PEM"),
            "the CA's certificate is not one in PEM",
        ),
        (
            store(&tls.url()).ca_certificate(&*own.key),
            "the CA's certificate is not one in PEM",
        ),
        (
            store(&missing),
            "cannot be read at /no/such/ca.pem: No such file",
        ),
        (
            trusting().client_certificate("no PEM", &*own.key),
            "the client certificate is not one in PEM",
        ),
        (
            trusting().client_certificate(&*own.certificate, &*own.certificate),
            "is not a private key in PEM",
        ),
        (
            trusting().client_certificate(&*own.certificate, &*other.key),
            "do the first two belong together",
        ),
        (
            store(&tls.server.url()).ca_certificate(&*ca.pem),
            "write rediss://",
        ),
    ] {
        let text = refused(store).await;
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_plain_ports_are_told_apart() {
    let ca = Ca::new();
    let tls = TlsServer::start(&ca, "no");
    let plain = RedisServer::start();
    let url = plain.url().replace("redis://", "rediss://");
    let store = store(&url).ca_certificate(&*ca.pem);
    let builder = Coordinator::builder(store, "tests").connect_timeout(Duration::from_secs(2));
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(
        error.to_string().contains("does that port speak TLS?"),
        "{error}"
    );
    let url = tls.url().replace("rediss://", "redis://");
    let error = connect(RedisStore::new(&url).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("rediss://"), "{error}");
}

/// The system's CAs are the process's: this test runs itself as a child that has broken ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_cas_that_cannot_be_read_are_named() {
    const URL: &str = "LEASEHOLD_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        let text = refused(store(&url)).await;
        assert!(text.contains("look at SSL_CERT_FILE"), "{text}");
        return;
    }
    let tls = TlsServer::start(&Ca::new(), "no");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "system_cas_that_cannot_be_read_are_named"])
        .env(
            "SSL_CERT_FILE",
            tls.file("empty.pem", "").with_extension("gone"),
        )
        .env(URL, tls.url())
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
}
