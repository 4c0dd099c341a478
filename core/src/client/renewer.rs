//! The renewer: one a client, renews all its leases in batches at a third of their TTL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cleaner::BATCH;
use super::held::Term;
use super::{Cleanup, Core, Held};
use crate::env::Moment;
use crate::error::LostCause;
use crate::metrics;
use crate::name::Bucket;
use crate::protocol::{Op, Renew, Reply, Rid};
use crate::store::{LeaseCall, StoreHandle};

type Due = BTreeMap<(Moment, Rid), Arc<Held>>;

/// Runs until the core is stopped; then every lease that is still held is lost, loudly, and ended.
pub(super) async fn run(
    core: Arc<Core>,
    store: StoreHandle,
    mut grants: mpsc::UnboundedReceiver<Arc<Held>>,
) {
    let mut due = Due::new();
    let mut flights: JoinSet<Vec<(Moment, Arc<Held>)>> = JoinSet::new();
    loop {
        let next = due
            .first_key_value()
            .map_or(Moment::NEVER, |((at, _), _)| *at);
        tokio::select! {
            biased;
            () = core.stop.cancelled() => break,
            Some(held) = grants.recv() => {
                let at = if held.unclaimed { core.env.now() } else { next_renewal(&core, &held) };
                due.insert((at, held.rid), held);
            }
            Some(renewed) = flights.join_next() => {
                // A panic in a flight would leave its leases to their deadlines, which the guards keep themselves.
                for (at, held) in renewed.into_iter().flatten() {
                    due.insert((at, held.rid), held);
                }
            }
            () = core.env.sleep_until(next) => {
                for batch in take_due(&core, &mut due) {
                    flights.spawn(renew(Arc::clone(&core), store.clone(), batch));
                }
            }
        }
    }
    let mut held: Vec<_> = due.into_values().collect();
    while let Ok(granted) = grants.try_recv() {
        held.push(granted);
    }
    while let Some(renewed) = flights.join_next().await {
        held.extend(renewed.into_iter().flatten().map(|(_, held)| held));
    }
    for held in held.iter().filter(|held| !held.is_ended()) {
        held.lose(LostCause::ShutDown);
        end(&core, held);
    }
}

/// A third of the TTL from now, and never later than the end of `max_hold` or the time to warn of a long hold.
fn next_renewal(core: &Core, held: &Held) -> Moment {
    let renewal = core.env.now() + core.env.jittered(held.ttl / 3);
    renewal.min(held.hold_until).min(held.overdue_at())
}

/// A lost lease may still stand in the store (a late claim even in the queue): the next holder need not wait for it.
fn end(core: &Core, held: &Held) {
    drop(core.cleanups.send(Cleanup::of(core, held)));
}

/// What is due, by bucket, in batches.
fn take_due(core: &Core, due: &mut Due) -> Vec<Vec<Arc<Held>>> {
    let now = core.env.now();
    let mut buckets: BTreeMap<Bucket, Vec<Arc<Held>>> = BTreeMap::new();
    while let Some(entry) = due.first_entry() {
        if entry.key().0 > now {
            break;
        }
        let held = entry.remove();
        if held.is_ended() {
            continue;
        }
        held.warn_if_overdue();
        if held.check().is_err() {
            end(core, &held);
        } else {
            buckets.entry(held.name.bucket()).or_default().push(held);
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

/// Renews a batch once; answers what is to be renewed again, and when.
async fn renew(
    core: Arc<Core>,
    store: StoreHandle,
    batch: Vec<Arc<Held>>,
) -> Vec<(Moment, Arc<Held>)> {
    let not_after_us = core.not_after_us(core.request_timeout);
    let calls: Vec<_> = (batch.iter())
        .map(|held| LeaseCall {
            name: held.name.clone(),
            op: Op::Renew(Renew {
                rid: held.rid,
                not_after_us,
                renewal: held.next_renewal(),
            }),
        })
        .collect();
    let answer = core.send(&store, &calls, patience(&core, &batch)).await;
    let mut again = Vec::with_capacity(batch.len());
    // A guard that went meanwhile ends its lease itself.
    let is_kept = |held: &Arc<Held>| !held.is_ended();
    match answer {
        Ok(answer) => {
            let store_us = answer.replies.now.lease_us;
            let replies = batch.into_iter().zip(answer.replies.value);
            for (held, reply) in replies.filter(|(held, _)| is_kept(held)) {
                match reply {
                    Reply::Renewed { remaining_us, .. } => {
                        metrics::renewed("renewed");
                        held.extend(&Term {
                            sent: answer.sent,
                            store_us,
                            remaining_us,
                        });
                        again.push((next_renewal(&core, &held), held));
                    }
                    Reply::NotHeld => not_held(&core, &held),
                    // The request aged on its way; the lease may well be there.
                    _ => retry(&core, held, &mut again),
                }
            }
        }
        Err(error) => {
            metrics::renewed("unknown");
            tracing::debug!(%error, leases = batch.len(), "a renewal waits for the store");
            for held in batch.into_iter().filter(is_kept) {
                held.miss_answer();
                retry(&core, held, &mut again);
            }
        }
    }
    again
}

/// How long a renewal is waited for: one that gets lost must leave time for another.
fn patience(core: &Core, batch: &[Arc<Held>]) -> Duration {
    let now = core.env.now();
    let shortest = batch.iter().map(|held| held.deadline().since(now)).min();
    let half = shortest.unwrap_or_default() / 2;
    // A slow store's answer is still waited for: a few times what it usually takes.
    half.max(core.clock.round_trip() * 4)
        .min(core.request_timeout)
}

fn not_held(core: &Core, held: &Held) {
    metrics::renewed("not_held");
    let expired = core.env.now() >= held.deadline();
    held.lose(if expired {
        LostCause::Expired
    } else {
        LostCause::Deleted
    });
    end(core, held);
}

/// Soon again, while there is time; after that it is lost.
fn retry(core: &Core, held: Arc<Held>, again: &mut Vec<(Moment, Arc<Held>)>) {
    let now = core.env.now();
    if now >= held.deadline() {
        held.lose(LostCause::Unreachable);
        end(core, &held);
        return;
    }
    let left = held.deadline().since(now);
    let pause = (left / 8).clamp(Duration::from_millis(20), Duration::from_millis(500));
    again.push((now + core.env.jittered(pause), held));
}
