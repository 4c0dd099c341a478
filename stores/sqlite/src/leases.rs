//! Leases: the pure protocol, run inside the transaction.

use std::collections::btree_map::Entry;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::protocol::{self, Op, Record, Reply};
use leasehold_core::store::{
    Capabilities, ClockSource, LeaseCall, Leases, Safety, Stamped, StoreError,
};

use crate::connection::Connection;
use crate::error::Failure;
use crate::schema::integer;
use crate::transaction::Transaction;
use crate::writer::Query;

/// A record as it is stored, and as it is now.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    stored: Option<Vec<u8>>,
    record: Option<Record>,
}

struct Execute(Vec<LeaseCall>);

#[async_trait]
impl Query for Execute {
    type Answer = Vec<Reply>;
    const OPERATION: &'static str = "lease";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Vec<Reply>, Failure> {
        // All are read before the first is applied: a record that cannot be used leaves nothing half-done.
        for call in &self.0 {
            tx.load(&call.name).await?;
        }
        Ok(self.0.iter().map(|call| tx.apply(call)).collect())
    }
}

impl Transaction<'_> {
    async fn load(&mut self, name: &ResourceName) -> Result<(), Failure> {
        let Entry::Vacant(vacant) = self.slots.entry(name.clone()) else {
            return Ok(());
        };
        let stored: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT record FROM leasehold_lease WHERE ns = ? AND name = ?")
                .bind(self.scope.namespace.as_str())
                .bind(name.as_str())
                .fetch_optional(&mut *self.sql)
                .await?;
        let record = stored.as_deref().map(protocol::decode).transpose()?;
        vacant.insert(Slot { stored, record });
        Ok(())
    }

    fn apply(&mut self, call: &LeaseCall) -> Reply {
        let slot = self.slots.entry(call.name.clone()).or_default();
        let outcome = protocol::apply(slot.record.take(), &call.op, self.now);
        slot.record = outcome.record;
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

    /// Writes the records that changed.
    pub(crate) async fn write_records(&mut self) -> Result<(), sqlx::Error> {
        for (name, slot) in std::mem::take(&mut self.slots) {
            let bytes = slot.record.as_ref().map(protocol::encode);
            if bytes == slot.stored {
                continue;
            }
            let (Some(record), Some(bytes)) = (&slot.record, bytes) else {
                sqlx::query("DELETE FROM leasehold_lease WHERE ns = ? AND name = ?")
                    .bind(self.scope.namespace.as_str())
                    .bind(name.as_str())
                    .execute(&mut *self.sql)
                    .await?;
                continue;
            };
            let keep_until_us = self
                .now
                .lease_us
                .saturating_add(record.keep_for_us(self.now));
            sqlx::query(
                "INSERT OR REPLACE INTO leasehold_lease (ns, name, record, epoch, keep_until_us, last_fence)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(self.scope.namespace.as_str())
            .bind(name.as_str())
            .bind(bytes)
            .bind(integer(record.epoch))
            .bind(integer(keep_until_us))
            .bind(integer(record.last))
            .execute(&mut *self.sql)
            .await?;
        }
        Ok(())
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
