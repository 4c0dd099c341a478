//! A record's bytes, as this store keeps them: the protocol's own, or one line of text while one client holds the resource
//! and nobody else has asked, or the parts of a crowd. The scripts write it, and read it as the record that it stands for.

use leasehold_core::protocol::{self, Capacity, Closed, Entry, Phase, Record, TooNew, Weight};
use redis::Value;

use crate::script::{CROWD, PACKED};

/// Reads a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, TooNew> {
    match bytes.split_first() {
        Some((&PACKED, line)) => std::str::from_utf8(line)
            .ok()
            .and_then(unpacked)
            .ok_or_else(|| TooNew::Damaged("not a line of a lease".into())),
        _ => protocol::decode(bytes),
    }
}

fn unpacked(line: &str) -> Option<Record> {
    let mut words = line.splitn(12, ' ');
    let rid = words.next()?.parse().ok()?;
    let first: u64 = words.next()?.parse().ok()?;
    let end = first + words.next()?.parse::<u64>().ok()?;
    let ahead: i64 = words.next()?.parse().ok()?;
    let granted_us = first.checked_add_signed(ahead.checked_neg()?)?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let (not_after_us, ttl_us) = (number()?, number()?);
    let (want, seen, weight) = (number()?, number()?, number()?);
    let capacity = Capacity {
        size: u32::try_from(number()?).ok()?,
        revision: number()?,
    };
    let entry = Entry {
        rid,
        phase: Phase::Held,
        weight: Weight::from(u32::try_from(weight).ok()?),
        ttl_us,
        want,
        seen,
        not_after_us,
        since_us: granted_us,
        heard_us: granted_us,
        first,
        end,
        granted_us,
        expires_us: granted_us.saturating_add(ttl_us),
        renewal: 0,
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
