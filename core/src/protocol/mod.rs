//! The protocol: pure and deterministic, `(state, operation, now) -> (state', reply, wake-ups)`.
//!
//! It has no I/O, no clock and no randomness, and it is the specification: SQL and memory stores run it inside their
//! transaction; the Redis store runs the same rules as Lua, and a property test drives both alike.

mod lease;
mod op;
mod quota;
mod record;
mod register;
mod reweigh;
mod rid;
mod weight;

pub use lease::{Outcome, apply};
pub use op::{
    Absorbed, Acquire, Handed, Notice, Op, Release, Renew, Reply, Revoke, Revoked, Reweigh, Was,
};
pub use quota::{
    Charge, Charged, LONGEST_WAIT_US, Quota, QuotaError, Settle, Settled, Standing, Usage, charge,
    charge_all, peek, settle,
};
#[cfg(feature = "test-util")]
pub use record::encode_before;
pub use record::{Closed, Entry, FORMAT, FORMAT_BEFORE, Phase, Record, TooNew, decode, encode};
pub use register::{Expect, REGISTER_FORMAT, Register, RegisterReply, RegisterWrite, write};
pub use rid::{NodeId, ParseRidError, Rid};
pub use weight::{Capacity, Weight};

/// The store's time.
///
/// TTLs and deadlines count on `lease_us`, fences on `wall_us`; an entry of another `epoch` (another boot of the
/// machine whose clock `lease_us` is) has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The clock that leases expire on, in µs.
    pub lease_us: u64,
    /// Wall time, in µs since 1970.
    pub wall_us: u64,
    /// Which life of the lease clock this is; 0 where the clock outlives its machine.
    pub epoch: u64,
}

/// A waiter or member that was not heard from for 2.5 heartbeats is taken for dead.
pub const LIVENESS_US: u64 = 12_500_000;
/// How often waiters and members say that they live.
pub const HEARTBEAT_US: u64 = 5_000_000;
/// A waiter that was heard from within this time is about to be heard from again.
pub const FRESH_US: u64 = HEARTBEAT_US * 5 / 4;
/// How long a waiter that was made holder has to claim its lease.
pub const CLAIM_WINDOW_US: u64 = 1_000_000;
/// How long a request that ended is remembered beyond its own deadline.
pub const CLOSED_SLACK_US: u64 = 1_000_000;
/// The longest TTL of a namespace, unless it says otherwise.
pub const LONGEST_TTL_US: u64 = 24 * 3600 * 1_000_000;
/// A block of fences never runs further ahead of the store's clock than this.
pub const BLOCK_AHEAD_US: u64 = 1_000;
/// How much each of the first three waiters looks later than the holder's expiry, by its place.
pub const RANK_STEP_US: u64 = 50_000;
