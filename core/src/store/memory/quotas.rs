//! Quotas in memory.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Connection, Space};
#[cfg(feature = "test-util")]
use super::{Done, Step};
use crate::name::ResourceName;
use crate::planted::{Bug, planted};
use crate::protocol::{self, CLOSED_SLACK_US, Charge, Now, Op, Reply, Rid, Settle, Settled, Usage};
use crate::store::{LeaseCall, QuotaCall, QuotaReply, Quotas, Stamped, StoreError, Take};

/// What is kept of quotas.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    usages: HashMap<ResourceName, Usage>,
    /// What became of settlements, and until when (lease time) that is remembered.
    settled: HashMap<Rid, (Settled, u64)>,
}

impl Kept {
    #[cfg(feature = "test-util")]
    pub(super) fn len(&self) -> usize {
        self.usages.len()
    }

    pub(super) fn collect(&mut self, now: Now) {
        self.usages.retain(|_, usage| !usage.is_spent(now));
        (self.settled).retain(|_, (_, until_us)| *until_us > now.lease_us);
    }

    fn settle(&mut self, name: &ResourceName, ask: &Settle, now: Now) -> QuotaReply {
        if now.lease_us > ask.not_after_us {
            return QuotaReply::Stale;
        }
        let before = self.settled.get(&ask.rid);
        if let Some((settled, _)) = before.filter(|_| !planted(Bug::SettledTwice)) {
            return QuotaReply::Settled(*settled);
        }
        let stored = self.usages.get(name).copied();
        let (settled, usage) = protocol::settle(stored, ask, now);
        if let Some(usage) = usage {
            self.usages.insert(name.clone(), usage);
        }
        let until_us = ask.not_after_us + CLOSED_SLACK_US;
        self.settled.insert(ask.rid, (settled, until_us));
        QuotaReply::Settled(settled)
    }
}

impl Connection {
    fn take(&self, space: &mut Space, take: &Take, now: Now) -> QuotaReply {
        if now.lease_us > take.not_after_us {
            return QuotaReply::Stale;
        }
        let (names, asks): (Vec<_>, Vec<Charge>) = take.charges.iter().cloned().unzip();
        let kept = |name| space.quotas.usages.get(name).copied();
        let stored: Vec<_> = names.iter().map(kept).collect();
        let (passes, charged) = protocol::charge_all(&stored, &asks, take.longest_wait_us, now);
        let lease = take.lease.as_ref().filter(|_| passes);
        let lease = lease.map(|(name, acquire)| {
            let (name, op) = (name.clone(), Op::Acquire(acquire.clone()));
            self.apply(space, &LeaseCall { name, op }, now)
        });
        if lease
            .as_ref()
            .is_none_or(|lease| matches!(lease, Reply::Granted { .. }))
        {
            for (name, charged) in names.into_iter().zip(&charged) {
                if let Some(usage) = charged.usage {
                    space.quotas.usages.insert(name, usage);
                }
            }
        }
        QuotaReply::Taken { charged, lease }
    }
}

#[async_trait]
impl Quotas for Connection {
    async fn quotas(&self, calls: &[QuotaCall]) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let (mut space, now) = (self.space().await, self.now());
        let mut replies = Vec::with_capacity(calls.len());
        for call in calls {
            let reply = match call {
                QuotaCall::Take(take) => self.take(&mut space, take, now),
                QuotaCall::Settle { name, ask } => space.quotas.settle(name, ask, now),
                QuotaCall::Peek { name, quota, cost } => {
                    let stored = space.quotas.usages.get(name).copied();
                    QuotaReply::Standing(protocol::peek(stored, *quota, *cost, now))
                }
            };
            #[cfg(feature = "test-util")]
            if let (Some(watch), Some(name)) = (self.store.0.faults.watch(), call.name()) {
                let reply = &reply;
                let done = Done::Quota { call, reply };
                watch(&Step { name, now, done });
            }
            replies.push(reply);
        }
        space.called(now);
        Ok(Stamped {
            now,
            value: replies,
        })
    }
}
