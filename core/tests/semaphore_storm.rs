//! Semaphores under a network that loses, delays, repeats and cuts, in simulated time: however it goes, never more permits
//! are valid than there are; everybody gets in, and nothing is left. A failing seed is printed;
//! `LEASEHOLD_SEED=n cargo test -p leasehold-core --test semaphore_storm` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Error, Permit, Semaphore, replay};

const PERMITS: u32 = 5;
const CLIENTS: usize = 3;
const TASKS: usize = 6;
const ROUNDS: usize = 12;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All permits that are held, whoever holds them.
#[derive(Default)]
struct Held {
    permits: BTreeMap<u64, Arc<Permit>>,
    numbers: BTreeSet<u64>,
    most: u32,
}

#[derive(Clone)]
struct World {
    env: Env,
    store: FaultyStore,
    behind: MemoryStore,
    held: Arc<Mutex<Held>>,
    /// How many there are now; never more than this are valid.
    bound: u32,
}

impl World {
    fn new(seed: u64, bound: u32) -> Self {
        let (env, behind) = (Env::simulated(seed), MemoryStore::new());
        let store = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        Self {
            env,
            store,
            behind,
            held: Arc::default(),
            bound,
        }
    }

    async fn client(&self) -> Coordinator {
        let builder = Coordinator::builder(self.store.clone(), "test").env(self.env.clone());
        builder.request_timeout(ms(500)).connect().await.unwrap()
    }

    fn one_of(&self, count: u64) -> u64 {
        self.env.random(count)
    }

    /// Takes note of a permit that was just acquired: with it there are not too many.
    fn acquired(&self, permit: Permit) -> u64 {
        let mut held = self.held.lock().unwrap();
        let number = permit.grant_id().get();
        assert!(held.numbers.insert(number), "two grants of one name");
        held.permits.insert(number, Arc::new(permit));
        let valid = held.permits.values().filter(|permit| permit.is_held());
        let valid = valid.map(|permit| permit.permits()).sum();
        held.most = held.most.max(valid);
        assert!(valid <= self.bound, "{valid} permits of {}", self.bound);
        number
    }

    fn take(&self, number: u64) -> Permit {
        let permit = self.held.lock().unwrap().permits.remove(&number).unwrap();
        Arc::try_unwrap(permit).unwrap()
    }

    /// A task that gets in so many times, and leaves in every way.
    async fn task(self, semaphore: Semaphore, most: u32) {
        let mut rounds = 0;
        while rounds < ROUNDS {
            let wants = 1 + u32::try_from(self.one_of(u64::from(most))).unwrap();
            if self.one_of(8) == 0 {
                // It does not stay for the answer.
                let patience = ms(self.one_of(60));
                let acquiring = semaphore.acquire_many(wants);
                if let Ok(Ok(permit)) = self.env.timeout(patience, acquiring).await {
                    let number = self.acquired(permit);
                    drop(self.take(number));
                }
                continue;
            }
            let acquired = if self.one_of(6) == 0 {
                semaphore.try_acquire_many(wants).await
            } else {
                semaphore.acquire_many(wants).await
            };
            let permit = match acquired {
                Ok(permit) => permit,
                Err(Error::Busy(_) | Error::Unavailable { .. }) => {
                    self.env.sleep(ms(self.one_of(30))).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let number = self.acquired(permit);
            self.env.sleep(ms(self.one_of(40))).await;
            if self.one_of(12) == 0 {
                self.env.sleep(ms(self.one_of(2500))).await;
            }
            let permit = self.take(number);
            match self.one_of(3) {
                0 => drop(permit),
                1 => {
                    // Nor for that of its release.
                    let giving = permit.release();
                    drop(self.env.timeout(ms(self.one_of(3)), giving).await);
                }
                _ => match permit.release().await {
                    Ok(()) | Err(Error::Lost(_) | Error::Unavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                },
            }
            rounds += 1;
        }
    }
}

fn semaphore(client: &Coordinator) -> Semaphore {
    let semaphore = client.semaphore("stripe", PERMITS).unwrap();
    semaphore.ttl(ms(1500)).wait(Duration::from_secs(20))
}

async fn storm(seed: u64, faults: Faults, cuts: bool) -> u32 {
    let world = World::new(seed, PERMITS);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(world.client().await);
    }
    world.store.set_faults(faults);
    let mut tasks = Vec::new();
    for client in &clients {
        for _ in 0..TASKS {
            let task = world.clone().task(semaphore(client), 3);
            tasks.push(world.env.spawn(task));
        }
    }
    for _ in 0..6 {
        world.env.sleep(ms(world.one_of(900))).await;
        let victim = clients[usize::try_from(world.one_of(CLIENTS as u64)).unwrap()].node();
        if cuts {
            world.store.cut(victim);
            world.env.sleep(ms(world.one_of(3000))).await;
            world.store.heal(victim);
        }
    }
    world.env.sleep(ms(3000)).await;
    world.store.set_faults(Faults::none());
    for task in tasks {
        let done = world.env.timeout(Duration::from_secs(300), task).await;
        done.expect("everybody gets in").unwrap();
    }
    // What was on its way has come, and its requests are forgotten.
    world.env.sleep(Duration::from_secs(60)).await;
    for client in &clients {
        let health = client.health();
        let left = (health.held, health.waiting, health.lines, health.unreleased);
        assert_eq!(left, (0, 0, 0, 0));
    }
    for (name, record) in world.behind.records("test") {
        assert!(record.entries.is_empty(), "{name} has {:?}", record.entries);
    }
    world.held.lock().unwrap().most
}

#[test]
fn a_calm_storm_lets_everybody_in_and_uses_all_permits() {
    replay(0..10, async |seed| {
        assert_eq!(storm(seed, Faults::none(), false).await, PERMITS);
    });
}

#[test]
fn in_bad_weather_there_are_never_more_permits_than_there_are() {
    replay(0..20, async |seed| {
        storm(seed, Faults::mild(), false).await;
    });
}

#[test]
fn clients_that_are_cut_off_lose_their_permits_before_others_have_them() {
    replay(0..20, async |seed| {
        storm(seed, Faults::mild(), true).await;
    });
}

#[test]
fn in_the_worst_weather_there_are_never_more_permits_than_there_are() {
    replay(0..20, async |seed| {
        storm(seed, Faults::wild(), true).await;
    });
}
