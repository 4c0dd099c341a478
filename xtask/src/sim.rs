//! `cargo xtask sim`: builds the simulation in release, and plays it.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::run::{cargo, exit_code, show};

const PACKAGE: &str = "leasehold-sim";

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let mut program = cargo();
    program.args(["run", "--release", "--package", PACKAGE]);
    if args.iter().any(|arg| arg == "--planted") {
        program.args(["--features", "planted-bugs"]);
    }
    program.arg("--").args(args);
    let status = show(&mut program)?;
    if status.code().is_none() {
        bail!("the simulation was ended by a signal");
    }
    Ok(exit_code(status))
}
