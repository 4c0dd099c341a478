//! A run: its lease, its body, and its end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leasehold_core::{Class, Fence, MutexGuard, ResourceName};
use leasehold_spec::Spec;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::context::Run;
use crate::ledger::{End, Ledger, Outcome, Running, TickRecord, Via};
use crate::planted::{Bug, planted};
use crate::registers::Stored;
use crate::scheduler::{Entry, Shared};
use crate::{Error, JobContext, history, metrics};
use leasehold_core::name::fnv1a_64;

/// After its cancellation a run has this long to end by itself, if its lease lasts that long.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// What is kept of a run's error.
const ERROR_BYTES: usize = 500;

/// A claim's lease, under a name that no other claim has.
pub(crate) struct RunLease {
    pub(crate) id: String,
    pub(crate) guard: MutexGuard,
}

fn class() -> Class {
    Class::internal("~run")
}

fn lease_name(id: &str) -> Result<ResourceName, Error> {
    Ok(class().resource(id)?)
}

/// Takes the lease of a claim that is about to be made. Its fence is above those of all earlier runs of the job.
pub(crate) async fn lease(
    shared: &Shared,
    entry: &Entry,
    tick: i64,
    last_fence: u64,
) -> Result<RunLease, Error> {
    let coord = &shared.coord;
    coord.saw(Fence::new(last_fence));
    let chance = coord.env().random(u64::MAX);
    // A job's name may be as long as an id may be: its hash stands for it.
    let job = fnv1a_64(entry.id().as_bytes());
    let id = format!("{job:016x}/{tick}/{}/{chance:016x}", coord.node());
    let leases = coord.mutexes_of(class()).ttl(shared.run_ttl);
    // A run may last as long as it likes: its lease is renewed while it does.
    let leases = leases.max_hold(Duration::MAX).label(entry.job());
    let guard = leases.try_lock(&id).await?;
    Ok(RunLease { id, guard })
}

/// Ends, in `ledger`, the claims whose lease is gone. Says when the next of the others ends, unless it is renewed.
pub(crate) async fn reap(
    shared: &Shared,
    spec: &Spec,
    ledger: &mut Ledger,
    now_ms: u64,
) -> Result<Option<Duration>, Error> {
    let mut gone = Vec::new();
    let mut next: Option<Duration> = None;
    let ttl_ms = u64::try_from(shared.run_ttl.as_millis()).unwrap_or(u64::MAX);
    for run in &ledger.running {
        if shared.is_running_here(&run.lease) {
            // This node records its end, whatever it is.
            continue;
        }
        // A lease lasts for a TTL in any case. A claim of the future is of a clock that was set back since: it says nothing.
        let left = (run.claimed_ms.saturating_add(ttl_ms)).saturating_sub(now_ms);
        let left = if (1..=ttl_ms).contains(&left) {
            Duration::from_millis(left)
        } else {
            if planted(Bug::LiveIsReaped) {
                gone.push(run.lease.clone());
                continue;
            }
            let lease = shared.coord.inspect(&lease_name(&run.lease)?).await?;
            let Some(held) = lease.holders.iter().map(|holder| holder.remaining).max() else {
                gone.push(run.lease.clone());
                continue;
            };
            if !lease.is_held() {
                gone.push(run.lease.clone());
                continue;
            }
            held
        };
        next = Some(next.map_or(left, |next| next.min(left)));
    }
    ledger.reap(spec, now_ms, |run| gone.contains(&run.lease));
    Ok(next)
}

/// A claim that is in the ledger.
pub(crate) struct Claim {
    pub(crate) job: usize,
    pub(crate) running: Running,
    pub(crate) guard: MutexGuard,
    pub(crate) stored: Stored,
    pub(crate) spec: Arc<Spec>,
    pub(crate) by_ms: Option<u64>,
    /// This node's leave to run one more job.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// How a body ended.
struct Ended {
    outcome: Outcome,
    error: Option<String>,
    /// The node was stopped, or its lease was lost.
    crashed: bool,
}

impl Ended {
    fn new(outcome: Outcome, error: impl Into<String>) -> Self {
        Self {
            outcome,
            error: Some(error.into()),
            crashed: false,
        }
    }

    fn crashed(outcome: Outcome, error: impl Into<String>) -> Self {
        Self {
            crashed: true,
            ..Self::new(outcome, error)
        }
    }
}

/// Starts the body of a claim, if its lease still lasts, and sees to its end.
pub(crate) fn start(shared: &Arc<Shared>, claim: Claim) {
    let shared = Arc::clone(shared);
    let runs = shared.runs.clone();
    runs.spawn(async move {
        let entry = &*shared.entry(claim.job);
        let running = &claim.running;
        let unwanted = shared.unwanted(&running.lease);
        let started = shared.coord.env().now();
        let ended = body(&shared, entry, &claim, &unwanted.0).await;
        let took = shared.coord.env().now().since(started);
        metrics::ended(entry.job(), ended.outcome.as_str(), Some(took));
        let outcome = ended.outcome;
        if let Some(error) = &ended.error {
            tracing::warn!(job = entry.job(), tick = running.tick, %outcome, error, "a run failed");
        }
        let mut record = TickRecord::of_run(running, outcome);
        record.took_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        record.error = ended.error;
        record.moved_by_dst = running.via != Via::Trigger && entry.timing(&claim.spec).moved_by_dst(running.tick);
        if planted(Bug::LeaseReleasedFirst) {
            let lease = lease_name(&running.lease).ok();
            if let Some(name) = lease {
                drop(shared.coord.revoke(&name, "planted", Duration::ZERO).await);
            }
        }
        let mut is_again = false;
        let stored = loop {
            let end = End {
                running,
                record: record.clone(),
                crashed: ended.crashed,
                now_ms: shared.now_ms(),
            };
            match write_end(entry, end, claim.stored.clone(), is_again).await {
                Ok(stored) => break stored,
                // A full store takes no writes for a while; as long as the lease lasts nobody takes the run for lost.
                Err(error) if claim.guard.is_held() => {
                    tracing::warn!(job = entry.job(), tick = running.tick, %error, "a run's end waits for the store");
                    shared.coord.env().sleep(LAST_GRACE).await;
                    is_again = true;
                }
                Err(error) => {
                    tracing::warn!(job = entry.job(), tick = running.tick, %error, "a run's end was not recorded");
                    break None;
                }
            }
        };
        drop(claim.slot);
        // The claim is out of the ledger: only now may its lease go.
        if let Err(error) = claim.guard.release().await {
            tracing::debug!(%error, "a run's lease was gone before its end was recorded");
        }
        if let Some(stored) = stored {
            let timing = entry.timing(&claim.spec);
            let due = timing.next(stored.ledger.cursor);
            let is_due = due.is_some_and(|tick| timing.start_ms(tick) <= shared.now_ms());
            if is_due || !stored.ledger.pending.is_empty() {
                shared.wake(claim.job);
            }
        }
    });
}

async fn body(
    shared: &Shared,
    entry: &Entry,
    claim: &Claim,
    unwanted: &CancellationToken,
) -> Ended {
    let (running, guard) = (&claim.running, &claim.guard);
    if let Some(too_late) = too_late(shared, claim) {
        return too_late;
    }
    let cancelled = CancellationToken::new();
    let context = JobContext(Arc::new(Run {
        job: Arc::clone(&entry.name),
        id: Arc::clone(&entry.ledger.job),
        tick: running.tick,
        attempt: running.attempt,
        via: running.via,
        asked: running.id.clone(),
        fence: guard.fence(),
        leader_term: Fence::new(claim.stored.ledger.term),
        delay: Duration::from_millis(running.delay_ms),
        cancelled: cancelled.clone(),
        coord: shared.coord.clone(),
        payload: claim.stored.ledger.payload(),
        states: Arc::clone(&shared.states),
    }));
    let env = shared.coord.env();
    let handler = Arc::clone(&entry.handler);
    let why_stopped = OnceLock::new();
    // The handler is called in there too: it may panic before its future exists. And so may its error, when it is shown.
    let mut task = Aborting(env.spawn(async move {
        let ended = handler(context).await;
        ended.map_err(|error| shortened(error.to_string()))
    }));
    let time_out = env.now() + claim.spec.timeout.unwrap_or(Duration::MAX);
    let stopped = async {
        let why = tokio::select! {
            biased;
            () = shared.force.cancelled() => Stop::ShutDown,
            () = unwanted.cancelled() => Stop::Unwanted,
            () = env.sleep_until(time_out) => Stop::TimedOut,
            () = guard.running_out(shared.run_ttl / 5) => {
                cancelled.cancel();
                // A lease in danger that recovers lets its run go on, cancelled as it is, until something else ends it.
                tokio::select! {
                    biased;
                    () = shared.force.cancelled() => Stop::ShutDown,
                    () = unwanted.cancelled() => Stop::Unwanted,
                    () = env.sleep_until(time_out) => Stop::TimedOut,
                }
            }
        };
        cancelled.cancel();
        let why = why_stopped.get_or_init(|| why);
        env.sleep(LAST_GRACE).await;
        *why
    };
    let result = tokio::select! {
        biased;
        cause = guard.lost(), if !planted(Bug::LeaseUnchecked) => {
            cancelled.cancel();
            return Ended::crashed(Outcome::LostLease, cause.to_string());
        }
        result = &mut task.0 => result,
        why = stopped => {
            task.0.abort();
            // While it works on without an await it keeps its lease: nobody else may start meanwhile.
            tokio::select! {
                biased;
                _ = &mut task.0 => {}
                _ = guard.lost() => {}
            }
            return why.ended(claim.spec.timeout);
        }
    };
    match result {
        // A body that never yields can outlast its lease unnoticed.
        _ if guard.check().is_err() => {
            Ended::crashed(Outcome::LostLease, "the run ended after its lease had")
        }
        // It heeded its cancellation, in time or too late.
        _ if why_stopped.get() == Some(&Stop::TimedOut) => Stop::TimedOut.ended(claim.spec.timeout),
        Ok(Ok(())) => Ended {
            outcome: Outcome::Ran,
            error: None,
            crashed: false,
        },
        Ok(Err(error)) => Ended {
            // It was this node that could not go on: it was stopped, or its lease was in danger.
            crashed: cancelled.is_cancelled(),
            ..Ended::new(Outcome::Failed, error)
        },
        Err(join) => Ended::new(Outcome::Failed, shortened(panic_text(join))),
    }
}

/// Why a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    ShutDown,
    Unwanted,
    TimedOut,
}

impl Stop {
    fn ended(self, timeout: Option<Duration>) -> Ended {
        match self {
            Stop::ShutDown => Ended::crashed(
                Outcome::Failed,
                "cancelled: the node shut down before the run ended",
            ),
            Stop::Unwanted => Ended::new(Outcome::Failed, "cancelled: the next tick came due"),
            Stop::TimedOut => Ended::new(
                Outcome::TimedOut,
                format!(
                    "cancelled: it took longer than {:?}",
                    timeout.unwrap_or_default()
                ),
            ),
        }
    }
}

/// Whether a claim was decided too late to start what it is for: its answer may have taken any time.
fn too_late(shared: &Shared, claim: &Claim) -> Option<Ended> {
    let not_started = |outcome, why: String| Ended::crashed(outcome, format!("not started: {why}"));
    if let Err(lost) = claim.guard.check()
        && !planted(Bug::LeaseUnchecked)
    {
        return Some(not_started(Outcome::LostLease, lost.to_string()));
    }
    if shared.force.is_cancelled() {
        let why = "the node shut down before its claim was answered";
        return Some(not_started(Outcome::Missed, why.into()));
    }
    let late = claim.by_ms.is_some_and(|by| shared.now_ms() > by);
    late.then(|| {
        let late = lateness(shared, claim.running.tick);
        let why = format!("its claim was answered {late:.1?} after its time");
        not_started(Outcome::Missed, why)
    })
}

/// How long ago, on the store's clock, a tick was due.
pub(crate) fn lateness(shared: &Shared, tick: i64) -> Duration {
    let due_us = u64::try_from(tick).unwrap_or(0).saturating_mul(1_000_000);
    Duration::from_micros(shared.coord.store_now().wall_us.saturating_sub(due_us))
}

/// A body that is stopped, at its next await, when nobody waits for it any more.
struct Aborting<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_text(join: tokio::task::JoinError) -> String {
    let Ok(panic) = join.try_into_panic() else {
        return "the runtime stopped while it ran".into();
    };
    let text = (panic.downcast_ref::<&str>().map(ToString::to_string))
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))
}

fn shortened(mut text: String) -> String {
    if text.len() > ERROR_BYTES {
        let whole = (0..=ERROR_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(whole.unwrap_or(0));
        text.push('…');
    }
    text
}

/// Writes the claim's end into the ledger. `is_again`: that failed before, and may have taken effect.
async fn write_end(
    entry: &Entry,
    end: End<'_>,
    stored: Stored,
    is_again: bool,
) -> Result<Option<Stored>, Error> {
    let (node, fence) = (end.running.node, end.running.fence);
    let mine = end.record.clone();
    // Who gave the run up noted the same fence; what it became is another record, beside that one.
    let noted =
        |r: &TickRecord| (r.fence, r.outcome, &r.error) == (mine.fence, mine.outcome, &mine.error);
    let reaped = |r: &TickRecord| r.fence == Some(fence) && r.outcome == Outcome::LostLease;
    // Attempts go by the specification in force; one that is not known here has none to add.
    let enter = |ledger: &mut Ledger| {
        let spec = entry.spec_of(ledger).unwrap_or_default();
        ledger.end(&spec, end.clone());
    };
    let mut is_flushed = false;
    let ended = |ledger: &mut Ledger, unsure: bool| {
        // An earlier copy of this write may have been applied; or the claim was given up before.
        let unsure = (unsure || is_again) && !planted(Bug::EndRepeated);
        if unsure && !ledger.has_claim(node, fence) {
            is_flushed = !ledger.out.iter().any(|r| noted(r) || reaped(r));
            if is_flushed || ledger.out.iter().any(noted) {
                return false;
            }
        }
        enter(ledger);
        true
    };
    let stored = entry.ledger.update(Some(stored), ended).await?;
    let Some(current) = stored.as_ref().filter(|_| is_flushed) else {
        return Ok(stored);
    };
    // Which of the two it was is in history by now.
    let recorded = loop {
        match history::recorded(&entry.ledger, &current.ledger.out).await {
            Err(Error::Core(error)) if error.is_unavailable() => {
                let env = entry.ledger.coord.env();
                env.sleep(env.jittered(LAST_GRACE)).await;
            }
            read => break read?,
        }
    };
    if recorded.records.iter().any(noted) || !recorded.records.iter().any(reaped) {
        return Ok(stored);
    }
    let late = |ledger: &mut Ledger, _| {
        // Once more is the same record.
        enter(ledger);
        true
    };
    entry.ledger.update(stored, late).await
}
