//! The client, one for each `connect`: requests and their dating, renewals, clean-up, membership, pushes.

mod acquire;
mod builder;
mod cleaner;
mod clock;
mod coordinator;
mod core;
mod held;
mod inbox;
mod membership;
mod renewer;

pub(crate) use acquire::{Ask, acquire, release};
pub use builder::Builder;
pub(crate) use cleaner::Cleanup;
pub(crate) use clock::micros;
pub use coordinator::Coordinator;
pub(crate) use coordinator::{Inner, inspect};
pub(crate) use core::Core;
pub(crate) use held::{Held, Overdue};

use std::time::Duration;

/// What a guard keeps back of its lease for the difference between two clocks' speeds.
pub(crate) fn drift_margin(ttl: Duration) -> Duration {
    (ttl / 100).max(Duration::from_millis(10))
}
