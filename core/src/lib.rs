//! The core of [leasehold](https://docs.rs/leasehold): the lease protocol, the store contracts, the client and the lock
//! primitives. Users depend on `leasehold`, which re-exports all of it.

pub mod env;
mod fence;
pub mod name;
pub mod protocol;
pub mod store;

pub use env::{Env, Moment};
pub use fence::Fence;
pub use name::{Class, NameError, Namespace, ResourceName};
