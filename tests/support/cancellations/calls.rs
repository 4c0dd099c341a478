//! Callers that lose patience at a random instant.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold::prelude::*;
use leasehold::{Coordinator, Mutexes, RwLocks};

/// Short, so that what the store remembers of a request until its own deadline is soon over.
pub(crate) const WAIT: Duration = Duration::from_millis(500);
/// How long the store may have to remember an ended request, beside the request timeout.
pub(crate) const LONGEST_CARE: Duration = Duration::from_millis(1500);
/// Few, so that most calls stand in a queue.
const CONTENDED: u64 = 8;
/// Many, so that most are free.
const FREE: u64 = 100_000;
/// Half of the callers' patience ends about when a free lock is granted, half when a queue has moved.
const SHORT_US: u64 = 1000;
const LONG_US: u64 = 8000;

/// What became of the calls.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) cancelled: AtomicU64,
    held: AtomicU64,
    busy: AtomicU64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} calls dropped, {} ended with a lock, {} busy",
            get(&self.cancelled),
            get(&self.held),
            get(&self.busy)
        )
    }
}

pub(crate) struct Caller {
    env: Env,
    mutexes: Mutexes,
    /// Of the same class: their writers are its mutexes.
    locks: RwLocks,
    rng: fastrand::Rng,
    counts: Arc<Counts>,
    until: u64,
}

impl Caller {
    /// One that goes on until all have cancelled `until` calls.
    pub(crate) fn new(
        coord: &Coordinator,
        seed: u64,
        counts: Arc<Counts>,
        until: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            env: coord.env().clone(),
            mutexes: coord.mutexes("m")?.wait(WAIT),
            locks: coord.rw_locks("m")?.wait(WAIT),
            rng: fastrand::Rng::with_seed(seed),
            counts,
            until,
        })
    }

    pub(crate) async fn run(mut self) -> Result<(), Error> {
        while self.counts.cancelled.load(Ordering::Relaxed) < self.until {
            let counter = match self.call().await {
                None => &self.counts.cancelled,
                Some(Ok(())) => &self.counts.held,
                Some(Err(Error::Busy(_))) => &self.counts.busy,
                Some(Err(error)) => return Err(error),
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `None`: dropped before it ended.
    async fn call(&mut self) -> Option<Result<(), Error>> {
        let id = if self.rng.bool() {
            self.rng.u64(0..CONTENDED)
        } else {
            CONTENDED + self.rng.u64(0..FREE)
        };
        let form = self.rng.u32(0..10);
        let longest = if self.rng.bool() { SHORT_US } else { LONG_US };
        let patience = Duration::from_micros(self.rng.u64(0..longest));
        let hold = Duration::from_micros(self.rng.u64(0..SHORT_US));
        let releases = self.rng.bool();
        let (env, mutexes, locks) = (&self.env, &self.mutexes, &self.locks);
        let call = async {
            let guard = match form {
                0 => mutexes.try_lock(id).await?,
                1 => mutexes.lock_timeout(id, WAIT / 2).await?,
                2 => mutexes.lock(id).await?,
                // Dropped while it waits, works or releases.
                3 => return mutexes.with(id, async |_| env.sleep(hold).await).await,
                4 => return locks.with_write(id, async |_| env.sleep(hold).await).await,
                5 => return locks.with_read(id, async |_| env.sleep(hold).await).await,
                _ => {
                    let guard = match form {
                        6 => locks.try_read(id).await?,
                        7 => locks.read_timeout(id, WAIT / 2).await?,
                        _ => locks.read(id).await?,
                    };
                    // While it reads, others of its client join it.
                    env.sleep(hold / 4).await;
                    if releases {
                        guard.release().await?;
                    }
                    return Ok(());
                }
            };
            // Dropped in the middle of the release, or the guard with it.
            if releases {
                guard.release().await?;
            }
            Ok(())
        };
        env.timeout(patience, call).await.ok()
    }
}
