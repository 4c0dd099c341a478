//! `cargo xtask soak`, `cargo xtask scale` and `cargo xtask cancellations`: examples of the root package that run for long.

use std::process::ExitCode;

use anyhow::Result;

use crate::prerequisites;
use crate::run::{cargo, exit_code, show, step};

/// Builds an example of the root package and runs it with these arguments.
pub(crate) fn run(example: &str, arguments: &[String]) -> Result<ExitCode> {
    run_with(&[], example, arguments)
}

/// As [`run`], optimized: for one that judges speed.
pub(crate) fn run_fast(example: &str, arguments: &[String]) -> Result<ExitCode> {
    run_with(&["--release"], example, arguments)
}

fn run_with(profile: &[&str], example: &str, arguments: &[String]) -> Result<ExitCode> {
    step("prerequisites", prerequisites::ensure)?;
    let names = ["--package", "leasehold", "--example", example];
    let built = step("build", || {
        let mut command = cargo();
        command.args(["build", "--quiet"]).args(profile);
        show(command.args(names))
    })?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let mut command = cargo();
    command.args(["run", "--quiet"]).args(profile).args(names);
    let status = step(example, || show(command.arg("--").args(arguments)))?;
    Ok(exit_code(status))
}
