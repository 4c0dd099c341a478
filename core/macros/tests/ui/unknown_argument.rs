#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{invoice}")]
async fn pay(coord: &Coordinator, id: u64, (a, b): (u8, u8)) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{self.id}")]
async fn no_method(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{id:?}")]
async fn format(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

fn main() {}
