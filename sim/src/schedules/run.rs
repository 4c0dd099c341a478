//! One seed, from its storm to the history that is read at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Coordinator, Env};
use leasehold_scheduler::history as recorded;

use super::body::PLANNED;
use super::control;
use super::history::{Event, History, Record, Setting, What};
use super::judge::judge;
use super::plan::Plan;
use super::storm::storm;
use super::world::{NAMESPACE, World};
use crate::checker::Violation;
use crate::panics::gathered;
use crate::tally::Tally;

/// What became of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// All that happened.
    pub history: History,
    /// What should not have.
    pub violations: Vec<Violation>,
    /// How much happened.
    pub tally: Tally,
}

/// Plays one seed. The same seed gives the same history.
///
/// # Panics
/// Inside a tokio runtime.
pub fn run(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    let play = || runtime.block_on(play(seed));
    let (played, panics) = gathered(|| catch_unwind(AssertUnwindSafe(play)));
    let (mut history, befell) = played.unwrap_or_default();
    let at = history.events.last().map_or(Duration::ZERO, |last| last.at);
    let panics = panics.into_iter().filter(|text| !text.contains(PLANNED));
    history.events.extend(panics.map(|text| {
        let rule = "nothing panics";
        let what = What::Broke { rule, text };
        Event { at, what }
    }));
    Outcome {
        violations: judge(&history),
        tally: tally(&history, befell),
        history,
    }
}

/// How long the fleet may take to find its way again, once all is well: a clock that stepped is believed after 30 s, and
/// a node that left is forgotten after its members' TTL.
const RECOVERY: Duration = Duration::from_secs(55);
/// For so long every tick must run, then.
const PROOF: Duration = Duration::from_secs(25);

async fn play(seed: u64) -> (History, u64) {
    let env = Env::simulated(seed);
    let plan = Plan::of(&env);
    let world = World::new(env, plan);
    world.memory.step_wall_clock(world.plan.begins_us);
    let setting = Setting {
        wall_us: world.memory.time(&world.env).wall_us,
        grace: world.plan.grace,
        run_ttl: world.plan.run_ttl,
        drift_ppm: world.plan.drift_ppm,
        jobs: world.plan.jobs.clone(),
    };
    tokio::select! {
        biased;
        () = world.recorder.endless() => {}
        () = live(&world) => {}
    }
    let events = world.recorder.take();
    (History { setting, events }, world.faulty.befell())
}

async fn live(world: &Arc<World>) {
    let env = &world.env;
    let until = env.now() + world.plan.storm;
    for _ in 0..world.plan.nodes {
        world.launch(0).await;
    }
    storm(world, until).await;
    world.calm();
    let paused = Arc::clone(world);
    let resuming = env.spawn(async move { control::resume_all(&paused).await });
    // A store whose clock went back has ticks that were over once; they come again only after those.
    let now_s = i64::try_from(world.memory.time(env).wall_us / 1_000_000).unwrap_or(i64::MAX);
    let ledgers = world.recorder.ledgers();
    let ahead = ledgers.iter().flatten().map(|ledger| ledger.cursor - now_s);
    let ahead = u64::try_from(ahead.max().unwrap_or(0)).unwrap_or(0);
    env.sleep(RECOVERY + Duration::from_secs(ahead)).await;
    drop(resuming.await);
    world.recorder.note(What::Settled);
    env.sleep(PROOF).await;
    world.recorder.note(What::Closing);
    let drains: Vec<_> = (world.ids().into_iter())
        .map(|id| {
            let world = Arc::clone(world);
            env.spawn(async move { world.drain(id).await })
        })
        .collect();
    for drain in drains {
        drop(drain.await);
    }
    // Copies of requests that were lost, too, have come by then.
    env.sleep(Duration::from_secs(25)).await;
    read(world).await;
}

/// Reads what was recorded, on a node of its own that meets no faults.
async fn read(world: &World) {
    let builder = Coordinator::builder(world.memory.clone(), NAMESPACE);
    let observer = match builder.env(world.env.clone()).connect().await {
        Ok(observer) => observer,
        Err(error) => return unread(world, &error.to_string()),
    };
    for (job, plan) in world.plan.jobs.iter().enumerate() {
        match recorded(&observer, &plan.name).await {
            Ok(records) => {
                let records = records.iter().map(Record::from).collect();
                world.recorder.note(What::Recorded { job, records });
            }
            Err(error) => unread(world, &error.to_string()),
        }
    }
}

fn unread(world: &World, error: &str) {
    let (rule, text) = ("history can be read", error.to_owned());
    world.recorder.note(What::Broke { rule, text });
}

fn tally(history: &History, befell: u64) -> Tally {
    let count = |is_it: fn(&What) -> bool| {
        let events = history.events.iter();
        events.filter(|event| is_it(&event.what)).count() as u64
    };
    let records = |what: &What| match what {
        What::Recorded { records, .. } => records.len() as u64,
        _ => 0,
    };
    let records = history.events.iter().map(|event| records(&event.what));
    Tally::of([
        ("nodes", count(|what| matches!(what, What::Joined { .. }))),
        ("starts", count(|what| matches!(what, What::Started { .. }))),
        ("records", records.sum()),
        (
            "faults",
            befell + count(|what| matches!(what, What::Fault(_))),
        ),
    ])
}
