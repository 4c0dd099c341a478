//! How much of a resource an entry takes, and how much of it there is.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How much of a resource's capacity an entry takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u32", from = "u32")]
pub enum Weight {
    /// All of it, whatever it is: a mutex, a writer. Not a number: the capacity may change meanwhile.
    All,
    /// So many units: a reader, a permit.
    Units(NonZeroU32),
}

impl Weight {
    /// One unit.
    pub const ONE: Weight = Weight::Units(NonZeroU32::MIN);

    /// Both together.
    pub(super) fn and(self, other: Weight) -> Weight {
        match (self, other) {
            (Weight::Units(own), Weight::Units(more)) => {
                Weight::Units(own.saturating_add(more.get()))
            }
            _ => Weight::All,
        }
    }

    /// Whether `other` is more.
    pub(super) fn is_below(self, other: Weight) -> bool {
        match (self, other) {
            (Weight::All, _) => false,
            (Weight::Units(_), Weight::All) => true,
            (Weight::Units(own), Weight::Units(other)) => own < other,
        }
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> u32 {
        match weight {
            Weight::All => 0,
            Weight::Units(units) => units.get(),
        }
    }
}

impl From<u32> for Weight {
    fn from(units: u32) -> Self {
        NonZeroU32::new(units).map_or(Weight::All, Weight::Units)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weight::All => f.write_str("all"),
            Weight::Units(units) => units.fmt(f),
        }
    }
}

/// How much of a resource there is, as a client takes it to be. Two sizes are normal while a deploy is under way: of
/// the holders and live waiters, the one with the highest revision decides; of equal ones the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Units.
    pub size: u32,
    /// Which announcement this is; a later one is higher.
    pub revision: u64,
}

impl Capacity {
    /// A mutex's.
    pub const ONE: Capacity = Capacity {
        size: 1,
        revision: 0,
    };
    /// That of a resource which any number may share, such as a read-write lock.
    pub const UNBOUNDED: Capacity = Capacity {
        size: u32::MAX,
        revision: 0,
    };

    /// Which of two announcements counts.
    #[must_use]
    pub fn or(self, other: Capacity) -> Capacity {
        let other_counts = (other.revision, self.size) > (self.revision, other.size);
        if other_counts { other } else { self }
    }
}

/// How much of a resource is taken: units, and by how many that take all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    units: u64,
    whole: u32,
}

impl Taken {
    pub(super) fn add(&mut self, weight: Weight) {
        match weight {
            Weight::All => self.whole += 1,
            Weight::Units(units) => self.units += u64::from(units.get()),
        }
    }

    /// Whether `weight` fits beside it into `capacity`.
    pub(super) fn leaves(self, weight: Weight, capacity: u32) -> bool {
        match weight {
            _ if self.whole > 0 => false,
            Weight::All => self.units == 0,
            Weight::Units(units) => self.units + u64::from(units.get()) <= u64::from(capacity),
        }
    }
}

/// Whether it could never fit.
pub(super) fn is_too_heavy(weight: Weight, capacity: u32) -> bool {
    matches!(weight, Weight::Units(units) if units.get() > capacity)
}
