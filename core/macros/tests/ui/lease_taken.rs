#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}", lease)]
async fn taken(coord: &Coordinator, id: u64, lease: u8) -> Result<(), Error> {
    Ok(())
}

fn main() {}
