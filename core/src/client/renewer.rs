//! The renewer: one a client, renews all its leases in batches at a third of their TTL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument;

use super::cleaner::BATCH;
use super::line::After;
use super::tenure::Term;
use super::{Cleanup, Core, Tenure};
use crate::env::Moment;
use crate::error::LostCause;
use crate::metrics::{self, Renewal};
use crate::name::Bucket;
use crate::planted::{Bug, planted};
use crate::protocol::{Op, Renew, Reply};
use crate::store::{LeaseCall, StoreHandle};

/// Runs until the core is stopped; then every lease that is still held is lost, loudly, and ended.
pub(super) async fn run(core: Arc<Core>, store: StoreHandle) {
    let mut flights: JoinSet<()> = JoinSet::new();
    loop {
        let due = core.renewals.take_due(core.env.now());
        for batch in batches(&core, due) {
            let span = tracing::debug_span!("renew", leases = batch.len());
            let renewal = renew(Arc::clone(&core), store.clone(), batch);
            flights.spawn(renewal.instrument(span));
        }
        // After the batches: one that is not to be renewed may have been put back.
        let next = core.renewals.next();
        tokio::select! {
            biased;
            () = core.stop.cancelled() => break,
            // A panic in a flight leaves its leases to their deadlines, which the guards keep themselves.
            Some(_) = flights.join_next() => {}
            () = core.renewals.sooner() => {}
            () = core.env.sleep_until(next) => {}
        }
    }
    for tenure in core.renewals.close() {
        tenure.lose(LostCause::ShutDown);
        if let Some(pool) = tenure.pool() {
            pool.lose(&core, &tenure);
        }
        // Those who wait are told to go, too: none of them will end it.
        core.lines.lose(&core, &tenure);
        tenure.end();
        if !planted(Bug::ShutdownReleasesNothing) {
            core.clean_up(Cleanup::of(&core, &tenure));
        }
    }
    // A renewal that is under way is of no use any more: it is dropped.
}

impl Core {
    /// From now on it is renewed. One that was handed over is claimed when a quarter of its claim window is over, so that a short
    /// hold costs no request for that; at once if it is shared, since others join only when its claim was answered.
    pub(super) fn keep_alive(&self, tenure: &Arc<Tenure>, now: Moment) {
        let at = if tenure.is_claimed() {
            next_look(self, tenure, now)
        } else if tenure.is_shared() {
            now
        } else {
            // At once, if the push came late.
            let claim = tenure.deadline().minus(tenure.term() * 3 / 4);
            claim.min(tenure.look_at())
        };
        if !self.renewals.add(at, tenure) {
            tenure.lose(LostCause::ShutDown);
        }
    }
}

/// A third of the TTL from now, and never later than the end of `max_hold`, of a revocation's grace, or the time to warn
/// of a long hold.
///
/// Leases of one TTL meet at its 64ths, so that many travel in one request: at their own times each would travel alone.
fn next_look(core: &Core, tenure: &Tenure, now: Moment) -> Moment {
    let renewal = (now + core.env.jittered(tenure.ttl / 3)).round_down(tenure.ttl / 64);
    if tenure.revocation().is_some() {
        return tenure.deadline();
    }
    renewal.min(tenure.look_at())
}

/// A lost lease may still stand in the store (a late claim even in the queue): the next holder need not wait for it.
fn end(core: &Arc<Core>, tenure: &Arc<Tenure>) {
    core.renewals.remove(tenure);
    if let Some(pool) = tenure.pool() {
        pool.lose(core, tenure);
    }
    let after = core.lines.lose(core, tenure);
    if after == After::Release {
        tenure.end();
        core.clean_up(Cleanup::of(core, tenure));
    }
}

/// What is to be renewed, by bucket, in batches. What is over ends.
fn batches(core: &Arc<Core>, due: Vec<Arc<Tenure>>) -> Vec<Vec<Arc<Tenure>>> {
    let mut buckets: BTreeMap<Bucket, Vec<Arc<Tenure>>> = BTreeMap::new();
    for tenure in due {
        tenure.look(core.env.now());
        if tenure.is_ended() {
            core.renewals.remove(&tenure);
        } else if tenure.check().is_err() {
            end(core, &tenure);
        } else {
            let bucket = buckets.entry(tenure.name.bucket()).or_default();
            bucket.push(tenure);
        }
    }
    let mut batches = Vec::new();
    for mut bucket in buckets.into_values() {
        while bucket.len() > BATCH {
            let rest = bucket.split_off(BATCH);
            batches.push(std::mem::replace(&mut bucket, rest));
        }
        batches.push(bucket);
    }
    batches
}

/// Renews a batch once.
async fn renew(core: Arc<Core>, store: StoreHandle, batch: Vec<Arc<Tenure>>) {
    let not_after_us = core.not_after_us(core.request_timeout);
    let calls: Vec<_> = (batch.iter())
        .map(|tenure| LeaseCall {
            name: tenure.name.clone(),
            op: Op::Renew(Renew {
                rid: tenure.rid,
                not_after_us,
                renewal: tenure.next_renewal(),
            }),
        })
        .collect();
    let answer = core.send(&store, &calls, patience(&core, &batch)).await;
    // A guard that went meanwhile ends its lease itself.
    let is_kept = |tenure: &Arc<Tenure>| !tenure.is_ended();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            metrics::renewed(Renewal::Unknown);
            tracing::debug!(%error, leases = batch.len(), "a renewal waits for the store");
            for tenure in batch.into_iter().filter(is_kept) {
                tenure.miss_answer();
                retry(&core, &tenure);
            }
            return;
        }
    };
    let store_us = answer.now.lease_us;
    let replies = batch.into_iter().zip(answer.value);
    for (tenure, reply) in replies.filter(|(tenure, _)| is_kept(tenure)) {
        match reply {
            Reply::Renewed {
                remaining_us,
                contended,
                revoked,
            } => {
                tenure.extend(&Term {
                    sent: answer.sent,
                    store_us,
                    remaining_us,
                });
                if contended {
                    tenure.contend();
                }
                if let Some(revoked) = revoked {
                    metrics::renewed(Renewal::Revoked);
                    tenure.revoke(revoked);
                } else {
                    metrics::renewed(Renewal::Renewed);
                    tenure.claim();
                }
                if tenure.check().is_err() {
                    // Answered too late: nobody holds it any more, and the store has it for another TTL.
                    end(&core, &tenure);
                    continue;
                }
                let next = next_look(&core, &tenure, answer.received);
                core.renewals.again(next, &tenure);
                core.lines.resume(&core, &tenure);
                if let Some(pool) = tenure.pool() {
                    pool.renewed(&core);
                }
            }
            Reply::NotHeld => not_held(&core, &tenure),
            // The request aged on its way; the lease may well be there.
            _ => retry(&core, &tenure),
        }
    }
}

/// How long a renewal is waited for: one that gets lost must leave time for another.
fn patience(core: &Core, batch: &[Arc<Tenure>]) -> Duration {
    let now = core.env.now();
    let shortest = (batch.iter()).map(|tenure| tenure.deadline().since(now));
    let half = shortest.min().unwrap_or_default() / 2;
    // A slow store's answer is still waited for: a few times what it usually takes.
    half.max(core.clock.round_trip() * 4)
        .min(core.request_timeout)
}

fn not_held(core: &Arc<Core>, tenure: &Arc<Tenure>) {
    metrics::renewed(Renewal::NotHeld);
    let expired = core.env.now() >= tenure.deadline();
    tenure.lose(if expired {
        LostCause::Expired
    } else {
        LostCause::Deleted
    });
    end(core, tenure);
}

/// Soon again, while there is time; after that it is lost.
fn retry(core: &Arc<Core>, tenure: &Arc<Tenure>) {
    let now = core.env.now();
    if now >= tenure.deadline() {
        tenure.lose(LostCause::Unreachable);
        end(core, tenure);
        return;
    }
    let left = tenure.deadline().since(now);
    let pause = (left / 8).clamp(Duration::from_millis(20), Duration::from_millis(500));
    core.renewals.again(now + core.env.jittered(pause), tenure);
}
