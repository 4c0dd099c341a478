//! What a store keeps of a resource, and its bytes.

mod before;

#[cfg(feature = "test-util")]
pub use before::encode_before;

use serde::{Deserialize, Serialize};

use super::{Capacity, Now, Rid, Weight};

/// The first byte of every record: the version of its layout.
pub const FORMAT: u8 = b'2';
/// The layout before it, which is still read: an entry ended with its label.
pub const FORMAT_BEFORE: u8 = b'1';

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Phase {
    /// Waits, and is in turn when it comes to the head.
    Waiting,
    /// Was given its turn and did not claim it: keeps its place, but is passed over until heard from.
    Dormant,
    /// Was installed by a hand-over and has not claimed its full TTL yet.
    Granted,
    /// Holds.
    Held,
}

impl From<Phase> for u8 {
    fn from(phase: Phase) -> u8 {
        match phase {
            Phase::Waiting => 0,
            Phase::Dormant => 1,
            Phase::Granted => 2,
            Phase::Held => 3,
        }
    }
}

impl TryFrom<u8> for Phase {
    type Error = &'static str;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        Ok(match byte {
            0 => Phase::Waiting,
            1 => Phase::Dormant,
            2 => Phase::Granted,
            3 => Phase::Held,
            _ => return Err("an entry's phase is 0 to 3"),
        })
    }
}

/// One client's place on a resource, as holder or waiter. It names the request, never the process.
///
/// The order of the fields is the stored layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The acquire that made it.
    pub rid: Rid,
    /// Holder or waiter.
    pub phase: Phase,
    /// How much of the capacity it takes.
    pub weight: Weight,
    /// The full TTL it asked for.
    pub ttl_us: u64,
    /// How many fences it asked for.
    pub want: u64,
    /// The highest fence or store time its client had seen.
    pub seen: u64,
    /// When its client stops caring for an answer (lease time).
    pub not_after_us: u64,
    /// When it came.
    pub since_us: u64,
    /// When a waiter was last heard from.
    pub heard_us: u64,
    /// First fence of its block; 0 while it waits.
    pub first: u64,
    /// Last fence of its block; 0 while it waits.
    pub end: u64,
    /// When it became holder; 0 while it waits.
    pub granted_us: u64,
    /// When its lease ends; 0 while it waits.
    pub expires_us: u64,
    /// The latest renewal that was applied.
    pub renewal: u64,
    /// Who it is, for people.
    pub label: String,
    /// How large its client takes the resource to be.
    pub capacity: u32,
    /// Which announcement of the capacity that is: the highest one counts.
    pub revision: u64,
    /// The latest change of weight that was asked for.
    pub weighed: u64,
    /// When it was revoked; 0 if it was not.
    pub revoked_us: u64,
    /// How long a revoked holder that hears of it may go on.
    pub grace_us: u64,
    /// Why it was revoked, for people.
    pub reason: String,
}

impl Entry {
    /// Whether it takes capacity now.
    pub fn holds(&self) -> bool {
        matches!(self.phase, Phase::Granted | Phase::Held)
    }

    /// Whether it stands in the queue and was heard from lately: only then it is in turn, and in the way of others.
    pub fn is_live_waiter(&self, now: Now) -> bool {
        self.phase == Phase::Waiting
            && now.lease_us.saturating_sub(self.heard_us) <= super::LIVENESS_US
    }

    /// What its client says of the capacity.
    pub fn announced(&self) -> Capacity {
        Capacity {
            size: self.capacity,
            revision: self.revision,
        }
    }
}

/// A request that has ended: a late copy of it is refused until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The request.
    pub rid: Rid,
    /// Until when it is remembered (lease time).
    pub until_us: u64,
}

/// All that a store keeps of one resource. No record means: free, and no fence is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Record {
    /// The last fence given out.
    pub last: u64,
    /// The [`Now::epoch`] of its times.
    pub epoch: u64,
    /// Holders and waiters, in the order they came.
    pub entries: Vec<Entry>,
    /// Requests that ended.
    pub closed: Vec<Closed>,
}

impl Record {
    /// Whether nothing but old knowledge is left, so that the record may go.
    pub fn is_spent(&self, now: Now) -> bool {
        self.entries.is_empty() && self.closed.is_empty() && self.last < now.wall_us
    }

    /// How much there is, by what holders and live waiters announce.
    pub fn capacity(&self, now: Now) -> Option<Capacity> {
        let speaking = |e: &&Entry| e.holds() || e.is_live_waiter(now);
        let announced = self.entries.iter().filter(speaking);
        announced.map(Entry::announced).reduce(Capacity::or)
    }

    /// For how long from `now` the record can matter, in µs: garbage collection may take it a while after that.
    pub fn keep_for_us(&self, now: Now) -> u64 {
        let entries = self
            .entries
            .iter()
            .map(|e| e.expires_us.max(e.not_after_us));
        let closed = self.closed.iter().map(|c| c.until_us);
        let latest = entries.chain(closed).max().unwrap_or(0);
        let lease = latest.saturating_sub(now.lease_us);
        lease.max(self.last.saturating_sub(now.wall_us))
    }
}

/// A record's bytes: the format's version, then `MessagePack` arrays in the order of the fields.
#[expect(
    clippy::missing_panics_doc,
    reason = "it never does: the expectation below says why"
)]
pub fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing integers, strings and sequences to a Vec cannot fail.
    rmp_serde::encode::write(&mut bytes, record).expect("a record has only encodable fields");
    bytes
}

/// The bytes are of a newer format, or are no record at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooNew {
    /// The version is one this build does not know.
    #[error("format {found:?} is newer than {supported:?}")]
    Version {
        /// The version byte found, as a character.
        found: char,
        /// The newest this build knows.
        supported: char,
    },
    /// Right version, wrong bytes.
    #[error("the record is damaged: {0}")]
    Damaged(String),
}

/// Reads a record back, also one that the version before this one wrote.
pub fn decode(bytes: &[u8]) -> Result<Record, TooNew> {
    let damaged = |e: rmp_serde::decode::Error| TooNew::Damaged(e.to_string());
    match bytes.split_first() {
        Some((&FORMAT, rest)) => rmp_serde::from_slice(rest).map_err(damaged),
        Some((&FORMAT_BEFORE, rest)) => before::read(rest).map_err(damaged),
        Some((&other, _)) => Err(TooNew::Version {
            found: char::from(other),
            supported: char::from(FORMAT),
        }),
        None => Err(TooNew::Damaged("no bytes".into())),
    }
}
