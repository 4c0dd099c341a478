//! Many jobs and three processes, for some seconds; `cargo xtask scale` has more of all, and judges speed.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::process::{Command, Output};

use leasehold_testkit::example_binary;

fn scale(arguments: &[&str]) -> Output {
    let mut command = Command::new(example_binary("scale"));
    command.args(arguments).output().unwrap()
}

fn assert_every_tick_once(arguments: &[&str]) {
    let output = scale(&[arguments, &["--correct-only"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    println!("{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains(" doubled=0 unaccounted=0 "), "{last}");
}

#[test]
fn each_tick_of_many_jobs_runs_once_on_three_processes() {
    assert_every_tick_once(&["every-second", "--jobs", "50", "--seconds", "5"]);
}

#[test]
fn jobs_that_are_not_due_are_in_nobodys_way() {
    assert_every_tick_once(&["idle", "--jobs", "3000", "--seconds", "5"]);
}

#[test]
fn no_tick_is_doubled_or_lost_when_leaders_are_killed() {
    assert_every_tick_once(&["failover", "--kills", "2"]);
}

#[test]
fn a_wrong_argument_is_named_with_the_right_ones() {
    for (arguments, wrong) in [
        (&["--job", "1"][..], "unknown argument `--job`"),
        (&["busy"], "unknown argument `busy`"),
        (
            &["idle", "--jobs", "0"],
            "--jobs 0: a whole number from 1 on",
        ),
        (&["--seconds"], "--seconds needs a value"),
    ] {
        let output = scale(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(wrong), "{errors}");
    }
}
