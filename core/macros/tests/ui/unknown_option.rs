#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}", tll = "30s")]
async fn pay(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{id}", lease, lease = held)]
async fn twice(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked(ttl = "30s")]
async fn no_name(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

fn main() {}
