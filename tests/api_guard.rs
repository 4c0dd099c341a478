//! Limits that processes keep together, as the README shows them: by the count of the API that is called.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::process::{Command, Output};

use leasehold_testkit::{RedisServer, example_binary};

fn api_guard(arguments: &[&str]) -> Output {
    let program = example_binary("api_guard");
    let mut command = Command::new(program);
    command.args(arguments).output().unwrap()
}

/// The last line, in numbers.
fn counts(output: &Output) -> [u64; 3] {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last();
    let last = last.unwrap_or_else(|| panic!("it printed nothing\n{errors}"));
    let number = |name: &str, word: Option<&str>| -> u64 {
        let number = word.and_then(|word| word.strip_prefix(name)?.strip_prefix('='));
        let number = number.unwrap_or_else(|| panic!("{last}\n{errors}"));
        number.trim_end_matches('%').parse().unwrap()
    };
    let mut words = last.strip_prefix("api_guard: ").unwrap().split(' ');
    let counts = ["calls", "violations", "use"].map(|name| number(name, words.next()));
    assert!(words.next().is_none() && last.ends_with('%'), "{last}");
    assert!(output.status.success(), "{last}\n{errors}");
    counts
}

fn assert_limits_are_kept_and_used(output: &Output) {
    let [calls, violations, used] = counts(output);
    assert_eq!(violations, 0);
    assert!((95..=100).contains(&used), "{used} %");
    assert!((700..=850).contains(&calls), "{calls} calls in 8 s");
}

#[test]
fn four_processes_on_sqlite_keep_what_an_api_allows_and_use_it() {
    assert_limits_are_kept_and_used(&api_guard(&["--seconds", "8"]));
}

#[test]
fn four_processes_on_redis_keep_what_an_api_allows_and_use_it() {
    let server = RedisServer::start();
    let output = api_guard(&["--seconds", "8", "--store", &server.url()]);
    assert_limits_are_kept_and_used(&output);
}

#[test]
fn wrong_arguments_are_named_with_the_right_ones() {
    for (arguments, problem) in [
        (["--stor", "x"], "unknown argument `--stor`"),
        (["--seconds", "0"], "--seconds is a number from 2 to 600"),
    ] {
        let output = api_guard(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            errors.contains(problem) && errors.contains("--store ADDRESS"),
            "{errors}"
        );
    }
}

#[test]
fn a_store_that_is_not_there_is_named_without_its_password() {
    let port = leasehold_testkit::free_port();
    let address = format!("redis://user:hunter2@127.0.0.1:{port}");
    let output = api_guard(&["--store", &address]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains(&format!("127.0.0.1:{port}")), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}
