//! Looking: who holds a resource and who waits for it, as the store sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Inner, Revocation};
use crate::error::Error;
use crate::fence::Fence;
use crate::name::ResourceName;
use crate::protocol::{Capacity, Entry, Now, Op, Phase, Record, Reply, Weight};
use crate::store::{LeaseCall, ListQuery, Stamped};

/// How many resources a page of a listing has.
const PAGE: usize = 500;

/// Who holds a resource and who waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The resource.
    pub name: ResourceName,
    /// Who holds it, the first one first. A holder whose time is over stands here until someone calls.
    pub holders: Vec<Holder>,
    /// Who waits, in turn. Each stands for all tasks of its client.
    pub waiters: Vec<Waiter>,
    /// How many permits there are, if it is a semaphore in use: as those say who hold some or wait for some. `None` of a
    /// lock.
    pub permits: Option<u32>,
}

/// A holder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Who it is, for people.
    pub label: String,
    /// The fence it was granted with, if it holds all of the resource; tasks that take turns under one grant have later
    /// ones.
    pub fence: Option<Fence>,
    /// How much of the resource it holds.
    pub weight: Weight,
    /// For how long it has held it.
    pub held_for: Duration,
    /// How long its lease lasts unless it is renewed; zero if it is over, and passes on with the next call.
    pub remaining: Duration,
    /// Whether it was told to go.
    pub revoked: Option<Revocation>,
}

/// A waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// Who it is, for people.
    pub label: String,
    /// How many stand before it.
    pub place: usize,
    /// How much of the resource it wants.
    pub weight: Weight,
    /// For how long it has waited.
    pub waits_for: Duration,
    /// Whether it was heard from lately; one that was not is passed over.
    pub is_live: bool,
}

/// Resources whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Listing {
    /// In the order of their names.
    pub resources: Vec<Inspection>,
    /// Whether that is all.
    pub is_complete: bool,
}

impl Inspection {
    fn of(name: ResourceName, record: Option<&Record>, now: Now) -> Self {
        let entries = record.map(|record| &record.entries[..]).unwrap_or_default();
        let holders = entries.iter().filter(|e| e.holds());
        let waiters = entries.iter().filter(|e| !e.holds()).enumerate();
        Self {
            name,
            holders: holders.map(|entry| Holder::of(entry, now)).collect(),
            waiters: waiters.map(|(at, e)| Waiter::of(e, at, now)).collect(),
            permits: record.and_then(|record| permits(record, now)),
        }
    }

    /// Whether somebody holds it and its time is not over.
    pub fn is_held(&self) -> bool {
        self.holders.iter().any(|h| !h.remaining.is_zero())
    }
}

/// Nobody has all of a semaphore's permits but by their number, and it has so many and no more.
fn permits(record: &Record, now: Now) -> Option<u32> {
    let by_number = |entry: &Entry| entry.weight != Weight::All;
    let capacity = record.capacity(now)?;
    let is_semaphore = record.entries.iter().all(by_number) && capacity != Capacity::UNBOUNDED;
    is_semaphore.then_some(capacity.size)
}

impl Holder {
    fn of(entry: &Entry, now: Now) -> Self {
        let us = Duration::from_micros;
        Self {
            label: entry.label.clone(),
            fence: (entry.weight == Weight::All).then(|| Fence::new(entry.first)),
            weight: entry.weight,
            held_for: us(now.lease_us.saturating_sub(entry.granted_us)),
            remaining: us(entry.expires_us.saturating_sub(now.lease_us)),
            revoked: (entry.revoked_us > 0).then(|| Revocation {
                reason: entry.reason.clone(),
                grace: us(entry.grace_us),
            }),
        }
    }
}

impl Waiter {
    fn of(entry: &Entry, place: usize, now: Now) -> Self {
        Self {
            label: entry.label.clone(),
            place,
            weight: entry.weight,
            waits_for: Duration::from_micros(now.lease_us.saturating_sub(entry.since_us)),
            is_live: entry.phase == Phase::Waiting && entry.is_live_waiter(now),
        }
    }
}

/// One resource's record, as it is stored.
pub(crate) async fn look(
    inner: &Inner,
    name: &ResourceName,
) -> Result<Stamped<Option<Record>>, Error> {
    let core = &inner.core;
    let call = LeaseCall {
        name: name.clone(),
        op: Op::Inspect,
    };
    let answer = core.send(&inner.store, &[call], core.request_timeout).await;
    let answer = answer.map_err(|error| Error::from_store(name, error))?;
    let now = answer.now;
    let value = match answer.value.into_iter().next() {
        Some(Reply::Inspected(record)) => record,
        _ => None,
    };
    Ok(Stamped { now, value })
}

pub(crate) async fn inspect(inner: &Inner, name: &ResourceName) -> Result<Inspection, Error> {
    let found = look(inner, name).await?;
    Ok(Inspection::of(
        name.clone(),
        found.value.as_ref(),
        found.now,
    ))
}

/// Resources whose whole names begin with `prefix`, `limit` at most.
pub(super) async fn list(inner: &Inner, prefix: &str, limit: usize) -> Result<Listing, Error> {
    let core = &inner.core;
    // By name: a store may say one twice, and in any order.
    let mut found = BTreeMap::new();
    let mut query = ListQuery {
        prefix: prefix.to_owned(),
        after: None,
        limit: PAGE,
    };
    loop {
        let request = inner.store.leases.list(&query);
        let page = core.request("list", core.request_timeout, request).await;
        let page = page.map_err(|error| Error::from_store(prefix, error))?;
        for (name, record) in page.value.resources {
            // What nobody holds or waits for is only remembered.
            if !record.entries.is_empty() {
                let inspection = Inspection::of(name.clone(), Some(&record), page.now);
                found.insert(name, inspection);
            }
        }
        query.after = page.value.next;
        if query.after.is_none() || found.len() >= limit {
            break;
        }
    }
    let is_complete = query.after.is_none() && found.len() <= limit;
    Ok(Listing {
        resources: found.into_values().take(limit).collect(),
        is_complete,
    })
}
