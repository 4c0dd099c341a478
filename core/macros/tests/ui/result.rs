#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

#[locked("invoice/{id}")]
async fn nothing(coord: &Coordinator, id: u64) {}

fn main() {}
