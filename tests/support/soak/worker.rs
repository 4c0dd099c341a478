//! One of the processes: tasks that take turns at a handful of locks, write under their fences, and say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use leasehold::Mutexes;
use leasehold::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::report::{Report, Stage, Who, Why, Write};

/// How long a lease outlives its holder.
pub(crate) const TTL: Duration = Duration::from_secs(1);
/// No turn works longer than this.
pub(crate) const LONGEST_TURN: Duration = Duration::from_millis(2500);
const LOCKS: usize = 3;
const TASKS: usize = 4;
/// A patient caller: as long as this nobody may have to wait while the locks work.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) worker: usize,
    pub(crate) life: u32,
    pub(crate) store: String,
    pub(crate) judge: u16,
    pub(crate) seed: u64,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let env = Env::system();
    let stop = Arc::new(AtomicBool::new(false));
    env.spawn(told_to_stop(Arc::clone(&stop)));
    let coord = connect(&arguments, &stop).await?;
    let mut tasks = Vec::new();
    for number in 0..=TASKS {
        let who = Who {
            worker: arguments.worker,
            life: arguments.life,
            task: number,
        };
        let task = Task {
            coord: coord.clone(),
            rng: fastrand::Rng::with_seed(arguments.seed ^ (number as u64 + 1)),
            line: Line::open(arguments.judge, who).await?,
            stop: Arc::clone(&stop),
        };
        // The last one campaigns.
        tasks.push(env.spawn(async move {
            match number {
                TASKS => task.campaign().await,
                _ => task.lock().await,
            }
        }));
    }
    for task in tasks {
        task.await.context("a task panicked")??;
    }
    coord.shutdown(5.s()).await;
    Ok(())
}

/// A line on the standard input; its end means that the conductor is gone.
async fn told_to_stop(stop: Arc<AtomicBool>) {
    let mut byte = [0];
    if matches!(tokio::io::stdin().read(&mut byte).await, Ok(1)) {
        stop.store(true, Ordering::Relaxed);
    } else {
        std::process::exit(1);
    }
}

/// A worker may start while its network is down.
async fn connect(arguments: &Arguments, stop: &AtomicBool) -> anyhow::Result<Coordinator> {
    loop {
        let label = format!("w{}.{}", arguments.worker + 1, arguments.life);
        let builder = Coordinator::builder_dyn(leasehold::store(&arguments.store)?, "soak");
        match builder.label(label).connect().await {
            Err(error) if error.is_unavailable() && !stop.load(Ordering::Relaxed) => {
                Env::system().sleep(50.ms()).await;
            }
            result => return Ok(result?),
        }
    }
}

/// A task's line to the conductor.
struct Line {
    replies: Lines<BufReader<OwnedReadHalf>>,
    reports: OwnedWriteHalf,
    /// Writes not answered yet, also those whose author was dropped with its lease.
    unanswered: u32,
}

impl Line {
    async fn open(port: u16, who: Who) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (replies, reports) = stream.into_split();
        let replies = BufReader::new(replies).lines();
        let mut line = Self {
            replies,
            reports,
            unanswered: 0,
        };
        line.send(serde_json::to_string(&who)?).await?;
        Ok(line)
    }

    async fn send(&mut self, mut text: String) -> anyhow::Result<()> {
        text.push('\n');
        Ok(self.reports.write_all(text.as_bytes()).await?)
    }

    async fn tell(&mut self, report: Report) -> anyhow::Result<()> {
        self.send(serde_json::to_string(&report)?).await
    }

    /// Writes, and waits until the resource has taken it or not; which of both is in its record.
    async fn write(&mut self, write: Write) -> anyhow::Result<()> {
        self.unanswered += 1;
        self.tell(Report::Write(write)).await?;
        while self.unanswered > 0 {
            let reply = self.replies.next_line().await?;
            reply.context("the conductor is gone")?;
            self.unanswered -= 1;
        }
        Ok(())
    }
}

struct Task {
    coord: Coordinator,
    rng: fastrand::Rng,
    line: Line,
    stop: Arc<AtomicBool>,
}

/// How one turn is worked.
#[derive(Debug, Clone, Copy)]
struct Plan {
    asked: u64,
    /// Writes at its end without asking its guard, as careless code does: the fence alone protects.
    is_careless: bool,
    work: Duration,
}

impl Task {
    fn now(&self) -> u64 {
        self.coord.env().now().as_nanos()
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.rng.f64())
    }

    fn plan(&mut self, longest: Duration) -> Plan {
        let work = match self.rng.u32(0..100) {
            0..88 => 5.ms(),
            88..98 => 60.ms(),
            _ => longest,
        };
        Plan {
            asked: self.now(),
            is_careless: self.rng.bool(),
            work: self.up_to(work),
        }
    }

    async fn lock(mut self) -> anyhow::Result<()> {
        let mutexes = self.coord.mutexes("m")?.ttl(TTL).wait(PATIENCE);
        while !self.is_over() {
            let id = self.rng.usize(0..LOCKS);
            self.turn(&mutexes, id).await?;
            let pause = self.up_to(20.ms());
            self.coord.env().sleep(pause).await;
        }
        Ok(())
    }

    /// One lock call, in one of its forms, and what comes of it.
    async fn turn(&mut self, mutexes: &Mutexes, id: usize) -> anyhow::Result<()> {
        let lock = format!("m/{id}");
        self.line.tell(Report::Want { lock: lock.clone() }).await?;
        let plan = self.plan(LONGEST_TURN);
        let env = self.coord.env().clone();
        let got = match self.rng.u32(0..10) {
            0 => mutexes.try_lock(id).await,
            1 => {
                let wait = self.up_to(2.s());
                mutexes.lock_timeout(id, wait).await
            }
            2 => {
                let patience = self.up_to(100.ms());
                let Ok(got) = env.timeout(patience, mutexes.lock(id)).await else {
                    return self.gave_up(lock, Why::Cancelled).await;
                };
                got
            }
            3 => {
                let work = async |lease: &Lease| self.work(&lock, lease, plan).await;
                let done = mutexes.with(id, work).await;
                return match done {
                    Ok(lost) => self.over(lock, lost?).await,
                    Err(error) => self.failed(lock, error).await,
                };
            }
            _ => mutexes.lock(id).await,
        };
        let guard = match got {
            Ok(guard) => guard,
            Err(error) => return self.failed(lock, error).await,
        };
        let lost = self.work(&lock, &guard, plan).await?;
        if lost.is_some() || self.rng.bool() {
            drop(guard);
            return self.over(lock, lost).await;
        }
        match guard.release().await {
            Ok(()) => self.over(lock, None).await,
            Err(error) => self.failed(lock, error).await,
        }
    }

    async fn campaign(mut self) -> anyhow::Result<()> {
        let election = self.coord.election("leader")?.ttl(TTL);
        let lock = "leader".to_owned();
        while !self.is_over() {
            self.line.tell(Report::Want { lock: lock.clone() }).await?;
            let mut plan = self.plan(LONGEST_TURN);
            let leadership = match election.campaign().await {
                Ok(leadership) => leadership,
                Err(error) => {
                    self.failed(lock.clone(), error).await?;
                    continue;
                }
            };
            plan.work = self.up_to(LONGEST_TURN);
            let lost = self.work(&lock, &leadership, plan).await?;
            if lost.is_some() || self.rng.bool() {
                drop(leadership);
                self.over(lock.clone(), lost).await?;
                continue;
            }
            match leadership.resign().await {
                Ok(()) => self.over(lock.clone(), None).await?,
                Err(error) => self.failed(lock.clone(), error).await?,
            }
        }
        Ok(())
    }

    /// Three writes, with work between them. The answer is why the lease was lost, if its guard said so.
    async fn work(
        &mut self,
        lock: &str,
        lease: &Lease,
        plan: Plan,
    ) -> anyhow::Result<Option<String>> {
        let granted = self.now();
        let env = self.coord.env().clone();
        for stage in [Stage::Begin, Stage::Middle, Stage::End] {
            let mut held = None;
            if stage == Stage::Begin || !plan.is_careless {
                // In this order: whoever is stopped between the two is not believed to hold it later than it did.
                held = Some(self.now());
                if let Err(lost) = lease.check() {
                    return Ok(Some(lost.cause.as_str().to_owned()));
                }
            }
            let write = Write {
                lock: lock.to_owned(),
                fence: lease.fence().get(),
                stage,
                asked: plan.asked,
                granted,
                held,
            };
            self.line.write(write).await?;
            if stage == Stage::End {
                break;
            }
            let pause = env.sleep(plan.work / 2);
            if plan.is_careless {
                pause.await;
            } else if let Err(Error::Lost(lost)) = lease.run(pause).await {
                return Ok(Some(lost.cause.as_str().to_owned()));
            }
        }
        Ok(lease
            .check()
            .err()
            .map(|lost| lost.cause.as_str().to_owned()))
    }

    async fn over(&mut self, lock: String, lost: Option<String>) -> anyhow::Result<()> {
        self.line.tell(Report::Over { lock, lost }).await
    }

    async fn gave_up(&mut self, lock: String, why: Why) -> anyhow::Result<()> {
        self.line.tell(Report::GaveUp { lock, why }).await
    }

    async fn failed(&mut self, lock: String, error: Error) -> anyhow::Result<()> {
        match error {
            Error::Busy(_) => self.gave_up(lock, Why::Busy).await,
            Error::Unavailable { .. } => self.gave_up(lock, Why::Unavailable).await,
            Error::Lost(lost) => {
                let cause = lost.cause.as_str().to_owned();
                self.over(lock, Some(cause)).await
            }
            other => {
                let text = format!("{lock}: {other}");
                self.line.tell(Report::Wrong { text }).await
            }
        }
    }
}
