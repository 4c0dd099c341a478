//! A store behind a network that fails when told to, and clients of it, in simulated time.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod counting;

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Mutexes};

pub(crate) const TTL: Duration = Duration::from_secs(3);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) store: FaultyStore,
    /// What stands behind the network.
    pub(crate) behind: MemoryStore,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(1)
    }

    pub(crate) fn of(seed: u64) -> Self {
        let (env, behind) = (Env::simulated(seed), MemoryStore::new());
        let store = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        Self { env, store, behind }
    }

    pub(crate) async fn node(&self, label: &str) -> Coordinator {
        let builder = Coordinator::builder(self.store.clone(), "test").env(self.env.clone());
        builder.label(label).connect().await.unwrap()
    }
}

/// Mutexes of one class, with a wait that no test outlasts unless it means to.
pub(crate) fn mutexes(node: &Coordinator) -> Mutexes {
    let mutexes = node.mutexes("m").unwrap().ttl(TTL);
    mutexes.wait(Duration::from_secs(60))
}
