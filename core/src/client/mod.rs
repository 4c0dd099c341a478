//! The client, one for each `connect`: requests and their dating, local lines and their visits, renewals, clean-up,
//! membership, pushes.

mod acquire;
mod attempt;
mod builder;
mod cleaner;
mod clock;
mod coordinator;
mod core;
mod floors;
mod health;
mod inbox;
mod inspect;
mod lead;
mod leading;
mod line;
mod membership;
mod permits;
mod place;
mod quotas;
mod release;
mod renewals;
mod renewer;
mod revoke;
pub(crate) mod several;
mod share;
mod tenure;
mod together;
mod turn;
mod visit;

pub(crate) use acquire::{Ask, acquire, acquire_in_rounds, acquire_until};
pub use builder::Builder;
pub(crate) use cleaner::Cleanup;
pub use clock::Departure;
pub(crate) use clock::micros;
pub(crate) use coordinator::Inner;
pub use coordinator::{Coordinator, Shutdown};
pub(crate) use core::Core;
pub use health::Health;
pub use inspect::{Holder, Inspection, Listing, Waiter};
pub(crate) use inspect::{inspect, look};
pub(crate) use leading::{Leading, Own, Standing, Terms};
pub(crate) use line::Mode;
pub(crate) use permits::{
    Want, acquire as acquire_permits, acquire_until as acquire_permits_until, check_name, resize,
    size,
};
pub use quotas::{Quotas, Taken, ToSettle};
pub(crate) use release::{release, release_all};
pub use tenure::Revocation;
pub(crate) use tenure::Tenure;
pub(crate) use together::{Patience, acquire_all};
pub(crate) use turn::{Holding, Overdue, Seat, TaskId, Turn};

use std::time::Duration;

use crate::planted::{Bug, planted};

/// How long between two attempts when the store does not answer.
const RETRY: Duration = Duration::from_millis(50);
/// How long a caller whose wait is over may be kept to learn who has it.
const FAREWELL: Duration = Duration::from_millis(250);

/// What a guard keeps back of its lease for the difference between two clocks' speeds, over so long a time.
pub(crate) fn drift_margin(remaining: Duration) -> Duration {
    if planted(Bug::NoMargin) {
        return Duration::ZERO;
    }
    (remaining / 100).max(Duration::from_millis(10))
}
