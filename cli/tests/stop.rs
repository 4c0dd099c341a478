//! The command is dead before its lease can pass on, whatever happens to the store or to `leasehold`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Bench, PATIENCE, STUBBORN, last_alive, lives, uptime};
use leasehold_testkit::{RedisServer, signal, wait_until};

/// The store goes away, and with it the renewals. Witnesses: the machine's uptime, written by the command itself for as
/// long as it lives, and the store, which gives the lock to the next one once the lease is over.
#[test]
fn l21_the_command_wrapper_stops_its_child_before_the_lease_passes_on() {
    // With its data on disk, it comes back as it was.
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let bench = Bench::on(&server.url());
    let ttl = 3.0;
    let held = ["lock", "demo", "--ttl", "3s", "--", "sh", "-c", STUBBORN];
    let mut wrapper = bench.start(&held, "errors");
    bench.wait_for("alive", "\n");
    let gone = uptime();
    server.kill();
    // The last renewal was answered before that, so that the lease ends at `gone + ttl` at the latest.
    let status = wrapper.wait(PATIENCE);
    assert_eq!(status.code(), Some(76), "{}", bench.read("errors"));
    assert!(!lives(&bench.read("pid")));
    // It was asked first, and had time: it ignored that.
    let log = bench.read("log");
    assert_eq!(log, "term\n", "{log}");
    // The second witness is the store: the next one gets it there only after the last sign of life of the first.
    server.restart();
    let next = "cut -d' ' -f1 /proc/uptime > next";
    bench.run(&["lock", "demo", "--", "sh", "-c", next]).code(0);
    let next: f64 = bench.read("next").trim().parse().unwrap();
    let last = last_alive(&bench);
    assert!(last < next, "{last} {next}");
    assert!(
        last < gone + ttl,
        "lived {:.2} s after the store",
        last - gone
    );
}

#[test]
fn a_store_that_hangs_is_no_better_than_one_that_is_gone() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let held = ["lock", "demo", "--ttl", "3s", "--", "sh", "-c", STUBBORN];
    let mut wrapper = bench.start(&held, "errors");
    bench.wait_for("alive", "\n");
    let gone = uptime();
    server.stop();
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(76));
    assert!(last_alive(&bench) < gone + 3.0);
    assert!(!lives(&bench.read("pid")));
    server.resume();
}

#[test]
fn a_command_that_ends_when_asked_is_not_killed() {
    let mut server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let body =
        "trap 'echo bye > bye; exit 0' TERM; echo > held; while [ -e held ]; do sleep 0.02; done";
    let held = ["lock", "demo", "--ttl", "2s", "--", "sh", "-c", body];
    let mut wrapper = bench.start(&held, "errors");
    bench.wait_for("held", "\n");
    server.kill();
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(76));
    assert_eq!(bench.read("bye"), "bye\n");
    let said = bench.read("errors");
    assert!(said.contains("the store does not answer"), "{said}");
}

#[test]
fn a_lease_that_is_deleted_stops_its_command_at_once() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let held = ["lock", "demo", "--ttl", "3s", "--", "sh", "-c", STUBBORN];
    let mut wrapper = bench.start(&held, "errors");
    bench.wait_for("alive", "\n");
    server.command(&["FLUSHALL"]);
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(76));
    assert!(!lives(&bench.read("pid")));
    let said = bench.read("errors");
    assert!(said.contains("the store no longer has it"), "{said}");
}

#[test]
fn signals_are_forwarded_to_all_of_the_command() {
    let bench = Bench::new();
    // A grandchild hears it too.
    let body = r#"
        sh -c 'trap "echo grandchild >> log; exit 0" USR1; echo >> up; while [ -e up ]; do sleep 0.02; done' &
        trap 'echo child >> log' USR1
        echo >> up
        wait; wait; exit 6
    "#;
    let mut wrapper = bench.start(&["lock", "demo", "--", "sh", "-c", body], "errors");
    bench.wait_for("up", "\n\n");
    wrapper.signal("USR1");
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(6));
    let log = bench.read("log");
    assert!(
        log.contains("grandchild\n") && log.contains("child\n"),
        "{log}"
    );
}

#[test]
fn grandchildren_end_with_the_command() {
    let bench = Bench::new();
    // One that ends when asked, and one that does not; both outlive the command.
    let body = r#"
        sh -c 'echo $$ > meek; while [ -e meek ]; do sleep 0.02; done' > out &
        sh -c 'trap "" TERM; echo $$ > stubborn; while [ -e stubborn ]; do sleep 0.02; done' > out &
        until [ -s meek ] && [ -s stubborn ]; do sleep 0.01; done
        exit 4
    "#;
    let mut wrapper = bench.start(
        &["lock", "demo", "--ttl", "2s", "--", "sh", "-c", body],
        "errors",
    );
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(4));
    assert!(!lives(&bench.read("meek")));
    assert!(!lives(&bench.read("stubborn")));
}

#[test]
fn the_command_ends_also_when_the_wrapper_is_killed() {
    let bench = Bench::new();
    let mut wrapper = bench.start(
        &["lock", "demo", "--ttl", "5s", "--", "sh", "-c", STUBBORN],
        "errors",
    );
    bench.wait_for("alive", "\n");
    let killed = uptime();
    wrapper.kill();
    wait_until(PATIENCE, "the command to end", || {
        !lives(&bench.read("pid"))
    });
    assert!(last_alive(&bench) < killed + 2.0);
    // The lease lasts until its TTL is over: the next one waits for that, and not longer.
    bench
        .run(&["lock", "demo", "--no-wait", "--", "true"])
        .code(75);
    bench
        .run(&["lock", "demo", "--wait", "20s", "--", "true"])
        .code(0);
}

#[test]
fn the_command_ends_also_when_the_wrapper_is_stopped() {
    let bench = Bench::new();
    let mut wrapper = bench.start(
        &["lock", "demo", "--ttl", "2s", "--", "sh", "-c", STUBBORN],
        "errors",
    );
    bench.wait_for("alive", "\n");
    let stopped = uptime();
    signal(wrapper.pid(), "STOP");
    let next = "cut -d' ' -f1 /proc/uptime > next";
    bench
        .run(&["lock", "demo", "--wait", "20s", "--", "sh", "-c", next])
        .code(0);
    let next: f64 = bench.read("next").trim().parse().unwrap();
    let last = last_alive(&bench);
    assert!(
        last < next && last < stopped + 2.0,
        "{stopped} {last} {next}"
    );
    assert!(!lives(&bench.read("pid")));
    signal(wrapper.pid(), "CONT");
    assert_eq!(wrapper.wait(Duration::from_secs(10)).code(), Some(76));
}
