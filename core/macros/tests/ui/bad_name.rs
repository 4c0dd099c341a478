#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice")]
async fn no_id(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[locked("{kind}/{id}")]
async fn varying_class(coord: &Coordinator, kind: &str, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("~election/{id}")]
async fn reserved(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("/{id}")]
async fn no_class(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

#[locked("invoice/\n{id}")]
async fn control(coord: &Coordinator, id: u64) -> Result<(), Error> {
    Ok(())
}

fn main() {}
