//! Credentials that change under a running client.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{Coordinator, Env, Error};
use leasehold_redis::{Credentials, CredentialsError, Login, RedisStore};
use leasehold_testkit::RedisServer;

/// A vault that a test fills, and how often it was asked.
#[derive(Clone, Default)]
struct Vault(Arc<(Mutex<Answer>, AtomicU32)>);

#[derive(Clone, Default)]
enum Answer {
    Password(&'static str),
    Failure,
    #[default]
    Silence,
}

impl Vault {
    fn set(&self, answer: Answer) {
        *self.0.0.lock().unwrap() = answer;
    }

    fn asked(&self) -> u32 {
        self.0.1.load(Ordering::SeqCst)
    }

    async fn login(self) -> Result<Login, CredentialsError> {
        self.0.1.fetch_add(1, Ordering::SeqCst);
        let answer = self.0.0.lock().unwrap().clone();
        match answer {
            Answer::Password(password) => Ok(Login::new("billing", password)),
            Answer::Failure => Err("the vault is sealed".into()),
            Answer::Silence => std::future::pending().await,
        }
    }

    async fn connect(&self, server: &RedisServer) -> Result<Coordinator, Error> {
        let vault = self.clone();
        // The address's own are not used.
        let url = server.url().replace("redis://", "redis://billing:0ld@");
        let store = RedisStore::new(&url)
            .unwrap()
            .credentials(move || vault.clone().login());
        assert!(!format!("{store:?}").contains("0ld"));
        Coordinator::builder(store, "tests")
            .connect_timeout(Duration::from_secs(1))
            .request_timeout(Duration::from_millis(500))
            .connect()
            .await
    }
}

fn set_password(server: &RedisServer, password: &str) {
    let password = format!(">{password}");
    let words = [
        "ACL",
        "SETUSER",
        "billing",
        "on",
        "~*",
        "&*",
        "+@all",
        "resetpass",
        &password,
    ];
    server.command(&words);
}

fn kill_connections(server: &RedisServer) {
    server.command(&["CLIENT", "KILL", "USER", "billing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_held_over_a_rotation_of_the_password() {
    let server = RedisServer::start();
    let vault = Vault::default();
    set_password(&server, "f1rst");
    vault.set(Answer::Password("f1rst"));
    let coord = vault.connect(&server).await.unwrap();
    let mutexes = coord.mutexes("m").unwrap().ttl(Duration::from_secs(3));
    let guard = mutexes.lock(1).await.unwrap();
    let asked = vault.asked();

    // Redis asks at login only: the connections there are go on, and nobody is asked.
    set_password(&server, "sec0nd");
    guard.check().unwrap();
    mutexes.lock(2).await.unwrap().release().await.unwrap();
    assert_eq!(vault.asked(), asked);

    // Every connection is gone, and the vault lags behind: the first attempts are refused.
    kill_connections(&server);
    let error = mutexes.try_lock(2).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("the password or user name was refused"),
        "{text}"
    );
    vault.set(Answer::Password("sec0nd"));
    mutexes.lock(2).await.unwrap().release().await.unwrap();
    assert!(vault.asked() > asked);
    guard.check().unwrap();

    // Longer than its TTL: its renewals come through, too.
    coord.env().sleep(Duration::from_secs(4)).await;
    guard.release().await.unwrap();
    for secret in ["f1rst", "sec0nd", "0ld"] {
        assert!(!text.contains(secret), "{text}");
        assert!(!format!("{coord:?}").contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_fails_or_hangs_is_unknown_in_time_and_asked_again() {
    let server = RedisServer::start();
    let (vault, env) = (Vault::default(), Env::system());
    set_password(&server, "r1ght");
    for (answer, said) in [
        (
            Answer::Silence,
            "the credentials callback did not answer within 500ms",
        ),
        (
            Answer::Failure,
            "the credentials callback failed: the vault is sealed",
        ),
    ] {
        vault.set(answer);
        let start = env.now();
        let error = vault.connect(&server).await.unwrap_err();
        let took = env.now().since(start);
        assert!(took < Duration::from_millis(1500), "{took:?}");
        assert!(error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }

    vault.set(Answer::Password("r1ght"));
    let coord = vault.connect(&server).await.unwrap();
    let mutexes = coord.mutexes("m").unwrap();
    let guard = mutexes.lock(1).await.unwrap();
    for (answer, said) in [
        (Answer::Failure, "the vault is sealed"),
        (Answer::Silence, "did not answer within 500ms"),
    ] {
        vault.set(answer);
        kill_connections(&server);
        // The first request may still be told of the attempt before.
        let deadline = env.now() + Duration::from_secs(5);
        loop {
            let start = env.now();
            let error = mutexes.try_lock(2).await.unwrap_err();
            let took = env.now().since(start);
            assert!(took < Duration::from_millis(2500), "{took:?}");
            assert!(error.is_unavailable(), "{error:?}");
            if error.to_string().contains(said) {
                break;
            }
            assert!(env.now() < deadline, "{error}");
        }
        vault.set(Answer::Password("r1ght"));
        mutexes.lock(2).await.unwrap().release().await.unwrap();
    }
    guard.release().await.unwrap();
}

/// Not a closure.
struct Constant;

#[async_trait]
impl Credentials for Constant {
    async fn login(&self) -> Result<Login, CredentialsError> {
        Ok(Login::password("s3cret"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_alone_is_the_default_user_s() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let url = format!("redis://127.0.0.1:{}", server.port());
    let store = RedisStore::new(&url).unwrap().credentials(Constant);
    let coord = Coordinator::builder(store, "tests")
        .connect()
        .await
        .unwrap();
    coord
        .mutexes("m")
        .unwrap()
        .lock(1)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}
