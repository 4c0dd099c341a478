//! `leasehold` on the command line: run a command under a lease, look who holds what, look after jobs,
//! measure a store.
//!
//! Data goes to standard output, everything else to standard error.

mod args;
mod bench;
mod exit;
mod inspect;
mod jobs;
mod name;
mod observe;
mod out;
mod place;
mod under;
mod wrap;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    // Before anything else: this process may be part of another one's work.
    if wrap::is_start() {
        return wrap::start();
    }
    if wrap::is_guard() {
        return wrap::guard();
    }
    let cli = Cli::parse();
    let busy = cli.command.conflict_code();
    // One thread beside the client's own: a connection's driver on another thread doubles each round trip.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(Failure::Io("cannot start", error)),
    };
    ended.unwrap_or_else(|failure| {
        eprintln!("leasehold: {failure}");
        ExitCode::from(failure.code(busy))
    })
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Lock(args) => Box::pin(under::lock(args)).await,
        Command::Semaphore(args) => Box::pin(under::semaphore(args)).await,
        Command::Elect(args) => Box::pin(under::elect(args)).await,
        Command::Inspect(args) => inspect::run(&args).await,
        Command::Jobs(args) => Box::pin(jobs::run(&args)).await,
        Command::Bench(args) => bench::run(args).await,
    }
}
