//! The first process: starts the three, kills the one that leads, starts it again, and counts the rows.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use leasehold::prelude::*;
use leasehold::{Leader, Moment};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::rows::{self, Row, Verdict};
use crate::screen::Screen;

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Ticks before the kill, from the failover to the restart, and from there to the end.
const BEFORE: usize = 6;
const BETWEEN: usize = 3;
const AFTER: usize = 4;
/// All of it ends within this time.
const LIMIT: Duration = Duration::from_secs(28);

struct Fleet {
    coord: Coordinator,
    store: String,
    namespace: String,
    rows_path: PathBuf,
    nodes: Vec<(&'static str, Child)>,
    rows: Vec<Row>,
    /// When the latest row was seen.
    latest: Moment,
    leader: Option<Leader>,
    deadline: Moment,
    screen: Screen,
}

/// Whether all went as it should.
pub(crate) async fn run(store: Option<String>) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
    let file = folder.path().join("fleet.db");
    let store = store.unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let connector = leasehold::store(&store)?;
    // On a server that others use, or an earlier run has used.
    let namespace = format!(
        "fleet-{}-{}",
        std::process::id(),
        Env::system().random(u64::MAX)
    );
    let address = connector.address();
    let coord = Coordinator::builder_dyn(connector, &namespace).label("conductor");
    let coord = coord.connect().await?;
    let now = coord.env().now();
    let mut fleet = Fleet {
        coord,
        store,
        namespace,
        rows_path: folder.path().join("rows.jsonl"),
        nodes: Vec::new(),
        rows: Vec::new(),
        latest: now,
        leader: None,
        deadline: now + LIMIT,
        screen: Screen::new(),
    };
    fleet.screen.line(&format!(
        "three processes on {address}, one job, due every second"
    ));
    fleet.screen.header();
    fleet.story().await?;
    let verdict = Verdict::of(&rows::read(&fleet.rows_path)?);
    fleet.coord.shutdown(Duration::ZERO).await;
    fleet.screen.line(&verdict.to_string());
    Ok(verdict.is_good())
}

impl Fleet {
    async fn story(&mut self) -> anyhow::Result<()> {
        for name in NODES {
            self.start(name)?;
        }
        self.ticks("all three run", BEFORE).await?;
        let killed = self.kill_the_leader().await?;
        self.until("waiting for another leader", |fleet| {
            (fleet.leader.as_ref()).is_some_and(|leader| leader.label != killed)
        })
        .await?;
        self.ticks("two run", BETWEEN).await?;
        self.start(killed)?;
        self.screen.event(&format!("{killed} is started again"));
        self.ticks("all three run again", AFTER).await?;
        self.drain().await
    }

    fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .args(["--store", &self.store])
            .args(["--node", name, &self.namespace])
            .arg(&self.rows_path)
            // Its end tells the node that this process is gone.
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.nodes.push((name, child));
        Ok(())
    }

    /// Looks around once: new rows, and who leads.
    async fn look(&mut self) -> anyhow::Result<()> {
        let rows = rows::read(&self.rows_path)?;
        for row in rows.iter().skip(self.rows.len()) {
            self.screen.run(row);
            self.latest = self.coord.env().now();
        }
        self.rows = rows;
        if let Some(leader) = Scheduler::leader(&self.coord).await?
            && self
                .leader
                .as_ref()
                .is_none_or(|known| known.term != leader.term)
        {
            self.screen
                .event(&format!("{} leads, term {}", leader.label, leader.term));
            self.leader = Some(leader);
        }
        for (name, child) in &mut self.nodes {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended by itself: {status}");
            }
        }
        let now = self.coord.env().now();
        ensure!(
            now < self.deadline,
            "not done within {LIMIT:?}: is this machine very busy?"
        );
        self.coord.env().sleep(20.ms()).await;
        Ok(())
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        while !done(self) {
            let all = BEFORE + BETWEEN + AFTER + 3;
            self.screen.progress(self.rows.len(), all, what);
            self.look().await?;
        }
        Ok(())
    }

    /// Waits for `more` runs.
    async fn ticks(&mut self, what: &str, more: usize) -> anyhow::Result<()> {
        let runs = self.rows.len() + more;
        self.until(what, |fleet| fleet.rows.len() >= runs).await
    }

    /// SIGKILL for the node that leads, between two ticks: at least 300 ms after the latest run, before the next tick.
    async fn kill_the_leader(&mut self) -> anyhow::Result<&'static str> {
        loop {
            self.look().await?;
            let now = self.coord.env().now();
            let into_second = self.coord.store_now().wall_us % 1_000_000;
            let ran = (self.rows.last()).is_some_and(|row| {
                i64::try_from(self.coord.store_now().wall_us / 1_000_000) == Ok(row.tick)
            });
            if !ran || now.since(self.latest) < 320.ms() || into_second > 850_000 {
                continue;
            }
            let leader = self.leader.as_ref().context("nobody leads")?;
            let at = self
                .nodes
                .iter()
                .position(|(name, _)| *name == leader.label);
            let (name, mut child) = self.nodes.remove(at.context("a stranger leads")?);
            child.kill().await?;
            self.screen
                .event(&format!("{name} leads and is killed (SIGKILL)"));
            return Ok(name);
        }
    }

    /// SIGTERM for all, the leader last, so that no leadership passes on the way out.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let leader = self.leader.as_ref().map(|leader| leader.label.clone());
        self.nodes
            .sort_by_key(|(name, _)| Some(*name) == leader.as_deref());
        self.screen.progress(1, 1, "draining");
        for (name, mut child) in std::mem::take(&mut self.nodes) {
            let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
            kill_process(
                pid.with_context(|| format!("{name} is gone"))?,
                Signal::TERM,
            )?;
            let left = self.deadline.since(self.coord.env().now());
            let status = self.coord.env().timeout(left, child.wait()).await;
            let status = status.with_context(|| format!("{name} did not drain in time"))??;
            ensure!(status.success(), "{name} ended with {status}");
        }
        self.show_last_runs(&self.rows_path.clone())
    }

    fn show_last_runs(&mut self, path: &Path) -> anyhow::Result<()> {
        let rows = rows::read(path)?;
        for row in rows.iter().skip(self.rows.len()) {
            self.screen.run(row);
        }
        self.screen.event("all nodes have drained (SIGTERM)");
        Ok(())
    }
}
