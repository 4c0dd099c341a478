//! The lease: an exclusive hold, and its fence.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Hold;
use crate::client::{Holding, Inner};
use crate::error::Error;
use crate::fence::Fence;

/// All of a resource, held by one: a [`Hold`] with a fence. What guards of mutexes, writers and leaders are.
#[must_use = "a lease ends when it is dropped"]
pub struct Lease(Hold);

impl Lease {
    pub(crate) fn new(inner: Arc<Inner>, held: Holding) -> Self {
        Self(Hold::new(inner, held))
    }

    /// Of a hold that has all.
    pub(super) fn of(hold: Hold) -> Self {
        Self(hold)
    }

    /// What it holds, to be given back with others.
    pub(super) fn into_holding(self) -> Holding {
        self.0.into_holding()
    }

    /// The fence of this grant: send it along with every write made under the lease.
    pub fn fence(&self) -> Fence {
        Fence::new(self.grant_id().get())
    }

    /// As [`Hold::release`].
    ///
    /// # Errors
    /// As [`Hold::release`].
    ///
    /// # Cancel safety
    /// As [`Hold::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.0.release().await
    }
}

impl Deref for Lease {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.0
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("name", &self.name().as_str())
            .field("fence", &self.fence().get())
            .field("held", &self.is_held())
            .finish_non_exhaustive()
    }
}
