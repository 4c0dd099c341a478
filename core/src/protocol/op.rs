//! What can be asked of a resource, and what it answers.

use std::sync::Arc;

use super::{Capacity, Record, Rid, Weight};

/// An operation on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Hold it, or stand in its queue.
    Acquire(Acquire),
    /// Hold it for another TTL.
    Renew(Renew),
    /// Hold more or less of it.
    Reweigh(Reweigh),
    /// End a hold or a wait.
    Release(Release),
    /// Tell a holder to go.
    Revoke(Revoke),
    /// Look, and change nothing: what has expired stands there until another operation lets it take effect.
    Inspect,
}

impl Op {
    /// The acquire whose entry it is about.
    pub fn rid(&self) -> Option<Rid> {
        match self {
            Op::Acquire(ask) => Some(ask.rid),
            Op::Renew(ask) => Some(ask.rid),
            Op::Reweigh(ask) => Some(ask.rid),
            Op::Release(ask) => Some(ask.rid),
            Op::Revoke(ask) => Some(ask.rid),
            Op::Inspect => None,
        }
    }
}

/// Asks to hold; sent again with the same id it asks how that stands, and says that the waiter lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    /// The request.
    pub rid: Rid,
    /// After this instant of the store's lease clock the store refuses it. Fixed per id: a retry does not extend it.
    pub not_after_us: u64,
    /// How much of the capacity.
    pub weight: Weight,
    /// How much there is, as this client takes it.
    pub capacity: Capacity,
    /// The TTL.
    pub ttl_us: u64,
    /// Whether to stand in the queue if it cannot be held now.
    pub wait: bool,
    /// How many fences (at least 1).
    pub want: u64,
    /// The highest fence or store time this client has seen from the namespace.
    pub seen: u64,
    /// Who asks, for people.
    pub label: Arc<str>,
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

/// Asks to hold this much. Less is given up at once. More is had in place only if it fits and nobody waits: else the
/// weight stays, and the client queues for the difference with an entry of its own, which it then has absorbed here. It
/// extends no lease, and revives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reweigh {
    /// The acquire that holds.
    pub rid: Rid,
    /// As [`Acquire::not_after_us`].
    pub not_after_us: u64,
    /// Counts the changes of `rid`'s weight; one that is not newer than the last changes nothing.
    pub change: u64,
    /// The weight in all, not a difference: a lost answer must not make a repeat count twice.
    pub weight: Weight,
    /// How much there is, as this client takes it now. It stands for the entry unless that announced a later one.
    pub capacity: Capacity,
    /// The client's other entry that becomes part of this one.
    pub absorb: Option<Absorbed>,
}

/// An entry that becomes part of another one of its client. Its weight counts as that one's own, so that growing by it
/// needs no room and passes nobody. One that does not hold is left as it is, and the rest applies as if it were not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absorbed {
    /// The acquire that ends.
    pub rid: Rid,
    /// As [`Release::close_until_us`].
    pub close_until_us: u64,
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
    /// 0 if every copy of the acquire that was sent was answered, so that none can be under way.
    pub close_until_us: u64,
}

/// Tells a holder to go: it is renewed no more. It is not cut short here, since it may believe in its lease until the
/// end it was promised; a client that hears of it gives up after the grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The acquire that holds. Named, so that a late copy of this does not hit a later holder.
    pub rid: Rid,
    /// As [`Acquire::not_after_us`].
    pub not_after_us: u64,
    /// How long the holder may go on once it has heard.
    pub grace_us: u64,
    /// Why, for people.
    pub reason: String,
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
        /// Whether the full TTL is claimed; if not, renew within the claim window.
        claimed: bool,
        /// Whether others wait.
        contended: bool,
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
    /// It is more than there is: it can never be granted.
    TooHeavy {
        /// How much there is.
        capacity: u32,
    },
    /// Renewed, or already renewed by a newer request.
    Renewed {
        /// How long the lease still lasts.
        remaining_us: u64,
        /// Whether others wait.
        contended: bool,
        /// It is to go: it was not extended.
        revoked: Option<Revoked>,
    },
    /// It holds this much now.
    Weighed {
        /// The weight in force, which is not what was asked for if that had to wait.
        weight: Weight,
        /// Whether others wait: then what is not in use is not to be kept.
        contended: bool,
    },
    /// Ended.
    Released {
        /// What was ended.
        was: Was,
    },
    /// A holder was told to go, or had been before.
    Revoked,
    /// A renewal, a change of weight or a revocation found no such holder.
    NotHeld,
    /// The request was ended before.
    Closed,
    /// The request came after its `not_after`.
    Stale,
    /// What stands there, as it was stored; `None` for a free resource without a record.
    Inspected(Option<Record>),
}

/// Why and how fast a holder is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// How long it may go on once it has heard.
    pub grace_us: u64,
    /// Why, for people.
    pub reason: String,
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

/// What an operation has a client told. Hints: they may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// This waiter was made holder.
    Granted(Handed),
    /// Someone began to wait for what this holder has.
    Contended(Rid),
    /// This holder is to go.
    Revoked(Rid),
}

impl Notice {
    /// The acquire whose client is to be told.
    pub fn rid(&self) -> Rid {
        match self {
            Notice::Granted(handed) => handed.rid,
            Notice::Contended(rid) | Notice::Revoked(rid) => *rid,
        }
    }
}

/// A grant made by a hand-over, as its push carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// The waiter.
    pub rid: Rid,
    /// First fence of the block.
    pub first: u64,
    /// Last fence of the block.
    pub end: u64,
    /// When it was granted (lease time).
    pub granted_us: u64,
    /// When it ends unless the full TTL is claimed before (lease time).
    pub expires_us: u64,
}
