//! What a contributor runs: `cargo xtask <command>`. `cargo xtask --help` lists the commands.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "steps are timed in real time: there is no `Env` here"
)]

mod cli;
mod run;
mod workspace;

mod bench;
mod check;
mod dependencies;
mod prerequisites;
mod proofs;
mod rust_versions;
mod sim;
mod test;

fn main() -> std::process::ExitCode {
    cli::main()
}
