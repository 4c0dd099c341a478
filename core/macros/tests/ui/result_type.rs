#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}")]
async fn no_result(coord: &Coordinator, id: u64) -> Option<u8> {
    None
}

#[locked("invoice/{id}")]
async fn other_error(coord: &Coordinator, id: u64) -> Result<(), std::fmt::Error> {
    Ok(())
}

fn main() {}
