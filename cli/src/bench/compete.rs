//! Many tasks at once: what they get in all, and each of them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use leasehold::{Env, Moment};

use super::Target;
use super::progress::Progress;
use super::report::{Report, Times, millis, rounded};
use crate::exit::Failure;

/// What the tasks want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    OneEach,
    OneForAll,
}

/// One run.
pub(super) struct Course<'a> {
    pub(super) what: &'static str,
    pub(super) address: &'a str,
    pub(super) tasks: u32,
    pub(super) lasts: Duration,
    pub(super) keys: Keys,
    /// How many of a semaphore's permits there are.
    pub(super) permits: Option<u32>,
    pub(super) hold: Duration,
    pub(super) trace: Option<PathBuf>,
    pub(super) progress: Progress,
}

/// What one task got.
#[derive(Default)]
struct Share {
    waits: Vec<Duration>,
    held: Duration,
    turns: Vec<(Moment, Moment)>,
}

impl Course<'_> {
    pub(super) async fn run<T: Target>(self, target: &T) -> Result<Report, Failure> {
        let env = target.env().clone();
        self.warm_up(target).await?;
        let sent = target.requests();
        let began = env.now();
        let until = began + self.lasts;
        let bar = env.spawn(show(env.clone(), self.progress.clone(), until));
        let tasks: Vec<_> = (0..self.tasks)
            .map(|task| {
                let (target, id) = (target.clone(), self.id(task));
                let (hold, traced) = (self.hold, self.trace.is_some());
                env.spawn(async move { compete(&target, &id, hold, until, traced).await })
            })
            .collect();
        let mut shares = Vec::new();
        for task in tasks {
            let ended = task.await;
            shares.push(ended.map_err(|e| Failure::Io("a task failed", e.into()))??);
        }
        let requests = target.requests() - sent;
        drop(bar.await);
        self.progress.done();
        if let Some(path) = &self.trace {
            write_trace(path, &shares)?;
        }
        Ok(self.report(shares, requests))
    }

    fn id(&self, task: u32) -> String {
        match self.keys {
            Keys::OneEach => format!("keys-{}-{task}", std::process::id()),
            Keys::OneForAll => "fight".into(),
        }
    }

    /// Connections, scripts and caches; on a name of its own, since others may have begun.
    async fn warm_up<T: Target>(&self, target: &T) -> Result<(), Failure> {
        let id = format!("warm-up-{}", std::process::id());
        for _ in 0..50 {
            if let Some(held) = target.lock(&id, Moment::NEVER).await? {
                target.unlock(held).await?;
            }
        }
        Ok(())
    }

    fn report(&self, shares: Vec<Share>, requests: u64) -> Report {
        let counts = || shares.iter().map(|share| share.waits.len());
        let (pairs, min, max) = (counts().sum::<usize>(), counts().min(), counts().max());
        let held: Duration = shares.iter().map(|share| share.held).sum();
        let waits = shares.into_iter().flat_map(|share| share.waits).collect();
        let waits = Times::new(waits);
        let mut report = Report::new(self.what, self.address).with("tasks", self.tasks);
        if let Some(permits) = self.permits {
            let there = f64::from(permits) * self.lasts.as_secs_f64();
            report = report
                .with("permits", permits)
                .with("use", rounded(held.as_secs_f64() / there));
        }
        report
            .with("pairs", pairs)
            .with("secs", rounded(self.lasts.as_secs_f64()))
            .with("min", min.unwrap_or(0))
            .with("max", max.unwrap_or(0))
            .with("wait_p50_ms", millis(waits.percentile(50)))
            .with("wait_p99_ms", millis(waits.percentile(99)))
            .with("held_s", rounded(held.as_secs_f64()))
            .with("requests", requests)
    }
}

/// Locks and unlocks until the time is over. A turn that began before that counts, up to then.
async fn compete<T: Target>(
    target: &T,
    id: &str,
    hold: Duration,
    until: Moment,
    traced: bool,
) -> Result<Share, Failure> {
    let env = target.env();
    let mut share = Share::default();
    loop {
        let asked = env.now();
        if asked >= until {
            return Ok(share);
        }
        let Some(held) = target.lock(id, until).await? else {
            return Ok(share);
        };
        let begun = env.now();
        if !hold.is_zero() {
            env.sleep(hold).await;
        }
        let ended = env.now();
        target.unlock(held).await?;
        if begun < until {
            share.waits.push(begun.since(asked));
            share.held += ended.min(until).since(begun);
            if traced {
                share.turns.push((begun, ended));
            }
        }
        // A store that answers at once would never let the next task run.
        env.give_way().await;
    }
}

async fn show(env: Env, progress: Progress, until: Moment) {
    let step = Duration::from_millis(progress.step());
    let mut at = 0;
    while env.now() < until {
        env.sleep_until((env.now() + step).min(until)).await;
        at += progress.step();
        progress.at(at);
    }
}

fn write_trace(path: &PathBuf, shares: &[Share]) -> Result<(), Failure> {
    let mut text = String::new();
    for (begun, ended) in shares.iter().flat_map(|share| &share.turns) {
        // A `String` takes all that is written.
        let _ = writeln!(text, "{} {}", begun.as_nanos(), ended.as_nanos());
    }
    std::fs::write(path, text).map_err(|e| Failure::Io("cannot write the trace", e))
}
