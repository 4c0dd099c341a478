//! The store contracts: what a backend implements, and what it may promise.
//!
//! Traits here are small and object safe; the pleasant forms are on the client. A store's crate implements them and
//! passes the conformance suite (`store::conformance`, feature `test-util`).

mod capabilities;
#[cfg(feature = "test-util")]
pub mod conformance;
mod contract;
mod error;
#[cfg(feature = "test-util")]
mod faulty;
mod memory;

pub use capabilities::{Capabilities, ClockSource, Safety};
pub use contract::{
    Beat, Connector, Event, EventSender, Events, LeaseCall, Leases, ListQuery, Listener, Member,
    Members, Membership, Page, QuotaCall, QuotaReply, Quotas, Registers, Session, Stamped,
    StoreHandle, Take, WeakEventSender,
};
pub use error::{StoreError, StoreErrorKind};
#[cfg(feature = "test-util")]
pub use faulty::{Faults, FaultyStore};
pub use memory::MemoryStore;
#[cfg(feature = "test-util")]
pub use memory::{Done, Snapshot, Step};
