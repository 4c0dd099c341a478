//! What can be asked of a resource, and what it answers.

use super::{Record, Rid};

/// An operation on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Hold it, or stand in its queue.
    Acquire(Acquire),
    /// Hold it for another TTL.
    Renew(Renew),
    /// End a hold or a wait.
    Release(Release),
    /// Look, and let expiry take effect.
    Inspect,
}

/// Asks to hold; sent again with the same id it asks how that stands, and says that the waiter lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    /// The request.
    pub rid: Rid,
    /// After this instant of the store's lease clock the store refuses it. Fixed per id: a retry does not extend it.
    pub not_after_us: u64,
    /// How much of the capacity; 1 for a mutex.
    pub weight: u32,
    /// The TTL.
    pub ttl_us: u64,
    /// Whether to stand in the queue if it cannot be held now.
    pub wait: bool,
    /// How many fences (at least 1).
    pub want: u64,
    /// The highest fence or store time this client has seen from the namespace.
    pub seen: u64,
    /// Who asks, for people.
    pub label: String,
}

/// Asks to hold for another full TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renew {
    /// The acquire that holds.
    pub rid: Rid,
    /// As [`Acquire::not_after_us`].
    pub not_after_us: u64,
    /// Counts the renewals of `rid`; one that is not newer than the last applied changes nothing.
    pub renewal: u64,
}

/// Ends a hold or a wait. If the waiter was granted meanwhile, the same step hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The acquire to end.
    pub rid: Rid,
    /// As [`Acquire::not_after_us`].
    pub not_after_us: u64,
    /// The last fence of the block that was used, if known: the next grant starts after it. 0 if not known.
    pub used: u64,
    /// Remember `rid` as ended until this instant of the lease clock, so that a late copy of the acquire is refused;
    /// 0 if the acquire was sent exactly once and answered, so that no copy can be under way.
    pub close_until_us: u64,
}

/// An operation's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Held, with the fences `first..=end`.
    Granted {
        /// First fence of the block.
        first: u64,
        /// Last fence of the block.
        end: u64,
        /// How long the lease still lasts.
        remaining_us: u64,
        /// Whether the full TTL is claimed; if not, renew at once.
        claimed: bool,
    },
    /// In the queue.
    Queued {
        /// How many stand before it.
        ahead: u32,
        /// Ask again after this long, if no push came.
        check_in_us: u64,
    },
    /// Someone has it.
    Busy {
        /// The holder's label.
        holder: String,
        /// For how long it has held.
        held_us: u64,
        /// How long its lease still lasts.
        remaining_us: u64,
    },
    /// Renewed, or already renewed by a newer request.
    Renewed {
        /// How long the lease still lasts.
        remaining_us: u64,
    },
    /// Ended.
    Released {
        /// What was ended.
        was: Was,
    },
    /// A renewal found no such holder.
    NotHeld,
    /// The request was ended before.
    Closed,
    /// The request came after its `not_after`.
    Stale,
    /// What stands there, after expiry took effect; `None` for a free resource without a record.
    Inspected(Option<Record>),
}

/// What a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// A hold.
    Held,
    /// A place in the queue.
    Queued,
    /// Nothing was there.
    Absent,
}
