//! What most programs use: `use leasehold::prelude::*;`.

pub use crate::{
    Coordinator, DurationExt, Env, Error, Fence, Lease, MutexGuard, Permit, ReadGuard, WriteGuard,
    locked, permit,
};
#[cfg(feature = "ratelimit")]
pub use crate::{Decision, Outage, Quota, RateLimiter};
#[cfg(feature = "scheduler")]
pub use crate::{JobContext, Scheduler, State, jobs, shutdown_signal, singleton_job};
