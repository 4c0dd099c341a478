//! What a task holds.

use std::ops::Deref;

use leasehold_core::{Error, Leadership, Lease, MutexGuard};

/// A guard of any kind.
#[derive(Debug)]
pub(crate) enum Guard {
    Mutex(MutexGuard),
    Leader(Leadership),
}

impl Deref for Guard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        match self {
            Guard::Mutex(guard) => guard,
            Guard::Leader(leadership) => leadership,
        }
    }
}

impl Guard {
    pub(crate) async fn release(self) -> Result<(), Error> {
        match self {
            Guard::Mutex(guard) => guard.release().await,
            Guard::Leader(leadership) => leadership.resign().await,
        }
    }
}
