//! What the callers' side and the background side of a client share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::acquire::Ask;
use super::clock::{StoreClock, micros};
use super::health::Pulse;
use super::inbox::Inbox;
use super::leading::Leading;
use super::line::Lines;
use super::permits::Pools;
use super::renewals::Renewals;
use super::{Cleanup, Tenure, floors::Floors};
use crate::env::{Env, Moment};
use crate::error::{Error, TtlError};
use crate::fence::Fence;
use crate::metrics;
use crate::name::{Bucket, Namespace, ResourceName};
use crate::planted::{Bug, planted};
use crate::protocol::{NodeId, Now, Op, Release, Reply, Rid};
use crate::store::{LeaseCall, Membership, Stamped, StoreError, StoreHandle};

/// No request is cared for longer than this; it bounds how long a record can be kept for a waiter.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Shared state. Holds no connection: those belong to the runtimes they were opened on.
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) namespace: Namespace,
    pub(crate) node: NodeId,
    pub(crate) label: Arc<str>,
    pub(crate) address: String,
    pub(crate) longest_ttl: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) clock: StoreClock,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) lines: Lines,
    pub(crate) pools: Pools,
    pub(crate) leading: Leading,
    pub(crate) renewals: Renewals,
    pub(crate) floors: Floors,
    pub(crate) cleanups: mpsc::UnboundedSender<Cleanup>,
    pub(crate) membership: watch::Sender<Arc<Membership>>,
    pub(crate) meta: Mutex<BTreeMap<String, String>>,
    pub(crate) meta_changed: Notify,
    /// How many requests the cleaner has not ended yet.
    pub(crate) cleaning: AtomicUsize,
    /// How many are on their way to hand something to the cleaner.
    pub(crate) departing: AtomicUsize,
    pub(crate) pulse: Pulse,
    /// Cancelled when a shutdown begins: nothing new is acquired.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the last user handle is gone, or a shutdown has waited long enough for guards.
    pub(crate) stop: CancellationToken,
    pub(super) listening: Mutex<BTreeSet<Bucket>>,
    pub(super) seq: AtomicU64,
    pub(super) seen: AtomicU64,
}

/// See [`Core::depart`].
pub(crate) struct Departing<'a>(&'a Core);

impl Drop for Departing<'_> {
    fn drop(&mut self) {
        self.0.departing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core({}, {})", self.address, self.node)
    }
}

/// An answer, when it was asked for, and when it came.
pub(crate) struct Answer<T> {
    pub(crate) sent: Moment,
    pub(crate) received: Moment,
    /// The store's time of the answer.
    pub(crate) now: Now,
    pub(crate) value: T,
}

impl Core {
    /// Whether it takes no more requests from callers.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled() || self.stop.is_cancelled()
    }

    /// Someone is about to hand something to the cleaner, which waits for that.
    pub(crate) fn depart(&self) -> Departing<'_> {
        self.may_depart();
        Departing(self)
    }

    /// Someone may have something to hand to the cleaner one day, which waits until that is [over](Self::departs).
    pub(crate) fn may_depart(&self) {
        self.departing.fetch_add(1, Ordering::AcqRel);
    }

    /// Who [may depart](Self::may_depart) does.
    pub(crate) fn departs(&self) -> Departing<'_> {
        Departing(self)
    }

    /// Whether nobody holds, waits, asks or releases any more.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.lines.len() == 0
            && self.pools.len() == 0
            && self.inbox.is_empty()
            && self.renewals.len() == 0
            && self.departing.load(Ordering::Acquire) == 0
    }

    /// A guard was given this fence.
    pub(crate) fn note_fence(&self, name: &ResourceName, fence: u64) {
        self.floors.note(name.bucket(), fence);
    }

    /// The end of a tenure, with a fresh `not_after`: a release may come late, its acquire may not.
    pub(crate) fn release_call(&self, tenure: &Tenure, now: Moment) -> LeaseCall {
        LeaseCall {
            name: tenure.name.clone(),
            op: Op::Release(Release {
                rid: tenure.rid,
                not_after_us: self.not_after_us_from(now, self.request_timeout),
                used: tenure.used(),
                close_until_us: tenure.close_until_us,
            }),
        }
    }

    pub(crate) fn next_rid(&self) -> Rid {
        Rid {
            node: self.node,
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// The highest fence or store time this client has seen.
    pub(crate) fn seen(&self) -> u64 {
        if planted(Bug::SeenIsNotTold) {
            return 0;
        }
        self.seen.load(Ordering::Relaxed)
    }

    /// Values beyond the largest fence are nobody's: taken in, they would leave no room for the next one.
    pub(crate) fn saw(&self, value: u64) {
        if value >= Fence::MAX.get() {
            tracing::warn!(value, "ignored a fence that no store could have given out");
            return;
        }
        self.seen.fetch_max(value, Ordering::Relaxed);
    }

    /// How long an acquire is cared for: its wait, that of who may stand there for its line after it, and one request.
    pub(crate) fn patience(&self, ask: &Ask) -> Duration {
        let Some(wait) = ask.wait else {
            return self.request_timeout;
        };
        wait.min(LONGEST_WAIT) * 2 + self.request_timeout
    }

    /// A `not_after` that lies `patience` ahead.
    pub(crate) fn not_after_us(&self, patience: Duration) -> u64 {
        self.not_after_us_from(self.env.now(), patience)
    }

    /// The same, for who knows what time it is.
    pub(crate) fn not_after_us_from(&self, now: Moment, patience: Duration) -> u64 {
        self.clock.estimate(now).lease_us + micros(patience)
    }

    /// Who is there, in which incarnation of the store.
    pub(crate) fn members(&self) -> Arc<Membership> {
        Arc::clone(&self.membership.borrow())
    }

    /// Sends calls of one bucket under a deadline of ours, and learns the store's time from the answer.
    ///
    /// Dropping the future leaves open whether the calls take effect; whoever drops it cleans up.
    pub(crate) async fn send(
        &self,
        store: &StoreHandle,
        calls: &[LeaseCall],
        within: Duration,
    ) -> Result<Answer<Vec<Reply>>, StoreError> {
        self.send_at(self.env.now(), store, calls, within).await
    }

    /// The same, for who has just looked at the clock: `now` is no later than this instant.
    pub(crate) async fn send_at(
        &self,
        now: Moment,
        store: &StoreHandle,
        calls: &[LeaseCall],
        within: Duration,
    ) -> Result<Answer<Vec<Reply>>, StoreError> {
        let request = store.leases.execute(calls);
        let answer = self.timed_at(now, "request", within, request).await?;
        Ok(Answer {
            sent: if planted(Bug::DatedByReceipt) {
                answer.received
            } else {
                answer.sent
            },
            ..answer
        })
    }

    /// Runs one request under a deadline of ours, and learns the store's time from its answer.
    pub(crate) async fn timed<T>(
        &self,
        operation: &'static str,
        within: Duration,
        request: impl Future<Output = Result<Stamped<T>, StoreError>>,
    ) -> Result<Answer<T>, StoreError> {
        self.timed_at(self.env.now(), operation, within, request)
            .await
    }

    async fn timed_at<T>(
        &self,
        sent: Moment,
        operation: &'static str,
        within: Duration,
        request: impl Future<Output = Result<Stamped<T>, StoreError>>,
    ) -> Result<Answer<T>, StoreError> {
        let (result, received) = self.ask(operation, sent, within, request).await;
        let answer = result?;
        self.clock.observe(sent, received, answer.now);
        self.saw(answer.now.wall_us);
        Ok(Answer {
            sent,
            received,
            now: answer.now,
            value: answer.value,
        })
    }

    /// Runs one request to the store under a deadline of ours.
    pub(crate) async fn request<T>(
        &self,
        operation: &'static str,
        within: Duration,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let sent = self.env.now();
        self.ask(operation, sent, within, request).await.0
    }

    /// Tells when the answer came, too.
    async fn ask<T>(
        &self,
        operation: &'static str,
        sent: Moment,
        within: Duration,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> (Result<T, StoreError>, Moment) {
        let request = pin!(request);
        let result = match self.env.timeout_from(sent, sent + within, request).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::unknown(
                operation,
                format!("no answer from {} within {within:?}", self.address),
            )),
        };
        let received = self.env.now();
        match &result {
            Ok(_) => self.pulse.answered(received),
            Err(error) => self.pulse.failed(error),
        }
        metrics::requested(result.is_ok(), received.since(sent));
        (result, received)
    }

    /// Whether pushes for waiters in this bucket come.
    pub(crate) fn is_listening(&self, bucket: Bucket) -> bool {
        let listening = self.listening.lock();
        listening
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&bucket)
    }

    /// From now on they do, once this has returned.
    pub(crate) async fn listen(
        &self,
        store: &StoreHandle,
        bucket: Bucket,
    ) -> Result<(), StoreError> {
        let listen = store.events.listen(bucket);
        self.request("listen", self.request_timeout, listen).await?;
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.insert(bucket);
        Ok(())
    }

    /// Refuses a TTL that leaves nothing beyond the margin, or is longer than the namespace allows.
    pub(crate) fn check_ttl(&self, ttl: Duration, min_ttl: Duration) -> Result<(), Error> {
        // Twice the least margin: half of the shortest lease is usable.
        let shortest = min_ttl.max(Duration::from_millis(20));
        if ttl < shortest || ttl > self.longest_ttl {
            return Err(Error::Ttl(TtlError {
                ttl,
                shortest,
                longest: self.longest_ttl,
            }));
        }
        Ok(())
    }
}
