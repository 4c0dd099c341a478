//! Leases: the pure protocol, run inside the transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{self, Op, Record, Reply, TooNew};
use leasehold_core::store::{
    Capabilities, ClockSource, LeaseCall, Leases, ListQuery, Page, Safety, Stamped, StoreError,
};

use crate::connection::Connection;
use crate::error::Failure;
use crate::floors::RaiseFloors;
use crate::list::List;
use crate::statements::{Changes, Kept, Stored};
use crate::transaction::Transaction;
use crate::writer::Query;

/// A record as it is stored, and as it is now.
#[derive(Debug)]
pub(crate) struct Slot {
    stored: Option<Vec<u8>>,
    record: Result<Option<Record>, TooNew>,
    /// Whether anything but looking was done to it.
    is_touched: bool,
}

impl Slot {
    fn of(stored: Option<Vec<u8>>) -> Self {
        let record = stored.as_deref().map(protocol::decode).transpose();
        Self {
            stored,
            record,
            is_touched: false,
        }
    }
}

struct Execute(Vec<LeaseCall>);

#[async_trait]
impl Query for Execute {
    type Answer = Vec<Reply>;
    const OPERATION: &'static str = "lease";

    fn calls(&self) -> &[LeaseCall] {
        &self.0
    }

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Vec<Reply>, Failure> {
        // All are looked at before the first is applied: a record that cannot be used leaves nothing half-done.
        tx.check(&self.0)?;
        Ok(self.0.iter().map(|call| tx.apply(call)).collect())
    }
}

impl Transaction<'_> {
    /// Keeps what was read of these names.
    pub(crate) fn fill(&mut self, names: &BTreeSet<ResourceName>, mut stored: Stored) {
        for name in names {
            let floor = stored.get(&name.bucket().to_string());
            let floor = floor.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            self.floors.insert(name.bucket(), floor.unwrap_or(0));
            let slot = Slot::of(stored.remove(name.as_str()));
            self.slots.insert(name.clone(), slot);
        }
    }

    fn slot(&mut self, name: &ResourceName) -> &mut Slot {
        let slot = self.slots.entry(name.clone());
        slot.or_insert_with(|| Slot::of(None))
    }

    /// Whether the records of these calls can be used.
    pub(crate) fn check(&mut self, calls: &[LeaseCall]) -> Result<(), TooNew> {
        for call in calls {
            if let Err(error) = &self.slot(&call.name).record {
                return Err(error.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, call: &LeaseCall) -> Reply {
        let now = self.now;
        let slot = self.slot(&call.name);
        let record = std::mem::replace(&mut slot.record, Ok(None));
        let floor = self.floors.get(&call.name.bucket()).copied();
        let floor = floor.unwrap_or_default();
        let outcome = protocol::apply(record.unwrap_or_default(), floor, &call.op, now);
        let slot = self.slot(&call.name);
        slot.record = Ok(outcome.record);
        slot.is_touched |= call.op != Op::Inspect;
        self.effects.notices.extend(outcome.notices);
        if let Some(rid) = call.op.rid() {
            let waits = matches!(outcome.reply, Reply::Queued { .. }).then(|| call.name.clone());
            self.effects.waiting.push((rid, waits));
        }
        outcome.reply
    }

    /// The records that changed.
    pub(crate) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for (name, slot) in std::mem::take(&mut self.slots) {
            let Ok(record) = slot.record else { continue };
            if !slot.is_touched {
                continue;
            }
            let bytes = record.as_ref().map(protocol::encode);
            if bytes == slot.stored {
                continue;
            }
            match (record, bytes) {
                (Some(record), Some(bytes)) => changes.kept.push(Kept {
                    keep_until_us: self
                        .now
                        .lease_us
                        .saturating_add(record.keep_for_us(self.now)),
                    name,
                    bytes,
                    epoch: record.epoch,
                    last_fence: record.last,
                }),
                _ => changes.gone.push(name),
            }
        }
        changes
    }
}

#[async_trait]
impl Leases for Connection {
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        self.ask(Execute(calls.to_vec())).await
    }

    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError> {
        self.ask(RaiseFloors(floors.to_vec())).await.map(drop)
    }

    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        self.ask(List(query.clone())).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            Safety::BestEffort,
            ClockSource::Monotonic,
            Duration::from_millis(20),
        )
    }
}
