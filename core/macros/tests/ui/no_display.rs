#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

struct Id;

#[locked("invoice/{id}")]
async fn pay(coord: &Coordinator, id: Id) -> Result<(), Error> {
    Ok(())
}

fn main() {}
