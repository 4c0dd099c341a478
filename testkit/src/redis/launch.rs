//! Starting `redis-server` so that it cannot outlive the test process, however that one ends.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The shell prints the server's process id, then lives exactly as long as the server. A second shell reads our pipe:
/// it ends when we close it or when the test process dies, even by SIGKILL, and the server is killed with it.
const WRAPPER: &str = r#"
exec 3<&0
redis-server "$@" 3<&- </dev/null >&2 &
server=$!
( read -r _ <&3; kill -KILL "$server" ) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
echo "$server"
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"#;

/// A server process and the shell that watches over it.
#[derive(Debug)]
pub(super) struct Launched {
    shell: Child,
    pid: u32,
}

impl Launched {
    /// Starts a server whose output goes to the end of `log`. It may not listen yet, or end without ever listening.
    pub(super) fn spawn(args: &[String], environment: &[(&str, PathBuf)], log: &Path) -> Self {
        require_redis_server();
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the temporary directory takes a log");
        let mut shell = Command::new("sh")
            .args(["-c", WRAPPER, "redis-server"])
            .args(args)
            .envs(environment.iter().cloned())
            // The log is searched for the system's own words.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in the terminal must not end the watching shell before the server.
            .process_group(0)
            .spawn()
            .expect("every Unix has `sh`");
        let mut pid = String::new();
        let stdout = shell.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut pid)
            .expect("the shell prints a line");
        let pid = pid
            .trim()
            .parse()
            .expect("the shell prints the server's process id");
        Self { shell, pid }
    }

    /// The id of the server itself, not of the shell.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // The end of the pipe is the order to kill; the shell ends after it has waited for the server.
        drop(self.shell.stdin.take());
        // A panic here would hide the test's own: there is nobody left to tell.
        let _ = self.shell.wait();
    }
}

fn require_redis_server() {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join("redis-server").is_file());
    assert!(
        found,
        "redis-server is not installed; run `cargo xtask test`, or `sudo apt-get install -y redis-server`"
    );
}
