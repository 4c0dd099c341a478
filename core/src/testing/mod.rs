//! For tests of code that uses leasehold: a fleet of nodes in one process, in simulated time.
//!
//! [`TestFleet`] takes a lease away, stops a node, cuts it off, or loses the store's data, at the moment that a test
//! chooses. Nothing waits in real time: a test of an hour takes milliseconds.

mod fleet;
mod virtual_time;

pub use fleet::TestFleet;
pub use virtual_time::in_virtual_time;
