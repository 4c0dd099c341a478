//! Drops lock calls at random instants on a real Redis server, and looks that nothing stays: no lease, no place in a
//! queue, no key but the namespace's own.
//!
//! ```text
//! cargo xtask cancellations --count 100000
//! ```

mod calls;
mod keys;
mod memory;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold::Coordinator;
use leasehold::prelude::*;
use leasehold_testkit::RedisServer;

use calls::{Caller, Counts};

const HELP: &str = "\
Drops lock calls at random instants, on a redis-server of its own, and fails if anything of them stays. Then locks many
names once each, and fails if anything of those stays.

Usage: cargo xtask cancellations [--count N] [--names N] [--seed S] [--quick]

  --count N   calls that are dropped before they end, default 100000
  --names N   names that are used once each, default 10000
  --seed S    of names, forms and instants, default 1
  --quick     look that nothing is in the next caller's way, instead of waiting until the server has collected, a minute
              later, what remembered that a request had ended
";

const CLIENTS: usize = 4;
const CALLERS: usize = 16;
const NAMESPACE: &str = "cancel";
/// How much longer than it is of use the server keeps a record, at the most.
const COLLECTED: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    count: u64,
    names: u64,
    seed: u64,
    quick: bool,
}

fn arguments(mut given: impl Iterator<Item = String>) -> anyhow::Result<Option<Arguments>> {
    let mut arguments = Arguments {
        count: 100_000,
        names: 10_000,
        seed: 1,
        quick: false,
    };
    while let Some(flag) = given.next() {
        let number = match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--quick" => {
                arguments.quick = true;
                continue;
            }
            "--count" => &mut arguments.count,
            "--names" => &mut arguments.names,
            "--seed" => &mut arguments.seed,
            other => bail!("unknown argument `{other}`\n\n{HELP}"),
        };
        let text = given
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        *number = text
            .parse()
            .with_context(|| format!("{flag} {text}: a whole number"))?;
    }
    Ok(Some(arguments))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("cancellations: {error:#}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cancellations: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let server = RedisServer::start();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let store = leasehold::store(&server.url())?;
        let builder = Coordinator::builder_dyn(store, NAMESPACE);
        clients.push(builder.request_timeout(REQUEST_TIMEOUT).connect().await?);
    }
    let rate = cancel(&clients, arguments).await?;
    look(&server, arguments).await?;
    let growth = use_once(&clients[0], arguments.names).await?;
    look(&server, arguments).await?;
    println!(
        "cancellations: count={} per_second={rate:.0} names={} bytes_per_name={growth} left=0",
        arguments.count, arguments.names
    );
    Ok(())
}

/// Fails unless nothing is left, once the cleaner is through and what ended is forgotten.
async fn look(server: &RedisServer, arguments: &Arguments) -> anyhow::Result<()> {
    // A storm of calls leaves the cleaner some seconds behind.
    let soon = calls::LONGEST_CARE + REQUEST_TIMEOUT + 15.s();
    if arguments.quick {
        return keys::use_up(server, NAMESPACE, soon).await;
    }
    keys::wait_until_collected(server, soon + COLLECTED).await
}

/// Cancels so many calls; answers how many a second.
async fn cancel(clients: &[Coordinator], arguments: &Arguments) -> anyhow::Result<f64> {
    println!(
        "dropping {} lock calls of {CLIENTS} clients at random instants, seed {}",
        arguments.count, arguments.seed
    );
    let (env, counts) = (Env::system(), Arc::new(Counts::default()));
    let (started, mut callers) = (env.now(), Vec::new());
    for number in 0..CALLERS {
        let coord = &clients[number % CLIENTS];
        let seed = arguments.seed ^ ((number as u64) << 32);
        let caller = Caller::new(coord, seed, Arc::clone(&counts), arguments.count)?;
        callers.push(env.spawn(caller.run()));
    }
    let progress = {
        let (env, counts, count) = (env.clone(), Arc::clone(&counts), arguments.count);
        env.clone().spawn(async move {
            loop {
                env.sleep(5.s()).await;
                let seconds = env.now().since(started).as_secs();
                let cancelled = counts.cancelled.load(Ordering::Relaxed).min(count);
                let resident = memory::resident() / 1024;
                println!(
                    "{seconds:>4} s  {cancelled} of {count} dropped, resident memory {resident} kB"
                );
            }
        })
    };
    for caller in callers {
        caller.await.context("a caller panicked")??;
    }
    progress.abort();
    let took = env.now().since(started);
    println!("{counts}, in {took:.1?}");
    let cancelled = counts.cancelled.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    Ok(cancelled as f64 / took.as_secs_f64())
}

/// Locks names once each, twice as many in all: what the second half adds to this process's memory is a name's share.
async fn use_once(coord: &Coordinator, names: u64) -> anyhow::Result<u64> {
    println!("locking {names} names once each, and then {names} others");
    let (env, started) = (Env::system(), Env::system().now());
    let start = memory::resident();
    lock_each(coord, 0..names).await?;
    let middle = memory::resident();
    lock_each(coord, names..2 * names).await?;
    let end = memory::resident();
    let took = env.now().since(started).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = (2 * names) as f64 / took;
    println!(
        "{rate:.0} names a second; resident memory {} kB, {} kB, {} kB",
        start / 1024,
        middle / 1024,
        end / 1024
    );
    Ok(end.saturating_sub(middle) / names.max(1))
}

async fn lock_each(coord: &Coordinator, names: std::ops::Range<u64>) -> anyhow::Result<()> {
    const AT_ONCE: u64 = 16;
    let env = coord.env().clone();
    let (next, end) = (Arc::new(AtomicU64::new(names.start)), names.end);
    let mut tasks = Vec::new();
    for number in 0..AT_ONCE {
        let mutexes = coord.mutexes("once")?.wait(calls::WAIT);
        let next = Arc::clone(&next);
        tasks.push(env.spawn(async move {
            loop {
                let name = next.fetch_add(1, Ordering::Relaxed);
                if name >= end {
                    return Ok::<_, Error>(());
                }
                let guard = mutexes.lock(name).await?;
                // Both ways to end a lease.
                if number % 2 == 0 {
                    guard.release().await?;
                }
            }
        }));
    }
    for task in tasks {
        task.await.context("a task panicked")??;
    }
    Ok(())
}
