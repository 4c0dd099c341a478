//! What a worker's tasks tell the conductor: one line of JSON each, on a connection of the task's own.

use serde::{Deserialize, Serialize};

/// A task of one life of a worker. All instants are nanoseconds of `CLOCK_BOOTTIME`, which processes of a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) worker: usize,
    pub(crate) life: u32,
    pub(crate) task: usize,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "w{}.{}/{}", self.worker + 1, self.life, self.task)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A lock call begins.
    Want { lock: String },
    /// A write to what the lock protects. The only one that is answered, by a [`Verdict`].
    Write(Write),
    /// The turn is over; `lost` is the cause if its guard said so.
    Over { lock: String, lost: Option<String> },
    /// The lock call ended without a turn.
    GaveUp { lock: String, why: Why },
    /// An error that is none of busy, unavailable and lost.
    Wrong { text: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    Busy,
    Unavailable,
    /// The caller dropped the call.
    Cancelled,
}

/// A write, with what its author believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) lock: String,
    pub(crate) fence: u64,
    pub(crate) stage: Stage,
    /// Before the lock call.
    pub(crate) asked: u64,
    /// After the lock call had returned the guard.
    pub(crate) granted: u64,
    /// Before the guard was asked, and said that it is held; `None` from an author who does not ask.
    pub(crate) held: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Begin,
    Middle,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Accepted,
    /// A greater fence wrote before.
    Refused {
        highest: u64,
    },
}
