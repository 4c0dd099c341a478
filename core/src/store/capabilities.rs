//! What a store can do, and how safe it is: read by tests, docs and tools.

use std::time::Duration;

/// What becomes of acknowledged writes when something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Safety {
    /// A crash of the store, or of its machine, can lose the latest acknowledged writes.
    BestEffort,
    /// They survive the loss of one server, if replication had caught up.
    Replicated,
    /// They survive any minority of failures.
    Linearizable,
}

/// Whose clock leases expire on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClockSource {
    /// The machine's boot-time clock: it never steps.
    Monotonic,
    /// A server's wall clock: an operator can step it.
    ServerWall,
}

/// What a store offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How safe its acknowledged writes are.
    pub safety: Safety,
    /// Whose clock decides.
    pub clock: ClockSource,
    /// Whether waiters are served in the order they came.
    pub fifo: bool,
    /// Whether grants are pushed (a hint; waiters check in any case).
    pub push: bool,
    /// Whether the store outlives the processes that use it.
    pub shared: bool,
    /// The shortest TTL that makes sense on it.
    pub min_ttl: Duration,
}

impl Capabilities {
    /// A store with these properties; the rest are a plain store's: FIFO, pushes, shared between processes.
    pub const fn new(safety: Safety, clock: ClockSource, min_ttl: Duration) -> Self {
        Self {
            safety,
            clock,
            fifo: true,
            push: true,
            shared: true,
            min_ttl,
        }
    }

    /// The same, private to one process.
    pub const fn in_process(mut self) -> Self {
        self.shared = false;
        self
    }
}
