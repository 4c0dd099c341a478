//! A record's bytes, as this store keeps them: the protocol's own, or packed while one client has all of the resource and
//! nobody else has asked for it, or the parts of a crowd. The scripts write these, and read them as the record that they
//! stand for.
//!
//! | a packed record, behind its first byte | from |
//! |---|---|
//! | the store's time of the grant, its first fence and its last | the script |
//! | TTL, `not_after`, request id (16 bytes and a number), `want`, `seen` | the acquire |
//! | capacity, its revision, label: words | the acquire |
//! | if it was renewed, which the first byte says: the store's time, and the renewal's number | the script |
//!
//! All numbers but the words' are big-endian doubles, which a script reads and writes in one step, and hold integers. It is
//! short, since a script pays for each byte of each string it meets.

use leasehold_core::protocol::{
    self, Acquire, Capacity, Closed, Entry, NodeId, Phase, Record, Rid, TooNew, Weight,
};
use redis::Value;
use uuid::Uuid;

use crate::script::{CROWD, PACKED, PACKED_RENEWED, number, put_digits};

/// Reads a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, TooNew> {
    match bytes.split_first() {
        Some((&kind @ (PACKED | PACKED_RENEWED), rest)) => {
            let record = unpacked(kind, rest);
            record.ok_or_else(|| TooNew::Damaged("not a packed lease".into()))
        }
        _ => protocol::decode(bytes),
    }
}

/// The acquire's own part of a packed record; `seen` is what all the acquires of its script call have seen.
pub(crate) fn put_own(bytes: &mut Vec<u8>, ask: &Acquire, seen: u64) {
    bytes.extend(double(ask.ttl_us));
    bytes.extend(double(ask.not_after_us));
    put_rid(bytes, ask.rid);
    bytes.extend(double(ask.want));
    bytes.extend(double(seen));
    put_digits(bytes, ask.capacity.size.into());
    bytes.push(b' ');
    put_digits(bytes, number(ask.capacity.revision));
    bytes.push(b' ');
    bytes.extend(ask.label.as_bytes());
}

/// A request id, as packed records have it.
pub(crate) fn put_rid(bytes: &mut Vec<u8>, rid: Rid) {
    bytes.extend(rid.node.uuid().as_bytes());
    bytes.extend(double(rid.seq));
}

/// A number as scripts read it at the least cost.
#[expect(
    clippy::cast_precision_loss,
    reason = "none: `number` leaves nothing above 2^53 - 1"
)]
pub(crate) fn double(value: u64) -> [u8; 8] {
    (number(value) as f64).to_be_bytes()
}

/// A number as scripts write it at the least cost, and what follows it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scripts write whole numbers of at least 0; others would be taken for the nearest"
)]
pub(crate) fn take_double(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (double, rest) = bytes.split_first_chunk()?;
    Some((f64::from_be_bytes(*double) as u64, rest))
}

fn unpacked(kind: u8, mut bytes: &[u8]) -> Option<Record> {
    let mut renewed = None;
    if kind == PACKED_RENEWED {
        let (rest, tail) = bytes.split_last_chunk::<16>()?;
        let (since_us, number) = take_double(tail)?;
        renewed = Some((since_us, take_double(number)?.0));
        bytes = rest;
    }
    let double = |bytes: &mut &[u8]| {
        let (value, rest) = take_double(bytes)?;
        *bytes = rest;
        Some(value)
    };
    let granted_us = double(&mut bytes)?;
    let (first, end) = (double(&mut bytes)?, double(&mut bytes)?);
    let (ttl_us, not_after_us) = (double(&mut bytes)?, double(&mut bytes)?);
    let (node, mut bytes) = bytes.split_first_chunk::<16>()?;
    let rid = Rid {
        node: NodeId::new(Uuid::from_bytes(*node)),
        seq: double(&mut bytes)?,
    };
    let (want, seen) = (double(&mut bytes)?, double(&mut bytes)?);
    let mut words = std::str::from_utf8(bytes).ok()?.splitn(3, ' ');
    let capacity = Capacity {
        size: words.next()?.parse().ok()?,
        revision: words.next()?.parse().ok()?,
    };
    let (since_us, renewal) = renewed.unwrap_or((granted_us, 0));
    let entry = Entry {
        rid,
        phase: Phase::Held,
        weight: Weight::All,
        ttl_us,
        want,
        seen,
        not_after_us,
        since_us: granted_us,
        heard_us: granted_us,
        first,
        end,
        granted_us,
        expires_us: since_us.saturating_add(ttl_us),
        renewal,
        label: words.next()?.to_owned(),
        capacity: capacity.size,
        revision: capacity.revision,
        weighed: 0,
        revoked_us: 0,
        grace_us: 0,
        reason: String::new(),
    };
    Some(Record {
        last: end,
        epoch: 0,
        entries: vec![entry],
        closed: Vec::new(),
    })
}

/// Whether a resource's key says that its record is spread over others.
pub(crate) fn is_crowd(bytes: &[u8]) -> bool {
    bytes.first() == Some(&CROWD)
}

/// Digits before each entry of a crowd, and before the time of each ended request: its place in line.
const PLACE: usize = 16;

/// The record that a crowd stands for, of its hash of entries (see `lua/crowd.lua`).
pub(crate) fn gathered(last: i64, epoch: i64, fields: &[Value]) -> Result<Record, TooNew> {
    let damaged = || TooNew::Damaged("not the entries of a crowd".into());
    let number = |number: i64| u64::try_from(number).map_err(|_| damaged());
    let (mut entries, mut closed) = (Vec::new(), Vec::new());
    for field in fields.chunks(2) {
        let [Value::BulkString(name), Value::BulkString(value)] = field else {
            return Err(damaged());
        };
        let (place, rest) = value.split_at_checked(PLACE).unwrap_or_default();
        match name.first() {
            Some(b'#') => {}
            Some(b'!') => {
                let text = |bytes| std::str::from_utf8(bytes).ok();
                let rid = text(&name[1..]).and_then(|rid| rid.parse().ok());
                let until_us = text(rest).and_then(|until| until.parse().ok());
                let (rid, until_us) = rid.zip(until_us).ok_or_else(damaged)?;
                closed.push((place, Closed { rid, until_us }));
            }
            _ => {
                let entry: Entry = rmp_serde::from_slice(rest).map_err(|_| damaged())?;
                entries.push((place, entry));
            }
        }
    }
    entries.sort_unstable_by_key(|(place, _)| *place);
    closed.sort_unstable_by_key(|(place, _)| *place);
    Ok(Record {
        last: number(last)?,
        epoch: number(epoch)?,
        entries: entries.into_iter().map(|(_, entry)| entry).collect(),
        closed: closed.into_iter().map(|(_, closed)| closed).collect(),
    })
}
