//! For tests of your own jobs: a fleet of schedulers in one process and in virtual time (feature `test-util`).
//!
//! [`TestScheduler`] starts at an instant that the test chooses and steps through days in milliseconds. Handlers really
//! run, on nodes that are added, stopped, lost, cut off, as the test likes; what became of each tick is there to be
//! asserted.

#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

mod playing;
mod real;
mod seen;
mod setup;
mod time;
mod when;

pub use playing::TestScheduler;
pub use setup::TestSetup;
pub use when::{When, unix};
