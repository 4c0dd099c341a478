//! `leasehold semaphore`: how many run at once, what the command gets, and when it ends.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Bench, PATIENCE, STUBBORN, last_alive, lives, uptime};
use leasehold_testkit::{Process, RedisServer, wait_until};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn inspect(bench: &Bench, args: &[&str]) -> String {
    let run = bench.run(&[&["inspect"], args].concat()).success();
    text(&run.get_output().stdout)
}

/// The most that ran at once, of those who wrote `begin` and `end`.
fn most_at_once(log: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in log.lines() {
        match line {
            "begin" => now += 1,
            _ => now -= 1,
        }
        most = most.max(now);
    }
    most
}

fn eight_at_once_are_two_at_a_time(bench: &Bench) {
    let body = "echo begin >> log; sleep 0.1; echo end >> log";
    let args = [
        "semaphore",
        "demo",
        "--permits",
        "2",
        "--",
        "sh",
        "-c",
        body,
    ];
    let mut running: Vec<Process> = (0..8)
        .map(|n| bench.start(&args, &format!("errors-{n}")))
        .collect();
    for (n, process) in running.iter_mut().enumerate() {
        let status = process.wait(2 * PATIENCE);
        let errors = bench.read(&format!("errors-{n}"));
        assert!(status.success(), "{status}: {errors}");
    }
    let log = bench.read("log");
    assert_eq!(log.lines().count(), 16, "{log}");
    assert_eq!(most_at_once(&log), 2, "{log}");
    // Each gave its permit back.
    let both = ["semaphore", "demo", "--permits", "2", "--take", "2"];
    bench
        .run(&[&both[..], &["--no-wait", "--", "true"]].concat())
        .code(0);
}

#[test]
fn no_more_run_at_once_than_there_are_permits_on_a_file() {
    eight_at_once_are_two_at_a_time(&Bench::new());
}

#[test]
fn no_more_run_at_once_than_there_are_permits_on_redis() {
    let server = RedisServer::start();
    eight_at_once_are_two_at_a_time(&Bench::on(&server.url()));
}

#[test]
fn the_command_knows_its_permits_and_has_no_fence() {
    let bench = Bench::new();
    let seen = |args: &[&str]| {
        let mut command = bench.command(&[args, &["--", "env"]].concat());
        command
            .env("LEASEHOLD_FENCE", "7")
            .env("LEASEHOLD_GRANT_ID", "x")
            .env("LEASEHOLD_PERMITS", "x");
        let run = assert_cmd::Command::from_std(command).assert().success();
        text(&run.get_output().stdout)
    };
    let three = seen(&["semaphore", "gpu/0", "--permits", "5", "--take", "3"]);
    assert!(three.contains("LEASEHOLD_PERMITS=3\n"), "{three}");
    assert!(three.contains("LEASEHOLD_NAME=gpu/0\n"), "{three}");
    assert!(!three.contains("LEASEHOLD_FENCE"), "{three}");
    let grant = |seen: &str| {
        let line = seen
            .lines()
            .find_map(|line| line.strip_prefix("LEASEHOLD_GRANT_ID="));
        line.and_then(|grant| grant.parse::<u64>().ok())
    };
    assert!(grant(&three).is_some(), "{three}");
    let one = seen(&["semaphore", "gpu", "--permits", "5"]);
    assert!(one.contains("LEASEHOLD_PERMITS=1\n"), "{one}");
    assert!(one.contains("LEASEHOLD_NAME=gpu/gpu\n"), "{one}");
    // What the user has under these names is no lock's.
    let lock = seen(&["lock", "gpu"]);
    assert!(!lock.contains("LEASEHOLD_PERMITS"), "{lock}");
}

#[test]
fn who_has_how_many_of_how_many_is_shown_and_the_rest_is_refused() {
    let bench = Bench::new();
    let held = "echo > held; sleep 60";
    let args = ["semaphore", "demo", "--permits", "3", "--take", "2"];
    let _holder = bench.start(
        &[&args[..], &["--label", "nightly", "--", "sh", "-c", held]].concat(),
        "errors",
    );
    bench.wait_for("held", "\n");
    let refused = bench
        .run(&[&args[..], &["--no-wait", "--", "touch", "ran"]].concat())
        .code(75);
    let said = text(&refused.get_output().stderr);
    assert!(said.contains("nightly"), "{said}");
    let options = ["--wait", "50ms", "--conflict-exit-code", "9"];
    bench
        .run(&[&args[..], &options, &["--", "touch", "ran"]].concat())
        .code(9);
    assert!(!bench.path("ran").exists());
    // One is left, and what the command ends with is passed through.
    let one = ["semaphore", "demo", "--permits", "3", "--no-wait", "--"];
    bench
        .run(&[&one[..], &["sh", "-c", "exit 6"]].concat())
        .code(6);

    let _waiter = bench.start(&[&args[..], &["--", "true"]].concat(), "errors-2");
    let waits = "demo/demo  waits, 1, for 2";
    wait_until(PATIENCE, "a waiter", || {
        inspect(&bench, &["demo"]).contains(waits)
    });
    let table = inspect(&bench, &["demo"]);
    assert!(table.contains("demo/demo  has 2 of 3 "), "{table}");
    assert!(table.lines().count() == 3, "{table}");
    let json: Value = serde_json::from_str(&inspect(&bench, &["--json"])).unwrap();
    let found = &json["resources"][0];
    assert_eq!(found["name"], "demo/demo", "{json}");
    assert_eq!(found["permits"], 3, "{json}");
    assert_eq!(found["holders"][0]["permits"], 2, "{json}");
    assert_eq!(found["waiters"][0]["permits"], 2, "{json}");
    // A lock has none.
    let mut lock = bench.start(
        &["lock", "other", "--", "sh", "-c", "echo > locked; sleep 60"],
        "errors-3",
    );
    bench.wait_for("locked", "\n");
    let json: Value = serde_json::from_str(&inspect(&bench, &["other", "--json"])).unwrap();
    assert!(json["resources"][0]["permits"].is_null(), "{json}");
    lock.signal("TERM");
    assert_eq!(lock.wait(PATIENCE).code(), Some(143));
}

/// The name that a program gives to `semaphore`.
#[test]
fn a_program_and_the_command_line_share_one_semaphore() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (coord, permit) = runtime.block_on(async {
        let coord = leasehold::connect(&server.url(), "default").await.unwrap();
        let permit = coord.semaphore("stripe", 1).unwrap().acquire().await;
        (coord, permit.unwrap())
    });
    let args = ["semaphore", "stripe", "--permits", "1", "--no-wait"];
    let args = [&args[..], &["--", "true"]].concat();
    bench.run(&args).code(75);
    runtime.block_on(async {
        permit.release().await.unwrap();
        coord.shutdown(Duration::ZERO).await;
    });
    bench.run(&args).code(0);
}

#[test]
fn a_permit_whose_wrapper_is_killed_is_back_when_its_command_is_dead_and_its_ttl_over() {
    let bench = Bench::new();
    let args = ["semaphore", "demo", "--permits", "2"];
    let run = |options: &[&str], body: &str| {
        let command = ["--", "sh", "-c", body];
        bench.run(&[&args[..], options, &command].concat())
    };
    let held = ["--ttl", "4s", "--", "sh", "-c", STUBBORN];
    let mut wrapper = bench.start(&[&args[..], &held].concat(), "errors");
    bench.wait_for("alive", "\n");
    let killed = uptime();
    wrapper.kill();
    wait_until(PATIENCE, "the command to end", || {
        !lives(&bench.read("pid"))
    });
    assert!(last_alive(&bench) < killed + 2.0);
    // The other one was free all the time, and both together are when the TTL is over.
    run(&["--no-wait"], "true").code(0);
    run(&["--take", "2", "--no-wait"], "true").code(75);
    let next = "cut -d' ' -f1 /proc/uptime > next";
    run(&["--take", "2", "--wait", "20s"], next).code(0);
    let next: f64 = bench.read("next").trim().parse().unwrap();
    assert!(last_alive(&bench) < next);
    assert!(next < killed + 4.0 + 3.0, "{killed} {next}");
}

/// As with a lock: the store goes away, and with it the renewals.
#[test]
fn the_command_is_dead_before_its_permit_can_pass_on() {
    // With its data on disk, it comes back as it was.
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let bench = Bench::on(&server.url());
    let args = ["semaphore", "demo", "--permits", "1", "--ttl", "3s", "--"];
    let held = [&args[..], &["sh", "-c", STUBBORN]].concat();
    let mut wrapper = bench.start(&held, "errors");
    bench.wait_for("alive", "\n");
    let gone = uptime();
    server.kill();
    let status = wrapper.wait(PATIENCE);
    assert_eq!(status.code(), Some(76), "{}", bench.read("errors"));
    assert!(!lives(&bench.read("pid")));
    assert_eq!(bench.read("log"), "term\n");
    server.restart();
    let next = "cut -d' ' -f1 /proc/uptime > next";
    bench
        .run(&[&args[..], &["sh", "-c", next]].concat())
        .code(0);
    let next: f64 = bench.read("next").trim().parse().unwrap();
    let last = last_alive(&bench);
    assert!(last < next && last < gone + 3.0, "{gone} {last} {next}");
}

#[test]
fn a_permit_that_is_deleted_stops_its_command_at_once() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let args = ["semaphore", "demo", "--permits", "2", "--ttl", "3s", "--"];
    let mut wrapper = bench.start(&[&args[..], &["sh", "-c", STUBBORN]].concat(), "errors");
    bench.wait_for("alive", "\n");
    server.command(&["FLUSHALL"]);
    assert_eq!(wrapper.wait(PATIENCE).code(), Some(76));
    assert!(!lives(&bench.read("pid")));
}

#[test]
fn a_signal_ends_the_wait_and_leaves_the_queue() {
    let bench = Bench::new();
    let args = ["semaphore", "demo", "--permits", "1", "--"];
    let held = [&args[..], &["sh", "-c", "echo > held; sleep 60"]].concat();
    let mut holder = bench.start(&held, "errors");
    bench.wait_for("held", "\n");
    let mut waiter = bench.start(&[&args[..], &["touch", "ran"]].concat(), "errors-2");
    wait_until(PATIENCE, "the waiter to stand in the queue", || {
        inspect(&bench, &["demo"]).contains("waits, 1")
    });
    waiter.signal("TERM");
    assert_eq!(waiter.wait(PATIENCE).code(), Some(143));
    let left = inspect(&bench, &["demo"]);
    assert!(!left.contains("waits"), "{left}");
    assert!(!bench.path("ran").exists());
    // And it is passed on to the command itself.
    holder.signal("TERM");
    assert_eq!(holder.wait(PATIENCE).code(), Some(143));
}
