//! Fleets on a store that fails, from many seeds: never above the bound. And each planted bug is seen.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::Faults;
use leasehold_core::{Env, replay};
use leasehold_ratelimit::planted::{Bug, plant};
use leasehold_ratelimit::{LocalShares, Outage, Quota, RateLimiter, Source};
use support::{World, above, ms, seconds};

/// What a fleet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each decision is the store's.
    Exact,
    /// Decided ahead.
    Shares,
    /// In turn, and some leave.
    Waiting,
    /// Reserved and settled.
    Reserving,
    /// Without a store, each node by its part.
    Alone,
    /// What an outage lets pass, when there is none.
    Lenient,
    /// A large share is left until it is old, and then used with what came since.
    OldShares,
}

const MODES: [Mode; 7] = [
    Mode::Exact,
    Mode::Shares,
    Mode::Waiting,
    Mode::Reserving,
    Mode::Alone,
    Mode::Lenient,
    Mode::OldShares,
];

const NODES: usize = 4;
/// How many seconds.
const LENGTH: u64 = 3;
/// How many where little happens.
const LONGER: u64 = 7;
/// How long a decision may take: what the store decided at one instant is used within this time.
const BUDGET: Duration = ms(200);
/// How long a share lasts.
const LASTING: Duration = ms(100);
const OVERSHOOT: u64 = 7;

/// What was used: when (µs of the store's time), how much, and who decided.
type Uses = Arc<Mutex<Vec<(u64, u64, Source)>>>;

struct Fleet {
    world: World,
    quota: Quota,
    mode: Mode,
    uses: Uses,
    answered: Arc<AtomicU64>,
}

impl Fleet {
    fn used(&self, units: u64, source: Source) {
        let now_us = self.world.env.now().as_nanos() / 1000;
        self.uses.lock().unwrap().push((now_us, units, source));
    }

    async fn limiter(&self, env: &Env) -> RateLimiter {
        let coord = self.world.client_of(env.clone()).await;
        let builder = RateLimiter::builder(&coord, "api", self.quota).budget(BUDGET);
        let outage = match self.mode {
            Mode::Alone => Outage::LocalShare,
            Mode::Lenient => Outage::Allow,
            _ => Outage::Deny,
        };
        let builder = builder.outage(outage).longest_wait(seconds(3));
        let shares = LocalShares::new().lasting(LASTING).overshoot(OVERSHOOT);
        let builder = if self.mode == Mode::Shares {
            builder.local_shares(shares)
        } else {
            builder
        };
        builder.build().unwrap()
    }

    /// One task's work.
    async fn work(self: Arc<Self>, env: Env, limiter: RateLimiter, until: Duration) {
        let start = env.now();
        while env.now().since(start) < until {
            let cost = 1 + self.world.env.random(3);
            let pause = ms(self.world.env.random(60));
            self.once(&env, &limiter, cost).await;
            env.sleep(pause).await;
        }
    }

    async fn once(&self, env: &Env, limiter: &RateLimiter, cost: u64) {
        match self.mode {
            Mode::Exact | Mode::Shares | Mode::OldShares | Mode::Alone | Mode::Lenient => {
                if let Ok(decision) = limiter.check_n("a", cost).await {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if decision.is_allowed() {
                        self.used(cost, decision.source());
                    }
                }
            }
            Mode::Waiting => {
                let patience = ms(self.world.env.random(2500));
                let turn = env
                    .timeout(patience, limiter.until_ready_n("a", cost))
                    .await;
                if let Ok(Ok(allowed)) = turn {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    self.used(cost, allowed.source);
                }
            }
            Mode::Reserving => {
                // What is not used is given back at any time, or never.
                let Ok(reservation) = limiter.reserve("a", cost * 3).await else {
                    return;
                };
                self.answered.fetch_add(1, Ordering::Relaxed);
                let actual = self.world.env.random(cost * 3);
                self.used(actual, reservation.source());
                let late = ms(self.world.env.random(2) * self.world.env.random(2000));
                env.sleep(late).await;
                if self.world.env.random(8) > 0 {
                    drop(reservation.settle(actual).await);
                }
            }
        }
    }
}

/// By how much one node was above its bound that uses its shares as late as it may, and how many of its requests were answered.
async fn play_old_shares(seed: u64) -> (f64, u64) {
    let world = World::with_seed(seed);
    let (env, node) = (world.env.clone(), world.env.node());
    let coord = world.client_of(node.clone()).await;
    let shares = LocalShares::new().lasting(LASTING);
    let builder = RateLimiter::builder(&coord, "api", Quota::per_second(1_000).burst(400));
    let limiter = builder.local_shares(shares).build().unwrap();
    let (mut uses, mut answered) = (Vec::new(), 0);
    for _ in 0..2 {
        // Of the last share of these more or less is left.
        let many = 130 + env.random(120);
        for (times, pause) in [(many, 700), (1, 0), (500, 700)] {
            // The answer to the one in the middle takes nearly as long as its share lasts.
            world.network.set_faults(Faults {
                delay_after: ms(if times == 1 { 95 } else { 0 }),
                ..Faults::none()
            });
            for _ in 0..times {
                answered += 1;
                if limiter
                    .check("a")
                    .await
                    .is_ok_and(|decision| decision.is_allowed())
                {
                    uses.push((env.now().as_nanos() / 1000, 1));
                }
            }
            let pause = if times == 1 {
                20 + env.random(130)
            } else {
                pause
            };
            env.sleep(ms(pause)).await;
        }
    }
    (above(&uses, 1_000, 1_000_000, 400), answered)
}

/// By how much a fleet was above its bound, and how many of its requests were answered.
async fn play(seed: u64, mode: Mode) -> (f64, u64) {
    if mode == Mode::OldShares {
        return play_old_shares(seed).await;
    }
    let world = World::with_seed(seed);
    let env = world.env.clone();
    let units = match mode {
        Mode::Reserving => 30 + env.random(50),
        Mode::Shares => 100 + env.random(300),
        _ => 20 + env.random(100),
    };
    let burst = match mode {
        Mode::Shares => units / 10 + 10 + env.random(40),
        _ => 12 + env.random(20),
    };
    let quota = Quota::per_second(units).burst(burst);
    let fleet = Arc::new(Fleet {
        world,
        quota,
        mode,
        uses: Arc::default(),
        answered: Arc::default(),
    });
    let nodes: Vec<Env> = (0..NODES).map(|_| env.node()).collect();
    let mut limiters = Vec::new();
    for node in &nodes {
        limiters.push(fleet.limiter(node).await);
    }
    // Storms that come and go. Alone there is no store at all, once all have heard of each other.
    if mode == Mode::Alone {
        env.sleep(seconds(6)).await;
        fleet.world.network.outage();
    }
    let length = if mode == Mode::Reserving {
        LONGER
    } else {
        LENGTH
    };
    let mut tasks = Vec::new();
    for (node, limiter) in nodes.iter().zip(limiters) {
        for _ in 0..if mode == Mode::Reserving { 8 } else { 3 } {
            let work = Arc::clone(&fleet).work(node.clone(), limiter.clone(), seconds(length));
            tasks.push(node.spawn(work));
        }
    }
    for _ in 0..length {
        if mode != Mode::Alone && mode != Mode::Lenient {
            let faults = match env.random(4) {
                0 => Faults::none(),
                // Without delays what was given is used at once.
                _ if mode == Mode::Reserving => Faults {
                    lost_requests: 50,
                    lost_replies: 100,
                    duplicates: 20,
                    ..Faults::none()
                },
                1 => Faults::mild(),
                2 => Faults {
                    delay_before: ms(60),
                    delay_after: ms(60),
                    ..Faults::mild()
                },
                _ => Faults {
                    lost_replies: 300,
                    silences: 0,
                    ..Faults::mild()
                },
            };
            fleet.world.network.set_faults(faults);
            let stopped = &nodes[usize::try_from(env.random(NODES as u64)).unwrap()];
            match env.random(6) {
                // What the others were answered they may use late, if they stand still.
                0 if mode == Mode::Shares => {
                    stopped.pause();
                    env.sleep(ms(env.random(700))).await;
                    stopped.resume();
                }
                1 => {
                    fleet.world.store.stop();
                    env.sleep(ms(env.random(700))).await;
                    fleet.world.store.start();
                }
                _ => {}
            }
        }
        env.sleep(seconds(1)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    let uses = fleet.uses.lock().unwrap().clone();
    let uses: Vec<_> = uses.iter().map(|(at, units, _)| (*at, *units)).collect();
    // What the store decided at one time is used at another: within the budget, and a pause of a node.
    let late = match mode {
        // Checked when it is used.
        Mode::Shares => OVERSHOOT,
        Mode::Reserving | Mode::Alone | Mode::Lenient => 0,
        _ => units * u64::try_from(BUDGET.as_millis()).unwrap() / 1000 + 1,
    };
    let answered = fleet.answered.load(Ordering::Relaxed);
    (above(&uses, units, 1_000_000, burst + late), answered)
}

#[test]
fn never_above_the_bound() {
    for mode in MODES {
        let all = AtomicU64::new(0);
        replay(0..80, async |seed| {
            let (over, answered) = play(seed, mode).await;
            all.fetch_add(answered, Ordering::Relaxed);
            assert!(over <= 0.0, "{mode:?}: {over} units above");
        });
        // Else nothing was tried.
        let all = all.into_inner();
        println!("{mode:?}: {all} answers");
        assert!(
            all > 3_000 || std::env::var("LEASEHOLD_SEED").is_ok(),
            "{all}"
        );
    }
}

/// Where a bug must show.
fn shows_in(bug: Bug) -> Mode {
    match bug {
        Bug::LimitedIsAway => Mode::Lenient,
        Bug::UsedEarly => Mode::Waiting,
        Bug::GivenBackLate | Bug::SettledAgain => Mode::Reserving,
        Bug::EachNodeHasAll => Mode::Alone,
        Bug::ShareDatedByReceipt
        | Bug::ShareLastsForever
        | Bug::SharesAddedUp
        | Bug::SharesOfWholeBurst => Mode::OldShares,
        _ => Mode::Exact,
    }
}

#[test]
fn each_planted_bug_is_seen() {
    for bug in Bug::ALL {
        plant(Some(*bug));
        let seen = std::panic::catch_unwind(|| {
            let found = Mutex::new(None);
            replay(0..300, async |seed| {
                if found.lock().unwrap().is_none() {
                    let (over, _) = play(seed, shows_in(*bug)).await;
                    if over > 0.0 {
                        *found.lock().unwrap() = Some((seed, over));
                    }
                }
            });
            found.into_inner().unwrap()
        });
        plant(None);
        let (seed, over) = seen
            .unwrap()
            .unwrap_or_else(|| panic!("not seen: {}", bug.what()));
        println!(
            "{bug:?}: seed {seed}, {over:.1} units above: {}",
            bug.what()
        );
    }
}
