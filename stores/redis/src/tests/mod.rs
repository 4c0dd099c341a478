//! Tests that need the scripts on a clock of their own, which no build but the tests' has.

mod conformance;
mod crowd;
mod fast;
mod leases;
mod quotas;
mod registers;
mod rig;
