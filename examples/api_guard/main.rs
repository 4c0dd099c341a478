//! An API that allows 20 calls at once and 100 in any second, and four processes that call it as often as it allows, through a
//! semaphore and a rate limiter which they share. The API counts what it was promised, on its own clock.
//!
//! ```text
//! cargo run --example api_guard                                  # on one SQLite file in a temporary directory
//! cargo run --example api_guard -- --store redis://localhost     # on a Redis server
//! ```

mod caller;
mod conductor;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

const HELP: &str = "\
Four processes call an API that allows 20 at once and 100 in any second, through guards that keep them to that.

Usage: cargo run --example api_guard -- [--store ADDRESS] [--seconds NUMBER]

  --store ADDRESS    sqlite:PATH or redis://HOST[:PORT]; default: a SQLite file in a temporary directory
  --seconds NUMBER   for how long they call, 2 to 600; default: 10
";

/// How this process was started.
#[derive(Debug)]
struct Arguments {
    store: Option<String>,
    time: Duration,
    /// Set for the four processes that the first one starts.
    caller: Option<caller::Arguments>,
}

fn arguments(mut given: impl Iterator<Item = String>) -> anyhow::Result<Option<Arguments>> {
    let mut arguments = Arguments {
        store: None,
        time: Duration::from_secs(10),
        caller: None,
    };
    while let Some(flag) = given.next() {
        let mut value = || {
            given
                .next()
                .with_context(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--store" => arguments.store = Some(value()?),
            "--seconds" => {
                let seconds: u64 = (value()?.parse().ok())
                    .filter(|seconds| (2..=600).contains(seconds))
                    .with_context(|| format!("--seconds is a number from 2 to 600\n\n{HELP}"))?;
                arguments.time = Duration::from_secs(seconds);
            }
            "--caller" => {
                arguments.caller = Some(caller::Arguments {
                    name: value()?,
                    namespace: value()?,
                    api: value()?.parse()?,
                });
            }
            other => bail!("unknown argument `{other}`\n\n{HELP}"),
        }
    }
    Ok(Some(arguments))
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("api_guard: {error:#}");
            return ExitCode::from(2);
        }
    };
    let done = match (arguments.caller, arguments.store) {
        (Some(caller), Some(store)) => caller::run(&caller, &store, arguments.time).map(|()| true),
        (_, store) => conductor::run(store, arguments.time),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("api_guard: {error:#}");
            ExitCode::FAILURE
        }
    }
}
