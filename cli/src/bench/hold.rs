//! Many leases in one process: what it takes to keep them.

use std::fs::read_to_string;
use std::time::Duration;

use leasehold::{Coordinator, MutexGuard};

use super::report::{Report, rounded};
use super::requests;
use crate::exit::Failure;

/// How many are asked for at once.
const AT_ONCE: usize = 256;
/// What Linux counts a process's time in, everywhere.
const TICKS_A_SECOND: f64 = 100.0;

pub(super) async fn run(
    coord: &Coordinator,
    address: &str,
    leases: usize,
    lasts: Duration,
    ttl: Duration,
) -> Result<Report, Failure> {
    let env = coord.env();
    let began = env.now();
    let mutexes = coord.mutexes("bench")?.ttl(ttl);
    let me = std::process::id();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let mutexes = mutexes.clone();
            env.spawn(async move {
                let mut held: Vec<MutexGuard> = Vec::new();
                for n in (first..leases).step_by(AT_ONCE) {
                    held.push(mutexes.lock(format!("hold-{me}-{n}")).await?);
                }
                Ok::<_, leasehold::Error>(held)
            })
        })
        .collect();
    let mut held = Vec::with_capacity(leases);
    for task in tasks {
        let ended = task.await;
        held.extend(ended.map_err(|e| Failure::Io("a task failed", e.into()))??);
    }
    let acquired = env.now();
    let (sent, spent) = (requests::sent(), cpu_seconds());
    env.sleep(lasts).await;
    let took = env.now().since(acquired).as_secs_f64();
    let (requests, cpu) = (requests::sent() - sent, (cpu_seconds() - spent) / took);
    let lost = held.iter().filter(|guard| !guard.is_held()).count();
    let report = Report::new("hold", address)
        .with("leases", held.len())
        .with("lost", lost)
        .with("secs", rounded(took))
        .with("acquire_s", rounded(acquired.since(began).as_secs_f64()))
        .with("cpu_percent", rounded(cpu * 100.0))
        .with("rss_mb", rounded(resident_mb()))
        .with("requests", requests);
    Ok(report)
}

/// What this process has used of the processors.
fn cpu_seconds() -> f64 {
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses, from the third field on: utime and stime are the 14th and 15th.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_A_SECOND
}

fn resident_mb() -> f64 {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}
