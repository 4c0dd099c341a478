//! The scale: three processes share a Redis server of their own and many jobs, and what their jobs wrote down and what
//! became of each tick is compared with what was due.
//!
//! ```text
//! cargo xtask scale every-second --jobs 1000 --seconds 60
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod conductor;
mod cost;
mod judge;
mod worker;

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};

const HELP: &str = "\
Three processes, one Redis server, many jobs. Fails if a nominal tick has not exactly one outcome, or ran twice.

Usage: cargo xtask scale [every-second|idle|failover] [--jobs N] [--seconds S] [--kills K] [--correct-only]

  every-second      all jobs are due every second; default: 1000 jobs, 60 s
  idle              of all jobs one in a thousand is due every second, the others once a year; default: 10000 jobs, 60 s
  failover          the leader is killed, again and again; default: 1 job, 10 kills
  --correct-only    any speed will do

Without a name it runs all three.
";

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Play {
    EverySecond,
    Idle,
    Failover,
}

impl Play {
    const ALL: [Self; 3] = [Self::EverySecond, Self::Idle, Self::Failover];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::EverySecond => "every-second",
            Self::Idle => "idle",
            Self::Failover => "failover",
        }
    }

    fn jobs(self) -> usize {
        match self {
            Self::EverySecond => 1000,
            Self::Idle => 10_000,
            Self::Failover => 1,
        }
    }

    /// Whether a job is due every second.
    pub(crate) fn is_busy(self, job: usize) -> bool {
        self != Self::Idle || job.is_multiple_of(1000)
    }
}

impl FromStr for Play {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|play| play.as_str() == text);
        found.with_context(|| format!("unknown argument `{text}`\n\n{HELP}"))
    }
}

enum Role {
    Help,
    Conductor(Vec<conductor::Arguments>),
    Worker(worker::Arguments),
}

fn role(mut given: impl Iterator<Item = String>) -> anyhow::Result<Role> {
    let (mut plays, mut jobs, mut seconds, mut kills) = (Vec::new(), None, 60, 10);
    let mut is_speed_judged = true;
    while let Some(word) = given.next() {
        let mut value = || {
            let value = given.next();
            value.with_context(|| format!("{word} needs a value"))
        };
        let mut number = |least: u32| {
            let text = value()?;
            let number = text.parse().ok().filter(|number| *number >= least);
            number.with_context(|| format!("{word} {text}: a whole number from {least} on"))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(Role::Help),
            "--jobs" => jobs = Some(usize::try_from(number(1)?)?),
            "--seconds" => seconds = number(3)?,
            "--kills" => kills = number(1)?,
            "--correct-only" => is_speed_judged = false,
            "--worker" => {
                return Ok(Role::Worker(worker::Arguments {
                    number: value()?.parse()?,
                    life: value()?.parse()?,
                    store: value()?,
                    play: value()?.parse()?,
                    jobs: value()?.parse()?,
                    folder: value()?.into(),
                }));
            }
            other if other.starts_with('-') => bail!("unknown argument `{other}`\n\n{HELP}"),
            play => plays.push(play.parse()?),
        }
    }
    if plays.is_empty() {
        plays = Play::ALL.to_vec();
    }
    let arguments = plays.into_iter().map(|play: Play| conductor::Arguments {
        play,
        jobs: jobs.unwrap_or(play.jobs()),
        seconds,
        kills,
        is_speed_judged,
    });
    Ok(Role::Conductor(arguments.collect()))
}

fn main() -> ExitCode {
    let role = match role(std::env::args().skip(1)) {
        Ok(role) => role,
        Err(error) => {
            eprintln!("scale: {error:#}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("the machine has threads left");
    let done = match role {
        Role::Help => {
            print!("{HELP}");
            Ok(true)
        }
        Role::Conductor(plays) => plays.into_iter().try_fold(true, |good, arguments| {
            Ok(runtime.block_on(conductor::run(arguments))? && good)
        }),
        Role::Worker(arguments) => runtime.block_on(worker::run(arguments)).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}
