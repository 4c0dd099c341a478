//! The built `leasehold`, on a store of the test's own.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use leasehold_testkit::{Process, wait_until};
use tempfile::TempDir;

/// Nothing here takes this long; a test that waits for more has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder in which a test's store and its witnesses lie.
pub(crate) struct Bench {
    folder: TempDir,
    store: String,
}

impl Bench {
    /// On the default store, in a home of its own.
    pub(crate) fn new() -> Self {
        Self::on("")
    }

    /// On the store at `url`.
    pub(crate) fn on(url: &str) -> Self {
        Self {
            folder: TempDir::with_prefix("leasehold-cli-").unwrap(),
            store: url.to_owned(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What stands in a file, if it is there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until `text` stands in a file, and returns all that does.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, text: &str) -> String {
        wait_until(PATIENCE, &format!("{text:?} in {name}"), || {
            self.read(name).contains(text)
        });
        self.read(name)
    }

    /// `leasehold` with these arguments, in the folder, and with nothing of the tester's own settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        command.args(args);
        self.at_home(&mut command);
        command
    }

    pub(crate) fn at_home(&self, command: &mut Command) {
        command.current_dir(self.folder.path());
        command.env("HOME", self.folder.path());
        command.env_remove("XDG_STATE_HOME");
        command.env_remove("LEASEHOLD_NAMESPACE");
        command.stdin(Stdio::null());
        match self.store.as_str() {
            "" => command.env_remove("LEASEHOLD_STORE"),
            url => command.env("LEASEHOLD_STORE", url),
        };
    }

    /// As [`command`](Self::command), for checking what it prints and ends with.
    pub(crate) fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        let mut command = assert_cmd::Command::from_std(self.command(args));
        command.timeout(PATIENCE).assert()
    }

    /// In the background. Standard error goes to `errors` in the folder.
    pub(crate) fn start(&self, args: &[&str], errors: &str) -> Process {
        let errors = std::fs::File::create(self.path(errors)).unwrap();
        Process::spawn(self.command(args).stdout(Stdio::null()).stderr(errors))
    }
}

/// Says each 20 ms that it lives, and since when the machine runs; ignores TERM. It ends with the folder: if the promise
/// is broken, nothing of it stays.
pub(crate) const STUBBORN: &str = r"
trap 'echo term >> log' TERM
echo $$ > pid
while [ -e pid ]; do cut -d' ' -f1 /proc/uptime >> alive; sleep 0.02; done
";

/// Seconds since the machine was started, as [`STUBBORN`] writes them.
pub(crate) fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The last sign of life of [`STUBBORN`].
pub(crate) fn last_alive(bench: &Bench) -> f64 {
    let alive = bench.read("alive");
    alive.lines().last().unwrap().parse().unwrap()
}

/// Whether a process lives: one that ended, and was not waited for by whoever inherited it, does not.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        !matches!(state, Some(Some('Z' | 'X')) | None)
    })
}
