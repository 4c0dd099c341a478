//! The main job, as the README shows it.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::process::{Command, Output};

use leasehold_testkit::{RedisServer, example_binary};

fn fleet(arguments: &[&str]) -> Output {
    let program = example_binary("fleet");
    Command::new(program).args(arguments).output().unwrap()
}

fn assert_no_tick_is_lost_or_doubled(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let last = text.lines().last().unwrap();
    let ticks = last
        .strip_prefix("fleet: ticks=")
        .and_then(|rest| rest.split(' ').next());
    let ticks: u32 = ticks.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    assert!(ticks >= 13, "{text}");
    let expected = format!("fleet: ticks={ticks} runs={ticks} duplicates=0 missed=0 failovers=1");
    assert_eq!(last, expected);
    assert!(text.contains("is killed (SIGKILL)"), "{text}");
}

#[test]
fn a_fleet_on_sqlite_loses_its_leader_and_no_tick() {
    assert_no_tick_is_lost_or_doubled(&fleet(&[]));
}

#[test]
fn a_fleet_on_redis_loses_its_leader_and_no_tick() {
    let server = RedisServer::start();
    assert_no_tick_is_lost_or_doubled(&fleet(&["--store", &server.url()]));
}

#[test]
fn a_wrong_argument_is_named_with_the_right_ones() {
    let output = fleet(&["--stor", "x"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("unknown argument `--stor`") && errors.contains("--store ADDRESS"),
        "{errors}"
    );
}

#[test]
fn a_store_that_is_not_there_is_named_without_its_password() {
    let port = leasehold_testkit::free_port();
    let address = format!("redis://user:hunter2@127.0.0.1:{port}");
    let output = fleet(&["--store", &address]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains(&format!("127.0.0.1:{port}")), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}
