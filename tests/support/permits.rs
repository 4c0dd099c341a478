//! Has permits of the semaphore `stripe`, so that a test can kill it, and see how permits are shared.
//!
//! `permits ADDRESS NAMESPACE SIZE TTL_MS hold COUNT`: acquires that many, prints `held GRANT` and keeps them; then for
//! each line read `check held` or `check lost`.
//!
//! `permits ADDRESS NAMESPACE SIZE TTL_MS share TASKS HOLD_MS RUN_MS`: prints `ready`, waits for a line, and then has its
//! tasks acquire one each and hold it, again and again. At the end prints `held MICROS`, for how long they had permits in
//! all, and `served` with how often each task had one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use leasehold::{Coordinator, Semaphore};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("see the head of permits.rs");
    let (address, namespace, size) = (next()?, next()?, next()?.parse()?);
    let ttl = Duration::from_millis(next()?.parse()?);
    let store = leasehold::store(&address)?;
    let coord = Coordinator::builder_dyn(store, &namespace)
        .connect()
        .await?;
    let semaphore = coord.semaphore("stripe", size)?.ttl(ttl);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    if next()? == "hold" {
        let permit = semaphore.acquire_many(next()?.parse()?).await?;
        println!("held {}", permit.grant_id());
        while lines.next_line().await?.is_some() {
            let said = if permit.is_held() { "held" } else { "lost" };
            println!("check {said}");
        }
        return Ok(());
    }
    let tasks: usize = next()?.parse()?;
    let hold = Duration::from_millis(next()?.parse()?);
    let run = Duration::from_millis(next()?.parse()?);
    println!("ready");
    lines.next_line().await?;
    let held = Arc::new(AtomicU64::new(0));
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let task = share(
                coord.clone(),
                semaphore.clone(),
                hold,
                run,
                Arc::clone(&held),
            );
            coord.env().spawn(task)
        })
        .collect();
    let mut served = Vec::new();
    for task in running {
        served.push(task.await??.to_string());
    }
    println!("held {}", held.load(Ordering::Relaxed));
    println!("served {}", served.join(" "));
    Ok(())
}

/// Answers how often it had a permit.
async fn share(
    coord: Coordinator,
    semaphore: Semaphore,
    hold: Duration,
    run: Duration,
    held: Arc<AtomicU64>,
) -> anyhow::Result<u64> {
    let env = coord.env();
    let until = env.now() + run;
    let mut served = 0;
    while env.now() < until {
        let permit = semaphore.acquire().await?;
        let since = env.now();
        env.sleep(hold).await;
        // What counts is within the run: all processes are there then.
        let till = env.now().min(until);
        held.fetch_add(
            u64::try_from(till.since(since).as_micros())?,
            Ordering::Relaxed,
        );
        served += 1;
        permit.release().await?;
    }
    Ok(served)
}
