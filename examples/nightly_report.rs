//! A tour of the scheduler in a quarter of a minute: a job in a time zone whose clocks change, a run that fails and is tried
//! again, a pause, and what became of each tick.
//!
//! ```text
//! cargo run --example nightly_report                                  # on a SQLite file in a temporary directory
//! cargo run --example nightly_report -- redis://localhost             # on a Redis server
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a user's program sleeps and spawns as it likes"
)]
#![allow(
    clippy::unused_async,
    reason = "a job is an async function, also a short one"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use leasehold::Jobs;
use leasehold::prelude::*;
use leasehold::scheduler::{Outcome, Resume, Schedule, TickRecord, Via, Zone};

/// What the report is printed on: it has no paper at first.
#[derive(Clone, Default)]
struct Printer {
    attempts: Arc<AtomicU32>,
}

#[derive(Debug, thiserror::Error)]
#[error("the printer is out of paper")]
struct OutOfPaper;

impl Printer {
    fn print(&self, run: &str, fence: Fence) -> Result<(), OutOfPaper> {
        if self.attempts.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(OutOfPaper);
        }
        println!("   printed, run {run}, fence {fence}");
        Ok(())
    }
}

/// Half past two by the clocks of Berlin. If the whole fleet was down then, it runs as soon as one is back; if it fails it is
/// tried again.
#[singleton_job(
    "30 2 * * *",
    tz = "Europe/Berlin",
    misfire = "run_once",
    retries = 2,
    backoff = "1s",
    timeout = "10m",
    name = "nightly_report"
)]
async fn nightly_report(State(printer): State<Printer>, ctx: JobContext) -> Result<(), OutOfPaper> {
    // The run's id is the same for each attempt: what it guards is done once. The fence stops a late writer.
    printer.print(&ctx.run_id(), ctx.fence())
}

/// Each second, on one of the replicas.
#[singleton_job("* * * * * *", name = "heartbeat")]
async fn heartbeat() {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = format!("sqlite:{}", folder.path().join("tour.db").display());
    let store = std::env::args().nth(1).unwrap_or(file);
    let namespace = format!("tour-{}", std::process::id());
    let coord = leasehold::connect(&store, &namespace)
        .await
        .context("name a store that is there: sqlite:PATH or redis://HOST")?;

    let berlin: Zone = "Europe/Berlin".parse()?;
    let nightly = Schedule::parse("30 2 * * *")?.in_zone(berlin.clone());
    println!("1. nightly_report: {}", nightly.describe());
    println!(
        "   when clocks go forward in March, half past two does not exist, and the report still comes:"
    );
    for tick in nightly.next_n(berlin.read("2026-03-28 00:00")?, 3) {
        let moved = if nightly.moved_by_dst(tick) {
            "  <- the first instant after the gap"
        } else {
            ""
        };
        println!("   {}{moved}", berlin.show(tick));
    }

    // In a service: `.run_until(shutdown_signal()).await?`
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let scheduler = Scheduler::builder(&coord)
        .state(Printer::default())
        .jobs(jobs![nightly_report, heartbeat])
        .build()?;
    let running = tokio::spawn(scheduler.run_until(async { drop(stopped.await) }));
    let jobs = Jobs::new(&coord);
    while jobs.list().await?.len() < 2 {
        tokio::time::sleep(100.ms()).await;
    }

    println!("2. triggered now; the printer has no paper at first:");
    let id = jobs.trigger("nightly_report").await?;
    let ended = loop {
        let progress = jobs.progress("nightly_report", &id).await?;
        if progress.is_over() {
            break progress.ended;
        }
        tokio::time::sleep(100.ms()).await;
    };
    for record in &ended {
        println!("   {}", told(record, &berlin));
    }

    println!("3. the heartbeat, paused for three seconds:");
    tokio::time::sleep(2.s()).await;
    jobs.pause("heartbeat", "a tour").await?;
    tokio::time::sleep(1500.ms()).await;
    let during = coord.store_now().wall_us.cast_signed() / 1_000_000;
    println!("   {}", jobs.why("heartbeat", during).await?);
    tokio::time::sleep(1500.ms()).await;
    jobs.resume("heartbeat", Resume::FromNow).await?;
    tokio::time::sleep(2500.ms()).await;

    // It claims nothing more, and lets runs end.
    drop(stop);
    running.await??;

    println!("4. what became of each tick:");
    let records = jobs.history("heartbeat").await?;
    for record in &records {
        println!("   {}", told(record, &Zone::UTC));
    }
    println!("   {}", jobs.why("heartbeat", during).await?);
    let soon = jobs.next("nightly_report", 1).await?;
    println!("   {}", jobs.why("nightly_report", soon[0]).await?);

    let count = |outcome| records.iter().filter(|r| r.outcome == outcome).count();
    let retried = ended.iter().filter(|record| record.retry).count();
    println!(
        "nightly_report: attempts={} retried={retried} heartbeats={} paused={} other={}",
        ended.len(),
        count(Outcome::Ran),
        count(Outcome::Paused),
        records.len() - count(Outcome::Ran) - count(Outcome::Paused)
    );
    coord.shutdown(5.s()).await;
    Ok(())
}

fn told(record: &TickRecord, zone: &Zone) -> String {
    let optional = |text: Option<String>| text.unwrap_or_default();
    let end = (record.end != record.start).then(|| format!(" to {}", zone.show(record.end)));
    let via = (record.via != Via::Schedule).then(|| format!(", by {}", record.via));
    let attempt = (record.attempt > 0).then(|| format!(", attempt {}", record.attempt));
    let error = record.error.as_ref().map(|error| format!(" ({error})"));
    let again = if record.retry {
        ", to be tried again"
    } else {
        ""
    };
    let when = [Some(zone.show(record.start)), end, via, attempt].map(optional);
    format!(
        "{}: {}{}{again}",
        when.concat(),
        record.outcome,
        optional(error)
    )
}
