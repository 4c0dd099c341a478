//! The tour of the scheduler, as the README shows it.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use leasehold_testkit::{RedisServer, example_binary};

fn tour(arguments: &[&str]) -> Output {
    let program = example_binary("nightly_report");
    Command::new(program).args(arguments).output().unwrap()
}

fn assert_all_is_told(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let last = text.lines().last().unwrap();
    let counts = last.strip_prefix("nightly_report: ").unwrap();
    let counts: BTreeMap<&str, u32> = (counts.split(' '))
        .map(|count| count.split_once('=').unwrap())
        .map(|(what, n)| (what, n.parse().unwrap()))
        .collect();
    // The pause is one record, however many ticks it has.
    let known = ["attempts", "retried", "paused", "other"].map(|what| counts[what]);
    assert_eq!(known, [2, 1, 1, 0], "{text}");
    assert!((4..=8).contains(&counts["heartbeats"]), "{text}");
    for told in [
        "2026-03-29 03:00:00+02:00  <- the first instant after the gap",
        "attempt 1: failed (the printer is out of paper), to be tried again",
        "did not run: the job was paused",
        "is not due yet, but in",
    ] {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn the_tour_on_sqlite_accounts_for_each_tick() {
    assert_all_is_told(&tour(&[]));
}

#[test]
fn the_tour_on_redis_accounts_for_each_tick() {
    let server = RedisServer::start();
    assert_all_is_told(&tour(&[&server.url()]));
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let output = tour(&["redis://127.0.0.1:1"]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("name a store that is there") && errors.contains("127.0.0.1:1"),
        "{errors}"
    );
}
