//! The handle tests hold.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::launch::Launched;
use crate::process::{freeze, signal};
use crate::wait::holds_within;
use crate::{WallClock, free_port, wait_until};

const START_WITHIN: Duration = Duration::from_secs(10);

/// A real `redis-server` on a free port of 127.0.0.1, with a directory of its own and no persistence.
///
/// Dropping it kills the server and waits for its end. It is also killed when the test process dies in any other way.
///
/// # Examples
///
/// ```
/// use leasehold_testkit::RedisServer;
///
/// let mut server = RedisServer::start();
/// assert_eq!(server.command(&["SET", "greeting", "hello"]), "OK");
/// assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
///
/// server.restart();
/// assert_eq!(server.command(&["EXISTS", "greeting"]), "0");
/// ```
#[derive(Debug)]
#[must_use = "dropping it kills the server"]
pub struct RedisServer {
    // Before `dir`: the server ends, then its directory goes.
    running: Option<Launched>,
    port: u16,
    extra_args: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing, with the line that installs it, or when it does not answer, with its log.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Like [`start`](Self::start), with arguments of `redis-server` on top: `&["--maxmemory", "2mb"]`.
    /// With `--requirepass` the commands of this handle, and its URL, carry the password.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and when the server refuses an argument, with its log.
    #[track_caller]
    pub fn start_with(args: &[&str]) -> Self {
        Self::start_in(Vec::new(), args)
    }

    /// Like [`start_with`](Self::start_with), on a wall clock that the test sets.
    ///
    /// # Panics
    ///
    /// As [`start_with`](Self::start_with).
    #[track_caller]
    pub fn start_under(clock: &WallClock, args: &[&str]) -> Self {
        Self::start_in(clock.environment().into(), args)
    }

    #[track_caller]
    fn start_in(environment: Vec<(&'static str, PathBuf)>, args: &[&str]) -> Self {
        let mut server = Self {
            running: None,
            port: free_port(),
            extra_args: args.iter().map(ToString::to_string).collect(),
            environment,
            dir: TempDir::with_prefix("leasehold-redis-")
                .expect("the system has a temporary directory"),
        };
        // Between the choice of a port and its use another process may bind it.
        let started = holds_within(START_WITHIN, || {
            let listens = server.launch();
            if !listens {
                server.port = free_port();
            }
            listens
        });
        assert!(
            started,
            "redis-server found no port in {START_WITHIN:?}; its log:\n{}",
            server.log()
        );
        server
    }

    /// Starts the process; false if the port was taken.
    #[track_caller]
    fn launch(&mut self) -> bool {
        let _ = std::fs::remove_file(self.log_path());
        let mut launched = Launched::spawn(&self.args(), &self.environment, &self.log_path());
        let pid_line = format!("process_id:{}", launched.pid());
        let mut ended = false;
        let answers = holds_within(START_WITHIN, || {
            ended = launched.has_ended();
            // On a port lost to another server that one would answer: ask for the process id.
            // While data is loaded, INFO answers and PING does not.
            let is_ours = || {
                self.try_command(&["INFO", "server"])
                    .is_ok_and(|info| info.lines().any(|line| line == pid_line))
            };
            ended || (is_ours() && self.try_command(&["PING"]).is_ok())
        });
        if ended && self.log().contains("Address already in use") {
            return false;
        }
        assert!(
            answers && !ended,
            "redis-server did not start; its log:\n{}",
            self.log()
        );
        self.running = Some(launched);
        true
    }

    fn args(&self) -> Vec<String> {
        let port = self.port.to_string();
        let dir = self.dir.path().to_string_lossy();
        let defaults = ["--save", "", "--appendonly", "no"];
        // The last value of an argument wins: tests cannot move the server.
        let fixed = [
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--dir",
            &dir,
            "--daemonize",
            "no",
        ];
        let extra = self.extra_args.iter().map(String::as_str);
        defaults
            .into_iter()
            .chain(extra)
            .chain(fixed)
            .map(str::to_owned)
            .collect()
    }

    fn password(&self) -> Option<&str> {
        let flag = self
            .extra_args
            .iter()
            .position(|arg| arg == "--requirepass")?;
        self.extra_args.get(flag + 1).map(String::as_str)
    }

    /// `redis://127.0.0.1:<port>`, or `redis://:<password>@127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        match self.password() {
            None => format!("redis://127.0.0.1:{}", self.port),
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
        }
    }

    /// The port, the same over [`restart`](Self::restart).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    ///
    /// # Panics
    ///
    /// After [`kill`](Self::kill).
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server was killed").pid()
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers, as with a hung host.
    ///
    /// # Panics
    ///
    /// After [`kill`](Self::kill).
    #[track_caller]
    pub fn stop(&self) {
        freeze(self.pid());
    }

    /// Lets a frozen server go on (SIGCONT): it answers what came in meanwhile.
    ///
    /// # Panics
    ///
    /// After [`kill`](Self::kill).
    #[track_caller]
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// Kills the server (SIGKILL), also a frozen one, and waits for its end: connections are refused from here on.
    /// A no-op if it was killed.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Kills the server if it runs, starts it again on the same port and waits until it answers.
    /// It forgets its data, unless it was [started with](Self::start_with) `--appendonly yes` and the like.
    ///
    /// # Panics
    ///
    /// As [`start_with`](Self::start_with), and when another process keeps the port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        // A connection of some other process may hold the port for a moment.
        wait_until(START_WITHIN, "the server's old port", || self.launch());
    }

    /// Sends one command on a connection of its own. Integers and strings come as they are, an array as one line
    /// an element, nil as `(nil)`.
    ///
    /// # Panics
    ///
    /// When the server answers with an error, or not within five seconds.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        match self.try_command(words) {
            Ok(reply) => reply,
            Err(error) => panic!("{words:?} failed: {error}"),
        }
    }

    /// Like [`command`](Self::command), for commands that may fail. An error reply is an error of kind
    /// [`Other`](io::ErrorKind::Other) with the server's words.
    pub fn try_command(&self, words: &[&str]) -> io::Result<String> {
        let mut client = Client::connect(self.port)?;
        if let Some(password) = self.password() {
            client.command(&["AUTH", password])?;
        }
        client.command(words)
    }

    /// One field of `INFO`, such as `connected_clients`.
    ///
    /// # Panics
    ///
    /// When there is no such field, and as [`command`](Self::command).
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let info = self.command(&["INFO", "all"]);
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value
            .unwrap_or_else(|| panic!("INFO has no field {field:?}"))
            .to_owned()
    }

    /// What the server printed since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("redis.log")
    }
}
