//! The guard: a second process that ends the command when the first one cannot.
//!
//! `leasehold` itself may be killed, stopped or starved; its lease then ends while the command runs on. The guard hears
//! each new deadline over a pipe. When one passes, or the pipe ends without a good-bye, it kills the command's group.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use leasehold::{Env, Moment};
use rustix::process::{Pid, Signal, kill_process_group};

use super::terminal::Terminal;
use crate::exit::Failure;

/// The first argument of a guard.
const ARGUMENT: &str = "__guard";
/// A guard outlives what the terminal sends, and may set the terminal from the background. Only a shell can have signals
/// ignored without unsafe code; what is ignored stays so in the program that it becomes.
const SHELL: &str = r#"trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2; exec "$0" "$@""#;
/// Timers stand still while a machine is suspended; the clock does not.
const LOOK: Duration = Duration::from_secs(1);

/// The first process's side.
pub(super) struct Guard {
    process: Child,
    pipe: Option<ChildStdin>,
    told: Moment,
}

impl Guard {
    /// Starts it, and waits until it works.
    pub(super) fn start() -> Result<Self, Failure> {
        let failed = |error| Failure::Io("cannot start the process that guards the command", error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new("/bin/sh")
            .args(["-c", SHELL])
            .arg(program)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipe = process.stdin.take();
        let ready = process
            .stdout
            .take()
            .map(|mut out| out.read_exact(&mut [0]));
        ready.unwrap_or(Ok(())).map_err(failed)?;
        Ok(Self {
            process,
            pipe,
            told: Moment::default(),
        })
    }

    /// The group must be dead soon after.
    pub(super) fn deadline(&mut self, kill_at: Moment) {
        if kill_at != self.told {
            self.told = kill_at;
            self.tell(&format!("deadline {}", kill_at.as_nanos()));
        }
    }

    /// The group to kill.
    pub(super) fn watch(&mut self, group: Pid) {
        self.tell(&format!("group {}", group.as_raw_nonzero()));
    }

    /// The terminal was given to the group; at the end it is ours again.
    pub(super) fn take_back(&mut self, terminal: &Terminal) {
        self.tell(&format!("terminal {}", terminal.ours().as_raw_nonzero()));
    }

    /// A guard that is gone guards nothing; the command goes on under its lease all the same.
    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.pipe {
            drop(writeln!(pipe, "{line}"));
        }
    }

    /// The group is gone.
    pub(super) async fn dismiss(mut self) {
        self.tell("done");
        self.pipe = None;
        drop(tokio::task::spawn_blocking(move || self.process.wait()).await);
    }
}

/// Whether this process was started as a guard.
pub(crate) fn is_guard() -> bool {
    super::first_argument_is(ARGUMENT)
}

/// What a guard does.
pub(crate) fn run() -> ExitCode {
    let mut out = io::stdout();
    if out.write_all(b".").and_then(|()| out.flush()).is_err() {
        return ExitCode::FAILURE;
    }
    let (lines, heard) = channel();
    // Its end is the channel's.
    std::thread::spawn(move || {
        let mut input = BufReader::new(io::stdin()).lines();
        while let Some(Ok(line)) = input.next() {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let env = Env::system();
    let (mut group, mut terminal) = (None, None);
    let mut deadline = Moment::NEVER;
    let is_done = loop {
        let left = deadline.since(env.now());
        match heard.recv_timeout(left.min(LOOK)) {
            Ok(line) => match line.split_once(' ') {
                Some(("deadline", at)) => {
                    deadline = at.parse().map_or(deadline, Moment::from_nanos);
                }
                Some(("group", id)) => group = pid(id),
                Some(("terminal", id)) => terminal = pid(id),
                _ if line == "done" => break true,
                _ => {}
            },
            Err(RecvTimeoutError::Timeout) if deadline > env.now() => {}
            // Both mean that nobody renews any more.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break false,
        }
    };
    if let Some(group) = group {
        if !is_done {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if let (Some(ours), Some(terminal)) = (terminal, Terminal::open()) {
            terminal.take_back(group, ours);
        }
    }
    ExitCode::SUCCESS
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}
