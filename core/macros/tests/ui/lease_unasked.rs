#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}")]
async fn not_asked_for(coord: &Coordinator, id: u64) -> Result<u64, Error> {
    Ok(lease.fence().get())
}

fn main() {}
