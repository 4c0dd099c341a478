//! Bugs that can be planted, to prove that the simulation catches them (feature `planted-bugs`, for leasehold's own tests).
//!
//! Without the feature `planted` is always false, and the compiler removes what hangs on it.

macro_rules! bugs {
    ($(#[doc = $what:literal] $name:ident,)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(not(feature = "planted-bugs"), allow(unreachable_pub, dead_code))]
        #[non_exhaustive]
        pub enum Bug {
            $(#[doc = $what] $name,)*
        }

        #[cfg(feature = "planted-bugs")]
        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];

            /// What is broken, for people.
            pub fn what(self) -> &'static str {
                match self {
                    $(Bug::$name => $what.trim_ascii(),)*
                }
            }
        }
    };
}

bugs! {
    /// A charge whose answer was lost is taken for made.
    UnknownIsYes,
    /// A refusal is taken for an outage.
    LimitedIsAway,
    /// What was charged ahead is used at once.
    UsedEarly,
    /// All that was not used is given back, however long ago it was charged.
    GivenBackLate,
    /// A settlement whose answer was lost is made anew.
    SettledAgain,
    /// A share counts from when its answer came.
    ShareDatedByReceipt,
    /// A share is used however old it is.
    ShareLastsForever,
    /// Shares are taken from the whole burst.
    SharesOfWholeBurst,
    /// A new share is added to what is left of the one before, and lasts as long as itself.
    SharesAddedUp,
    /// In an outage each node goes by the whole quota.
    EachNodeHasAll,
}

/// Whether `bug` is planted on this thread.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use switch::plant;
#[cfg(feature = "planted-bugs")]
pub(crate) use switch::planted;

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug on this thread, in place of another.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
