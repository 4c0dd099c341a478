//! The word to the nodes that a ledger was changed by people, and is to be looked at now: its next tick may be a year
//! away.
//!
//! Each node reads one register beside the ledgers it looks at, and once a second if it looks at none. The word is a hint:
//! the ledger was written before, and if whoever wrote it ended between the two, a sweep finds what is pending within
//! seconds, and the next look at a paused job within a minute.

use std::time::Duration;

use leasehold_core::name::fnv1a_64;
use leasehold_core::{
    Class, Coordinator, Expect, Put, RegisterHandle, RegisterReply, ResourceName,
};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ledger::FleetControl;
use crate::registers::put_until_answered;

const FORMAT: u32 = 1;
/// How many changes are told apart; who missed more looks at every job.
const LATEST: usize = 32;
/// Asks the store again this soon.
const RETRY: Duration = Duration::from_millis(100);

/// The latest changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wake {
    format: u32,
    /// Counts the changes; it is that of the last of `latest`.
    order: u64,
    /// The jobs, by the hash of their identity: that is short, and a job too many does no harm.
    latest: Vec<String>,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            format: FORMAT,
            order: 0,
            latest: Vec::new(),
        }
    }
}

pub(crate) fn wake_name() -> ResourceName {
    let name = Class::internal("~control").resource("wake");
    name.expect("a constant that is a valid name")
}

/// What a job is called in a [`Wake`].
pub(crate) fn hash_of(job: &str) -> String {
    format!("{:016x}", fnv1a_64(job.as_bytes()))
}

impl Wake {
    /// One that cannot be read says nothing: it is only a hint.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let read: Result<Self, _> = serde_json::from_slice(bytes);
        read.ok()
            .filter(|wake| wake.format <= FORMAT)
            .unwrap_or_default()
    }

    fn add(&mut self, job: &str) {
        self.order += 1;
        self.latest.push(hash_of(job));
        let surplus = self.latest.len().saturating_sub(LATEST);
        self.latest.drain(..surplus);
    }
}

/// Has the nodes that have the job look at it.
pub(crate) async fn wake(coord: &Coordinator, job: &str) -> Result<(), Error> {
    let register: RegisterHandle = coord.register_of(wake_name());
    // What was asked for is in the ledger: whoever were told that the store is away would ask again, and be told that
    // there is nothing to do.
    let mut found = loop {
        match register.get().await {
            Err(error) if error.is_unavailable() => {
                let env = coord.env();
                env.sleep(env.jittered(RETRY)).await;
            }
            read => break read?,
        }
    };
    loop {
        let mut wake = found
            .as_ref()
            .map_or_else(Wake::default, |found| Wake::decode(&found.value));
        wake.add(job);
        let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
        // Numbers, strings and sequences: JSON takes all of them.
        let bytes = serde_json::to_vec(&wake).expect("it has only encodable fields");
        let (reply, _) =
            put_until_answered(coord, &register, &Put::new(bytes).expect(expect)).await?;
        match reply {
            // After an unknown answer the job may stand in it twice: it is looked at once more.
            RegisterReply::Conflict(current) => found = current,
            RegisterReply::Written { .. } | RegisterReply::Fenced { .. } => return Ok(()),
        }
    }
}

/// What a node is to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// The jobs of these hashes.
    Jobs(Vec<String>),
    All,
}

/// What a node has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The latest change, and the latest word to the whole fleet.
    latest: Option<(u64, u64)>,
}

impl Heard {
    /// What is new since the last call. The first one has nothing: a node looks at all its jobs when it starts.
    pub(crate) fn hear(&mut self, wake: &Wake, fleet: &FleetControl) -> News {
        let Some((known, told)) = self.latest.replace((wake.order, fleet.order)) else {
            return News::Nothing;
        };
        if told != fleet.order {
            return News::All;
        }
        if known == wake.order {
            return News::Nothing;
        }
        let new = wake
            .order
            .checked_sub(known)
            .and_then(|new| usize::try_from(new).ok());
        // Fewer than before, if the store lost its data.
        let first = new.and_then(|new| wake.latest.len().checked_sub(new));
        match first {
            Some(first) => News::Jobs(wake.latest[first..].to_vec()),
            None => News::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Pause;

    #[test]
    fn each_change_is_heard_once_and_more_than_are_kept_mean_every_job() {
        let (mut wake, mut fleet, mut heard) =
            (Wake::default(), FleetControl::default(), Heard::default());
        wake.add("before");
        assert_eq!(heard.hear(&wake, &fleet), News::Nothing);
        wake.add("a");
        wake.add("b");
        let wake_read = Wake::decode(&serde_json::to_vec(&wake).unwrap());
        assert_eq!(
            heard.hear(&wake_read, &fleet),
            News::Jobs(vec![hash_of("a"), hash_of("b")])
        );
        assert_eq!(heard.hear(&wake, &fleet), News::Nothing);
        (0..LATEST).for_each(|n| wake.add(&n.to_string()));
        assert!(matches!(heard.hear(&wake, &fleet), News::Jobs(jobs) if jobs.len() == LATEST));
        (0..=LATEST).for_each(|n| wake.add(&n.to_string()));
        assert_eq!(heard.hear(&wake, &fleet), News::All);
        // The store lost it.
        assert_eq!(heard.hear(&Wake::default(), &fleet), News::All);
        let (by, reason) = ("ann".into(), String::new());
        fleet.pause(Pause {
            since_ms: 5,
            by,
            reason,
        });
        assert_eq!(heard.hear(&Wake::default(), &fleet), News::All);
        assert_eq!(heard.hear(&Wake::default(), &fleet), News::Nothing);
    }

    #[test]
    fn what_a_newer_version_wrote_is_no_word() {
        assert_eq!(
            Wake::decode(br#"{"format":2,"order":7,"latest":[]}"#),
            Wake::default()
        );
        assert_eq!(Wake::decode(b"?"), Wake::default());
    }
}
