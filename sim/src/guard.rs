//! What a task holds.

use std::ops::Deref;
use std::sync::Arc;

use leasehold_core::{
    Error, Fence, Hold, Leadership, MultiGuard, MutexGuard, ReadGuard, WriteGuard,
};

/// A guard of any kind.
#[derive(Debug)]
pub(crate) enum Guard {
    Mutex(MutexGuard),
    Leader(Leadership),
    Reader(ReadGuard),
    Writer(WriteGuard),
    /// One of several that are held together.
    Part(Arc<MultiGuard>, usize),
}

impl Deref for Guard {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        match self {
            Guard::Mutex(guard) => guard,
            Guard::Leader(leadership) => leadership,
            Guard::Reader(guard) => guard,
            Guard::Writer(guard) => guard,
            Guard::Part(all, at) => &all.leases()[*at],
        }
    }
}

impl Guard {
    /// What it writes under.
    pub(crate) fn fence(&self) -> Option<Fence> {
        match self {
            Guard::Mutex(guard) => Some(guard.fence()),
            Guard::Leader(leadership) => Some(leadership.fence()),
            Guard::Reader(_) => None,
            Guard::Writer(guard) => Some(guard.fence()),
            Guard::Part(all, at) => Some(all.leases()[*at].fence()),
        }
    }

    pub(crate) async fn release(self) -> Result<(), Error> {
        match self {
            Guard::Mutex(guard) => guard.release().await,
            Guard::Leader(leadership) => leadership.resign().await,
            Guard::Reader(guard) => guard.release().await,
            Guard::Writer(guard) => guard.release().await,
            // Given back with the others.
            Guard::Part(..) => Ok(()),
        }
    }
}
