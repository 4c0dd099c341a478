//! Dropped lock calls leave nothing, in short; `cargo xtask cancellations` drops many.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::process::{Command, Output};

use leasehold_testkit::example_binary;

fn cancellations(arguments: &[&str]) -> Output {
    let mut command = Command::new(example_binary("cancellations"));
    command.args(arguments).output().unwrap()
}

#[test]
fn dropped_calls_and_names_used_once_leave_nothing() {
    let output = cancellations(&["--count", "2000", "--names", "500", "--quick"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("cancellations: count=2000 ") && last.ends_with(" left=0"),
        "{last}"
    );
}

#[test]
fn a_wrong_argument_is_named_with_the_right_ones() {
    for (arguments, wrong) in [
        (&["--cuont", "1"][..], "unknown argument `--cuont`"),
        (&["--count", "many"], "--count many: a whole number"),
        (&["--seed"], "--seed needs a value"),
    ] {
        let output = cancellations(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(wrong), "{errors}");
    }
}
