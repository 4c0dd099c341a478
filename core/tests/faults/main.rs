//! The promises of mutexes, one at a time, over a network that loses, delays, repeats and cuts, in simulated
//! time. A failing seed is printed; `LEASEHOLD_SEED=n cargo test -p leasehold-core --test faults` replays it. All
//! of them at once are the simulation's (`cargo xtask sim`).

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

mod acquires;
mod leases;
mod releases;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::{Entry, Record};
use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Class, Coordinator, Env, Mutexes, ResourceName};

const CLASS: &str = "m";
/// As the coordinators of these tests are built.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_TTL: Duration = Duration::from_secs(3);
/// Timers have a grain of 1 ms, and requests a few of them.
const GRAIN: Duration = Duration::from_millis(5);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A faulty store, and the store behind it, which answers always.
struct World {
    env: Env,
    faulty: FaultyStore,
    behind: MemoryStore,
}

impl World {
    fn new(seed: u64) -> Self {
        let (env, behind) = (Env::simulated(seed), MemoryStore::new());
        let faulty = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        Self {
            env,
            faulty,
            behind,
        }
    }

    async fn client(&self) -> Coordinator {
        let builder = Coordinator::builder(self.faulty.clone(), "test");
        let builder = builder.env(self.env.clone());
        let client = builder.request_timeout(REQUEST_TIMEOUT).connect().await;
        client.unwrap()
    }

    /// One that meets no faults.
    async fn observer(&self) -> Coordinator {
        let builder = Coordinator::builder(self.behind.clone(), "test");
        builder.env(self.env.clone()).connect().await.unwrap()
    }

    fn one_of<T: Copy, const N: usize>(&self, choices: [T; N]) -> T {
        choices[usize::try_from(self.env.random(N as u64)).unwrap()]
    }

    fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_micros(self.env.random(u64::try_from(longest.as_micros()).unwrap()))
    }

    /// Nothing goes wrong any more, but what is under way.
    fn calm(&self) {
        self.faulty.set_faults(Faults::none());
        self.faulty.recover();
    }
}

fn mutexes(client: &Coordinator, ttl: Duration) -> Mutexes {
    client.mutexes(CLASS).unwrap().ttl(ttl)
}

fn name(id: impl std::fmt::Display) -> ResourceName {
    Class::new(CLASS).unwrap().resource(id).unwrap()
}

async fn inspect(observer: &Coordinator, id: impl std::fmt::Display) -> Record {
    let found = observer.record(&name(id)).await.unwrap();
    found.value.unwrap_or_default()
}

async fn is_held(observer: &Coordinator, id: impl std::fmt::Display) -> bool {
    let record = inspect(observer, id).await;
    record.entries.iter().any(Entry::holds)
}

/// Nobody holds or waits, for as long as a late copy could come.
async fn assert_stays_free(world: &World, observer: &Coordinator, id: u64, for_: Duration) {
    let until = world.env.now() + for_;
    while world.env.now() < until {
        let record = inspect(observer, id).await;
        assert!(record.entries.is_empty(), "left behind: {record:?}");
        world.env.sleep(millis(20)).await;
    }
}

const LOST_REPLIES: Faults = Faults {
    lost_replies: 1000,
    ..Faults::none()
};
