//! The layout before this one: an entry ended with its label, and every resource was a mutex.

use serde::{Deserialize, Serialize};

use super::{Closed, Entry, Phase, Record};
use crate::protocol::{Capacity, Rid, Weight};

#[derive(Serialize, Deserialize)]
struct RecordBefore(u64, u64, Vec<EntryBefore>, Vec<Closed>);

#[derive(Serialize, Deserialize)]
struct EntryBefore {
    rid: Rid,
    phase: Phase,
    weight: u32,
    ttl_us: u64,
    want: u64,
    seen: u64,
    not_after_us: u64,
    since_us: u64,
    heard_us: u64,
    first: u64,
    end: u64,
    granted_us: u64,
    expires_us: u64,
    renewal: u64,
    label: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<Record, rmp_serde::decode::Error> {
    let RecordBefore(last, epoch, entries, closed) = rmp_serde::from_slice(bytes)?;
    Ok(Record {
        last,
        epoch,
        entries: entries.into_iter().map(Entry::from).collect(),
        closed,
    })
}

impl From<EntryBefore> for Entry {
    fn from(entry: EntryBefore) -> Self {
        Self {
            rid: entry.rid,
            phase: entry.phase,
            // There were only mutexes: whoever held had all of it.
            weight: if entry.weight == 1 {
                Weight::All
            } else {
                Weight::from(entry.weight)
            },
            ttl_us: entry.ttl_us,
            want: entry.want,
            seen: entry.seen,
            not_after_us: entry.not_after_us,
            since_us: entry.since_us,
            heard_us: entry.heard_us,
            first: entry.first,
            end: entry.end,
            granted_us: entry.granted_us,
            expires_us: entry.expires_us,
            renewal: entry.renewal,
            label: entry.label,
            capacity: Capacity::ONE.size,
            revision: Capacity::ONE.revision,
            weighed: 0,
            revoked_us: 0,
            grace_us: 0,
            reason: String::new(),
        }
    }
}

/// A record as the version before wrote it; what it did not know is left out. For tests of mixed versions.
#[cfg(feature = "test-util")]
#[expect(
    clippy::missing_panics_doc,
    reason = "it never does: writing integers, strings and sequences to a Vec cannot fail"
)]
pub fn encode_before(record: &Record) -> Vec<u8> {
    let entry = |entry: &Entry| EntryBefore {
        rid: entry.rid,
        phase: entry.phase,
        weight: u32::from(entry.weight).max(1),
        ttl_us: entry.ttl_us,
        want: entry.want,
        seen: entry.seen,
        not_after_us: entry.not_after_us,
        since_us: entry.since_us,
        heard_us: entry.heard_us,
        first: entry.first,
        end: entry.end,
        granted_us: entry.granted_us,
        expires_us: entry.expires_us,
        renewal: entry.renewal,
        label: entry.label.clone(),
    };
    let entries = record.entries.iter().map(entry).collect();
    let before = RecordBefore(record.last, record.epoch, entries, record.closed.clone());
    let mut bytes = vec![super::FORMAT_BEFORE];
    rmp_serde::encode::write(&mut bytes, &before).expect("a record has only encodable fields");
    bytes
}
