//! One after the other: how long one takes.

use std::future::Future;
use std::time::Duration;

use leasehold::{Env, Moment};

use super::Target;
use super::progress::Progress;
use super::report::{Report, Times, micros, rounded};
use crate::exit::Failure;

/// What is not measured: connections, scripts and caches warm up.
const WARM_UP: u32 = 200;

/// Round trips, with `pace` between two.
pub(super) async fn pings<P: Future<Output = Result<(), Failure>>>(
    address: &str,
    count: u32,
    pace: Duration,
    progress: &Progress,
    ping: impl Fn() -> P,
) -> Result<Report, Failure> {
    let env = Env::system();
    for _ in 0..WARM_UP.min(count) {
        ping().await?;
    }
    let mut times = Vec::with_capacity(count as usize);
    let began = env.now();
    for n in 0..count {
        if !pace.is_zero() {
            env.sleep(pace).await;
        }
        let sent = env.now();
        ping().await?;
        times.push(env.now().since(sent));
        progress.at(n.into());
    }
    progress.done();
    Ok(report("ping", address, times, env.now().since(began)))
}

/// Pairs of lock and unlock.
pub(super) async fn pairs<T: Target>(
    what: &'static str,
    address: &str,
    target: &T,
    count: u32,
    progress: &Progress,
) -> Result<Report, Failure> {
    let env = target.env();
    let id = format!("solo-{}", std::process::id());
    for _ in 0..WARM_UP.min(count) {
        pair(target, &id).await?;
    }
    let mut times = Vec::with_capacity(count as usize);
    let began = env.now();
    for n in 0..count {
        let asked = env.now();
        pair(target, &id).await?;
        times.push(env.now().since(asked));
        progress.at(n.into());
    }
    progress.done();
    Ok(report(what, address, times, env.now().since(began)))
}

async fn pair<T: Target>(target: &T, id: &str) -> Result<(), Failure> {
    match target.lock(id, Moment::NEVER).await? {
        Some(held) => target.unlock(held).await,
        None => Err(Failure::Busy(format!("`{id}` is held by something else"))),
    }
}

fn report(what: &'static str, address: &str, times: Vec<Duration>, took: Duration) -> Report {
    let (ops, times) = (times.len(), Times::new(times));
    Report::new(what, address)
        .with("ops", ops)
        .with("p50_us", micros(times.percentile(50)))
        .with("p99_us", micros(times.percentile(99)))
        .with("secs", rounded(took.as_secs_f64()))
}
