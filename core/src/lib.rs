//! The core of [leasehold](https://docs.rs/leasehold): the lease protocol, the store contracts, the client and the lock
//! primitives. Users depend on `leasehold`, which re-exports all of it.

mod client;
pub mod env;
mod error;
mod fence;
pub mod fencing;
mod lock;
mod metrics;
pub mod name;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
pub mod protocol;
mod register;
#[cfg(feature = "test-util")]
mod replay;
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;

#[doc(hidden)]
pub use lock::locked as __macro;

pub use client::{
    Builder, Coordinator, Departure, Health, Holder, Inspection, Listing, Quotas, Revocation,
    Shutdown, Taken, ToSettle, Waiter,
};
pub use env::{Env, Moment};
pub use error::{
    Busy, Error, Lost, LostCause, PermitsError, Relock, TogetherError, TooHeavy, TtlError,
};
pub use fence::{Fence, GrantId};
pub use lock::{
    Election, Fairness, Healthy, Hold, Leader, Leadership, Lease, LockAll, MultiGuard, MutexGuard,
    Mutexes, Observation, Observer, Permit, ReadGuard, RwLocks, Semaphore, Semaphores, WriteGuard,
};
pub use name::{Class, NameError, Namespace, ResourceName};
pub use protocol::{Expect, NodeId, Register, RegisterReply};
pub use register::{Put, RegisterHandle};
#[cfg(feature = "test-util")]
pub use replay::replay;
