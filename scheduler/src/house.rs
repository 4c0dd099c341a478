//! Keeping the house: what the elected leader does beside running jobs like everybody else.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Error as CoreError, Leadership, Register, RegisterHandle};

use crate::ledger::Ledger;
use crate::scheduler::Shared;
use crate::{Error, history, run};

/// How often the leader looks through all ledgers.
const SWEEP: Duration = Duration::from_secs(5);
/// What has ended is moved to history when a ledger was not written for this long.
const QUIET_US: u64 = 60_000_000;
const BATCH: usize = 128;

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
    let jobs: Vec<_> = shared.entries().into_iter().enumerate().collect();
    for jobs in jobs.chunks(BATCH) {
        let registers: Vec<_> = (jobs.iter())
            .map(|(_, entry)| entry.ledger.register.clone())
            .collect();
        let read = RegisterHandle::read(&registers).await?;
        for ((job, entry), register) in jobs.iter().zip(read.value) {
            let now_ms = read.now.wall_us / 1000;
            // One job's trouble is not the others'.
            if let Err(error) = tidy(shared, *job, register.as_ref(), (term, now_ms)).await {
                tracing::warn!(job = entry.job(), %error, "cannot tidy up after a job");
            }
        }
    }
    Ok(())
}

async fn tidy(
    shared: &Shared,
    job: usize,
    register: Option<&Register>,
    (term, now_ms): (u64, u64),
) -> Result<(), Error> {
    let entry = shared.entry(job);
    let Some(stored) = entry.ledger.decode(register)? else {
        return Ok(());
    };
    let Ok(spec) = entry.spec_of(&stored.ledger) else {
        // Nodes of a newer version look after it.
        return Ok(());
    };
    // Whoever asked for it says so, but may die before.
    if stored.ledger.is_asked_for(now_ms) {
        shared.wake(job);
    }
    let mut reaped = stored.ledger.clone();
    run::reap(shared, &spec, &mut reaped, now_ms).await?;
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
        ledger.reap(&spec, now_ms, |run| {
            known.contains(&run.fence) && !live.contains(&run.fence)
        });
        *ledger != before
    };
    entry.ledger.update(Some(stored), tidy).await?;
    Ok(())
}
