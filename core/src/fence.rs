//! Fences: the numbers that let the protected side refuse a late writer; and the names of grants that have none.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number that every grant of a resource carries, strictly greater than every earlier one.
///
/// Minted by the store as a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): at least the last
/// one plus one, at least the store's clock in µs. It fits in 2^53, so JSON and Lua carry it whole.
///
/// Send it along with every write made under the lease, and let the place written to refuse a smaller one:
/// [`fencing`](crate::fencing) has what that takes in a database, in Redis and over HTTP. Only exclusive grants have one;
/// shared ones have a [`GrantId`].
///
/// ```
/// use leasehold_core::Fence;
/// let (old, new) = (Fence::new(41), Fence::new(42));
/// assert!(new > old);
/// assert_eq!(new.to_string(), "42");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// The largest fence, 2^53 - 1.
    pub const MAX: Fence = Fence((1 << 53) - 1);

    /// A fence with this value, for reading one back from where it was stored.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The value as databases bind it. Exact up to [`Fence::MAX`] and far beyond; what no `i64` can hold becomes its
    /// largest.
    pub const fn as_i64(self) -> i64 {
        if self.0 > i64::MAX.cast_unsigned() {
            return i64::MAX;
        }
        self.0.cast_signed()
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a grant of a resource, for logs and audit: no two grants of the resource have the same, while the store keeps
/// its data. It orders nothing, and so is no [`Fence`]: a shared grant (a reader's) is still good when a later one has
/// written, and a place that compared such numbers would refuse it.
///
/// ```
/// use leasehold_core::GrantId;
/// assert_eq!(GrantId::new(42).to_string(), "42");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(u64);

impl GrantId {
    /// A grant's name with this value, for reading one back from a log.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
