//! Quotas: the pure protocol, run inside the transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::protocol::{self, CLOSED_SLACK_US, Op, Reply, Settle, Settled, TooNew, Usage};
use leasehold_core::store::{LeaseCall, QuotaCall, QuotaReply, Quotas, Stamped, StoreError, Take};

use crate::connection::Connection;
use crate::error::Failure;
use crate::registers::decode_versioned;
use crate::schema::integer;
use crate::statements::{self, Changes, KeptUsage};
use crate::transaction::Transaction;
use crate::writer::Query;

/// The layout of a usage: it follows as MessagePack.
const FORMAT: u8 = b'1';

const GIVEN_BACK: i64 = 0;
const CHARGED: i64 = 1;
const KEPT: i64 = 2;

/// A key's usage, as the jobs so far have left it.
#[derive(Debug)]
pub(crate) struct Kept {
    usage: Option<Usage>,
    is_changed: bool,
}

/// Calls; `WRITES` if any of them may change something.
struct Apply<const WRITES: bool> {
    calls: Vec<QuotaCall>,
    /// What they ask of leases.
    leases: Vec<LeaseCall>,
}

#[async_trait]
impl<const WRITES: bool> Query for Apply<WRITES> {
    type Answer = Vec<QuotaReply>;
    const OPERATION: &'static str = "quota";
    const WRITES: bool = WRITES;

    fn calls(&self) -> &[LeaseCall] {
        &self.leases
    }

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Vec<QuotaReply>, Failure> {
        // All is looked at before anything is done: what cannot be used leaves nothing half-done.
        tx.check(&self.leases)?;
        tx.read_usages(&self.calls).await?;
        let mut leases = self.leases.iter();
        let mut replies = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            replies.push(match call {
                QuotaCall::Take(take) => {
                    let lease = take.lease.as_ref().and_then(|_| leases.next());
                    tx.charge(take, lease)
                }
                QuotaCall::Settle { name, ask } => tx.settle(name, ask).await?,
                QuotaCall::Peek { name, quota, cost } => {
                    let standing = protocol::peek(tx.usage(name), *quota, *cost, tx.now);
                    QuotaReply::Standing(standing)
                }
            });
        }
        Ok(replies)
    }
}

impl Transaction<'_> {
    /// Reads the usages of all keys of these calls that were not read before.
    async fn read_usages(&mut self, calls: &[QuotaCall]) -> Result<(), Failure> {
        let mut names = Vec::new();
        for call in calls {
            match call {
                QuotaCall::Take(take) => names.extend(take.charges.iter().map(|(name, _)| name)),
                QuotaCall::Settle { name, .. } | QuotaCall::Peek { name, .. } => names.push(name),
            }
        }
        names.retain(|name| !self.usages.contains_key(*name));
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        let stored = statements::usages(self.sql, &self.scope.namespace, &names).await?;
        let mut read = BTreeMap::new();
        for name in names {
            let bytes = stored.get(name.as_str());
            let usage = bytes.map(|bytes| decode_versioned(bytes, FORMAT));
            let kept = Kept {
                usage: usage.transpose().map_err(Failure::from)?,
                is_changed: false,
            };
            read.insert(name.clone(), kept);
        }
        self.usages.append(&mut read);
        Ok(())
    }

    fn usage(&self, name: &ResourceName) -> Option<Usage> {
        self.usages.get(name).and_then(|kept| kept.usage)
    }

    fn keep(&mut self, name: &ResourceName, usage: Usage) {
        let kept = Kept {
            usage: Some(usage),
            is_changed: true,
        };
        self.usages.insert(name.clone(), kept);
    }

    fn charge(&mut self, take: &Take, lease: Option<&LeaseCall>) -> QuotaReply {
        let now = self.now;
        if now.lease_us > take.not_after_us {
            return QuotaReply::Stale;
        }
        let stored: Vec<_> = (take.charges.iter())
            .map(|(name, _)| self.usage(name))
            .collect();
        let asks: Vec<_> = take.charges.iter().map(|(_, charge)| *charge).collect();
        let (passes, charged) = protocol::charge_all(&stored, &asks, take.longest_wait_us, now);
        let lease = lease.filter(|_| passes).map(|call| self.apply(call));
        let is_granted = |lease: &Reply| matches!(lease, Reply::Granted { .. });
        if lease.as_ref().is_none_or(is_granted) {
            for ((name, _), charged) in take.charges.iter().zip(&charged) {
                if let Some(usage) = charged.usage {
                    self.keep(name, usage);
                }
            }
        }
        QuotaReply::Taken { charged, lease }
    }

    async fn settle(&mut self, name: &ResourceName, ask: &Settle) -> Result<QuotaReply, Failure> {
        let now = self.now;
        if now.lease_us > ask.not_after_us {
            return Ok(QuotaReply::Stale);
        }
        let rid = ask.rid.to_string();
        let before: Option<(i64, i64)> = sqlx::query_as(
            "SELECT kind, units FROM leasehold_settled
             WHERE ns = ? AND rid = ? AND epoch = ? AND until_us > ?",
        )
        .bind(self.scope.namespace.as_str())
        .bind(&rid)
        .bind(integer(now.epoch))
        .bind(integer(now.lease_us))
        .fetch_optional(&mut *self.sql)
        .await?;
        if let Some((kind, units)) = before {
            return Ok(QuotaReply::Settled(settled_of(kind, units)?));
        }
        let (settled, usage) = protocol::settle(self.usage(name), ask, now);
        let (kind, units) = match settled {
            Settled::GivenBack(units) => (GIVEN_BACK, units),
            Settled::Charged(units) => (CHARGED, units),
            Settled::Kept => (KEPT, 0),
        };
        sqlx::query(
            "INSERT OR REPLACE INTO leasehold_settled (ns, rid, epoch, until_us, kind, units) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(self.scope.namespace.as_str())
        .bind(&rid)
        .bind(integer(now.epoch))
        .bind(integer(ask.not_after_us.saturating_add(CLOSED_SLACK_US)))
        .bind(kind)
        .bind(integer(units))
        .execute(&mut *self.sql)
        .await?;
        if let Some(usage) = usage {
            self.keep(name, usage);
        }
        Ok(QuotaReply::Settled(settled))
    }

    /// The usages that changed.
    pub(crate) fn changed_usages(&mut self, changes: &mut Changes) {
        for (name, kept) in std::mem::take(&mut self.usages) {
            if let Some(usage) = kept.usage.filter(|_| kept.is_changed) {
                changes.usages.push(KeptUsage {
                    name,
                    keep_until_us: usage.keep_until_us(),
                    bytes: encode(&usage),
                });
            }
        }
    }
}

fn encode(usage: &Usage) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing integers to a Vec cannot fail.
    rmp_serde::encode::write(&mut bytes, usage).expect("a usage has only encodable fields");
    bytes
}

fn settled_of(kind: i64, units: i64) -> Result<Settled, TooNew> {
    let units = units.cast_unsigned();
    match kind {
        GIVEN_BACK => Ok(Settled::GivenBack(units)),
        CHARGED => Ok(Settled::Charged(units)),
        KEPT => Ok(Settled::Kept),
        _ => Err(TooNew::Damaged("not a settlement".into())),
    }
}

#[async_trait]
impl Quotas for Connection {
    async fn quotas(&self, calls: &[QuotaCall]) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let lease_of = |call: &QuotaCall| match call {
            QuotaCall::Take(Take {
                lease: Some((name, acquire)),
                ..
            }) => Some(LeaseCall {
                name: name.clone(),
                op: Op::Acquire(acquire.clone()),
            }),
            _ => None,
        };
        let (leases, calls) = (calls.iter().filter_map(lease_of).collect(), calls.to_vec());
        let is_look = |call: &QuotaCall| matches!(call, QuotaCall::Peek { .. });
        if calls.iter().all(is_look) {
            self.ask(Apply::<false> { calls, leases }).await
        } else {
            self.ask(Apply::<true> { calls, leases }).await
        }
    }
}
