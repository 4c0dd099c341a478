//! The protected side's refusal, and how its answers are read.

use std::fmt;

use crate::fence::Fence;

/// A write was refused: a newer lease has written since the fence it carried was granted.
///
/// The work of this holder is over. Repeating the write cannot help, since fences only rise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the write to `{resource}` with fence {fence} was refused{}: the lease has passed on; don't repeat it: lock again, \
     read what is there now, and decide anew",
    Stored(*.stored)
)]
#[non_exhaustive]
pub struct Fenced {
    /// What was to be written.
    pub resource: String,
    /// The fence that the write carried.
    pub fence: Fence,
    /// The greater one that is there, if the protected side said so.
    pub stored: Option<Fence>,
}

impl Fenced {
    /// The refusal of a write to `resource` with `fence`.
    pub fn new(resource: impl fmt::Display, fence: Fence, stored: Option<Fence>) -> Self {
        let resource = resource.to_string();
        Self {
            resource,
            fence,
            stored,
        }
    }
}

struct Stored(Option<Fence>);

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(stored) => write!(f, " (stored: {stored})"),
            None => Ok(()),
        }
    }
}

/// Reads the answer of a fence-guarded SQL statement for one row: how many rows it affected.
///
/// An `UPDATE` also affects no row if there is none with this key: insert it first, or use the
/// [upsert](crate::fencing::sql::FenceColumn::upsert).
///
/// ```
/// use leasehold_core::{Fence, fencing::check_rows};
/// assert!(check_rows(1, "invoice/42", Fence::new(7)).is_ok());
/// let refused = check_rows(0, "invoice/42", Fence::new(7)).unwrap_err();
/// assert!(refused.to_string().contains("lock again"));
/// ```
///
/// # Errors
/// [`Fenced`] if no row was affected.
pub fn check_rows(
    rows_affected: u64,
    resource: impl fmt::Display,
    fence: Fence,
) -> Result<(), Fenced> {
    match rows_affected {
        0 => Err(Fenced::new(resource, fence, None)),
        _ => Ok(()),
    }
}

/// Reads the answer of a place that tells the highest fence it has accepted, this write included.
///
/// ```
/// use leasehold_core::{Fence, fencing::check_stored};
/// assert!(check_stored(7, "invoice/42", Fence::new(7)).is_ok());
/// let refused = check_stored(8, "invoice/42", Fence::new(7)).unwrap_err();
/// assert_eq!(refused.stored, Some(Fence::new(8)));
/// ```
///
/// # Errors
/// [`Fenced`] if that fence is greater than this one.
pub fn check_stored(stored: u64, resource: impl fmt::Display, fence: Fence) -> Result<(), Fenced> {
    if stored > fence.get() {
        return Err(Fenced::new(resource, fence, Some(Fence::new(stored))));
    }
    Ok(())
}
