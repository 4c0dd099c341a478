//! A record's bytes, as this store keeps them: the protocol's own, or one line of text while one client holds the resource
//! and nobody else has asked. The scripts write it, and read it as the record that it stands for.

use leasehold_core::protocol::{self, Capacity, Entry, Phase, Record, TooNew, Weight};

use crate::script::PACKED;

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
