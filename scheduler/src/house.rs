//! Keeping the house: what the elected leader does beside running jobs like everybody else.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Error as CoreError, Leadership, RegisterHandle};
use leasehold_spec::Spec;

use crate::ledger::{FleetControl, Ledger};
use crate::registers::Stored;
use crate::scheduler::{Entry, Shared};
use crate::watchdog::{Callback, Overdue, Watch};
use crate::{Error, history, metrics, run};

/// How often the leader looks through all ledgers.
const SWEEP: Duration = Duration::from_secs(5);
/// What has ended is moved to history when a ledger was not written for this long.
const QUIET_US: u64 = 60_000_000;
/// Ledgers read in one request, beside the word to the fleet.
const BATCH: usize = 127;

/// Leads if nobody does, so that a fleet's first tick already has a leader.
pub(crate) async fn try_lead(shared: &Shared) -> Option<Leadership> {
    shared.election.try_lead().await.ok()
}

/// Campaigns, and keeps the house while elected, until the scheduler stops. Runs that are still under way then keep
/// their node, but not its leadership.
pub(crate) async fn keep(shared: Arc<Shared>, mut first: Option<Leadership>) {
    loop {
        let leadership = if let Some(leadership) = first.take() {
            leadership
        } else {
            let elected = tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                elected = shared.election.campaign() => elected,
                () = follow(&shared) => return,
            };
            match elected {
                Ok(leadership) => leadership,
                Err(CoreError::ShutDown) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot campaign; trying again");
                    let stopped = shared.stop.cancelled();
                    if shared.coord.env().timeout(SWEEP, stopped).await.is_ok() {
                        return;
                    }
                    continue;
                }
            }
        };
        tracing::info!(term = %leadership.term(), "leading");
        let stopped = lead(&shared, &leadership).await;
        if stopped {
            if let Err(error) = leadership.resign().await {
                tracing::debug!(%error, "leadership ends with its TTL");
            }
            return;
        }
        tracing::warn!(term = %leadership.term(), "no longer leading");
    }
}

/// Sweeps now and then while another leads: the leader may be of another kind, and not have this node's jobs.
async fn follow(shared: &Shared) {
    let env = shared.coord.env();
    loop {
        env.sleep(env.jittered(SWEEP * 12)).await;
        let swept = async {
            let leader = shared.election.leader().await?;
            sweep(shared, leader.map_or(0, |leader| leader.term.get())).await
        };
        if let Err(error) = swept.await {
            tracing::debug!(%error, "a sweep waits for the store");
        }
    }
}

/// Sweeps until leadership is lost (false) or the scheduler stops (true).
async fn lead(shared: &Shared, leadership: &Leadership) -> bool {
    let env = shared.coord.env();
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return true,
            _ = leadership.lost() => return false,
            swept = sweep(shared, leadership.term().get()) => {
                if let Err(error) = swept {
                    tracing::debug!(%error, "a sweep waits for the store");
                }
            }
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return true,
            _ = leadership.lost() => return false,
            () = env.sleep(env.jittered(SWEEP)) => {}
        }
    }
}

/// Looks through this node's ledgers: writes the leader's term, reaps lost runs, and moves what has ended to history.
async fn sweep(shared: &Shared, term: u64) -> Result<(), Error> {
    let jobs = shared.entries().into_iter().enumerate();
    let jobs: Vec<_> = jobs.filter(|(_, entry)| !entry.is_out()).collect();
    for jobs in jobs.chunks(BATCH) {
        let ledgers = jobs.iter().map(|(_, entry)| entry.ledger.register.clone());
        let registers: Vec<_> = ledgers.chain([shared.control.clone()]).collect();
        let mut read = RegisterHandle::read(&registers).await?;
        let fleet = read.value.pop().flatten();
        // One that is not known here keeps nobody from tidying up.
        let fleet = fleet.map_or_else(
            || Some(FleetControl::default()),
            |told| FleetControl::decode(&told.value).ok(),
        );
        for ((job, entry), register) in jobs.iter().zip(read.value) {
            let now_ms = read.now.wall_us / 1000;
            let looked = async {
                let Some(stored) = entry.ledger.decode(register.as_ref())? else {
                    return Ok(());
                };
                let Ok(spec) = entry.spec_of(&stored.ledger) else {
                    // Nodes of a newer version look after it.
                    return Ok(());
                };
                let stored = match &fleet {
                    Some(fleet) => watch(shared, entry, &spec, stored, (fleet, now_ms)).await?,
                    None => Some(stored),
                };
                match stored {
                    Some(stored) => tidy(shared, *job, &spec, stored, (term, now_ms)).await,
                    None => Ok(()),
                }
            };
            // One job's trouble is not the others'.
            if let Err(error) = looked.await {
                tracing::warn!(job = entry.job(), %error, "cannot tidy up after a job");
            }
        }
    }
    Ok(())
}

/// Says whether a job is overdue; and, once in the fleet until it ends well again, to who asked to be told. What is stored
/// then is answered.
async fn watch(
    shared: &Shared,
    entry: &Entry,
    spec: &Spec,
    stored: Stored,
    (fleet, now_ms): (&FleetControl, u64),
) -> Result<Option<Stored>, Error> {
    if shared.coord.store_clock_departure().is_some() {
        // What is overdue by a clock that stepped may be hours from that. Nor does anything start by it.
        return Ok(Some(stored));
    }
    let watch = Watch {
        timing: entry.timing(spec),
        limit: shared.watched.get(entry.job()).copied(),
        grace_ms: u64::try_from(shared.grace.as_millis()).unwrap_or(u64::MAX),
        resumed_ms: fleet.resumed_ms(),
    };
    let late = watch.late(&stored.ledger, now_ms);
    let late = late.filter(|_| fleet.paused.is_none());
    let by = late.map_or(0, |late| now_ms.saturating_sub(late.since_ms));
    let by = Duration::from_millis(by);
    metrics::overdue(entry.job(), by);
    // Who tells nobody leaves it to those who do.
    let (Some(late), Some(tell)) = (late, &shared.on_overdue) else {
        return Ok(Some(stored));
    };
    if stored.ledger.overdue_ms > late.from_ms {
        return Ok(Some(stored));
    }
    let last_success = stored.ledger.succeeded.map(|success| success.tick);
    let mut is_first = false;
    let noted = |ledger: &mut Ledger, unsure: bool| {
        let Some(late) = watch.late(ledger, now_ms) else {
            is_first = false;
            return false;
        };
        let is_noted = ledger.overdue_ms > late.from_ms;
        // After an unknown answer it may be this very note: rather told twice than never.
        is_first = !is_noted || (unsure && ledger.overdue_ms == now_ms);
        ledger.overdue_ms = ledger.overdue_ms.max(now_ms);
        !is_noted
    };
    let stored = entry.ledger.update(Some(stored), noted).await?;
    if is_first {
        let job = entry.job().to_owned();
        let overdue = Overdue {
            job,
            last_success,
            by,
        };
        tracing::warn!(%overdue, "a job's last success is older than it should be");
        let Callback(tell) = tell.clone();
        // The house goes on if it panics.
        drop(shared.coord.env().spawn(async move { tell(overdue) }));
    }
    Ok(stored)
}

async fn tidy(
    shared: &Shared,
    job: usize,
    spec: &Spec,
    stored: Stored,
    (term, now_ms): (u64, u64),
) -> Result<(), Error> {
    let entry = shared.entry(job);
    // Whoever asked for it says so, and whose run is to be tried again does so, but may be gone before.
    if stored.ledger.is_waiting(now_ms) || stored.ledger.redefined.is_some() {
        shared.wake(job);
    }
    let mut reaped = stored.ledger.clone();
    run::reap(shared, spec, &mut reaped, now_ms).await?;
    let live: Vec<u64> = reaped.running.iter().map(|run| run.fence).collect();
    let known: Vec<u64> = stored.ledger.running.iter().map(|run| run.fence).collect();
    if term <= stored.ledger.term && live.len() == known.len() {
        // Who writes a busy ledger flushes it when it is full; versions are the store's time of writing.
        if stored.version.saturating_add(QUIET_US) > now_ms.saturating_mul(1000) {
            return Ok(());
        }
        return history::flush(&entry.ledger, stored).await;
    }
    let tidy = |ledger: &mut Ledger, _| {
        let before = ledger.clone();
        ledger.term = ledger.term.max(term);
        ledger.reap(spec, now_ms, |run| {
            known.contains(&run.fence) && !live.contains(&run.fence)
        });
        *ledger != before
    };
    entry.ledger.update(Some(stored), tidy).await?;
    Ok(())
}
