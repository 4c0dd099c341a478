//! Which specification of a job is in force: pure. Nodes that were built with different ones meet in every deploy, and
//! the one that the ledger keeps decides (PROTOCOL: "Versions").

use std::time::Duration;

use leasehold_core::protocol::LIVENESS_US;
use serde::{Deserialize, Serialize};

use crate::ledger::Words;
use crate::planted::{Bug, planted};

/// A node is no crash-looping one once it has lived this long.
const PROVEN: Duration = Duration::from_secs(30);
/// A version that nobody has announced for this long is given up: two members' TTLs.
const GIVEN_UP_US: u64 = 2 * LIVENESS_US;
/// How many specifications of a job are remembered.
const KEPT: usize = 8;

/// The specifications a job has had, and which of them is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// The hash of the one in force.
    pub(crate) current: String,
    /// Its place in the order in which they first appeared.
    pub(crate) order: u64,
    /// The latest of them, in that order.
    pub(crate) known: Vec<Known>,
    /// Since when nobody announces the one in force (store's wall time, µs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone_since_us: Option<u64>,
}

/// A specification that a node was built with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) hash: String,
    /// When it first appeared, among the others: what counts unless a node says its revision.
    pub(crate) order: u64,
    /// The revision under which it was put in force, if a node said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<u64>,
    /// What it says, so that any node can put it in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<Words>,
}

/// What a live node says of a job that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The hash of the specification it was built with; `None` if that can't be read: then it may be any.
    pub(crate) hash: Option<String>,
    /// The revision it was given by hand.
    pub(crate) revision: Option<u64>,
    /// For how long the node has lived, as far as is known.
    pub(crate) lived: Duration,
}

/// What is to become of the version in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It stays.
    Keep,
    /// A higher one replaces it.
    Up { hash: String, revision: Option<u64> },
    /// Nobody announces it any more: note since when.
    NoteGone,
    /// It is announced again: forget since when it was not.
    NoteBack,
    /// It was gone for so long that a lower one replaces it.
    Down { hash: String, revision: Option<u64> },
}

/// By which of two versions is the higher one: a revision given by hand beats none; of one revision, or without any, the
/// one that appeared later is higher.
type Rank = (Option<u64>, u64);

impl Versions {
    /// Of a new job.
    pub(crate) fn new(hash: &str, revision: Option<u64>, words: Option<Words>) -> Self {
        let known = Known {
            hash: hash.to_owned(),
            order: 1,
            revision,
            words,
        };
        Self {
            current: hash.to_owned(),
            order: 1,
            known: vec![known],
            gone_since_us: None,
        }
    }

    fn known(&self, hash: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.hash == hash)
    }

    /// What a specification says, if it is remembered.
    pub(crate) fn words(&self, hash: &str) -> Option<&Words> {
        self.known(hash)?.words.as_ref()
    }

    /// Remembers a specification that a node was built with; whether that changed anything. The oldest one is forgotten
    /// for it, and would be a new one if it came again.
    pub(crate) fn appear(&mut self, hash: &str, words: Option<Words>) -> bool {
        if let Some(known) = self.known.iter_mut().find(|known| known.hash == hash) {
            let is_news = known.words.is_none() && words.is_some();
            if is_news {
                known.words = words;
            }
            return is_news;
        }
        let last = self.known.iter().map(|known| known.order).max();
        self.known.push(Known {
            hash: hash.to_owned(),
            order: last.unwrap_or(self.order).max(self.order) + 1,
            revision: None,
            words,
        });
        while self.known.len() > KEPT {
            let oldest = self
                .known
                .iter()
                .position(|known| known.hash != self.current);
            // Of more than one, one is not the current one.
            self.known.remove(oldest.unwrap_or(0));
        }
        true
    }

    /// Enters what was decided at `now_us`.
    pub(crate) fn apply(&mut self, decision: &Decision, now_us: u64) {
        match decision {
            Decision::Keep => {}
            Decision::NoteGone => self.gone_since_us = Some(now_us),
            Decision::NoteBack => self.gone_since_us = None,
            Decision::Up { hash, revision } | Decision::Down { hash, revision } => {
                self.appear(hash, None);
                self.gone_since_us = None;
                let entry = self.known.iter_mut().find(|known| known.hash == *hash);
                if let Some(known) = entry {
                    known.revision = *revision;
                    self.order = known.order;
                }
                hash.clone_into(&mut self.current);
            }
        }
    }
}

/// Decides which version is to be in force. `announced` are the live nodes that have the job, this one among them.
///
/// It goes up to a higher version once a node that announces it has lived for 30 s, or at once if nobody announces the
/// one in force. It goes down only when nobody has announced that one for two members' TTLs: a node that restarts, or
/// was cut off for a moment, does not undo a deploy. Only a version that the ledger remembers can be chosen: the node that
/// has it enters it first.
pub(crate) fn decide(versions: &Versions, announced: &[Announced], now_us: u64) -> Decision {
    let is_current = |a: &&Announced| a.hash.as_deref() == Some(&*versions.current);
    let current = versions.known(&versions.current);
    let said = announced.iter().filter(is_current);
    let revision = current.and_then(|known| known.revision);
    let in_force: Rank = (
        said.map(|a| a.revision).max().flatten().max(revision),
        versions.order,
    );
    let is_announced = announced.iter().any(|a| is_current(&a));
    // Who can't be read may be one who announces it.
    let may_be_announced = is_announced || announced.iter().any(|a| a.hash.is_none());

    let mut higher: Option<(Rank, &str)> = None;
    let mut lower: Option<(Rank, &str)> = None;
    for other in announced.iter().filter(|a| !is_current(a)) {
        let hash = other.hash.as_deref().unwrap_or_default();
        let Some(known) = versions.known(hash) else {
            continue;
        };
        let rank = (other.revision, known.order);
        if rank < in_force {
            lower = lower.max(Some((rank, hash)));
        } else if !may_be_announced || other.lived >= PROVEN || planted(Bug::UpAtOnce) {
            higher = higher.max(Some((rank, hash)));
        }
    }
    if let Some(((revision, _), hash)) = higher {
        let hash = hash.to_owned();
        return Decision::Up { hash, revision };
    }
    match (versions.gone_since_us, lower) {
        (Some(_), _) if is_announced => Decision::NoteBack,
        _ if may_be_announced => Decision::Keep,
        (None, Some(_)) => Decision::NoteGone,
        (Some(since), Some(((revision, _), hash)))
            if now_us >= since.saturating_add(GIVEN_UP_US) || planted(Bug::DownAtOnce) =>
        {
            let hash = hash.to_owned();
            Decision::Down { hash, revision }
        }
        _ => Decision::Keep,
    }
}

#[cfg(test)]
mod tests;
