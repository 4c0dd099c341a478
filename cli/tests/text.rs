//! What `leasehold` prints: help, and errors that say what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::Bench;

/// Exit code, and what stands on standard error. Standard output is for data.
fn error(args: &[&str]) -> String {
    let bench = Bench::new();
    let mut command = bench.command(args);
    command.env_remove("COLUMNS");
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&bench.path("").display().to_string(), "HOME/");
    format!("{:?}\n{text}", output.status.code())
}

fn help(args: &[&str]) -> String {
    let bench = Bench::new();
    let mut command = bench.command(args);
    command.env_remove("COLUMNS");
    let output = command.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_a_help_with_examples() {
    insta::assert_snapshot!("help", help(&["--help"]));
    for command in ["lock", "semaphore", "elect", "inspect", "jobs", "bench"] {
        let text = help(&[command, "--help"]);
        assert!(text.contains("Examples:"), "{text}");
        insta::assert_snapshot!(format!("help_{command}"), text);
    }
    for command in ["pause", "resume", "trigger", "backfill", "history", "why"] {
        let text = help(&["jobs", command, "--help"]);
        assert!(text.contains("Examples:"), "{text}");
        insta::assert_snapshot!(format!("help_jobs_{command}"), text);
    }
    for bench in ["fight", "permits"] {
        let text = help(&["bench", bench, "--help"]);
        insta::assert_snapshot!(format!("help_bench_{bench}"), text);
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    for (name, args) in [
        ("no_command", &["lock", "demo"][..]),
        ("elect_nothing", &["elect", "janitor"]),
        (
            "json_of_nothing",
            &["elect", "janitor", "--json", "--", "true"],
        ),
        ("command_without_dashes", &["lock", "demo", "true"]),
        (
            "both_waits",
            &["lock", "demo", "--wait", "1s", "--no-wait", "--", "true"],
        ),
        (
            "bad_duration",
            &["lock", "demo", "--ttl", "30", "--", "true"],
        ),
        (
            "short_ttl",
            &["lock", "demo", "--ttl", "500ms", "--", "true"],
        ),
        (
            "long_ttl",
            &["lock", "demo", "--ttl", "2days", "--", "true"],
        ),
        (
            "reserved_name",
            &["lock", "~election/janitor", "--", "true"],
        ),
        ("empty_name", &["lock", "", "--", "true"]),
        (
            "memory_store",
            &["lock", "demo", "--store", "memory://", "--", "true"],
        ),
        (
            "unknown_scheme",
            &["lock", "demo", "--store", "mysql://h", "--", "true"],
        ),
        (
            "no_folder",
            &[
                "lock",
                "demo",
                "--store",
                "sqlite:/no/such/a.db",
                "--",
                "true",
            ],
        ),
        ("not_found", &["lock", "demo", "--", "no-such-program"]),
        ("bench_without_store", &["bench", "solo"]),
        ("no_floor", &["bench", "floor-solo", "--store", "memory://"]),
        (
            "bad_seconds",
            &["bench", "--store", "memory://", "keys", "--seconds", "0"],
        ),
    ] {
        insta::assert_snapshot!(format!("error_{name}"), error(args));
    }
}

#[test]
fn permits_that_cannot_be_had_are_refused_with_what_to_do() {
    for (name, args) in [
        ("permits_unsaid", &["semaphore", "demo", "--", "true"][..]),
        (
            "permits_of_nobody",
            &["semaphore", "demo", "--permits", "0", "--", "true"],
        ),
        (
            "permits_not_taken",
            &[
                "semaphore",
                "demo",
                "--permits",
                "5",
                "--take",
                "0",
                "--",
                "true",
            ],
        ),
        (
            "permits_too_many",
            &[
                "semaphore",
                "demo",
                "--permits",
                "5",
                "--take",
                "6",
                "--",
                "true",
            ],
        ),
        (
            "permits_short_ttl",
            &[
                "semaphore",
                "demo",
                "--permits",
                "5",
                "--ttl",
                "500ms",
                "--",
                "true",
            ],
        ),
        (
            "permits_reserved_name",
            &["semaphore", "~election/x", "--permits", "5", "--", "true"],
        ),
        (
            "permits_command_without_dashes",
            &["semaphore", "demo", "--permits", "5", "true"],
        ),
    ] {
        insta::assert_snapshot!(format!("error_{name}"), error(args));
    }
}

#[test]
fn a_machine_without_a_home_is_told_so() {
    let bench = Bench::new();
    let mut command = bench.command(&["inspect"]);
    let output = command
        .env_remove("HOME")
        .env("XDG_STATE_HOME", "not/absolute")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    insta::assert_snapshot!("error_no_home", String::from_utf8(output.stderr).unwrap());
}

#[test]
fn the_state_folder_is_where_the_user_keeps_state() {
    let bench = Bench::new();
    let mut command = bench.command(&["inspect"]);
    command.env("XDG_STATE_HOME", bench.path("state"));
    assert!(command.output().unwrap().status.success());
    assert!(bench.path("state/leasehold/leasehold.db").is_file());
    // One that cannot be made is named.
    std::fs::write(bench.path("file"), "").unwrap();
    command.env("XDG_STATE_HOME", bench.path("file"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("file/leasehold: ") && said.contains("--store"),
        "{said}"
    );
}

#[test]
fn a_store_that_is_not_there_is_another_failure_than_a_conflict() {
    let bench = Bench::new();
    let nobody = format!(
        "redis://user:s3cret@127.0.0.1:{}",
        leasehold_testkit::free_port()
    );
    let refused = bench
        .run(&["lock", "demo", "--store", &nobody, "--", "touch", "ran"])
        .code(69);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(
        said.contains("unavailable") && !said.contains("s3cret"),
        "{said}"
    );
    assert!(!bench.path("ran").exists());
}
