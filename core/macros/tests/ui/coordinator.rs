#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}")]
async fn none(id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/{id}")]
async fn two(a: &Coordinator, b: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

struct Service {
    name: String,
    coord: Coordinator,
}

impl Service {
    #[locked("service/{self.name}")]
    async fn of_self(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
