//! How a command starts: stopped, until the guard knows of it.
//!
//! Were it running at once, and `leasehold` killed in that moment, nobody would know what to end. So a process of this
//! program takes the command's place first, stops itself, and becomes the command when it is told to go on.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getpid, getppid, kill_process};

use crate::exit::{BUSY, Failure};

/// The first argument of such a process; the command follows.
pub(super) const ARGUMENT: &str = "__start";

/// Whether this process was started as one.
pub(crate) fn is_start() -> bool {
    super::first_argument_is(ARGUMENT)
}

/// Becomes the command. Returns only if that cannot be.
pub(crate) fn run() -> ExitCode {
    let parent = getppid();
    let stopped = kill_process(getpid(), Signal::STOP);
    // An orphan that was stopped is sent on by the system: nobody watches over it.
    if stopped.is_err() || getppid() != parent {
        return ExitCode::FAILURE;
    }
    let mut words = std::env::args_os().skip(2);
    let program = words.next().unwrap_or_default();
    let source = Command::new(&program).args(words).exec();
    let failure = Failure::Command { program, source };
    eprintln!("leasehold: {failure}");
    ExitCode::from(failure.code(BUSY))
}
