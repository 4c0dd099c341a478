//! The cleaner: ends, in the background, what a dropped guard or future may have left, until the store says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::line::Line;
use super::{Core, Tenure};
use crate::env::Moment;
use crate::name::{Bucket, ResourceName};
use crate::planted::{Bug, planted};
use crate::protocol::{Op, Release, Reply, Rid};
use crate::store::{LeaseCall, StoreHandle};

/// Operations a request carries at most.
pub(super) const BATCH: usize = 128;
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// How often it looks, at the end, whether anybody is left who may hand it something.
const LOOK: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// A request to end.
#[derive(Debug, Clone)]
pub(crate) struct Cleanup {
    pub(crate) name: ResourceName,
    pub(crate) rid: Rid,
    pub(crate) used: u64,
    pub(crate) close_until_us: u64,
    /// After this instant the store has forgotten the request by itself.
    pub(crate) give_up: Moment,
    /// The line whose tenure it was: it goes on then.
    pub(crate) line: Option<Line>,
}

impl Cleanup {
    /// Of a tenure.
    pub(crate) fn of(core: &Core, tenure: &Tenure) -> Self {
        let ends = core.env.now() + core.request_timeout;
        // Also one that was claimed may come back to the queue, by a late copy of its acquire.
        let ends = if tenure.is_claimed() && tenure.close_until_us == 0 {
            ends
        } else {
            ends.max(tenure.asked_until)
        };
        Self {
            name: tenure.name.clone(),
            rid: tenure.rid,
            used: tenure.used(),
            close_until_us: tenure.close_until_us,
            give_up: ends + tenure.ttl,
            line: tenure.line.clone(),
        }
    }
}

impl Core {
    /// Hands a request to the cleaner, on or off a runtime.
    pub(crate) fn clean_up(&self, cleanup: Cleanup) {
        self.cleaning.fetch_add(1, Ordering::AcqRel);
        if self.cleanups.send(cleanup).is_err() {
            // The cleaner has ended, after a shutdown: the lease ends with its TTL.
            self.cleaning.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn cleaned(self: &Arc<Self>, request: &Cleanup) {
        self.cleaning.fetch_sub(1, Ordering::AcqRel);
        if let Some(line) = &request.line {
            self.lines.left(self, line, request.rid);
        }
    }
}

/// Runs until the renewer has ended, whoever still leads, waits or releases has gone, and all is clean or given up.
pub(super) async fn run(
    core: Arc<Core>,
    store: StoreHandle,
    mut requests: mpsc::UnboundedReceiver<Cleanup>,
    mut renewer: JoinHandle<()>,
) {
    let mut waiting: BTreeMap<Bucket, Vec<Cleanup>> = BTreeMap::new();
    // One flight a bucket: what comes meanwhile goes along with the next, so that a storm makes larger batches, not more.
    let mut flying: BTreeSet<Bucket> = BTreeSet::new();
    let mut flights = JoinSet::new();
    // Once the renewer has ended: until when those who lead, wait or release are waited for.
    let mut last_call = None;
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            received = requests.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    break;
                }
            }
            Some(ended) = flights.join_next() => match ended {
                Ok(bucket) => drop(flying.remove(&bucket)),
                // A panic in a flight leaves its leases to their TTL, and must not hold its bucket up.
                Err(_) => flying.clear(),
            },
            _ = &mut renewer, if last_call.is_none() => {
                last_call = Some(core.env.now() + core.request_timeout);
            }
            () = core.env.sleep(LOOK), if last_call.is_some() => {}
        }
        for request in batch {
            let bucket = waiting.entry(request.name.bucket()).or_default();
            bucket.push(request);
        }
        for (bucket, waiting) in &mut waiting {
            if flying.insert(*bucket) {
                let rest = waiting.split_off(waiting.len().min(BATCH));
                let batch = std::mem::replace(waiting, rest);
                flights.spawn(clean(Arc::clone(&core), store.clone(), *bucket, batch));
            }
        }
        waiting.retain(|_, waiting| !waiting.is_empty());
        let is_late = last_call.is_some_and(|until| core.env.now() >= until);
        let is_done = last_call.is_some() && core.is_at_rest();
        if requests.is_empty() && (is_done || is_late) {
            break;
        }
    }
    for (bucket, waiting) in waiting {
        for batch in waiting.chunks(BATCH) {
            flights.spawn(clean(
                Arc::clone(&core),
                store.clone(),
                bucket,
                batch.to_vec(),
            ));
        }
    }
    // What guards and futures dropped before the stop is still ended: there is time for one request that is not answered.
    let all = async { while flights.join_next().await.is_some() {} };
    if core
        .env
        .timeout(core.request_timeout * 2, all)
        .await
        .is_err()
    {
        tracing::warn!(
            "stopped with releases that the store did not acknowledge: they end with their TTL"
        );
    }
}

async fn clean(
    core: Arc<Core>,
    store: StoreHandle,
    bucket: Bucket,
    mut requests: Vec<Cleanup>,
) -> Bucket {
    let mut pause = FIRST_RETRY;
    loop {
        // A fresh not_after for each attempt: a release may come late, its acquire may not.
        let not_after_us = core.not_after_us(core.request_timeout);
        let calls: Vec<_> = (requests.iter())
            .map(|request| LeaseCall {
                name: request.name.clone(),
                op: Op::Release(Release {
                    rid: request.rid,
                    not_after_us,
                    used: request.used,
                    close_until_us: request.close_until_us,
                }),
            })
            .collect();
        match core.send(&store, &calls, core.request_timeout).await {
            Ok(answer) => {
                let mut replies = answer.value.into_iter();
                requests.retain(|request| {
                    let released = matches!(replies.next(), Some(Reply::Released { .. }));
                    if released {
                        core.cleaned(request);
                    }
                    !released
                });
            }
            Err(error) => tracing::debug!(%error, "a release waits for the store"),
        }
        let now = core.env.now();
        requests.retain(|request| {
            if request.give_up > now && !planted(Bug::CleanerGivesUp) {
                return true;
            }
            tracing::debug!(name = %request.name, "not released: the store forgets it by itself");
            core.cleaned(request);
            false
        });
        if requests.is_empty() {
            return bucket;
        }
        if core.stop.is_cancelled() {
            // The last chance: no time for patience.
            core.env.sleep(FIRST_RETRY).await;
            continue;
        }
        tokio::select! {
            biased;
            () = core.stop.cancelled() => {}
            () = core.env.sleep(core.env.jittered(pause)) => {}
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}
