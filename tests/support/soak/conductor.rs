//! Starts the store and the workers, makes trouble, and says how it went.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_testkit::{Direction, Process, Proxy, RedisServer};
use tempfile::TempDir;

use crate::judge::Judge;
use crate::summary::{self, Summary};
use crate::trouble::{Trouble, Troubles};
use crate::worker::TTL;

const WORKERS: usize = 4;
/// The TTL, a claim window of a second for each waiter that died in a queue and one heartbeat of 5 s for every three of
/// them, a request of 2 s, and slack for a busy machine. A hang lasts for ever.
const HANG: Duration = Duration::from_secs(45);
const PROGRESS: Duration = Duration::from_secs(5);
/// Calm before the end, so that everyone is seen to come back.
const CALM: Duration = Duration::from_secs(2);
/// Within this time a worker that is told to stop has ended.
const DRAIN: Duration = Duration::from_secs(45);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Sqlite,
}

impl Store {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Store::Redis => "redis",
            Store::Sqlite => "sqlite",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) store: Store,
    pub(crate) minutes: f64,
    pub(crate) seed: u64,
}

/// One process, over all its lives.
struct Worker {
    number: usize,
    life: u32,
    process: Option<Process>,
    proxy: Option<Proxy>,
    /// What it suffers, and until when.
    trouble: Option<(Trouble, u64)>,
    counts: Counts,
}

/// What befell a worker.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) stops: u64,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
}

struct Soak {
    arguments: Arguments,
    judge: Judge,
    troubles: Troubles,
    workers: Vec<Worker>,
    server: Option<RedisServer>,
    folder: TempDir,
    hangs: Vec<String>,
}

/// Whether the locks kept their promise.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
    let server = (arguments.store == Store::Redis).then(RedisServer::start);
    let judge = Judge::start(WORKERS, &folder.path().join("record.jsonl"))?;
    let workers = (0..WORKERS).map(|number| Worker {
        number,
        life: 0,
        process: None,
        proxy: server.as_ref().map(|server| Proxy::start(server.port())),
        trouble: None,
        counts: Counts::default(),
    });
    let soak = Soak {
        troubles: Troubles::new(arguments.seed, TTL, server.is_some()),
        workers: workers.collect(),
        arguments,
        judge,
        server,
        folder,
        hangs: Vec::new(),
    };
    println!(
        "soak: {WORKERS} processes on {}, {} min, seed {}",
        soak.arguments.store.as_str(),
        soak.arguments.minutes,
        soak.arguments.seed
    );
    soak.run()
}

impl Soak {
    fn run(mut self) -> anyhow::Result<bool> {
        for worker in 0..WORKERS {
            self.start(worker)?;
        }
        let started = self.judge.now();
        let length = Duration::from_secs_f64(self.arguments.minutes * 60.0);
        let end = started + nanos(length);
        let (mut next_trouble, mut next_line) = (started, started + nanos(PROGRESS));
        loop {
            let now = self.judge.now();
            if now >= end || !self.hangs.is_empty() {
                break;
            }
            if now >= next_line {
                summary::progress(&self.judge, now - started);
                next_line += nanos(PROGRESS);
            }
            self.end_troubles(now)?;
            self.look(now)?;
            // Calm at the end.
            if now >= next_trouble && now + nanos(CALM) < end {
                self.make_trouble(now)?;
                next_trouble = now + nanos(self.troubles.pause());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end_troubles(u64::MAX)?;
        self.drain()?;
        Ok(self.conclude())
    }

    fn start(&mut self, number: usize) -> anyhow::Result<()> {
        let store = match (&self.workers[number].proxy, &self.server) {
            (Some(proxy), _) => format!("redis://127.0.0.1:{}", proxy.port()),
            _ => format!("sqlite:{}", self.folder.path().join("soak.db").display()),
        };
        let worker = &mut self.workers[number];
        worker.life += 1;
        let seed = self.arguments.seed ^ ((number as u64) << 32) ^ (u64::from(worker.life) << 16);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--worker", &number.to_string(), &worker.life.to_string()])
            .args([&store, &self.judge.port.to_string(), &seed.to_string()])
            // Its end tells the worker that this process is gone.
            .stdin(Stdio::piped())
            // A stopped worker cannot read that: alone in its group, the system wakes and ends it then.
            .process_group(0);
        worker.process = Some(Process::spawn(&mut command));
        self.judge.set_away(number, false);
        Ok(())
    }

    fn make_trouble(&mut self, now: u64) -> anyhow::Result<()> {
        let holders = self.judge.book().waits.holders();
        let number = self.troubles.pick(WORKERS, &holders);
        let trouble = self.troubles.next();
        let worker = &mut self.workers[number];
        if worker.trouble.is_some() {
            return Ok(());
        }
        let line = (now, format!("w{}", number + 1), trouble);
        self.judge.book().log(&line);
        // Before it is so: whoever can't answer is not to be waited for.
        self.judge.set_away(number, true);
        let process = worker.process.as_mut().context("it runs")?;
        let proxy = worker.proxy.as_ref();
        let lasts = match trouble {
            Trouble::Stop(lasts) => {
                process.signal("STOP");
                worker.counts.stops += 1;
                lasts
            }
            Trouble::Kill(lasts) => {
                process.kill();
                worker.process = None;
                worker.counts.kills += 1;
                lasts
            }
            Trouble::Cut => {
                proxy.context("a network")?.cut();
                Duration::ZERO
            }
            Trouble::BlackHole(lasts) => {
                proxy.context("a network")?.black_hole();
                lasts
            }
            Trouble::Freeze(lasts) => {
                proxy.context("a network")?.freeze();
                lasts
            }
            Trouble::LostReplies(lasts) => {
                proxy.context("a network")?.swallow_replies();
                lasts
            }
            Trouble::Delay { by, lasts } => {
                let proxy = proxy.context("a network")?;
                proxy.delay(Direction::ToServer, by / 2);
                proxy.delay(Direction::ToClient, by / 2);
                lasts
            }
        };
        if !matches!(trouble, Trouble::Stop(_) | Trouble::Kill(_)) {
            worker.counts.cuts += 1;
        }
        worker.trouble = Some((trouble, now + nanos(lasts)));
        Ok(())
    }

    /// Ends what has lasted long enough.
    fn end_troubles(&mut self, now: u64) -> anyhow::Result<()> {
        for number in 0..WORKERS {
            let worker = &mut self.workers[number];
            let Some((trouble, _)) = worker.trouble.take_if(|(_, until)| *until <= now) else {
                continue;
            };
            match (trouble, &mut worker.process, &worker.proxy) {
                (Trouble::Kill(_), ..) => self.start(number)?,
                (Trouble::Stop(_), Some(process), _) => process.signal("CONT"),
                (_, _, Some(proxy)) => proxy.heal(),
                _ => bail!("{trouble:?} befell nobody"),
            }
            self.judge.set_away(number, false);
        }
        Ok(())
    }

    /// Finds hangs, and workers that ended by themselves.
    fn look(&mut self, now: u64) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            if let Some(process) = &mut worker.process
                && !process.is_running()
            {
                bail!("worker {} ended by itself", worker.number + 1);
            }
        }
        self.look_for_hangs(now);
        Ok(())
    }

    fn look_for_hangs(&mut self, now: u64) {
        let worst = self.judge.book().waits.worst(now);
        if let Some(stall) = worst.filter(|stall| stall.nanos > nanos(HANG)) {
            self.hangs.push(stall.to_string());
        }
    }

    /// Tells everyone to stop; whoever waits is still served.
    fn drain(&mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            let process = worker.process.as_mut().context("all run")?;
            let input = process.child_mut().stdin.as_mut();
            input.context("it is piped")?.write_all(b"\n")?;
        }
        let deadline = self.judge.now() + nanos(DRAIN);
        let mut running = || {
            let mut processes = self.workers.iter_mut().filter_map(|w| w.process.as_mut());
            processes.any(Process::is_running)
        };
        while running() && self.judge.now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.look_for_hangs(self.judge.now());
        for worker in &mut self.workers {
            let process = worker.process.as_mut().context("all run")?;
            if process.is_running() {
                self.hangs.push(format!(
                    "worker {} did not end within {DRAIN:?} of being told to",
                    worker.number + 1
                ));
                process.kill();
            } else if !process.wait(Duration::ZERO).success() {
                bail!("worker {} ended with an error", worker.number + 1);
            }
        }
        Ok(())
    }

    fn conclude(self) -> bool {
        let mut book = self.judge.book();
        book.flush();
        let summary = Summary {
            store: self.arguments.store,
            minutes: self.arguments.minutes,
            book: &book,
            counts: self.workers.iter().map(|worker| worker.counts).collect(),
            overlaps: book.record.overlaps(),
            hangs: self.hangs,
        };
        print!("{summary}");
        let is_good = summary.is_good();
        drop(book);
        if !is_good {
            let kept = self.folder.keep();
            eprintln!("soak: the record is kept in {}", kept.display());
        }
        is_good
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
