//! Rate limits of a fleet that hold.
//!
//! A [`RateLimiter`] counts at the store, on the store's clock, in whole µs: of what passes in any `t` it promises at most
//! `rate x t + burst`, whatever clients, clocks and networks do. "Limited" and "unavailable" are different answers and never turn
//! into each other: what is said while the store is away is the limiter's [`Outage`] policy.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use leasehold_core::{Coordinator, store::MemoryStore};
//! use leasehold_ratelimit::{Quota, RateLimiter};
//!
//! let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
//! let api = RateLimiter::new(&coord, "api", Quota::per_second(100).burst(20))?;
//! if api.check("org-7").await?.is_allowed() {
//!     // at once, or not at all
//! }
//! api.until_ready("stripe").await?; // in turn
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod all;
mod ask;
mod breaker;
mod builder;
mod decision;
mod error;
pub mod fields;
#[cfg(feature = "tower")]
pub mod layers;
mod limiter;
mod live;
mod local;
mod metrics;
mod outage;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod quota;
mod reservation;
mod shares;
mod slot;
mod waiting;

pub use all::{All, AllDecision, LimitedBy};
pub use builder::Builder;
pub use decision::{Allowed, Decision, Limited, Source};
pub use error::{Error, Unavailable};
pub use leasehold_core::protocol::{QuotaError, Settled};
/// At most so many at a time, beside so many a second.
pub use leasehold_core::{Permit, Semaphore, Semaphores};
pub use limiter::RateLimiter;
pub use outage::Outage;
pub use quota::Quota;
pub use reservation::Reservation;
pub use shares::LocalShares;
