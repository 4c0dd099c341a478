//! What users of other libraries met, one test a failure, by its number in the list that this project keeps of them.
//! Each reproduces what happened there and shows that it does not happen here.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod clocks;
mod guards;
mod permits;
mod queue;
mod renewal;
mod requests;
mod subscriptions;
mod world;

#[path = "../support/holding.rs"]
mod holding;
