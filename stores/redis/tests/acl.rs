//! Users of the server's access control list: the rule that stands in the guide suffices, and nothing less does.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/whole.rs"]
mod whole;

use std::collections::BTreeSet;

use leasehold_core::protocol::Rid;
use leasehold_core::store::{Connector, LeaseCall, ListQuery};
use leasehold_core::{Coordinator, Error};
use leasehold_redis::RedisStore;
use leasehold_testkit::RedisServer;
use whole::{commands_run, connect, use_it_all};

/// The words after `ACL SETUSER billing` in the guide.
fn rule() -> Vec<String> {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rule = guide
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER billing "))
        .expect("docs/redis.md has the rule");
    rule.split(' ').map(str::to_owned).collect()
}

/// Sets the user, and returns its address.
fn set_user(server: &RedisServer, rule: &[String]) -> String {
    let mut words = vec!["ACL", "SETUSER", "billing"];
    words.extend(rule.iter().map(String::as_str));
    server.command(&words);
    server
        .url()
        .replace("redis://", "redis://billing:PASSWORD@")
}

async fn lock(coord: &Coordinator) {
    let guard = coord.mutexes("m").unwrap().lock(1).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_in_the_guide_suffices_for_everything_and_has_nothing_unused() {
    let server = RedisServer::start();
    let url = set_user(&server, &rule());
    server.command(&["CONFIG", "RESETSTAT"]);
    use_it_all(&server, &url).await;
    // What is known below records, and what is listed.
    let (session, _events) = common::session("billing");
    let store = RedisStore::new(&url).unwrap().open(&session).await.unwrap();
    let bucket = common::name("a").bucket();
    store.leases.raise_floors(&[(bucket, 1)]).await.unwrap();
    let mut names = (0..).map(|i| common::name(&format!("n{i}")));
    let renewals = names
        .by_ref()
        .filter(|name| name.bucket() == bucket)
        .take(2);
    let rid = Rid {
        node: session.node,
        seq: 1,
    };
    let renewals = renewals.map(|name| LeaseCall {
        name,
        op: common::renew(rid, 1),
    });
    let renewals: Vec<_> = renewals.collect();
    store.leases.execute(&renewals).await.unwrap();
    let query = ListQuery {
        limit: 100,
        ..ListQuery::default()
    };
    store.leases.list(&query).await.unwrap();
    assert_eq!(server.command(&["ACL", "LOG"]), "", "something was refused");
    let errors = server.command(&["INFO", "errorstats"]);
    let mut errors = errors.lines().skip(1);
    assert!(errors.all(|line| line.starts_with("errorstat_NOSCRIPT")));
    let run: BTreeSet<_> = commands_run(&server).into_iter().collect();
    let unused: Vec<_> = rule()
        .iter()
        .filter_map(|part| part.strip_prefix('+').map(str::to_owned))
        .filter(|command| !run.contains(command))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_that_is_taken_away_is_missed_by_name() {
    let server = RedisServer::start();
    let rule = rule();
    let parts = rule.iter().filter(|part| part.starts_with(['+', '~', '&']));
    for part in parts {
        let rest: Vec<_> = rule.iter().filter(|p| *p != part).cloned().collect();
        let url = set_user(&server, &rest);
        let error = if part.starts_with('&') {
            let coord = connect(&url).await.unwrap();
            let other = connect(&server.url()).await.unwrap();
            let _held = other.mutexes("m").unwrap().lock(1).await.unwrap();
            coord.mutexes("m").unwrap().lock(1).await.unwrap_err()
        } else {
            connect(&url).await.unwrap_err()
        };
        assert!(matches!(error, Error::Store(_)), "{part}: {error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("allow it {part}")) || part == "+info",
            "{part}: {text}"
        );
        let command = part.trim_start_matches('+').to_uppercase();
        assert!(
            text.contains(&command) || !part.starts_with('+'),
            "{part}: {text}"
        );
        assert!(!text.contains("PASSWORD"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_later_is_named_too() {
    let server = RedisServer::start();
    let url = set_user(&server, &rule());
    let coord = connect(&url).await.unwrap();
    lock(&coord).await;
    for (change, back, said) in [
        ("-evalsha", "+evalsha", "EVALSHA"),
        ("-time", "+time", "docs/redis.md has the rule"),
        ("resetkeys", "~{billing#*}:*", "allow it ~{billing#*}:*"),
    ] {
        server.command(&["ACL", "SETUSER", "billing", change]);
        let error = coord.mutexes("m").unwrap().lock(1).await.unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{change}: {error:?}");
        assert!(error.to_string().contains(said), "{change}: {error}");
        server.command(&["ACL", "SETUSER", "billing", back]);
    }
    lock(&coord).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_letters_of_patterns_is_allowed_as_the_guide_says() {
    let server = RedisServer::start();
    let commands = rule()
        .into_iter()
        .filter(|part| !part.starts_with(['~', '&']));
    let rule: Vec<_> = commands
        .chain([
            r"~{a\*\[b\]%23#*}:*".to_owned(),
            r"&{a\*\[b\]%23#*}:e:*".to_owned(),
        ])
        .collect();
    let url = set_user(&server, &rule);
    let open = |namespace: &'static str| {
        let store = RedisStore::new(&url).unwrap();
        Coordinator::builder(store, namespace).connect()
    };
    let coord = open("a*[b]#").await.unwrap();
    lock(&coord).await;
    let error = open("axb#").await.unwrap_err();
    assert!(error.to_string().contains("~{axb%23#*}:*"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_tell_what_it_is_opens_only_if_that_is_accepted() {
    let server = RedisServer::start();
    let quiet: Vec<_> = rule().into_iter().filter(|part| part != "+info").collect();
    let url = set_user(&server, &quiet);
    let renamed = RedisServer::start();
    // As hosts do it that rename commands away: nobody has it.
    renamed.command(&["ACL", "SETUSER", "default", "-info", "-config"]);
    for url in [url, renamed.url()] {
        let error = connect(&url).await.unwrap_err().to_string();
        assert!(error.contains("INFO is not permitted"), "{error}");
        assert!(error.contains("?accept_unchecked=true"), "{error}");
        let accepted = connect(&format!("{url}?accept_unchecked=true"))
            .await
            .unwrap();
        lock(&accepted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_needs_select_and_says_so() {
    let server = RedisServer::start();
    let url = set_user(&server, &rule()) + "/1";
    let error = connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    assert!(error.to_string().contains("+select"), "{error}");
    server.command(&["ACL", "SETUSER", "billing", "+select"]);
    lock(&connect(&url).await.unwrap()).await;
    let error = connect(&(server.url() + "/16")).await.unwrap_err();
    assert!(
        error.to_string().contains("no database of that number"),
        "{error}"
    );
}
