#![doc = include_str!("../README.md")]

mod connect;
mod duration;
pub mod fencing;
pub mod prelude;

pub use connect::{ConnectError, connect, store};
pub use duration::DurationExt;
/// The core crate: protocol, store contracts, client.
pub use leasehold_core as core;
pub use leasehold_core::store::MemoryStore;
pub use leasehold_core::{
    Builder, Busy, Class, Coordinator, Election, Env, Error, Expect, Fence, GrantId, Hold, Leader,
    Leadership, Lease, LockAll, Lost, LostCause, Moment, MultiGuard, MutexGuard, Mutexes,
    NameError, Namespace, NodeId, Observation, Observer, Permit, PermitsError, Put, ReadGuard,
    Register, RegisterHandle, RegisterReply, ResourceName, RwLocks, Semaphore, Semaphores,
    TogetherError, TooHeavy, TtlError, WriteGuard,
};

#[doc(hidden)]
pub use leasehold_core::__macro;
pub use leasehold_macros::{locked, permit};

/// Leader-elected cron (feature `scheduler`).
#[cfg(feature = "scheduler")]
pub use leasehold_scheduler as scheduler;
#[cfg(feature = "scheduler")]
pub use leasehold_scheduler::{
    JobContext, Jobs, Scheduler, State, jobs, shutdown_signal, singleton_job,
};

/// Rate limits of a fleet (feature `ratelimit`).
#[cfg(feature = "ratelimit")]
pub use leasehold_ratelimit as ratelimit;
#[cfg(feature = "ratelimit")]
pub use leasehold_ratelimit::{Decision, Outage, Quota, RateLimiter};

/// A fleet of nodes in one process and in virtual time, for tests of your own code (feature `test-util`).
#[cfg(feature = "test-util")]
pub mod testing {
    pub use leasehold_core::replay;
    pub use leasehold_core::testing::*;
    #[cfg(feature = "scheduler")]
    pub use leasehold_scheduler::testing::*;
}

/// The Redis store, and where its credentials come from (feature `redis`).
#[cfg(feature = "redis")]
pub use leasehold_redis as redis;
#[cfg(feature = "redis")]
pub use leasehold_redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use leasehold_sqlite::SqliteStore;

/// The code of the guides is compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/redis.md")]
mod redis_guide {}

/// The code of the guides is compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/semaphores.md")]
mod semaphores_guide {}

/// The code of the guides is compiled.
#[cfg(all(doctest, feature = "scheduler"))]
#[doc = include_str!("../docs/scheduler.md")]
mod scheduler_guide {}

/// The code of the guides is compiled.
#[cfg(all(doctest, feature = "ratelimit"))]
#[doc = include_str!("../docs/ratelimit.md")]
mod ratelimit_guide {}
