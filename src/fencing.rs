#![doc = include_str!("../docs/fences.md")]

pub use leasehold_core::fencing::*;
