//! Bugs that can be planted, to prove that the simulation catches them (feature `planted-bugs`, for leasehold's own
//! tests). Each is one shortcut of the kind that PROTOCOL rules were made against.
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
    /// A claim whose answer was lost is taken for this one's if the node is that of this one.
    NodeIsEnough,
    /// A claim whose answer was lost is taken for made.
    UnknownIsYes,
    /// A claim whose answer was lost is taken for not made.
    UnknownIsNo,
    /// A body starts, and works on, although its lease has ended.
    LeaseUnchecked,
    /// A claim goes by a reading of the store's clock that is as old as may be.
    StaleClock,
    /// What is due is decided by this machine's clock, which is not the store's.
    OwnClock,
    /// A claim leaves what it claims to be claimed once more.
    AttemptStays,
    /// A tick is claimed beside the job's runs under way.
    OverlapIgnored,
    /// Ticks that are passed over leave no record.
    PassedOverInSilence,
    /// Ticks that are skipped leave no record.
    SkippedInSilence,
    /// Runs that are lost leave no record.
    LostInSilence,
    /// What has ended is taken from the ledger before history has it.
    OutClearedFirst,
    /// An end is written once more if its answer was lost.
    EndRepeated,
    /// A run that takes longer than a lease is taken for lost, though its lease is renewed.
    LiveIsReaped,
    /// A run's lease is released before its end is recorded.
    LeaseReleasedFirst,
    /// A store that went back in time is believed: what this node saw there does not count.
    StoreIsBelieved,
    /// A node goes by the specification that it was built with.
    OwnSchedule,
    /// Each version of a job has ticks of its own.
    VersionsApart,
    /// What was due by a specification is forgotten when another one comes into force.
    OldIsForgotten,
    /// A higher version comes into force with the first node that has it.
    UpAtOnce,
    /// A lower version comes into force as soon as nobody is seen to have the one in force.
    DownAtOnce,
    /// A node that another one of the fleet is before in rank leaves the tick to that one.
    FirstIsTrusted,
    /// A job is not looked at again after the store failed.
    FailureIsFinal,
    /// A paused job runs.
    PauseIgnored,
    /// What somebody asked for is not known any more once it runs.
    AskedAnew,
    /// A backfill runs what ran well once more.
    RanAgain,
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
