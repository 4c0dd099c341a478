//! Three processes share one store and one job that is due every second. The one that leads is killed, and later
//! started again; every tick still runs exactly once.
//!
//! ```text
//! cargo run --example fleet                                  # on one SQLite file in a temporary directory
//! cargo run --example fleet -- --store redis://localhost     # on a Redis server
//! ```

mod conductor;
mod node;
mod rows;
mod screen;

use std::process::ExitCode;

use anyhow::{Context, bail};

const HELP: &str = "\
Three processes, one job a second, and a leader that is killed.

Usage: cargo run --example fleet -- [--store ADDRESS]

  --store ADDRESS   sqlite:PATH or redis://HOST[:PORT]; default: a SQLite file in a temporary directory
";

/// How this process was started.
#[derive(Debug, Default)]
struct Arguments {
    store: Option<String>,
    /// Set for the three processes that the first one starts.
    node: Option<node::Arguments>,
}

fn arguments(mut given: impl Iterator<Item = String>) -> anyhow::Result<Option<Arguments>> {
    let mut arguments = Arguments::default();
    while let Some(flag) = given.next() {
        let mut value = || {
            given
                .next()
                .with_context(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--store" => arguments.store = Some(value()?),
            "--node" => {
                arguments.node = Some(node::Arguments {
                    name: value()?,
                    namespace: value()?,
                    rows: value()?.into(),
                });
            }
            other => bail!("unknown argument `{other}`\n\n{HELP}"),
        }
    }
    Ok(Some(arguments))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("fleet: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match (arguments.node, arguments.store) {
        (Some(node), Some(store)) => node::run(node, &store).await.map(|()| true),
        (_, store) => conductor::run(store).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
