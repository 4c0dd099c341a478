//! The errors users meet. `Busy`, `Unavailable` and `Lost` are three different failures and never share a variant.

use std::panic::Location;
use std::time::Duration;

use crate::fence::{Fence, GrantId};
use crate::name::{NameError, ResourceName};
use crate::protocol::Weight;
use crate::store::{StoreError, StoreErrorKind};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Someone else has it, and the wait is over. The store works.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The store can't say: it was not reached, or did not answer in time. Whether the request took effect is not known
    /// here; what it may have left is cleaned up in the background.
    #[error("the store is unavailable ({resource}): {source}")]
    Unavailable {
        /// What was asked for.
        resource: String,
        /// What the store's connection met.
        source: StoreError,
    },
    /// You had it, and no longer do.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The task that asks has it already, and would wait for itself.
    #[error(transparent)]
    Relock(#[from] Relock),
    /// More was asked for than there is: it could never be granted.
    #[error(transparent)]
    TooHeavy(#[from] TooHeavy),
    /// A number of permits that no semaphore has, or that nobody can ask for.
    #[error(transparent)]
    Permits(#[from] PermitsError),
    /// The caller's own signal came before it was granted; nothing stays held or queued.
    #[error("stopped waiting for `{name}`: the caller's own signal came first")]
    Cancelled {
        /// The resource.
        name: ResourceName,
    },
    /// Names that cannot be locked together.
    #[error(transparent)]
    Together(#[from] TogetherError),
    /// A name that no store would take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A TTL that cannot be used.
    #[error(transparent)]
    Ttl(#[from] TtlError),
    /// The store was written by a newer leasehold.
    #[error("the store was written by a newer version: {0}")]
    StoreTooNew(StoreError),
    /// The store refused, or its address cannot be used.
    #[error("{0}")]
    Store(StoreError),
    /// The background thread could not be started.
    #[error("cannot start leasehold's background thread: {0}")]
    Background(#[from] std::io::Error),
    /// This client was shut down.
    #[error("this coordinator was shut down; connect a new one")]
    ShutDown,
}

impl Error {
    /// Sorts a store's failure.
    pub fn from_store(resource: &(impl ToString + ?Sized), source: StoreError) -> Self {
        match source.kind() {
            StoreErrorKind::Unknown => Error::Unavailable {
                resource: resource.to_string(),
                source,
            },
            StoreErrorKind::TooNew => Error::StoreTooNew(source),
            _ => Error::Store(source),
        }
    }

    /// Whether someone else has it.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy(_))
    }

    /// Whether a lease that was held is gone.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Lost(_))
    }

    /// Whether the store can't say.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}

/// Someone else has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is busy: held by {holder} for {held_for:.1?}, its lease lasts {remaining:.1?} more unless renewed; \
     wait longer, or do without"
)]
#[non_exhaustive]
pub struct Busy {
    /// The resource.
    pub name: ResourceName,
    /// Who holds it: the label of its client.
    pub holder: String,
    /// For how long.
    pub held_for: Duration,
    /// How long its lease still lasts if it is not renewed.
    pub remaining: Duration,
}

impl Busy {
    /// A task of this client has it.
    pub(crate) fn local(
        name: ResourceName,
        label: &str,
        held_for: Duration,
        remaining: Duration,
    ) -> Self {
        Self {
            name,
            holder: label.to_owned(),
            held_for,
            remaining,
        }
    }

    pub(crate) fn new(name: ResourceName, holder: String, held_us: u64, remaining_us: u64) -> Self {
        Self {
            name,
            holder: if holder.is_empty() {
                "another client".into()
            } else {
                holder
            },
            held_for: Duration::from_micros(held_us),
            remaining: Duration::from_micros(remaining_us),
        }
    }
}

/// A task asked for what it holds already: a lock is not re-entrant, and it would wait for itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this task holds `{name}` already, since {held_at}, and would wait for itself at {asked_at}: pass the guard on, or \
     release it first; if several futures of one task take turns on purpose, say so with `allow_same_task()`"
)]
#[non_exhaustive]
pub struct Relock {
    /// The resource.
    pub name: ResourceName,
    /// The line of the program that locked.
    pub held_at: &'static Location<'static>,
    /// The line that asked again.
    pub asked_at: &'static Location<'static>,
}

impl Relock {
    pub(crate) fn new(
        name: ResourceName,
        held_at: &'static Location<'static>,
        asked_at: &'static Location<'static>,
    ) -> Self {
        Self {
            name,
            held_at,
            asked_at,
        }
    }
}

/// More of a resource was asked for than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` has a capacity of {capacity}, and {weight} was asked for: that can never be granted; ask for less, or raise \
     the capacity"
)]
#[non_exhaustive]
pub struct TooHeavy {
    /// The resource.
    pub name: ResourceName,
    /// What was asked for.
    pub weight: Weight,
    /// How much there is.
    pub capacity: u32,
}

impl TooHeavy {
    pub(crate) fn new(name: ResourceName, weight: Weight, capacity: u32) -> Self {
        Self {
            name,
            weight,
            capacity,
        }
    }
}

/// A number of permits that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermitsError {
    /// A semaphore without any.
    #[error("a semaphore of 0 permits lets nobody in: give it at least 1")]
    NoCapacity,
    /// None was asked for.
    #[error("0 permits were asked for: ask for at least 1")]
    NoneAsked,
}

/// A lease that was held is gone: whatever was done under it may have met another holder's work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease on `{name}` (grant {grant_id}) is lost: {cause}")]
#[non_exhaustive]
pub struct Lost {
    /// The resource.
    pub name: ResourceName,
    /// Which grant it was.
    pub grant_id: GrantId,
    /// The fence it had; none if it was shared.
    pub fence: Option<Fence>,
    /// Why.
    pub cause: LostCause,
}

impl Lost {
    pub(crate) fn new(
        name: ResourceName,
        grant_id: GrantId,
        is_exclusive: bool,
        cause: LostCause,
    ) -> Self {
        Self {
            name,
            grant_id,
            fence: is_exclusive.then(|| Fence::new(grant_id.get())),
            cause,
        }
    }
}

/// Why a lease was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LostCause {
    /// Its time ran out on this client's clock before a renewal was answered (a pause, a stalled process).
    #[error("it expired before it was renewed; was this process paused?")]
    Expired,
    /// The store no longer had it although its time was not over.
    #[error("the store no longer has it; was its data lost or deleted?")]
    Deleted,
    /// The store could not be reached for as long as the lease lasted.
    #[error("the store could not be reached while it lasted")]
    Unreachable,
    /// It was held longer than its class allows.
    #[error("it was held longer than its max_hold")]
    MaxHold,
    /// It was told to go, and its grace is over; [`revocation`](crate::Hold::revocation) says why.
    #[error("it was revoked, and its grace is over")]
    Revoked,
    /// Its holder failed a health check, or did not answer it in time; [`Election::health_check`](crate::Election::health_check)
    /// asked for that.
    #[error("its health check failed, or was not answered in time")]
    Unhealthy,
    /// The coordinator was shut down.
    #[error("its coordinator was shut down")]
    ShutDown,
}

impl LostCause {
    /// A bounded word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            LostCause::Expired => "expired",
            LostCause::Deleted => "deleted",
            LostCause::Unreachable => "unreachable",
            LostCause::MaxHold => "max_hold",
            LostCause::Revoked => "revoked",
            LostCause::Unhealthy => "unhealthy",
            LostCause::ShutDown => "shut_down",
        }
    }
}

/// Names that cannot be locked together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TogetherError {
    /// One of them twice: it would wait for itself.
    #[error("`{name}` was added twice, and would wait for itself: add each name once")]
    Twice {
        /// The resource.
        name: ResourceName,
    },
    /// Its class belongs to another client, which orders its locks for itself.
    #[error("`{name}` is of another coordinator: make all classes with the one that locks")]
    OtherClient {
        /// The resource.
        name: ResourceName,
    },
}

/// A TTL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a TTL of {ttl:?} cannot be used here: choose one from {shortest:?} to {longest:?}")]
#[non_exhaustive]
pub struct TtlError {
    /// What was asked for.
    pub ttl: Duration,
    /// The shortest that leaves time beyond the drift margin on this store.
    pub shortest: Duration,
    /// The namespace's longest.
    pub longest: Duration,
}
