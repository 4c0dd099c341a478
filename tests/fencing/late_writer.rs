//! Takes the mutex `m/1` and writes when told to, whether it still holds it or not, so that a test can stop it meanwhile.
//!
//! `late_writer ADDRESS NAMESPACE TTL_MS PLACE`; prints `held FENCE`, then for each line read writes that line to the
//! place, and prints `written` or `refused` and why.

mod place;

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};

use place::Place;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("ADDRESS NAMESPACE TTL_MS PLACE");
    let (address, namespace, ttl) = (next()?, next()?, next()?.parse()?);
    let place = Place::parse(&next()?)?;
    let coord = leasehold::connect(&address, &namespace).await?;
    let mutexes = coord.mutexes("m")?.ttl(Duration::from_millis(ttl));
    let guard = mutexes.lock(1).await?;
    println!("held {}", guard.fence());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match place.write(&coord, guard.fence(), &line).await? {
            Ok(()) => println!("written"),
            Err(fenced) => println!("refused {fenced}"),
        }
    }
    Ok(())
}
