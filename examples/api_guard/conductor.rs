//! The first process: has the API, starts the four that call it, and says what the API saw.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use leasehold::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::server::{AT_ONCE, Api, PER_SECOND};

const CALLERS: [&str; 4] = ["caller-1", "caller-2", "caller-3", "caller-4"];
/// In which all have started, and later ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether all went as it should.
#[tokio::main]
pub(crate) async fn run(store: Option<String>, time: Duration) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
    let file = folder.path().join("api_guard.db");
    let store = store.unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let connector = leasehold::store(&store)?;
    let env = Env::system();
    // On a server that others use, or an earlier run has used.
    let namespace = format!("api-guard-{}-{}", std::process::id(), env.random(u64::MAX));
    let (api, address) = Api::start()?;
    eprintln!(
        "four processes on {}, an API at {address} that allows {AT_ONCE} at once and {PER_SECOND} in any second",
        connector.address()
    );
    // A store that is not there is told once.
    let coord = Coordinator::builder_dyn(connector, &namespace).label("conductor");
    let coord = coord.connect().await?;
    let mut callers = Vec::new();
    for name in CALLERS {
        callers.push(Caller::start(name, &store, &namespace, address, time)?);
    }
    for caller in &mut callers {
        let ready = env.timeout(PATIENCE, caller.is_ready()).await;
        ready.with_context(|| format!("{} did not start in time", caller.name))??;
    }
    for caller in &mut callers {
        caller.go().await?;
    }
    let mut ends = JoinSet::new();
    for caller in callers {
        ends.spawn(caller.end());
    }
    let deadline = env.now() + time + PATIENCE;
    for second in 1.. {
        let next = env.now() + Duration::from_secs(1);
        let all = async { while let Some(Ok(Ok(()))) = ends.join_next().await {} };
        if env.timeout_at(next.min(deadline), all).await.is_ok() {
            break;
        }
        ensure!(
            env.now() < deadline,
            "not done in time: is this machine very busy?"
        );
        let seen = api.seen();
        eprintln!(
            "{second:>3} s  {:>5} calls  at most {:>2} at once  {} violations  use {:.1} %",
            seen.calls,
            seen.most,
            seen.violations,
            seen.use_percent()
        );
    }
    ensure!(ends.is_empty(), "a caller failed");
    let seen = api.seen();
    coord.shutdown(Duration::ZERO).await;
    println!("{seen}");
    Ok(seen.is_good())
}

struct Caller {
    name: &'static str,
    child: Child,
}

impl Caller {
    fn start(
        name: &'static str,
        store: &str,
        namespace: &str,
        api: SocketAddr,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .args(["--store", store, "--seconds", &time.as_secs().to_string()])
            .args(["--caller", name, namespace, &api.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        let output = self.child.stdout.as_mut().context("it has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        ensure!(line == "ready\n", "{} ended before it was ready", self.name);
        Ok(())
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("it has no input")?;
        input.write_all(b"go\n").await?;
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}
