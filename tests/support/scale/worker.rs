//! One of the processes: its jobs write down that they started, when, and under which fence.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use leasehold::prelude::*;
use leasehold::scheduler::{BoxError, Job};
use tokio::io::AsyncReadExt as _;

use crate::Play;

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) number: usize,
    pub(crate) life: u32,
    pub(crate) store: String,
    pub(crate) play: Play,
    pub(crate) jobs: usize,
    pub(crate) folder: PathBuf,
}

pub(crate) fn job_name(job: usize) -> String {
    format!("job-{job:05}")
}

/// Of jobs that are not due for a year each has another time.
fn expression(play: Play, job: usize) -> String {
    if play.is_busy(job) {
        return "* * * * * *".into();
    }
    format!("{} {} {} 1 *", job % 60, job / 60 % 24, job % 28 + 1)
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let name = format!("rows-{}-{}", arguments.number, arguments.life);
    let rows = File::create(arguments.folder.join(name)).context("no file for the rows")?;
    let rows = Arc::new(Mutex::new(BufWriter::new(rows)));
    // A process that is killed has written down what it started.
    let at_once = arguments.play == Play::Failover;
    let jobs = (0..arguments.jobs).map(|job| {
        let rows = Arc::clone(&rows);
        Job::new(
            &job_name(job),
            &expression(arguments.play, job),
            move |ctx| {
                let (tick, fence) = (ctx.tick_unix_s(), ctx.fence().get());
                let now_us = i64::try_from(ctx.coordinator().store_now().wall_us);
                let late_us = now_us.unwrap_or(i64::MAX) - tick * 1_000_000;
                let mut rows = rows.lock().expect("nobody panics holding it");
                let written = writeln!(rows, "{job} {tick} {fence} {late_us}");
                let written = written.and_then(|()| if at_once { rows.flush() } else { Ok(()) });
                async move { written.map_err(BoxError::from) }
            },
        )
    });
    let label = format!("node-{}.{}", arguments.number, arguments.life);
    let builder = Coordinator::builder_dyn(leasehold::store(&arguments.store)?, "scale");
    let coord = builder.label(label).connect().await?;
    let scheduler = Scheduler::builder(&coord).jobs(jobs).leader_ttl(3.s());
    scheduler.run_until(told_to_stop()).await?;
    coord.shutdown(5.s()).await;
    rows.lock().expect("nobody panics holding it").flush()?;
    Ok(())
}

/// A line on the standard input; its end means that the conductor is gone.
async fn told_to_stop() {
    let mut byte = [0];
    if !matches!(tokio::io::stdin().read(&mut byte).await, Ok(1)) {
        std::process::exit(1);
    }
}
