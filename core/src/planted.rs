//! Bugs that can be planted, to prove that the simulation, or a test of the protocol, catches them (feature `planted-bugs`,
//! for leasehold's own tests). Each is one shortcut of the kind that PROTOCOL rules were made against.
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

            /// Whether it is one of quotas, which no simulated client of locks asks for.
            pub fn is_of_quotas(self) -> bool {
                self as usize >= Bug::RefusedIsCharged as usize
            }
        }
    };
}

bugs! {
    /// A grant's fence is the clock alone: the last one given out does not count.
    NoFenceBump,
    /// A block has 1,024 fences, however far ahead of the clock that runs: after a loss of data the next ones are refused.
    FixedBlock,
    /// A grant's fence is at least what its client has seen, not more.
    SeenItself,
    /// An expired lease is renewed: the renewal comes before time takes effect.
    ExpiredIsRenewed,
    /// A renewal revives a grant whose claim window is over.
    LateClaimRevives,
    /// A renewal applies whatever its number.
    RenewalOutOfOrder,
    /// A revoked lease is renewed.
    RevokedIsRenewed,
    /// What was ended is not remembered.
    NothingClosed,
    /// A request is taken after its time.
    StaleIsTaken,
    /// A repeated acquire gets a second place.
    RepeatCountsTwice,
    /// A release leaves the hand-over to the next call.
    NoHandOver,
    /// A waiter that is not heard from any more blocks those behind it.
    DeadWaiterBlocks,
    /// A waiter that is made holder has its whole TTL before it must be heard from.
    NoClaimWindow,
    /// A waiter that is made holder has no time to hear of it.
    ClaimWindowOver,
    /// A waiter that did not claim its grant loses its place.
    TicketLost,
    /// A waiter that did not claim its grant is made holder again without having been heard from.
    SilentIsGranted,
    /// A fresh record starts at nothing, whatever is known below it.
    FloorNotRead,
    /// A register takes a write under any fence.
    AnyFenceWrites,
    /// A lease counts from when its answer came, not from when it was asked for.
    DatedByReceipt,
    /// A pushed grant counts from when the push came.
    PushDatedByReceipt,
    /// A guard keeps nothing back of its lease for the difference between two clocks.
    NoMargin,
    /// A guard that said lost says held again when a renewal is answered.
    LossIsForgotten,
    /// An answer that came too late to be of use is taken for a grant.
    OverIsTaken,
    /// A hold lasts as long as its holder likes.
    NoMaxHold,
    /// A holder that was told to go stays.
    RevocationUnheard,
    /// A retry's time begins anew.
    RetryExtends,
    /// A retry is a new request, beside the one before.
    RetryIsAnother,
    /// A request's end is not remembered, though copies of it may be under way.
    CopiesForgotten,
    /// A request's end is remembered only if no copy of it was answered.
    OneAnswerIsEnough,
    /// A request whose end was sent is gone on with by the next in the line.
    EndedIsHandedOn,
    /// A client does not tell what it has seen.
    SeenIsNotTold,
    /// A client does not tell which fences it was given.
    FloorNotRaised,
    /// What a dropped future or guard left is ended once, answered or not.
    CleanerGivesUp,
    /// A dropped guard leaves its lease to its end.
    DropReleasesNothing,
    /// A shutdown leaves what is held to its end.
    ShutdownReleasesNothing,
    /// A waiter that gets no push does not ask.
    PushIsAwaited,
    /// A visit goes on beyond the block of fences that it was granted.
    BeyondTheBlock,
    /// A visit goes on although its lease is over.
    OverIsHandedOn,
    /// A visit goes on as long as anybody waits in the line.
    VisitWithoutEnd,
    /// The next visit's request does not end the one before.
    TurnEndsNothing,
    /// Several are locked in the order in which they were added.
    OrderAsAdded,
    /// Several could not all be locked, and those that were stay.
    FailedKeepsSome,
    /// What an entry absorbs goes on by itself, too: units are minted.
    AbsorbedStays,
    /// A change of weight applies whatever its number: a late copy gives up what its client has.
    ReweighOutOfOrder,
    /// A repeated change of weight counts twice.
    ReweighCountsTwice,
    /// A holder grows past those who wait, since what it asks for is free.
    GrowthOvertakes,
    /// A writer takes one unit of what readers share, not all of it.
    WriterWeighsOne,
    /// A reader is let in past those who wait, since it fits beside those who read.
    ReaderOvertakes,
    /// A reader joins the others of its client although a writer waits.
    ContendedIsShared,
    /// A reader joins the others of its client although their lease is over.
    OverIsShared,
    /// The last reader of a client goes, and its client keeps the lease.
    LastShareForgotten,
    /// The first reader of a client that goes ends the lease of the others.
    ShareEndsForAll,
    /// A charge of a quota that is refused is charged all the same.
    RefusedIsCharged,
    /// A charge that is made ahead is told its time and charged nothing.
    WaitIsFree,
    /// A key that was idle has two bursts.
    IdleEarnsMore,
    /// After its clock went back the store keeps a key blocked until that has caught up.
    StepBackBlocks,
    /// What a rate leaves beyond whole microseconds is forgotten.
    PartDropped,
    /// What has come back by itself is given back again.
    GivenBackTwice,
    /// A settlement that is repeated settles again.
    SettledTwice,
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
