//! A wall clock that a test sets, for other processes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

const SHIM: &str = include_str!("shim.c");

/// The wall clock of the processes that were started under it: a test steps it while they run. Their monotonic clocks go
/// on as ever, as with a clock that an administrator or NTP sets.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use leasehold_testkit::{RedisServer, WallClock};
///
/// let clock = WallClock::new();
/// let server = RedisServer::start_under(&clock, &[]);
/// let seconds = || server.command(&["TIME"]).lines().next().unwrap().parse::<u64>().unwrap();
///
/// let before = seconds();
/// clock.forward(Duration::from_secs(3600));
/// assert!(seconds() >= before + 3600);
/// ```
#[derive(Debug)]
#[must_use = "its processes read it for as long as they run"]
pub struct WallClock {
    offset: File,
    dir: TempDir,
}

impl WallClock {
    /// A clock that shows the system's time.
    ///
    /// # Panics
    ///
    /// When the C compiler is missing, with the line that installs it.
    #[track_caller]
    pub fn new() -> Self {
        let dir =
            TempDir::with_prefix("leasehold-clock-").expect("the system has a temporary directory");
        let source = dir.path().join("shim.c");
        std::fs::write(&source, SHIM).expect("the temporary directory takes a file");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(dir.path().join("shim.so"))
            .arg(&source)
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "cc does not run ({error}); run `cargo xtask test`, or `sudo apt-get install -y gcc libc6-dev`"
                )
            });
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let offset = File::create(dir.path().join("offset")).expect("as above");
        let clock = Self { offset, dir };
        clock.set(0);
        clock
    }

    /// Puts it `by` ahead of the system's.
    pub fn forward(&self, by: Duration) {
        self.set(micros(by));
    }

    /// Puts it `by` behind the system's.
    pub fn back(&self, by: Duration) {
        self.set(-micros(by));
    }

    /// Lets `command` run under it.
    pub fn apply(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.dir.path().join("shim.so")),
            ("LEASEHOLD_WALL_CLOCK", self.dir.path().join("offset")),
        ]
    }

    fn set(&self, offset_us: i64) {
        self.offset
            .write_all_at(&offset_us.to_ne_bytes(), 0)
            .expect("an open file takes eight bytes");
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(by: Duration) -> i64 {
    i64::try_from(by.as_micros()).expect("less than 292,000 years")
}
