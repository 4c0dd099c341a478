//! The soak: four processes share a store and a handful of locks, and are stopped, killed and cut off at random, while a
//! record kept outside the store judges what they wrote under their fences.
//!
//! ```text
//! cargo xtask soak --store sqlite --minutes 10
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod conductor;
mod judge;
mod record;
mod report;
mod summary;
mod trouble;
mod waits;
mod worker;

use std::process::ExitCode;

use anyhow::{Context, bail};

use conductor::Store;

const HELP: &str = "\
Four processes, a handful of locks, and random SIGSTOP, SIGKILL and, on Redis, network failures. Fails if two holders of a
lock met at what it protects, or if somebody waited in vain.

Usage: cargo xtask soak --store STORE [--minutes M] [--seed S]

  --store STORE     sqlite (a file in a temporary directory) or redis (a server of its own)
  --minutes M       how long, default 10; fractions are fine
  --seed S          of the schedule, default 1: the same troubles in the same order
";

enum Role {
    Help,
    Conductor(conductor::Arguments),
    Worker(worker::Arguments),
}

fn role(mut given: impl Iterator<Item = String>) -> anyhow::Result<Role> {
    let (mut store, mut minutes, mut seed) = (None, 10.0, 1);
    while let Some(flag) = given.next() {
        let mut value = || {
            let value = given.next();
            value.with_context(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(Role::Help),
            "--store" => {
                store = Some(match value()?.as_str() {
                    "redis" => Store::Redis,
                    "sqlite" => Store::Sqlite,
                    other => bail!("unknown store `{other}`: sqlite or redis"),
                });
            }
            "--minutes" => {
                let text = value()?;
                let number = text.parse().ok();
                minutes = (number.filter(|m| (0.05..=10_000.0).contains(m)))
                    .with_context(|| format!("--minutes {text}: a number from 0.05 on"))?;
            }
            "--seed" => {
                let text = value()?;
                seed = text
                    .parse()
                    .with_context(|| format!("--seed {text}: a whole number"))?;
            }
            "--worker" => {
                return Ok(Role::Worker(worker::Arguments {
                    worker: value()?.parse()?,
                    life: value()?.parse()?,
                    store: value()?,
                    judge: value()?.parse()?,
                    seed: value()?.parse()?,
                }));
            }
            other => bail!("unknown argument `{other}`\n\n{HELP}"),
        }
    }
    Ok(Role::Conductor(conductor::Arguments {
        store: store.with_context(|| format!("--store is missing\n\n{HELP}"))?,
        minutes,
        seed,
    }))
}

fn main() -> ExitCode {
    let role = match role(std::env::args().skip(1)) {
        Ok(role) => role,
        Err(error) => {
            eprintln!("soak: {error:#}");
            return ExitCode::from(2);
        }
    };
    let done = match role {
        Role::Help => {
            print!("{HELP}");
            Ok(true)
        }
        Role::Conductor(arguments) => conductor::run(arguments),
        Role::Worker(arguments) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("the machine has threads left");
            runtime.block_on(worker::run(arguments)).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}
