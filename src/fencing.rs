//! What lets the place you write to refuse a holder whose lease has passed on.
//!
#![doc = include_str!("../docs/fences.md")]

pub use leasehold_core::fencing::*;
