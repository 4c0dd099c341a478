//! Leases: the pure protocol, run inside the transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::protocol::{self, Op, Record, Reply, TooNew};
use leasehold_core::store::{
    Capabilities, ClockSource, LeaseCall, Leases, Safety, Stamped, StoreError,
};

use crate::connection::Connection;
use crate::error::Failure;
use crate::statements::{Changes, Kept, Stored};
use crate::transaction::Transaction;
use crate::writer::Query;

/// A record as it is stored, and as it is now.
#[derive(Debug)]
pub(crate) struct Slot {
    stored: Option<Vec<u8>>,
    record: Result<Option<Record>, TooNew>,
}

impl Slot {
    fn of(stored: Option<Vec<u8>>) -> Self {
        let record = stored.as_deref().map(protocol::decode).transpose();
        Self { stored, record }
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
        for call in &self.0 {
            if let Err(error) = &tx.slot(&call.name).record {
                return Err(error.clone().into());
            }
        }
        Ok(self.0.iter().map(|call| tx.apply(call)).collect())
    }
}

impl Transaction<'_> {
    /// Keeps what was read of these names.
    pub(crate) fn fill(&mut self, names: &BTreeSet<ResourceName>, mut stored: Stored) {
        for name in names {
            let slot = Slot::of(stored.remove(name.as_str()));
            self.slots.insert(name.clone(), slot);
        }
    }

    fn slot(&mut self, name: &ResourceName) -> &mut Slot {
        let slot = self.slots.entry(name.clone());
        slot.or_insert_with(|| Slot::of(None))
    }

    fn apply(&mut self, call: &LeaseCall) -> Reply {
        let now = self.now;
        let slot = self.slot(&call.name);
        let record = std::mem::replace(&mut slot.record, Ok(None));
        let outcome = protocol::apply(record.unwrap_or_default(), &call.op, now);
        slot.record = Ok(outcome.record);
        self.effects.granted.extend(outcome.granted);
        let rid = match &call.op {
            Op::Acquire(acquire) => acquire.rid,
            Op::Renew(renew) => renew.rid,
            Op::Release(release) => release.rid,
            Op::Inspect => return outcome.reply,
        };
        let waits = matches!(outcome.reply, Reply::Queued { .. }).then(|| call.name.clone());
        self.effects.waiting.push((rid, waits));
        outcome.reply
    }

    /// The records that changed.
    pub(crate) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for (name, slot) in std::mem::take(&mut self.slots) {
            let Ok(record) = slot.record else { continue };
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

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            Safety::BestEffort,
            ClockSource::Monotonic,
            Duration::from_millis(20),
        )
    }
}
