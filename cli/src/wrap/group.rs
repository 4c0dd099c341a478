//! The command and all it starts: one process group.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, test_kill_process_group,
    waitid, waitpgid,
};
use tokio::process::{Child, Command};

use super::start;
use crate::exit::Failure;

pub(super) struct Group {
    leader: Child,
    id: Pid,
}

impl Group {
    /// Starts the command as the leader of a new group, stopped. `environment` replaces what the user's has under these names,
    /// and takes it away where it has nothing.
    pub(super) fn spawn(
        command: &[OsString],
        environment: &[(&str, Option<String>)],
    ) -> Result<Self, Failure> {
        // Orphans of the group become ours, so that we see them end whatever runs as process 1 here.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            return Err(Failure::Io(
                "cannot watch what the command starts",
                error.into(),
            ));
        }
        let failed = |error| Failure::Io("cannot start the command", error);
        let words = command;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg(start::ARGUMENT).args(words).process_group(0);
        // Last, so that nothing the user set stands in their place.
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let leader = command.spawn().map_err(failed)?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self { leader, id })
    }

    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Whether it has not stopped yet, to wait for CONT; nor ended.
    pub(super) fn is_starting(&mut self) -> Result<bool, Failure> {
        let ended = self.leader.try_wait();
        let ended = ended.map_err(|error| Failure::Io("cannot wait for the command", error))?;
        Ok(ended.is_none() && self.stopped_by().is_none())
    }

    /// The command's own end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let ended = self.leader.wait().await;
        ended.map_err(|error| Failure::Io("cannot wait for the command", error))
    }

    /// To every process of it. One that is gone needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }

    /// Asks all of it to end; a stopped process has to go on for that.
    pub(super) fn stop(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// What stopped the command, if something did since this was last asked.
    pub(super) fn stopped_by(&self) -> Option<Signal> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::Pid(self.id), options).ok()??;
        Signal::from_named_raw(status.stopping_signal()?)
    }

    /// Whether no process is left in it. For when the command itself has ended: it takes the status of what is left.
    pub(super) fn is_empty(&self) -> bool {
        while let Ok(Some(_)) = waitpgid(self.id, WaitOptions::NOHANG) {}
        matches!(
            test_kill_process_group(self.id),
            Err(rustix::io::Errno::SRCH)
        )
    }
}
