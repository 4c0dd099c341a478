//! The lock primitives.

mod election;
mod lease;
mod mutex;

pub use election::{Election, Leader, Leadership};
pub use lease::Lease;
pub use mutex::{Fairness, MutexGuard, Mutexes};
