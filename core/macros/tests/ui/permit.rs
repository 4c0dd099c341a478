#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::permit;

#[permit("stripe")]
async fn no_number(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("stripe", wait = "5s")]
async fn no_number_before_options(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("stripe", 0)]
async fn none(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("stripe", 20, permits = 21)]
async fn too_many(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("stripe", 20, permits = 0, shared)]
async fn not_shared(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("{tenant}", 20)]
async fn varying_class(coord: &Coordinator, tenant: u64) -> Result<(), Error> {
    Ok(())
}

#[permit("tenant/{id}", 20, permit)]
async fn taken(permit: u64) {}

#[permit("stripe", "20")]
async fn no_u32(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

#[permit("stripe", 20)]
fn not_async(coord: &Coordinator) -> Result<(), Error> {
    Ok(())
}

fn main() {}
