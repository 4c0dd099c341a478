//! The terminal: the command reads it in the foreground if we stood there.
//!
//! It is given on demand: a command that only prints needs none, and a pipeline keeps it for its other parts.

use std::fs::File;

use rustix::process::{Pid, getpgrp};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

pub(super) struct Terminal {
    file: File,
    ours: Pid,
}

impl Terminal {
    /// This process's, if it has one.
    pub(super) fn open() -> Option<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()?;
        Some(Self {
            file,
            ours: getpgrp(),
        })
    }

    /// The group this process is in.
    pub(super) fn ours(&self) -> Pid {
        self.ours
    }

    /// Puts `group` into the foreground, if we are there. Whether it is.
    pub(super) fn give(&self, group: Pid) -> bool {
        self.moved(self.ours, group)
    }

    /// Puts `ours` there again, if `group` is. From the background, for one who ignores TTOU.
    pub(super) fn take_back(&self, group: Pid, ours: Pid) {
        self.moved(group, ours);
    }

    fn moved(&self, from: Pid, to: Pid) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|now| now == from) && tcsetpgrp(&self.file, to).is_ok()
    }
}
