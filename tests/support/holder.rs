//! Holds the mutex `m/1` and answers to lines on its standard input, so that a test can kill it, stop it and ask it.
//!
//! `holder ADDRESS NAMESPACE TTL_MS`; prints `held FENCE`, then for each line read:
//! `check` -> `check held` or `check lost`; `write` -> what the register answered; and by itself, once, `lost NANOS`.
//! With `READS` in its environment it reads instead, prints `held GRANT`, and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use leasehold::{Coordinator, Put, RegisterReply};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("holder ADDRESS NAMESPACE TTL_MS");
    let (address, namespace, ttl) = (next()?, next()?, next()?.parse()?);
    let store = leasehold::store(&address)?;
    let coord = Coordinator::builder_dyn(store, &namespace)
        .connect()
        .await?;
    if std::env::var_os("READS").is_some() {
        let locks = coord.rw_locks("m")?.ttl(Duration::from_millis(ttl));
        let guard = locks.read(1).await?;
        println!("held {}", guard.grant_id());
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while lines.next_line().await?.is_some() {
            let said = if guard.is_held() { "held" } else { "lost" };
            println!("check {said}");
        }
        return Ok(());
    }
    let mutexes = coord.mutexes("m")?.ttl(Duration::from_millis(ttl));
    let guard = Arc::new(mutexes.lock(1).await?);
    println!("held {}", guard.fence());
    let (watched, env) = (Arc::clone(&guard), coord.env().clone());
    coord.env().spawn(async move {
        watched.lost().await;
        println!("lost {}", env.now().as_nanos());
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "check" if guard.is_held() => println!("check held"),
            "check" => println!("check lost"),
            "write" => {
                let put = Put::new("late").fenced(guard.fence());
                match coord.register("balance")?.put(&put).await? {
                    RegisterReply::Written { .. } => println!("write written"),
                    RegisterReply::Fenced { stored } => println!("write fenced {stored}"),
                    RegisterReply::Conflict(_) => println!("write conflict"),
                }
            }
            other => anyhow::bail!("unknown command `{other}`"),
        }
    }
    Ok(())
}
