//! Fences enforced: what the protected side needs to refuse a late writer, wherever it keeps its data.
//!
//! | the write goes to | use |
//! |---|---|
//! | a database | [`sql`]: a fence column, or a fence table in the same transaction |
//! | Redis | [`redis`]: a script that writes only if no greater fence wrote before |
//! | a service of your own | [`http`]: a header to send, and a gate that serves or refuses |
//! | a small value beside the leases | a register: [`Put::fenced`](crate::Put::fenced) |
//!
//! Each of them accepts a fence that is *at least* the stored one, so that a holder may write many times, and repeats a
//! write whose answer it lost. Nothing here does I/O or needs a driver: texts and numbers, for the driver at hand.

mod fenced;
pub mod http;
pub mod redis;
pub mod sql;

pub use fenced::{Fenced, check_rows, check_stored};

/// The longest name of a resource here, in bytes: what `class/id` can have.
pub const MAX_RESOURCE_BYTES: usize = 2 * crate::name::MAX_NAME_BYTES + 1;
