//! The `holder` example as a test sees it.

#![allow(dead_code, reason = "each test target uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use leasehold::Fence;
use leasehold_testkit::{Process, example_binary};

/// A process that waits for the mutex `m/1`, and then holds it.
pub(crate) struct Holder {
    pub(crate) process: Process,
    lines: mpsc::Receiver<String>,
}

impl Holder {
    /// Starts one, and waits until it holds.
    pub(crate) fn start(address: &str, namespace: &str, ttl: Duration) -> (Self, Fence) {
        let holder = Self::waiting(address, namespace, ttl, &[]);
        let fence = holder.held();
        (holder, fence)
    }

    /// Starts one with these environment variables; it may have to wait.
    pub(crate) fn waiting(
        address: &str,
        namespace: &str,
        ttl: Duration,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(example_binary("holder"));
        command
            .args([address, namespace, &ttl.as_millis().to_string()])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let output = process.child_mut().stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// Waits until it holds.
    pub(crate) fn held(&self) -> Fence {
        Fence::new(self.line("held ").parse().unwrap())
    }

    /// The rest of the next line, which must begin with `prefix`.
    pub(crate) fn line(&self, prefix: &str) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(10)).unwrap();
        let rest = line.strip_prefix(prefix);
        rest.unwrap_or_else(|| panic!("`{line}` does not begin with `{prefix}`"))
            .to_owned()
    }

    pub(crate) fn say(&mut self, command: &str) {
        let input = self.process.child_mut().stdin.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
    }
}
