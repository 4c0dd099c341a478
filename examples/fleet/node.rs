//! One of the three processes: what a service does.

use std::path::PathBuf;

use leasehold::prelude::*;
use tokio::io::AsyncReadExt;

use crate::rows::{self, Row};

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) rows: PathBuf,
}

/// What the job needs, as a service's job would need its database.
#[derive(Debug, Clone)]
struct Output {
    node: String,
    rows: PathBuf,
}

#[singleton_job("* * * * * *", name = "heartbeat")]
async fn heartbeat(State(output): State<Output>, ctx: JobContext) -> std::io::Result<()> {
    let row = Row {
        tick: ctx.tick_unix_s(),
        node: output.node,
        fence: ctx.fence().get(),
        term: ctx.leader_term().get(),
        delay_ms: u64::try_from(ctx.delay().as_millis()).unwrap_or(u64::MAX),
    };
    rows::append(&output.rows, &row).await
}

pub(crate) async fn run(arguments: Arguments, store: &str) -> anyhow::Result<()> {
    let store = leasehold::store(store)?;
    let coord = Coordinator::builder_dyn(store, &arguments.namespace)
        .label(&arguments.name)
        .connect()
        .await?;
    let output = Output {
        node: arguments.name,
        rows: arguments.rows,
    };
    Scheduler::builder(&coord)
        .state(output)
        .jobs(jobs![heartbeat])
        .leader_ttl(3.s())
        .run_ttl(5.s())
        .run_until(stopped())
        .await?;
    coord.shutdown(std::time::Duration::ZERO).await;
    Ok(())
}

/// SIGTERM, or the end of the process that started this one.
async fn stopped() {
    let orphaned = async {
        let mut nothing = [0];
        while matches!(tokio::io::stdin().read(&mut nothing).await, Ok(1..)) {}
    };
    tokio::select! {
        () = shutdown_signal() => {}
        () = orphaned => {}
    }
}
