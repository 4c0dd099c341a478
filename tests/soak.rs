//! The soak, for some seconds on each store; `cargo xtask soak` runs it for long.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::process::{Command, Output};

use leasehold_testkit::example_binary;

fn soak(arguments: &[&str]) -> Output {
    let mut command = Command::new(example_binary("soak"));
    command.args(arguments).output().unwrap()
}

fn assert_nobody_met_and_nobody_hung(store: &str) {
    let output = soak(&["--store", store, "--minutes", "0.3", "--seed", "2"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    println!("{text}");
    let last = text.lines().last().unwrap();
    let start = format!("soak: store={store} minutes=0.3 turns=");
    assert!(last.starts_with(&start), "{last}");
    assert!(last.ends_with(" overlaps=0 hangs=0"), "{last}");
    let turns = last[start.len()..].split(' ').next().unwrap();
    assert!(turns.parse::<u32>().unwrap() > 100, "{last}");
    assert!(!last.contains(" restarts=0 "), "{last}");
}

#[test]
fn processes_that_are_stopped_and_killed_never_meet_on_sqlite() {
    assert_nobody_met_and_nobody_hung("sqlite");
}

#[test]
fn processes_that_are_stopped_killed_and_cut_off_never_meet_on_redis() {
    assert_nobody_met_and_nobody_hung("redis");
}

#[test]
fn a_wrong_argument_is_named_with_the_right_ones() {
    for (arguments, wrong) in [
        (&["--stor", "x"][..], "unknown argument `--stor`"),
        (&[], "--store is missing"),
        (
            &["--store", "mysql"],
            "unknown store `mysql`: sqlite or redis",
        ),
        (&["--minutes", "0"], "--minutes 0: a number from 0.05 on"),
        (&["--seed"], "--seed needs a value"),
    ] {
        let output = soak(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(wrong), "{errors}");
    }
}
