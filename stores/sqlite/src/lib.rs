//! leasehold's embedded store: one SQLite file shared by all the processes of one machine; no server.
//!
//! Use it for the replicas of a service that run side by side on one machine, and for development and tests. Replicas on
//! several machines need a server, such as Redis.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use leasehold_core::store::Connector;
//! use leasehold_sqlite::SqliteStore;
//!
//! let folder = tempfile::tempdir()?;
//! let store = SqliteStore::new(folder.path().join("leases.db"));
//! assert!(store.address().starts_with("sqlite:/"));
//! # Ok::<(), std::io::Error>(()) }).unwrap();
//! ```
//!
//! # What it promises
//! - **Process crashes lose nothing.** A killed process's acknowledged writes are in the operating system's hands.
//! - **Power loss can lose the latest commits** (write-ahead log, `synchronous = NORMAL`), though never consistency. A
//!   lease does not outlive its machine's boot anyway: times count on `CLOCK_BOOTTIME` and belong to one boot.
//! - **Waits are bounded.** A request ends within the session's request timeout, also if another process keeps the
//!   file's write lock; then it fails as *unknown*, and nothing was done.
//! - **A failed request leaves nothing half-done**: each runs in a transaction. Those that arrive together share one;
//!   if it fails, each is tried alone, so that a request that does not fit on the disk fails no other.
//! - **Grants are pushed** by datagram on the loopback interface; a lost one costs at most 250 ms.
//!
//! # What it asks
//! - A local file system: network file systems are refused, since their locks do not hold.
//! - A folder it may write to: SQLite keeps `-wal` and `-shm` files beside the file. Never delete or replace any of the
//!   three while a process has it open: clients notice that the data is gone, and go on with the new file, but until
//!   then two processes can hold one lease.
//! - One network namespace, for pushes: containers that share the file, but not the loopback interface, find grants by
//!   polling.

#![allow(
    clippy::doc_markdown,
    reason = "SQLite and MessagePack are names, not code"
)]

mod clock;
mod connection;
mod connector;
mod error;
mod events;
mod file;
mod floors;
mod garbage;
mod leases;
mod list;
mod members;
mod poll;
mod quotas;
mod registers;
mod schema;
mod statements;
mod task;
mod transaction;
mod waiters;
mod writer;

pub use connector::SqliteStore;
