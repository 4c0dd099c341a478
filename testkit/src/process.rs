//! Child processes that end with the test, and signals to any process.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wait::{holds_within, wait_until};

/// Sends `name` (`"STOP"`, `"CONT"`, `"TERM"`, `"KILL"`, ...) to the process `pid`.
///
/// # Panics
///
/// When there is no such process or no such signal.
///
/// # Examples
///
/// ```
/// use std::process::Command;
/// use leasehold_testkit::{Process, signal};
///
/// let sleeper = Process::spawn(Command::new("sleep").arg("60"));
/// signal(sleeper.pid(), "STOP");
/// ```
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    assert!(
        kill(name, pid),
        "could not send SIG{name} to process {pid}: is it alive?"
    );
}

/// Whether a process with this id exists. A child that ended and was not waited for still does.
///
/// # Examples
///
/// ```
/// assert!(leasehold_testkit::is_alive(std::process::id()));
/// ```
pub fn is_alive(pid: u32) -> bool {
    kill("0", pid)
}

/// Through the shell's built-in `kill`: the program of that name is missing from slim images,
/// and the system call needs unsafe code.
fn kill(signal: &str, pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", r#"kill -"$0" "$1""#, signal, &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("every Unix has `sh`")
        .success()
}

/// Sends SIGSTOP and, where the system tells the state of a process (Linux), waits until it took effect.
pub(crate) fn freeze(pid: u32) {
    signal(pid, "STOP");
    wait_until(Duration::from_secs(5), "SIGSTOP to take effect", || {
        // `pid (name) state ...`, and the name may hold anything, also parentheses.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    });
}

/// A child process that is killed and waited for when dropped.
///
/// # Examples
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
/// use leasehold_testkit::Process;
///
/// let mut shell = Process::spawn(Command::new("sh").args(["-c", "exit 3"]));
/// assert_eq!(shell.wait(Duration::from_secs(10)).code(), Some(3));
/// ```
#[derive(Debug)]
#[must_use = "dropping it kills the process"]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, with its output where the command says.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        match command.spawn() {
            Ok(child) => Self { child },
            Err(error) => panic!("could not start {command:?}: {error}"),
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The standard library's handle, for the pipes.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends `name`, as [`signal`] does, unless the process has ended.
    ///
    /// # Panics
    ///
    /// When the process has ended, or there is no such signal.
    #[track_caller]
    pub fn signal(&mut self, name: &str) {
        assert!(
            self.is_running(),
            "process {} has ended before SIG{name}",
            self.pid()
        );
        signal(self.pid(), name);
    }

    /// Whether it has not ended yet. A stopped process is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    ///
    /// When it runs longer than `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        assert!(
            holds_within(deadline, || !self.is_running()),
            "process {} still runs after {deadline:?}",
            self.pid()
        );
        self.child.wait().expect("an ended child has a status")
    }

    /// Kills the process, also a stopped one, and waits for its end. A no-op if it has ended.
    ///
    /// # Panics
    ///
    /// When the process has taken another user's rights, such as with `sudo`.
    pub fn kill(&mut self) {
        self.try_kill().expect("a child can be killed");
    }

    fn try_kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A panic here would hide the test's own: there is nobody left to tell.
        let _ = self.try_kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Process {
        Process::spawn(Command::new("sleep").arg("600"))
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = sleeper();
        let pid = process.pid();
        assert!(is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_frozen_process_can_be_killed() {
        let mut process = sleeper();
        freeze(process.pid());
        assert!(process.is_running());
        process.kill();
        assert!(!process.is_running());
        process.kill();
    }

    #[test]
    #[should_panic(expected = "has ended before SIGTERM")]
    fn an_ended_process_takes_no_signal() {
        let mut process = sleeper();
        process.kill();
        process.signal("TERM");
    }

    #[test]
    fn a_signal_ends_the_process() {
        let mut process = sleeper();
        process.signal("TERM");
        assert_eq!(process.wait(Duration::from_secs(10)).code(), None);
    }
}
