//! `leasehold bench`: what a store takes for a lock, and what the least is that a lock on it could take.

mod compete;
mod crowd;
mod floor;
mod hold;
mod limit;
mod ours;
mod progress;
mod report;
mod requests;
mod serial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use leasehold::Coordinator;

use crate::exit::Failure;
use crate::place::{Place, duration, label};
use compete::{Course, Keys};
use crowd::Size;
use floor::Floor;
use ours::{Ours, Permits};
use progress::Progress;
use report::Report;

/// Benchmarks keep out of everybody's way.
const NAMESPACE: &str = "leasehold-bench";

/// Measure a store: round trips, locks, and what many tasks get of one
///
/// Each benchmark prints one line of JSON with --json, else a table. For figures over several processes start it several
/// times at once: `fight` takes the same lock in all of them, `permits` the same semaphore.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A pair is a lock and its unlock. The fields:
  ops, p50_us, p99_us        how many, and how long one took (a pair, or a ping)
  pairs, secs                how many in all, within this time
  min, max                   pairs of the task that got the fewest, and the most
  wait_p50_ms, wait_p99_ms   from asking for the lock to having it
  held_s                     for how long it was held, in all
  permits, use               how many there are, and how much of their time they were held: 1 is all
  requests                   what was sent to the store
  memory_bytes               what the server needs for the crowd (Redis)
  asked, passed              units that were asked for, and had

The floors are the least that a lock on Redis can take: SET NX PX, then compare-and-delete by a
script, over the same client library; who finds it held asks again at once. They have no queue, no
fence and no renewal.

Examples:
  leasehold bench --store redis://localhost solo --count 20000
  leasehold bench --store redis://localhost --json fight --tasks 16 --seconds 10 --hold 5ms
  leasehold bench --store redis://localhost permits --permits 20 --tasks 64 --hold 5ms
  leasehold bench --store sqlite:/tmp/bench.db keys --tasks 32 --seconds 5")]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    place: Place,

    /// One line of JSON instead of a table
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The store's smallest round trip, one after the other (on Redis: PING)
    Ping {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: u32,
        /// How long to sleep between two
        #[arg(long, value_name = "DUR", default_value = "0s", value_parser = duration)]
        pace: Duration,
    },
    /// One task locks and unlocks what nobody else wants
    Solo {
        /// How many times
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: u32,
    },
    /// Many tasks, each with a lock of its own
    Keys(Crowd),
    /// Many tasks, all for one lock
    Fight {
        #[command(flatten)]
        crowd: Crowd,
        #[command(flatten)]
        turn: Turn,
        /// One task at each visit: strictly in turn, over all processes
        #[arg(long)]
        strict: bool,
    },
    /// Many tasks, all for the permits of one semaphore
    Permits {
        /// How many permits
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        permits: u32,
        #[command(flatten)]
        crowd: Crowd,
        #[command(flatten)]
        turn: Turn,
    },
    /// One process holds many leases, and renews them
    Hold {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        leases: usize,
        /// How long to look
        #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
        seconds: Duration,
        /// Their TTL
        #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration)]
        ttl: Duration,
    },
    /// One resource with many holders and many waiters: releases, claims, newcomers and heartbeats
    Crowd {
        /// How many hold it
        #[arg(long, value_name = "N", default_value_t = 1000)]
        holders: u32,
        /// How many wait for it
        #[arg(long, value_name = "N", default_value_t = 1000)]
        waiters: u32,
        /// How many of them ask at once
        #[arg(long, value_name = "N", default_value_t = 16)]
        at_once: u32,
        /// How many operations, once they are there
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: u32,
    },
    /// Many tasks, all of one limit: each asks for a unit, exactly, again and again
    Limit(Crowd),
    /// As `limit`, with the least it could take: a script of one GET and one SET
    FloorLimit(Crowd),
    /// As `solo`, with the least a lock can take
    FloorSolo {
        /// How many times
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        count: u32,
    },
    /// As `keys`, with the least a lock can take
    FloorKeys(Crowd),
    /// As `fight`, with the least a lock can take
    FloorFight {
        #[command(flatten)]
        crowd: Crowd,
        #[command(flatten)]
        turn: Turn,
    },
}

/// How many, for how long.
#[derive(Debug, Clone, Copy, Args)]
struct Crowd {
    /// How many tasks
    #[arg(long, value_name = "T", default_value_t = 32)]
    tasks: u32,
    /// For how long
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

/// What a task does with the lock.
#[derive(Debug, Args)]
struct Turn {
    /// For how long it holds it
    #[arg(long, value_name = "DUR", default_value = "0s", value_parser = duration)]
    hold: Duration,
    /// Write when each turn began and ended to this file: two numbers a line, nanoseconds since boot
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().map(Duration::try_from_secs_f64);
    match parsed {
        Some(Ok(seconds)) if !seconds.is_zero() => Ok(seconds),
        _ => Err("a number of seconds, such as 5 or 0.5".into()),
    }
}

pub(crate) async fn run(args: BenchArgs) -> Result<ExitCode, Failure> {
    let Some(url) = args.place.store.clone() else {
        let text = "name the store to measure: --store redis://HOST, sqlite:PATH or memory://";
        return Err(Failure::Usage(text.into()));
    };
    let place = Place {
        namespace: Some(args.place.namespace.unwrap_or_else(|| NAMESPACE.into())),
        ..args.place
    };
    let bench = Bench {
        address: place.connector()?.address(),
        place,
        url,
        json: args.json,
    };
    let report = bench.measure(args.what).await?;
    if args.json {
        crate::out::line(report.line())?;
    } else {
        crate::out::print(report.table())?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    place: Place,
    url: String,
    /// The URL as it may be shown.
    address: String,
    json: bool,
}

impl Bench {
    async fn measure(&self, what: What) -> Result<Report, Failure> {
        match what {
            What::Ping { count, pace } => self.ping(count, pace).await,
            What::Solo { count } => {
                let ours = Ours::new(&self.connect().await?, false)?;
                self.solo("solo", &ours, count).await
            }
            What::FloorSolo { count } => self.solo("floor-solo", &self.floor().await?, count).await,
            What::Keys(crowd) => {
                let course = self.course("keys", crowd, Keys::OneEach, None);
                self.crowd(false, course).await
            }
            What::Fight {
                crowd,
                turn,
                strict,
            } => {
                let course = self.course("fight", crowd, Keys::OneForAll, Some(turn));
                self.crowd(strict, course).await
            }
            What::Permits {
                permits,
                crowd,
                turn,
            } => {
                let course = Course {
                    permits: Some(permits),
                    ..self.course("permits", crowd, Keys::OneForAll, Some(turn))
                };
                self.permits(permits, course).await
            }
            What::FloorKeys(crowd) => {
                let course = self.course("floor-keys", crowd, Keys::OneEach, None);
                course.run(&self.floor().await?).await
            }
            What::FloorFight { crowd, turn } => {
                let course = self.course("floor-fight", crowd, Keys::OneForAll, Some(turn));
                course.run(&self.floor().await?).await
            }
            What::Limit(crowd) => {
                let coord = self.connect().await?;
                let limit = limit::Hot::new(coord.clone())?;
                let report = self.limit("limit", &limit, crowd).await;
                coord.shutdown(Duration::ZERO).await;
                report
            }
            What::FloorLimit(crowd) => self.limit("floor-limit", &self.floor().await?, crowd).await,
            What::Crowd {
                holders,
                waiters,
                at_once,
                count,
            } => {
                let size = Size {
                    holders,
                    waiters,
                    at_once,
                };
                self.gathering(size, count).await
            }
            What::Hold {
                leases,
                seconds,
                ttl,
            } => {
                requests::record();
                let coord = self.connect().await?;
                let report = hold::run(&coord, &self.address, leases, seconds, ttl).await;
                coord.shutdown(Duration::ZERO).await;
                report
            }
        }
    }

    async fn connect(&self) -> Result<Coordinator, Failure> {
        let builder = self.place.builder()?.label(label(Some("bench")));
        Ok(builder.connect().await?)
    }

    async fn floor(&self) -> Result<Floor, Failure> {
        Floor::connect(&self.url, &self.address).await
    }

    fn progress(&self, steps: u64) -> Progress {
        Progress::new(steps, self.json)
    }

    async fn ping(&self, count: u32, pace: Duration) -> Result<Report, Failure> {
        let progress = self.progress(count.into());
        if self.url.starts_with("redis") {
            let floor = self.floor().await?;
            return serial::pings(&self.address, count, pace, &progress, || floor.ping()).await;
        }
        let coord = self.connect().await?;
        let name = coord
            .mutexes("bench")?
            .name("nobody")
            .map_err(leasehold::Error::from)?;
        let ping = || async {
            coord.inspect(&name).await?;
            Ok(())
        };
        serial::pings(&self.address, count, pace, &progress, ping).await
    }

    async fn solo<T: Target>(
        &self,
        what: &'static str,
        target: &T,
        count: u32,
    ) -> Result<Report, Failure> {
        let progress = self.progress(count.into());
        serial::pairs(what, &self.address, target, count, &progress).await
    }

    async fn limit<L: limit::Limit>(
        &self,
        what: &'static str,
        limit: &L,
        crowd: Crowd,
    ) -> Result<Report, Failure> {
        let Crowd { tasks, seconds } = crowd;
        let progress = self.progress(1);
        limit::run(what, &self.address, limit, tasks, seconds, &progress).await
    }

    async fn gathering(&self, size: Size, count: u32) -> Result<Report, Failure> {
        let connector = self.place.connector()?;
        let namespace = self.place.namespace.as_deref().unwrap_or(NAMESPACE);
        let server = if self.url.starts_with("redis") {
            Some(self.floor().await?)
        } else {
            None
        };
        let used = async || match &server {
            Some(server) => server.used_memory().await.map(Some),
            None => Ok(None),
        };
        let before = used().await?;
        let crowd = crowd::Crowd::gather(&*connector, namespace, size).await?;
        let after = used().await?;
        let mut report = Report::new("crowd", &self.address)
            .with("holders", size.holders)
            .with("waiters", size.waiters)
            .with("at_once", size.at_once);
        if let Some((before, after)) = before.zip(after) {
            report = report.with("memory_bytes", after.saturating_sub(before));
        }
        let progress = self.progress(count.into());
        crowd.measure(count, report, &progress).await
    }

    async fn crowd(&self, strict: bool, course: Course<'_>) -> Result<Report, Failure> {
        requests::record();
        let coord = self.connect().await?;
        let report = course.run(&Ours::new(&coord, strict)?).await;
        coord.shutdown(Duration::ZERO).await;
        report
    }

    async fn permits(&self, permits: u32, course: Course<'_>) -> Result<Report, Failure> {
        requests::record();
        let coord = self.connect().await?;
        let report = course.run(&Permits::new(&coord, permits)?).await;
        coord.shutdown(Duration::ZERO).await;
        report
    }

    fn course(
        &self,
        what: &'static str,
        crowd: Crowd,
        keys: Keys,
        turn: Option<Turn>,
    ) -> Course<'_> {
        let (hold, trace) = turn.map_or((Duration::ZERO, None), |turn| (turn.hold, turn.trace));
        Course {
            what,
            address: &self.address,
            tasks: crowd.tasks,
            lasts: crowd.seconds,
            keys,
            permits: None,
            hold,
            trace,
            progress: self.progress(u64::try_from(crowd.seconds.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// What is locked and unlocked.
trait Target: Clone + Send + Sync + 'static {
    type Held: Send;

    /// `None` if it was not to be had until then.
    fn lock(
        &self,
        id: &str,
        until: leasehold::Moment,
    ) -> impl Future<Output = Result<Option<Self::Held>, Failure>> + Send;

    fn unlock(&self, held: Self::Held) -> impl Future<Output = Result<(), Failure>> + Send;

    /// How many requests were sent to the store so far.
    fn requests(&self) -> u64;

    fn env(&self) -> &leasehold::Env;
}
