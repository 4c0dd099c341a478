//! leasehold's store on one Redis or Valkey server, 7.0 or newer.
//!
//! The protocol's rules run on the server, as Lua, on the server's clock. What they keep is in `keys.rs`; how a
//! connection comes back after a loss, in `keeper.rs`.
//!
//! What one server promises is [`Safety::BestEffort`](leasehold_core::store::Safety::BestEffort): a crash can lose its
//! latest writes, and with them a lease. Fences still grow after that, as the protocol says.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod address;
mod check;
mod combine;
mod connection;
mod connector;
mod error;
mod events;
mod fast;
mod keeper;
mod keys;
mod leases;
mod link;
mod list;
mod login;
mod members;
mod permission;
mod quotas;
mod record;
mod registers;
mod script;
mod server;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod unpacked;

pub use connector::RedisStore;
pub use login::{Credentials, CredentialsError, Login};
