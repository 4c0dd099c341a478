//! `leasehold lock` and `elect`: who gets it, what the command gets, what it ends with.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Bench, PATIENCE};
use leasehold_testkit::{Process, wait_until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_grant_has_a_greater_fence_than_the_one_before() {
    let bench = Bench::new();
    let fence = || {
        let args = ["lock", "demo", "--", "sh", "-c", "echo $LEASEHOLD_FENCE"];
        let run = bench.run(&args).success();
        text(&run.get_output().stdout)
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let (first, second) = (fence(), fence());
    assert!(first > 0 && second > first, "{first} {second}");
    assert!(bench.path(".local/state/leasehold/leasehold.db").is_file());
}

#[test]
fn the_users_environment_does_not_stand_in_the_place_of_the_fence() {
    let bench = Bench::new();
    let mut command = bench.command(&["lock", "demo", "--", "env"]);
    command
        .env("LEASEHOLD_FENCE", "7")
        .env("LEASEHOLD_NAME", "x");
    let run = assert_cmd::Command::from_std(command).assert().success();
    let seen = text(&run.get_output().stdout);
    assert!(!seen.contains("LEASEHOLD_FENCE=7\n"), "{seen}");
    assert_eq!(seen.matches("LEASEHOLD_FENCE=").count(), 1, "{seen}");
    assert!(seen.contains("LEASEHOLD_NAME=cli/demo\n"), "{seen}");
}

#[test]
fn twenty_at_once_on_one_file_never_overlap() {
    let bench = Bench::new();
    // Each writes a line when it begins and when it ends: between the two nobody else's stands.
    let body = "echo begin $$ >> log; sleep 0.02; echo end $$ >> log";
    let args = ["lock", "demo", "--", "sh", "-c", body];
    let mut running: Vec<Process> = (0..20)
        .map(|n| bench.start(&args, &format!("errors-{n}")))
        .collect();
    for (n, process) in running.iter_mut().enumerate() {
        let status = process.wait(2 * PATIENCE);
        assert!(
            status.success(),
            "{status}: {}",
            bench.read(&format!("errors-{n}"))
        );
    }
    let log = bench.read("log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 40, "{log}");
    for pair in lines.chunks(2) {
        let begun = pair[0].strip_prefix("begin ");
        assert!(
            begun.is_some() && begun == pair[1].strip_prefix("end "),
            "{log}"
        );
    }
}

/// Five that share run at once, one that does not waits for them, and those behind it wait for that one.
#[test]
fn commands_that_share_overlap_and_exclude_the_others_in_one_queue() {
    let bench = Bench::new();
    let until = |what: &str, file: &str| {
        format!(
            "echo begin {what} >> log; until [ -e {file} ]; do sleep 0.01; done; echo end {what} >> log"
        )
    };
    let shared = |body: &str, errors: &str| {
        bench.start(
            &["lock", "demo", "--shared", "--", "sh", "-c", body],
            errors,
        )
    };
    let log = || bench.read("log");
    let count = |what: &str| log().lines().filter(|line| *line == what).count();
    let mut running: Vec<_> = (0..5)
        .map(|n| shared(&until("first", "go"), &format!("first-{n}")))
        .collect();
    wait_until(PATIENCE, "five at once", || count("begin first") == 5);
    let alone = until("alone", "on");
    running.push(bench.start(&["lock", "demo", "--", "sh", "-c", &alone], "alone"));
    let waits = |count: usize| {
        wait_until(PATIENCE, &format!("{count} in the queue"), || {
            let run = bench.run(&["inspect", "demo", "--json"]).success();
            let json = text(&run.get_output().stdout);
            json.matches("\"place\":").count() == count
        });
    };
    waits(1);
    bench
        .run(&["lock", "demo", "--shared", "--no-wait", "--", "true"])
        .code(75);
    running.extend((0..5).map(|n| shared(&until("behind", "go"), &format!("behind-{n}"))));
    waits(6);
    assert_eq!(log().lines().count(), 5, "{}", log());
    std::fs::write(bench.path("go"), "").unwrap();
    bench.wait_for("log", "begin alone");
    assert_eq!(
        (count("end first"), count("begin behind")),
        (5, 0),
        "{}",
        log()
    );
    for option in [&["--shared"][..], &[]] {
        let args = [&["lock", "demo", "--no-wait"], option, &["--", "true"]].concat();
        bench.run(&args).code(75);
    }
    std::fs::write(bench.path("on"), "").unwrap();
    for process in &mut running {
        assert!(process.wait(PATIENCE).success());
    }
    let log = log();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 22, "{log}");
    assert_eq!(lines[10..12], ["begin alone", "end alone"], "{log}");
}

#[test]
fn a_shared_lock_has_no_fence_and_names_its_grant() {
    let bench = Bench::new();
    let args = ["lock", "demo", "--shared", "--", "env"];
    let mut command = bench.command(&args);
    command
        .env("LEASEHOLD_FENCE", "7")
        .env("LEASEHOLD_GRANT_ID", "x");
    let run = assert_cmd::Command::from_std(command).assert().success();
    let seen = text(&run.get_output().stdout);
    assert!(!seen.contains("LEASEHOLD_FENCE"), "{seen}");
    let grant = seen
        .lines()
        .find_map(|line| line.strip_prefix("LEASEHOLD_GRANT_ID="));
    assert!(
        grant.is_some_and(|grant| grant.parse::<u64>().is_ok()),
        "{seen}"
    );
    let mut command = bench.command(&["lock", "demo", "--", "env"]);
    command.env("LEASEHOLD_GRANT_ID", "x");
    let run = assert_cmd::Command::from_std(command).assert().success();
    let seen = text(&run.get_output().stdout);
    assert!(!seen.contains("LEASEHOLD_GRANT_ID"), "{seen}");
}

#[test]
fn the_exit_code_of_the_command_is_passed_through() {
    let bench = Bench::new();
    let ends = |body: &str| {
        let run = bench.run(&["lock", "demo", "--", "sh", "-c", body]);
        run.get_output().status.code()
    };
    assert_eq!(ends("exit 0"), Some(0));
    assert_eq!(ends("exit 7"), Some(7));
    assert_eq!(ends("exit 75"), Some(75));
    assert_eq!(ends("kill -KILL $$"), Some(137));
    assert_eq!(ends("kill -TERM $$"), Some(143));
}

#[test]
fn what_cannot_be_run_ends_as_in_a_shell() {
    let bench = Bench::new();
    bench
        .run(&["lock", "demo", "--", "no-such-program"])
        .code(127);
    bench.run(&["lock", "demo", "--", "/"]).code(126);
    // And what it would have run under is free again.
    bench
        .run(&["lock", "demo", "--no-wait", "--", "true"])
        .code(0);
}

#[test]
fn a_conflict_ends_with_75_or_what_was_asked_for() {
    let bench = Bench::new();
    let mut holder = bench.start(
        &[
            "lock",
            "demo",
            "--label",
            "nightly",
            "--",
            "sh",
            "-c",
            "echo > held; sleep 60",
        ],
        "errors",
    );
    bench.wait_for("held", "\n");
    let refused = bench
        .run(&["lock", "demo", "--no-wait", "--", "touch", "ran"])
        .code(75);
    let said = text(&refused.get_output().stderr);
    assert!(
        said.contains("`cli/demo` is busy: held by") && said.contains("nightly"),
        "{said}"
    );
    bench
        .run(&[
            "lock",
            "demo",
            "--wait",
            "50ms",
            "--conflict-exit-code",
            "9",
            "--",
            "touch",
            "ran",
        ])
        .code(9);
    assert!(!bench.path("ran").exists());
    // Another one, and another namespace, are free.
    bench
        .run(&["lock", "demo/2", "--no-wait", "--", "true"])
        .code(0);
    bench
        .run(&[
            "lock",
            "demo",
            "--no-wait",
            "--namespace",
            "other",
            "--",
            "true",
        ])
        .code(0);
    holder.signal("TERM");
    assert_eq!(holder.wait(PATIENCE).code(), Some(143));
    bench
        .run(&["lock", "demo", "--no-wait", "--", "true"])
        .code(0);
}

#[test]
fn a_signal_ends_the_wait_and_leaves_the_queue() {
    let bench = Bench::new();
    let held = ["lock", "demo", "--", "sh", "-c", "echo > held; sleep 60"];
    let _holder = bench.start(&held, "errors");
    bench.wait_for("held", "\n");
    let mut waiter = bench.start(&["lock", "demo", "--", "touch", "ran"], "errors-2");
    let queue = || {
        text(
            &bench
                .run(&["inspect", "demo"])
                .success()
                .get_output()
                .stdout,
        )
    };
    leasehold_testkit::wait_until(PATIENCE, "the waiter to stand in the queue", || {
        queue().contains("waits, 1")
    });
    waiter.signal("TERM");
    assert_eq!(waiter.wait(PATIENCE).code(), Some(143));
    assert!(!queue().contains("waits"), "{}", queue());
    assert!(!bench.path("ran").exists());
}

#[test]
fn one_of_two_leads_and_the_other_follows() {
    let bench = Bench::new();
    let lead = [
        "elect",
        "janitor",
        "--",
        "sh",
        "-c",
        "echo $LEASEHOLD_FENCE > term; read -r _ < fifo",
    ];
    let made = std::process::Command::new("mkfifo")
        .arg(bench.path("fifo"))
        .status();
    assert!(made.unwrap().success());
    let mut leader = bench.start(&lead, "errors");
    let first: u64 = bench.wait_for("term", "\n").trim().parse().unwrap();
    bench
        .run(&["elect", "janitor", "--no-wait", "--", "true"])
        .code(75);
    bench
        .run(&["elect", "janitor", "--wait", "50ms", "--", "true"])
        .code(75);
    let follow = [
        "elect",
        "janitor",
        "--",
        "sh",
        "-c",
        "echo $LEASEHOLD_FENCE > next; exit 5",
    ];
    let mut follower = bench.start(&follow, "errors-2");
    std::fs::write(bench.path("fifo"), "\n").unwrap();
    assert!(leader.wait(PATIENCE).success());
    assert_eq!(follower.wait(PATIENCE).code(), Some(5));
    let second: u64 = bench.read("next").trim().parse().unwrap();
    assert!(second > first, "{first} {second}");
}

#[test]
fn who_holds_and_who_waits_is_shown_and_given_as_json() {
    let bench = Bench::new();
    let held = [
        "lock",
        "invoice/7",
        "--label",
        "note",
        "--",
        "sh",
        "-c",
        "echo > held; sleep 60",
    ];
    let _holder = bench.start(&held, "errors");
    bench.wait_for("held", "\n");
    let _waiter = bench.start(&["lock", "invoice/7", "--", "true"], "errors-2");
    let json = || {
        text(
            &bench
                .run(&["inspect", "--json"])
                .success()
                .get_output()
                .stdout,
        )
    };
    leasehold_testkit::wait_until(PATIENCE, "a waiter", || json().contains("\"place\":1"));
    let json = json();
    assert!(
        json.contains("\"name\":\"invoice/7\"") && json.contains(" note\""),
        "{json}"
    );
    let table = bench.run(&["inspect", "invoice/7"]).success();
    let table = text(&table.get_output().stdout);
    assert!(
        table.starts_with("NAME ") && table.lines().count() == 3,
        "{table}"
    );
    let nothing = bench.run(&["inspect", "other"]).success().stdout("");
    assert!(text(&nothing.get_output().stderr).contains("nobody holds"));
}
