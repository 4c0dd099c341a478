//! Layers for [`tower`](https://docs.rs/tower) services: limits in servers, as of axum, and in HTTP clients (feature `tower`).
//!
//! | | for | when limited |
//! |---|---|---|
//! | [`RateLimitLayer`] | servers: a key of each request | answers 429 with `Retry-After`; or waits in turn first |
//! | [`ThrottleLayer`] | clients of an API with a limit: one key, or one of each request | waits in turn; and as the server says |
//! | [`PermitLayer`] | either: so many at a time, by a [`Semaphore`](leasehold_core::Semaphore) | waits in turn |
//!
//! **Ready means reserved.** What needs no request to be decided is reserved in `poll_ready`: a service that says it is ready
//! may call once. Clones share the limiter, and each reserves for itself. What was reserved and is not called is given back:
//! when the service is dropped, and if it is called too late ([`ThrottleLayer::use_within`]), then reserved anew. A key of
//! each request is known only in `call`, and is decided there.
//!
//! **Limited is not unavailable.** A server answers 429 if the limiter refused, and 503 if it cannot decide and its
//! [`Outage`](crate::Outage) policy says nothing; a client gets an [`Error`](crate::Error) that tells which.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # use leasehold_core::{Coordinator, store::MemoryStore};
//! # let coord = Coordinator::builder(MemoryStore::new(), "shop").connect().await.unwrap();
//! use axum::{Router, routing::get};
//! use leasehold_ratelimit::layers::{RateLimitLayer, by};
//! use leasehold_ratelimit::{Quota, RateLimiter};
//! let api = RateLimiter::new(&coord, "api", Quota::per_second(100).burst(20))?;
//! let app: Router = Router::new()
//!     .route("/orders", get(|| async { "none" }))
//!     .layer(RateLimitLayer::new(&api, by::header("x-customer")));
//! # drop(app);
//! # Ok::<(), leasehold_ratelimit::Error>(()) }).unwrap();
//! ```

mod ahead;
mod answer;
pub mod by;
mod error;
mod heard;
mod permits;
mod server;
mod throttle;

pub use error::CallError;
pub use permits::{PermitLayer, Permits};
pub use server::{RateLimit, RateLimitLayer};
pub use throttle::{Throttle, ThrottleLayer};
