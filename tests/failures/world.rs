//! What these tests share: clients of real servers, and clients in simulated time behind a faulty network.

use std::sync::Arc;
use std::time::Duration;

use leasehold::{Coordinator, Env, MemoryStore, MutexGuard, Mutexes};
use leasehold_core::store::{Faults, FaultyStore};
use tempfile::TempDir;

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Far longer than any test: what is free before its end was released, and did not expire.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// A client's request timeout where a test must not wait for the default.
pub(crate) const REQUEST_TIMEOUT: Duration = millis(500);

pub(crate) async fn connect(address: &str) -> Coordinator {
    let store = leasehold::store(address).unwrap();
    let builder = Coordinator::builder_dyn(store, "test").request_timeout(REQUEST_TIMEOUT);
    builder.connect().await.unwrap()
}

pub(crate) fn mutexes(coord: &Coordinator, ttl: Duration) -> Mutexes {
    coord.mutexes("m").unwrap().ttl(ttl)
}

pub(crate) fn sqlite() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("test.db").display());
    (folder, address)
}

/// Locks what must be free within `wait`: the cleaner's time, and not a lease's.
pub(crate) async fn free_within(coord: &Coordinator, id: u64, wait: Duration) -> MutexGuard {
    let lock = mutexes(coord, LONG).lock_timeout(id, wait).await;
    lock.unwrap_or_else(|error| panic!("m/{id} is not free within {wait:?}: {error}"))
}

/// Clients of the memory store behind a faulty network, in simulated time.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) network: FaultyStore,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        let store = Arc::new(MemoryStore::new());
        let network = FaultyStore::new(store, env.clone(), Faults::none());
        Self { env, network }
    }

    pub(crate) async fn client(&self) -> Coordinator {
        let builder = Coordinator::builder(self.network.clone(), "test").env(self.env.clone());
        let builder = builder.request_timeout(REQUEST_TIMEOUT);
        builder.connect().await.unwrap()
    }

    /// One whose monotonic clock runs faster than the store's by so many millionths, or slower.
    pub(crate) async fn client_with_drift(&self, ppm: i32) -> Coordinator {
        let env = self.env.node_with_drift(ppm);
        let builder = Coordinator::builder(self.network.clone(), "test").env(env);
        let builder = builder.request_timeout(REQUEST_TIMEOUT);
        builder.connect().await.unwrap()
    }

    pub(crate) fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_micros(self.env.random(u64::try_from(longest.as_micros()).unwrap()))
    }
}
