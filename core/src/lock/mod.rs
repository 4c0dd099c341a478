//! The lock primitives.

mod election;
mod hold;
mod lease;
pub mod locked;
mod mutex;
mod rwlock;
mod semaphore;
mod settings;
mod together;

pub use election::{Election, Healthy, Leader, Leadership, Observation, Observer};
pub use hold::Hold;
pub use lease::Lease;
pub use mutex::{Fairness, MutexGuard, Mutexes};
pub use rwlock::{ReadGuard, RwLocks, WriteGuard};
pub use semaphore::{Permit, Semaphore, Semaphores};
pub use together::{LockAll, MultiGuard};
