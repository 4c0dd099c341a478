//! leasehold's own mutex, and its semaphore.

use leasehold::core::{Fairness, Permit, Semaphores};
use leasehold::{Coordinator, Env, Error, Moment, MutexGuard, Mutexes};

use super::{Target, requests};
use crate::exit::Failure;

#[derive(Clone)]
pub(super) struct Ours {
    mutexes: Mutexes,
    env: Env,
}

impl Ours {
    pub(super) fn new(coord: &Coordinator, strict: bool) -> Result<Self, Failure> {
        let fairness = if strict {
            Fairness::Strict
        } else {
            Fairness::Visits
        };
        Ok(Self {
            mutexes: coord.mutexes("bench")?.fairness(fairness),
            env: coord.env().clone(),
        })
    }
}

impl Target for Ours {
    type Held = MutexGuard;

    async fn lock(&self, id: &str, until: Moment) -> Result<Option<MutexGuard>, Failure> {
        let wait = until.since(self.env.now());
        match self.mutexes.lock_timeout(id, wait).await {
            Ok(guard) => Ok(Some(guard)),
            Err(Error::Busy(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn unlock(&self, held: MutexGuard) -> Result<(), Failure> {
        Ok(held.release().await?)
    }

    fn requests(&self) -> u64 {
        requests::sent()
    }

    fn env(&self) -> &Env {
        &self.env
    }
}

/// A semaphore's permits.
#[derive(Clone)]
pub(super) struct Permits {
    semaphores: Semaphores,
    env: Env,
}

impl Permits {
    pub(super) fn new(coord: &Coordinator, permits: u32) -> Result<Self, Failure> {
        Ok(Self {
            semaphores: coord.semaphores("bench-permits", permits)?,
            env: coord.env().clone(),
        })
    }
}

impl Target for Permits {
    type Held = Permit;

    async fn lock(&self, id: &str, until: Moment) -> Result<Option<Permit>, Failure> {
        let wait = until.since(self.env.now());
        match self.semaphores.clone().wait(wait).acquire(id).await {
            Ok(permit) => Ok(Some(permit)),
            Err(Error::Busy(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn unlock(&self, held: Permit) -> Result<(), Failure> {
        Ok(held.release().await?)
    }

    fn requests(&self) -> u64 {
        requests::sent()
    }

    fn env(&self) -> &Env {
        &self.env
    }
}
