//! The promises of mutexes and fenced registers, over a network that loses, delays, repeats and cuts, in simulated
//! time. A failing seed is printed; `LEASEHOLD_SEED=n cargo test -p leasehold-core --test faults` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::protocol::{Entry, Record};
use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{
    Class, Coordinator, Env, Error, Moment, MutexGuard, Mutexes, Put, RegisterReply, ResourceName,
    replay,
};

const CLASS: &str = "m";
/// As the coordinators of these tests are built.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a caller whose wait is over may be kept.
const FAREWELL: Duration = Duration::from_millis(250);
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

// ---------------------------------------------------------------------------------------------------------------------
// Everything at once.

#[derive(Debug, Clone, Copy)]
struct Hold {
    granted: Moment,
    ended: Moment,
    fence: u64,
}

/// What happened, by resource.
#[derive(Default)]
struct Log {
    holds: BTreeMap<u64, Vec<Hold>>,
    /// Versions and fences of writes that took effect.
    writes: BTreeMap<u64, Vec<(u64, u64)>>,
    busy: u32,
    unavailable: u32,
    lost: u32,
    cancelled: u32,
}

const RESOURCES: u64 = 3;
const LONGEST_TTL: Duration = Duration::from_secs(3);
const STORM: Duration = Duration::from_secs(30);

/// A task of a client: takes and gives up mutexes as chance will have it, until `until`.
struct Task {
    world: Arc<World>,
    client: Coordinator,
    log: Arc<Mutex<Log>>,
    until: Moment,
}

impl Task {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    async fn run(self) {
        let env = &self.world.env;
        while env.now() < self.until {
            let id = env.random(RESOURCES);
            if let Some(guard) = self.acquire(id).await {
                self.hold(id, guard).await;
            }
            env.sleep(self.world.up_to(millis(300))).await;
        }
    }

    async fn acquire(&self, id: u64) -> Option<MutexGuard> {
        let env = &self.world.env;
        let ttl = self.world.one_of([millis(500), millis(1500), LONGEST_TTL]);
        let mutexes = mutexes(&self.client, ttl);
        let wait = self.world.up_to(millis(6000));
        let start = env.now();
        let (result, allowed) = match env.random(4) {
            0 => (mutexes.try_lock(id).await, REQUEST_TIMEOUT * 2),
            1 => {
                let patience = self.world.up_to(wait);
                let Ok(result) = env.timeout(patience, mutexes.lock_timeout(id, wait)).await else {
                    self.log().cancelled += 1;
                    return None;
                };
                (result, patience)
            }
            _ => {
                let result = mutexes.lock_timeout(id, wait).await;
                (result, wait + REQUEST_TIMEOUT + FAREWELL)
            }
        };
        let took = env.now().since(start);
        assert!(
            took <= allowed + GRAIN,
            "{took:?} of {allowed:?}: {result:?}"
        );
        match result {
            Ok(guard) => {
                assert!(guard.is_held(), "granted, and lost at once");
                return Some(guard);
            }
            Err(Error::Busy(_)) => self.log().busy += 1,
            Err(Error::Unavailable { .. }) => self.log().unavailable += 1,
            Err(other) => panic!("{other}"),
        }
        None
    }

    async fn hold(&self, id: u64, guard: MutexGuard) {
        let env = &self.world.env;
        let (granted, fence) = (env.now(), guard.fence().get());
        let longest = self.world.one_of([millis(50), millis(1000), millis(5000)]);
        let work = async {
            if env.random(2) == 0 {
                self.write(id, &guard).await;
            }
            env.sleep(self.world.up_to(longest)).await;
        };
        let is_lost = tokio::select! {
            biased;
            _ = guard.lost() => true,
            () = work => false,
        };
        let ended = env.now();
        {
            let mut log = self.log();
            log.lost += u32::from(is_lost);
            let hold = Hold {
                granted,
                ended,
                fence,
            };
            log.holds.entry(id).or_default().push(hold);
        }
        if is_lost {
            // A lease that is lost stays lost, also to its fenced writes unless nobody came after it.
            assert!(!guard.is_held());
            env.sleep(self.world.up_to(millis(2000))).await;
            self.write(id, &guard).await;
            assert!(!guard.is_held());
        }
        if env.random(2) == 0 {
            return drop(guard);
        }
        let start = env.now();
        let result = guard.release().await;
        let took = env.now().since(start);
        let allowed = REQUEST_TIMEOUT * (1 + u32::from(is_lost));
        assert!(
            took <= allowed + GRAIN,
            "{took:?} for a release: {result:?}"
        );
        match result {
            Ok(()) => assert!(!is_lost, "released well, though it was lost"),
            Err(error) => assert!(
                error.is_unavailable() || is_lost,
                "held on this clock until the release: {error}"
            ),
        }
    }

    async fn write(&self, id: u64, guard: &MutexGuard) {
        let register = self.client.register(&format!("r{id}")).unwrap();
        let put = Put::new("x").fenced(guard.fence());
        if let Ok(RegisterReply::Written { version }) = register.put(&put).await {
            let write = (version, guard.fence().get());
            self.log().writes.entry(id).or_default().push(write);
        }
    }
}

/// Cuts, outages and changing weather.
async fn storm(world: Arc<World>, clients: Vec<Coordinator>, weather: Faults, until: Moment) {
    let env = &world.env;
    while env.now() < until {
        let node = world.one_of([0, 1, 2].map(|n: usize| clients[n].node()));
        match env.random(6) {
            0 | 1 => {
                world.faulty.cut(node);
                env.sleep(world.up_to(millis(5000))).await;
                world.faulty.heal(node);
            }
            2 => {
                world.faulty.outage();
                env.sleep(world.up_to(millis(2000))).await;
                world.faulty.recover();
            }
            3 => world.faulty.set_faults(Faults::none()),
            _ => world.faulty.set_faults(weather),
        }
        env.sleep(world.up_to(millis(1500))).await;
    }
}

impl Log {
    fn assert_one_holder_at_a_time_with_rising_fences(&self) {
        for (id, holds) in &self.holds {
            let mut holds = holds.clone();
            holds.sort_by_key(|hold| (hold.granted, hold.fence));
            for pair in holds.windows(2) {
                assert!(
                    pair[0].ended <= pair[1].granted,
                    "two holders of {id}: {pair:?}"
                );
                assert!(
                    pair[0].fence < pair[1].fence,
                    "the order of {id}'s fences: {pair:?}"
                );
            }
        }
    }

    fn assert_no_smaller_fence_wrote_after_a_larger_one(&self) {
        for (id, writes) in &self.writes {
            let mut writes = writes.clone();
            writes.sort_unstable();
            for pair in writes.windows(2) {
                assert!(pair[0].1 <= pair[1].1, "writes to r{id}: {pair:?}");
            }
        }
    }
}

async fn weather(seed: u64, faults: Faults) {
    let world = Arc::new(World::new(seed));
    let env = world.env.clone();
    let observer = world.observer().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(world.client().await);
    }
    world.faulty.set_faults(faults);
    let (until, log) = (env.now() + STORM, Arc::<Mutex<Log>>::default());
    let mut tasks = Vec::new();
    for client in clients.iter().cycle().take(9) {
        let task = Task {
            world: Arc::clone(&world),
            client: client.clone(),
            log: Arc::clone(&log),
            until,
        };
        tasks.push(env.spawn(task.run()));
    }
    storm(Arc::clone(&world), clients.clone(), faults, until).await;
    for task in tasks {
        task.await.unwrap();
    }
    world.calm();
    if seed.is_multiple_of(2) {
        // The clients go, too, with their last guards' releases still on their way.
        clients.clear();
    }
    let healed = env.now();
    let log = std::mem::take(&mut *log.lock().unwrap());
    log.assert_one_holder_at_a_time_with_rising_fences();
    log.assert_no_smaller_fence_wrote_after_a_larger_one();
    for id in 0..RESOURCES {
        let within = LONGEST_TTL + millis(2000);
        let free = mutexes(&observer, LONGEST_TTL)
            .lock_timeout(id, within)
            .await;
        let guard = free.unwrap_or_else(|e| panic!("{id}: {e}"));
        let fences = log.holds.get(&id).into_iter().flatten().map(|h| h.fence);
        assert!(fences.max() < Some(guard.fence().get()), "{guard:?}");
        guard.release().await.unwrap();
    }
    env.sleep_until(healed + LONGEST_TTL + millis(2000)).await;
    for _ in 0..100 {
        for id in 0..RESOURCES {
            let record = inspect(&observer, id).await;
            assert!(record.entries.is_empty(), "left behind: {record:?}");
        }
        env.sleep(millis(100)).await;
    }
    // The storm is one: all of its ends were met.
    let granted: usize = log.holds.values().map(Vec::len).sum();
    assert!(granted > 10, "{granted} grants");
    assert!(log.busy + log.unavailable + log.cancelled > 0);
}

#[test]
fn every_promise_holds_in_mild_weather() {
    replay(0..100, async |seed| weather(seed, Faults::mild()).await);
}

#[test]
fn every_promise_holds_in_wild_weather() {
    replay(100..200, async |seed| weather(seed, Faults::wild()).await);
}

// ---------------------------------------------------------------------------------------------------------------------
// One at a time.

const LOST_REPLIES: Faults = Faults {
    lost_replies: 1000,
    ..Faults::none()
};

#[test]
fn the_cleaner_ends_what_a_dropped_acquire_left_however_often_the_store_fails() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(LOST_REPLIES);
        let lock = mutexes(&client, Duration::from_secs(60));
        let dropped = world.env.timeout(world.up_to(millis(400)), lock.lock(1));
        assert!(dropped.await.is_err());
        world.faulty.outage();
        world.env.sleep(millis(5000)).await;
        world.faulty.recover();
        // Releases take effect, and are sent again since nobody says so.
        world.env.sleep(millis(2000)).await;
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, millis(5000)).await;
    });
}

#[test]
fn a_dropped_acquire_holds_until_the_cleaner_gets_through() {
    replay(0..1, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(LOST_REPLIES);
        let lock = mutexes(&client, Duration::from_secs(60));
        let dropped = world.env.timeout(millis(20), lock.lock(1)).await;
        world.faulty.outage();
        assert!(dropped.is_err());
        world.env.sleep(millis(10_000)).await;
        assert!(is_held(&observer, 1).await);
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert!(!is_held(&observer, 1).await);
    });
}

#[test]
fn a_late_copy_of_a_cancelled_acquire_is_granted_to_nobody() {
    replay(0..50, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        world.faulty.set_faults(Faults {
            lost_requests: 1000,
            late_copies: 1000,
            late_by: Duration::from_secs(4),
            ..Faults::none()
        });
        let wait = Duration::from_secs(10);
        let lock = mutexes(&client, Duration::from_secs(30));
        let cancelled = world.env.timeout(millis(400), lock.lock_timeout(1, wait));
        assert!(cancelled.await.is_err());
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, Duration::from_secs(5)).await;
    });
}

#[test]
fn a_lost_push_costs_a_delay_and_never_a_hang() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let holder = mutexes(&a, Duration::from_secs(30)).lock(1).await.unwrap();
        world.faulty.set_faults(Faults {
            lost_pushes: 1000,
            ..Faults::none()
        });
        let mut waiters = Vec::new();
        for _ in 0..3 {
            let (lock, env) = (mutexes(&b, Duration::from_secs(30)), world.env.clone());
            waiters.push(world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(60)).await.unwrap();
                env.sleep(millis(10)).await;
                guard.release().await.unwrap();
            }));
        }
        world.env.sleep(world.up_to(millis(8000))).await;
        let start = world.env.now();
        holder.release().await.unwrap();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        // A heartbeat each, and a claim window that passed unused.
        let took = world.env.now().since(start);
        assert!(took <= Duration::from_secs(3 * 6), "{took:?}");
    });
}

#[test]
fn lost_resolves_before_the_lease_passes_on() {
    replay(0..60, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let ttl = world.one_of([millis(100), millis(1000), millis(30_000)]);
        world.faulty.set_faults(Faults {
            delay_before: (ttl / 20).min(millis(200)),
            delay_after: (ttl / 4).min(millis(200)),
            ..Faults::none()
        });
        let guard = Arc::new(mutexes(&a, ttl).lock(1).await.unwrap());
        let losing = {
            let (guard, env) = (Arc::clone(&guard), world.env.clone());
            world.env.spawn(async move {
                let cause = guard.lost().await;
                assert!(!guard.is_held());
                (cause, env.now())
            })
        };
        let waiting = {
            let (lock, env) = (mutexes(&b, ttl), world.env.clone());
            world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(100)).await;
                (guard.unwrap(), env.now())
            })
        };
        world.env.sleep(world.up_to(ttl * 2)).await;
        world.faulty.cut(a.node());
        let cut = world.env.now();
        let (cause, lost) = losing.await.unwrap();
        assert!(lost.since(cut) <= ttl, "{:?}: {cause}", lost.since(cut));
        let (next, granted) = waiting.await.unwrap();
        assert!(lost <= granted);
        assert!(next.fence() > guard.fence());
        let took = granted.since(lost);
        assert!(
            took <= ttl + Duration::from_secs(6),
            "{took:?} until granted"
        );
    });
}

#[test]
fn a_guard_says_lost_a_margin_before_its_lease_ends() {
    replay(0..1, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        for (ttl, margin) in [(millis(30_000), millis(300)), (millis(200), millis(10))] {
            let guard = mutexes(&client, ttl).lock(ttl.as_millis()).await.unwrap();
            let granted = world.env.now();
            world.faulty.cut(client.node());
            guard.lost().await;
            let lasted = world.env.now().since(granted);
            assert!(
                lasted + margin >= ttl && lasted + margin <= ttl + GRAIN,
                "{lasted:?}"
            );
            world.faulty.heal(client.node());
            world.env.sleep(millis(1000)).await;
        }
    });
}

#[test]
fn a_renewal_that_lost_the_race_against_a_release_revives_nothing() {
    replay(0..100, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let observer = world.observer().await;
        let ttl = millis(1500);
        let guard = mutexes(&a, ttl).lock(1).await.unwrap();
        // The renewal goes out at a third of the TTL, and the release about then.
        world.env.sleep(millis(440)).await;
        world.faulty.set_faults(Faults {
            delay_before: millis(200),
            delay_after: millis(50),
            ..Faults::none()
        });
        world.env.sleep(world.up_to(millis(150))).await;
        guard.release().await.unwrap();
        assert_stays_free(&world, &observer, 1, millis(1000)).await;
        world.calm();
        drop(mutexes(&b, ttl).try_lock(1).await.unwrap());
    });
}

#[test]
fn a_retried_release_is_released_or_unknown_never_lost() {
    replay(0..200, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let guard = mutexes(&client, millis(600)).lock(1).await.unwrap();
        world.env.sleep(world.up_to(millis(3000))).await;
        world.faulty.set_faults(Faults {
            delay_before: millis(400),
            lost_requests: 300,
            lost_replies: 500,
            silences: 200,
            ..Faults::none()
        });
        match guard.release().await {
            Ok(()) | Err(Error::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn a_release_is_not_overtaken_by_what_the_renewer_gives_up() {
    replay(0..300, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let slow = Faults {
            delay_before: millis(100),
            ..Faults::none()
        };
        world.faulty.set_faults(slow);
        let guard = mutexes(&client, millis(600)).lock(1).await.unwrap();
        // Renewals take effect and nobody says so: the renewer gives up when this client's time is over, which at the
        // store it is not.
        world.faulty.set_faults(Faults {
            lost_replies: 1000,
            silences: 1000,
            ..slow
        });
        let last_moment = world.up_to(millis(60));
        while guard.remaining() > last_moment {
            world.env.sleep(millis(2)).await;
        }
        world.faulty.set_faults(slow);
        if !guard.is_held() {
            return;
        }
        if let Err(error) = guard.release().await {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}

#[test]
fn a_release_whose_reply_was_lost_is_released() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        let guard = mutexes(&client, LONGEST_TTL).lock(1).await.unwrap();
        world.faulty.set_faults(LOST_REPLIES);
        let release = world.env.spawn(guard.release());
        world.env.sleep(millis(10)).await;
        assert!(!is_held(&observer, 1).await);
        world.calm();
        release.await.unwrap().unwrap();
    });
}

#[test]
fn a_release_that_was_given_up_or_dropped_is_ended_in_the_background() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (client, observer) = (world.client().await, world.observer().await);
        let lock = mutexes(&client, Duration::from_secs(60));
        let guard = lock.lock(1).await.unwrap();
        world.faulty.outage();
        if seed.is_multiple_of(2) {
            assert!(guard.release().await.unwrap_err().is_unavailable());
        } else {
            let dropped = world.env.timeout(world.up_to(millis(400)), guard.release());
            assert!(dropped.await.is_err());
        }
        world.env.sleep(millis(5000)).await;
        assert!(is_held(&observer, 1).await);
        world.calm();
        world.env.sleep(millis(1200)).await;
        assert_stays_free(&world, &observer, 1, millis(1000)).await;
    });
}

#[test]
fn a_release_that_came_after_the_leases_end_is_no_loss() {
    replay(0..50, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        let guard = mutexes(&client, millis(200)).lock(1).await.unwrap();
        world.faulty.cut(client.node());
        world.env.sleep(millis(170)).await;
        world.faulty.heal(client.node());
        world.faulty.set_faults(Faults {
            delay_before: millis(400),
            ..Faults::none()
        });
        assert!(guard.is_held());
        // It was held, on this clock, until the call: nobody else can have had it before.
        if let Err(error) = guard.release().await {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}

#[test]
fn a_waiter_whose_first_grant_came_too_late_is_still_told_of_the_next() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let slow = Faults {
            delay_after: millis(480),
            ..Faults::none()
        };
        world.faulty.set_faults(slow);
        let waiting = {
            let (lock, env) = (mutexes(&b, millis(60)), world.env.clone());
            world.env.spawn(async move {
                let guard = lock.lock_timeout(1, Duration::from_secs(30)).await;
                (guard.unwrap(), env.now())
            })
        };
        world.env.sleep(millis(1)).await;
        world.faulty.set_faults(Faults::none());
        world.env.sleep(millis(60)).await;
        let Ok(holder) = mutexes(&a, Duration::from_secs(30)).try_lock(1).await else {
            // The first answer came in time after all.
            return;
        };
        world.env.sleep(millis(1000)).await;
        let released = world.env.now();
        holder.release().await.unwrap();
        let (_guard, granted) = waiting.await.unwrap();
        let took = granted.since(released);
        assert!(took <= millis(20), "{took:?} from the release to the grant");
    });
}

#[test]
fn one_lost_renewal_loses_no_lease() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        // Also the first one, which claims a pushed grant, whose window is a second.
        let first = mutexes(&a, millis(600)).lock(1).await.unwrap();
        let waiting = {
            let lock = mutexes(&b, millis(600));
            (world.env).spawn(async move { lock.lock_timeout(1, Duration::from_secs(9)).await })
        };
        world.env.sleep(millis(100)).await;
        first.release().await.unwrap();
        let guard = waiting.await.unwrap().unwrap();
        for _ in 0..10 {
            world.faulty.set_faults(Faults {
                lost_requests: 1000,
                silences: 1000,
                ..Faults::none()
            });
            // Long enough to lose one request, whenever it is sent.
            world.env.sleep(millis(60)).await;
            world.faulty.set_faults(Faults::none());
            world.env.sleep(millis(540)).await;
            guard.check().unwrap();
        }
    });
}

#[test]
fn a_free_mutex_is_never_called_busy() {
    replay(0..200, async |seed| {
        let world = World::new(seed);
        let client = world.client().await;
        world.faulty.set_faults(Faults {
            delay_before: millis(700),
            delay_after: millis(300),
            lost_requests: 200,
            ..Faults::none()
        });
        let lock = mutexes(&client, millis(300));
        let result = match seed % 2 {
            0 => lock.try_lock(1).await,
            _ => lock.lock_timeout(1, world.up_to(millis(1500))).await,
        };
        if let Err(error) = result {
            assert!(error.is_unavailable(), "{error}");
        }
    });
}

#[test]
fn a_lost_subscription_is_asked_for_again() {
    replay(0..20, async |seed| {
        let world = World::new(seed);
        let (a, b) = (world.client().await, world.client().await);
        let holder = mutexes(&a, LONGEST_TTL).lock(1).await.unwrap();
        let waiting = {
            let lock = mutexes(&b, LONGEST_TTL);
            (world.env).spawn(async move { lock.lock_timeout(1, Duration::from_secs(9)).await })
        };
        // The answer "busy" comes, and the one to the subscription does not.
        world.faulty.set_faults(Faults {
            delay_after: millis(300),
            ..Faults::none()
        });
        world.env.sleep(millis(1)).await;
        world.faulty.set_faults(Faults {
            lost_requests: 1000,
            ..Faults::none()
        });
        world.env.sleep(millis(400)).await;
        world.calm();
        world.env.sleep(millis(500)).await;
        holder.release().await.unwrap();
        drop(waiting.await.unwrap().unwrap());
    });
}
