//! Starts the server and the processes, lets a while pass, kills leaders if it is to, and says how it went.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use leasehold::RegisterHandle;
use leasehold::core::Class;
use leasehold::prelude::*;
use leasehold::scheduler::{Outcome, history, job_names};
use leasehold_testkit::{Process, RedisServer};
use tempfile::TempDir;

use crate::Play;
use crate::cost::Cost;
use crate::judge::{Rows, Verdict};
use crate::worker::job_name;

const WORKERS: usize = 3;
/// All jobs have a ledger within this time, and a leader that was killed a successor.
const PATIENCE: Duration = Duration::from_secs(120);
/// After that they come to rest.
const REST: Duration = Duration::from_secs(6);
const DRAIN: Duration = Duration::from_secs(60);
/// What a start may be late, of 99 in 100.
const LATE_MS: f64 = 250.0;
/// What a node with idle jobs may take of a processor, in percent.
const IDLE: f64 = 5.0;

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) play: Play,
    pub(crate) jobs: usize,
    pub(crate) seconds: u32,
    pub(crate) kills: u32,
    pub(crate) is_speed_judged: bool,
}

struct Fleet {
    arguments: Arguments,
    server: RedisServer,
    folder: TempDir,
    observer: Coordinator,
    workers: Vec<(u32, Process)>,
}

/// Whether it kept what is promised.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let server = RedisServer::start();
    let observer = Coordinator::builder_dyn(leasehold::store(&server.url())?, "scale");
    let observer = observer.label("observer").connect().await?;
    let mut fleet = Fleet {
        arguments,
        server,
        folder: tempfile::tempdir().context("cannot make a temporary directory")?,
        observer,
        workers: Vec::new(),
    };
    for number in 0..WORKERS {
        let process = fleet.start(number, 1)?;
        fleet.workers.push((1, process));
    }
    fleet.play().await
}

impl Fleet {
    fn start(&self, number: usize, life: u32) -> anyhow::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--worker", &number.to_string(), &life.to_string()])
            .args([&self.server.url(), self.arguments.play.as_str()])
            .arg(self.arguments.jobs.to_string())
            .arg(self.folder.path())
            // Its end tells the worker that this process is gone.
            .stdin(Stdio::piped());
        Ok(Process::spawn(&mut command))
    }

    async fn play(mut self) -> anyhow::Result<bool> {
        let env = self.observer.env().clone();
        self.until_ready().await?;
        env.sleep(REST).await;
        let (first, before) = (self.next_second(), self.cost());
        let started = env.now();
        if self.arguments.play == Play::Failover {
            self.kill_leaders().await?;
        } else {
            env.sleep(Duration::from_secs(self.arguments.seconds.into()))
                .await;
        }
        // Of those of this second some may be about to start.
        let (last, after) = (self.next_second() - 2, self.cost());
        let took = env.now().since(started).as_secs_f64();
        self.drain()?;
        let verdict = self.judge(first, last).await?;
        Ok(self.conclude(&verdict, &after.since(&before), took))
    }

    fn next_second(&self) -> i64 {
        let now_s = self.observer.store_now().wall_us / 1_000_000;
        i64::try_from(now_s).unwrap_or(i64::MAX) + 1
    }

    fn cost(&self) -> Cost {
        let pids: Vec<_> = self
            .workers
            .iter()
            .map(|(_, process)| process.pid())
            .collect();
        Cost::until_now(&pids, &self.server)
    }

    /// Every job has its ledger, and all nodes are members.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let env = self.observer.env().clone();
        let deadline = env.now() + PATIENCE;
        let ledgers: Result<Vec<_>, _> = (0..self.arguments.jobs)
            .map(|job| Class::internal("~ledger").resource(job_name(job)))
            .collect();
        let ledgers = ledgers?
            .into_iter()
            .map(|name| self.observer.register_of(name));
        let mut missing: Vec<_> = ledgers.collect();
        loop {
            for (_, worker) in &mut self.workers {
                ensure!(worker.is_running(), "a worker ended by itself");
            }
            while let Some(last) = missing.len().checked_sub(128).or(Some(0)) {
                let some = missing.split_off(last);
                let found = RegisterHandle::read(&some).await?.value;
                let not_there = some
                    .into_iter()
                    .zip(found)
                    .filter(|(_, found)| found.is_none());
                let not_there: Vec<_> = not_there.map(|(register, _)| register).collect();
                let is_waiting = !not_there.is_empty();
                missing.extend(not_there);
                if is_waiting || missing.is_empty() {
                    break;
                }
            }
            if missing.is_empty() && self.observer.members().members.len() > WORKERS {
                let known = job_names(&self.observer).await?.len();
                ensure!(
                    known == self.arguments.jobs,
                    "{known} jobs are in the index"
                );
                return Ok(());
            }
            ensure!(
                env.now() < deadline,
                "{} jobs have no ledger",
                missing.len()
            );
            env.sleep(100.ms()).await;
        }
    }

    async fn kill_leaders(&mut self) -> anyhow::Result<()> {
        let env = self.observer.env().clone();
        let mut last_term = 0;
        for kill in 0..self.arguments.kills {
            let deadline = env.now() + PATIENCE;
            let leader = loop {
                let leader = Scheduler::leader(&self.observer).await?;
                if let Some(leader) = leader.filter(|leader| leader.term.get() > last_term) {
                    break leader;
                }
                ensure!(env.now() < deadline, "nobody leads after {kill} kills");
                env.sleep(50.ms()).await;
            };
            last_term = leader.term.get();
            // At any instant of a second.
            env.sleep(Duration::from_millis(500 + env.random(1000)))
                .await;
            let number = leader
                .label
                .strip_prefix("node-")
                .and_then(|rest| rest.split('.').next());
            let number: usize = number.context("one of ours leads")?.parse()?;
            let (life, process) = &mut self.workers[number];
            process.kill();
            *life += 1;
            let life = *life;
            println!("  node-{number}, which led, is killed");
            env.sleep(500.ms()).await;
            self.workers[number].1 = self.start(number, life)?;
        }
        // Whatever the last one left is reaped by then.
        env.sleep(10.s()).await;
        Ok(())
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        for (_, worker) in &mut self.workers {
            let input = worker.child_mut().stdin.as_mut();
            input.context("it is piped")?.write_all(b"\n")?;
        }
        for (_, worker) in &mut self.workers {
            if !worker.wait(DRAIN).success() {
                bail!("a worker ended with an error");
            }
        }
        Ok(())
    }

    async fn judge(&self, first: i64, last: i64) -> anyhow::Result<Verdict> {
        let rows = Rows::read(self.folder.path())?;
        let mut verdict = Verdict::default();
        for job in 0..self.arguments.jobs {
            if self.arguments.play.is_busy(job) {
                let records = history(&self.observer, &job_name(job)).await?;
                verdict.add(job, first..=last, &rows, &records);
            }
        }
        Ok(verdict)
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a number of ticks is far below 2^53"
    )]
    fn conclude(self, verdict: &Verdict, cost: &Cost, took: f64) -> bool {
        let arguments = &self.arguments;
        // Of processes that came and went it says nothing.
        if arguments.play != Play::Failover {
            print!("{}", cost.show(took, verdict.ticks as f64));
        }
        let late = [50, 99, 100].map(|percent| verdict.late_ms(percent));
        println!(
            "start delay: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            late[0], late[1], late[2]
        );
        for wrong in verdict.doubled.iter().chain(&verdict.unaccounted).take(10) {
            println!("  {wrong}");
        }
        let outcomes: Vec<_> = (verdict.outcomes.iter())
            .map(|(outcome, count)| format!("{outcome}={count}"))
            .collect();
        println!(
            "scale: {} jobs={} ticks={} {} doubled={} unaccounted={} p99_ms={:.1}",
            arguments.play.as_str(),
            arguments.jobs,
            verdict.ticks,
            outcomes.join(" "),
            verdict.doubled.len(),
            verdict.unaccounted.len(),
            late[1],
        );
        let lost = verdict.count(Outcome::LostLease);
        let is_whole = match arguments.play {
            // A process that is killed takes along what it runs, once.
            Play::Failover => {
                lost <= u64::from(arguments.kills)
                    && verdict.count(Outcome::Ran) + lost == verdict.ticks
            }
            _ => verdict.count(Outcome::Ran) == verdict.ticks,
        };
        let is_fast = match arguments.play {
            Play::EverySecond => late[1] <= LATE_MS,
            Play::Idle => cost.busiest(took) < IDLE,
            Play::Failover => true,
        };
        verdict.is_accounted_for() && is_whole && (is_fast || !arguments.is_speed_judged)
    }
}
