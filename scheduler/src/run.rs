//! A run: its lease, its body, and its end.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Class, Fence, MutexGuard, ResourceName};
use tokio_util::sync::CancellationToken;

use crate::context::Run;
use crate::ledger::{Ledger, Outcome, Running, TickRecord};
use crate::registers::Stored;
use crate::scheduler::{Entry, Shared};
use crate::{Error, JobContext, metrics};
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

/// Ends, in `ledger`, the claims whose lease is gone.
pub(crate) async fn reap(shared: &Shared, ledger: &mut Ledger) -> Result<(), Error> {
    let mut gone = Vec::new();
    for run in &ledger.running {
        let lease = shared.coord.inspect(&lease_name(&run.lease)?).await?;
        if !lease.is_held() {
            gone.push(run.lease.clone());
        }
    }
    ledger.reap(|run| gone.contains(&run.lease));
    Ok(())
}

/// Starts the body of a claim, if its lease still lasts, and sees to its end.
pub(crate) fn start(
    shared: &Arc<Shared>,
    job: usize,
    running: Running,
    guard: MutexGuard,
    stored: Stored,
) {
    let shared = Arc::clone(shared);
    let runs = shared.runs.clone();
    runs.spawn(async move {
        let entry = &shared.entries[job];
        let started = shared.coord.env().now();
        let term = Fence::new(stored.ledger.term);
        let (outcome, error) = body(&shared, entry, &running, &guard, term).await;
        let took = shared.coord.env().now().since(started);
        metrics::ended(entry.job(), outcome.as_str(), Some(took));
        if let Some(error) = &error {
            tracing::warn!(job = entry.job(), tick = running.tick, %outcome, error, "a run failed");
        }
        let mut record = TickRecord::of_run(&running, outcome);
        record.took_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        record.error = error;
        loop {
            match end(entry, &running, record.clone(), stored.clone()).await {
                Ok(()) => break,
                // A full store takes no writes for a while; as long as the lease lasts nobody takes the run for lost.
                Err(error) if guard.is_held() => {
                    tracing::warn!(job = entry.job(), tick = running.tick, %error, "a run's end waits for the store");
                    shared.coord.env().sleep(LAST_GRACE).await;
                }
                Err(error) => {
                    tracing::warn!(job = entry.job(), tick = running.tick, %error, "a run's end was not recorded");
                    break;
                }
            }
        }
        // The claim is out of the ledger: only now may its lease go.
        if let Err(error) = guard.release().await {
            tracing::debug!(%error, "a run's lease was gone before its end was recorded");
        }
    });
}

async fn body(
    shared: &Shared,
    entry: &Entry,
    running: &Running,
    guard: &MutexGuard,
    leader_term: Fence,
) -> (Outcome, Option<String>) {
    if let Some((outcome, why)) = too_late(shared, running, guard) {
        return (outcome, Some(format!("not started: {why}")));
    }
    let cancelled = CancellationToken::new();
    let context = JobContext(Arc::new(Run {
        job: Arc::clone(&entry.name),
        id: Arc::clone(&entry.ledger.job),
        tick: running.tick,
        attempt: running.attempt,
        fence: guard.fence(),
        leader_term,
        delay: Duration::from_millis(running.delay_ms),
        cancelled: cancelled.clone(),
        coord: shared.coord.clone(),
        states: Arc::clone(&shared.states),
    }));
    let env = shared.coord.env();
    let handler = Arc::clone(&entry.handler);
    // The handler is called in there too: it may panic before its future exists.
    let mut task = Aborting(env.spawn(async move { handler(context).await }));
    let stopped = async {
        tokio::select! {
            biased;
            () = shared.force.cancelled() => {}
            () = guard.running_out(shared.run_ttl / 5) => {}
        }
        cancelled.cancel();
        // A lease in danger that recovers lets its run go on, cancelled as it is, until the drain ends it.
        shared.force.cancelled().await;
        env.sleep(LAST_GRACE).await;
    };
    let result = tokio::select! {
        biased;
        cause = guard.lost() => {
            cancelled.cancel();
            return (Outcome::LostLease, Some(cause.to_string()));
        }
        result = &mut task.0 => result,
        () = stopped => {
            task.0.abort();
            // While it works on without an await it keeps its lease: nobody else may start meanwhile.
            tokio::select! {
                biased;
                _ = &mut task.0 => {}
                _ = guard.lost() => {}
            }
            return (Outcome::Failed, Some("cancelled: the node shut down before the run ended".into()));
        }
    };
    match result {
        // A body that never yields can outlast its lease unnoticed.
        _ if guard.check().is_err() => (
            Outcome::LostLease,
            Some("the run ended after its lease had".into()),
        ),
        Ok(Ok(())) => (Outcome::Ran, None),
        Ok(Err(error)) => (Outcome::Failed, Some(shortened(error.to_string()))),
        Err(join) => (Outcome::Failed, Some(shortened(panic_text(join)))),
    }
}

/// Whether a claim was decided too late to start what it is for: its answer may have taken any time.
fn too_late(shared: &Shared, running: &Running, guard: &MutexGuard) -> Option<(Outcome, String)> {
    if let Err(lost) = guard.check() {
        return Some((Outcome::LostLease, lost.to_string()));
    }
    if shared.force.is_cancelled() {
        let why = "the node shut down before its claim was answered";
        return Some((Outcome::Missed, why.into()));
    }
    let late = lateness(shared, running.tick);
    (late > shared.grace).then(|| {
        let why = format!("its claim was answered {late:.1?} after its time");
        (Outcome::Missed, why)
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

/// Writes the claim's end into the ledger.
async fn end(
    entry: &Entry,
    running: &Running,
    record: TickRecord,
    stored: Stored,
) -> Result<(), Error> {
    let (node, fence) = (running.node, running.fence);
    let ended = |ledger: &mut Ledger, unsure: bool| {
        // An earlier copy of this write may have been applied, and its record flushed: then all is done.
        if unsure && !ledger.has_claim(node, fence) {
            let reaped = |r: &TickRecord| r.fence == Some(fence) && r.outcome == Outcome::LostLease;
            let noted = |r: &TickRecord| r.key() == record.key();
            if ledger.out.iter().any(noted) || !ledger.out.iter().any(reaped) {
                return false;
            }
        }
        ledger.end(node, record.clone());
        true
    };
    entry.ledger.update(Some(stored), ended).await
}
