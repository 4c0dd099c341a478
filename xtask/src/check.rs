//! `cargo xtask check`: all that is verified without running tests.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::run::{cargo, show, step};
use crate::{dependencies, rust_versions};

type Step = (&'static str, fn() -> Result<ExitCode>);

const STEPS: [Step; 5] = [
    ("rustfmt", || run_cargo(&["fmt", "--all", "--check"], None)),
    ("clippy", || {
        run_cargo(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ],
            None,
        )
    }),
    ("rustdoc", || {
        run_cargo(
            &["doc", "--workspace", "--no-deps", "--all-features"],
            Some(("RUSTDOCFLAGS", "-D warnings")),
        )
    }),
    ("rust-versions", rust_versions::run),
    ("dependencies", dependencies::run),
];

/// Runs every step, also after one failed: a contributor sees all there is to do at once.
pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, work) in STEPS {
        match step(name, work) {
            Ok(code) if code == ExitCode::SUCCESS => {}
            Ok(_) => failed.push(name),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join(", "));
    }
    eprintln!("\nAll {} checks passed.", STEPS.len());
    Ok(ExitCode::SUCCESS)
}

fn run_cargo(args: &[&str], env: Option<(&str, &str)>) -> Result<ExitCode> {
    let status = show(cargo().args(args).envs(env))?;
    Ok(crate::run::exit_code(status))
}
