#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}")]
fn pay(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/7")]
struct Invoice;

trait Pay {
    #[locked("invoice/{id}", coord = self.coord())]
    async fn pay(&self, id: u64) -> Result<(), Error>;
}

fn main() {}
