//! `cargo xtask test`: every test of every crate, on a machine that may have nothing but Rust.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::prerequisites;
use crate::run::{Elapsed, announce, cargo, exit_code, show, step};

pub(crate) fn run(passed: &[String]) -> Result<ExitCode> {
    let started = Instant::now();
    step("prerequisites", prerequisites::ensure)?;

    let packages = selection(passed);
    // Tests that spawn an example binary find it, also when `passed` names a single test file.
    let built = step("examples", || {
        show(
            cargo()
                .arg("build")
                .args(&packages)
                .args(["--all-features", "--examples"]),
        )
    })?;
    if !built.success() {
        eprintln!("\nNo test ran: the examples do not build.");
        return Ok(exit_code(built));
    }

    let mut tests = cargo();
    tests.arg("test");
    if packages == ["--workspace"] {
        tests.arg("--workspace");
    }
    // A failure in one file does not keep the next from running.
    tests
        .args(["--all-features", "--no-fail-fast"])
        .args(passed);
    let (status, tally) = step("tests", || counted(&mut tests))?;
    let verdict = if status.success() {
        "Tests passed"
    } else {
        "Tests FAILED"
    };
    eprintln!("\n{verdict}: {tally}, in {}.", Elapsed(started.elapsed()));
    Ok(exit_code(status))
}

/// What to build and test: the packages named in the arguments of cargo test, else all.
fn selection(passed: &[String]) -> Vec<&str> {
    let mut packages = Vec::new();
    let mut args = passed
        .iter()
        .map(String::as_str)
        .take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "-p" || arg == "--package" {
            packages.push(arg);
            packages.extend(args.next());
        } else if arg.starts_with("--package=") || (arg.starts_with("-p") && !arg.starts_with("--"))
        {
            packages.push(arg);
        }
    }
    if packages.is_empty() {
        vec!["--workspace"]
    } else {
        packages
    }
}

/// Runs cargo test with its output on the screen, and counts.
fn counted(command: &mut Command) -> Result<(ExitStatus, Tally)> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("could not run cargo test")?;
    let mut output = BufReader::new(child.stdout.take().context("stdout is piped")?);
    let mut screen = std::io::stdout().lock();
    let mut tally = Tally::default();
    let mut line = Vec::new();
    // Bytes, because a failing test may print anything.
    while output.read_until(b'\n', &mut line)? > 0 {
        screen.write_all(&line)?;
        tally.count(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok((child.wait()?, tally))
}

/// The sum of the result lines that each test binary prints.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
    filtered_out: u32,
}

impl Tally {
    /// Takes `test result: ok. 10 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.12s`.
    fn count(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for (number, kind) in counts
            .split(';')
            .filter_map(|count| count.trim().split_once(' '))
        {
            let number: u32 = number.parse().unwrap_or_default();
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            filtered_out,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored")?;
        if *filtered_out > 0 {
            write!(f, ", {filtered_out} not asked for")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_result_lines_add_up() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 10 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.12s\n");
        tally.count("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s\n");
        tally.count("test a_result ... ok\n");
        assert_eq!(
            tally,
            Tally {
                passed: 12,
                failed: 1,
                ignored: 1,
                filtered_out: 3
            }
        );
        assert_eq!(
            tally.to_string(),
            "12 passed, 1 failed, 1 ignored, 3 not asked for"
        );
    }

    #[test]
    fn everything_is_tested_unless_packages_are_named() {
        assert_eq!(selection(&words("lease --test x -- -p")), ["--workspace"]);
        assert_eq!(
            selection(&words("-p core lease --package=redis -pcron")),
            ["-p", "core", "--package=redis", "-pcron"]
        );
    }
}
