#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}", ttl = "30", wait = 5)]
async fn pay(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{id}", ttl = "1ms", wait = "60d")]
async fn out_of_range(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{id}", ttl = "1m", max_hold = "30s")]
async fn contradiction(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

fn main() {}
