//! One seed, from its storm to the last look at what is left.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::Entry;
use leasehold_core::{Coordinator, Env};

use crate::checker::{Violation, check};
use crate::history::{Event, History, What};
use crate::panics::gathered;
use crate::plan::Plan;
use crate::recorder::Call;
use crate::storm::{forgets, storm};
use crate::tally::Tally;
use crate::task::{FAREWELL, LONG_TTL, PAGES};
use crate::together::lock_all;
use crate::world::{REQUEST_TIMEOUT, World};

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

fn tally(history: &[Event], befell: u64) -> Tally {
    let (mut calls, mut grants, mut faults) = (0, 0, befell);
    let (mut lost, mut given_up) = (BTreeSet::new(), BTreeSet::new());
    for event in history {
        match &event.what {
            What::Called { .. } => calls += 1,
            What::Held { .. } => grants += 1,
            What::Fault(_) => faults += 1,
            What::GaveUp { hold } => {
                given_up.insert(*hold);
            }
            What::Looked { hold, held: false } if !given_up.contains(hold) => {
                lost.insert(*hold);
            }
            _ => {}
        }
    }
    Tally::of([
        ("calls", calls),
        ("grants", grants),
        ("losses", lost.len() as u64),
        ("faults", faults),
    ])
}

/// Plays one seed. The same seed gives the same history.
///
/// # Panics
/// Inside a tokio runtime.
pub fn run(seed: u64) -> Outcome {
    run_with(seed, false)
}

/// As [`run`], with each step of the store in the history if `shows_steps`.
///
/// # Panics
/// As [`run`].
pub fn run_with(seed: u64, shows_steps: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    let play = || runtime.block_on(play(seed, shows_steps));
    let (played, panics) = gathered(|| catch_unwind(AssertUnwindSafe(play)));
    let (mut history, befell) = played.unwrap_or_default();
    let at = history.last().map_or(Duration::ZERO, |last| last.at);
    history.extend(panics.into_iter().map(|text| {
        let rule = "nothing panics";
        let what = What::Broke { rule, text };
        Event { at, what }
    }));
    Outcome {
        violations: check(&history),
        tally: tally(&history, befell),
        history,
    }
}

/// How long what a live client left may take to go, once all is well.
const CLEANED: Duration = Duration::from_secs(10);
/// Until nothing of a dead client can be left: its leases, and what is remembered of its requests. A campaign waits in
/// rounds of ten minutes, and who leads a line may stand there for another one.
const FORGOTTEN: Duration = Duration::from_secs(1300);

async fn play(seed: u64, shows_steps: bool) -> (History, u64) {
    let env = Env::simulated(seed);
    let plan = Plan::of(&env);
    let world = World::new(env, plan, shows_steps);
    tokio::select! {
        biased;
        () = world.recorder.endless() => {}
        () = live(&world) => {}
    }
    (world.recorder.take(), world.faulty.befell())
}

async fn live(world: &Arc<World>) {
    let env = &world.env;
    let until = env.now() + world.plan.storm;
    for _ in 0..world.plan.nodes {
        let mut node = world.new_node().await;
        node.work(world, until);
        world.nodes().push(node);
    }
    storm(Arc::clone(world), until).await;
    world.calm();
    // Nodes that were to take others' places are there by now.
    env.sleep(Duration::from_secs(3)).await;
    world.calm();
    let tasks: Vec<_> = (world.nodes().iter_mut())
        .flat_map(|node| std::mem::take(&mut node.tasks))
        .collect();
    for task in tasks {
        // One that hangs, or panicked, has a call that never ended.
        drop(env.timeout(LONG_TTL, task).await);
    }
    serve(world).await;
    env.sleep(CLEANED).await;
    // A live client cleans up; what another one left, or a store forgot, goes by itself.
    if !world.recorder.has(forgets) {
        let live: Vec<_> = world.nodes().iter().map(|n| n.coord.node()).collect();
        let is_live = |entry: &Entry| live.contains(&entry.rid.node);
        world.note_left(|record| record.entries.iter().any(is_live));
    }
    for node in world.nodes().iter() {
        let health = node.coord.health();
        if health.held + health.waiting + health.lines + health.unreleased > 0 {
            let what = format!("node {} keeps {health:?}", node.id);
            world.recorder.left(what);
        }
    }
    if world.plan.leaves {
        world.nodes().clear();
    }
    env.sleep(FORGOTTEN).await;
    world.memory.collect(env);
    world.note_all_left();
}

/// Every node gets every lock, one after the other, and then all of them at once.
async fn serve(world: &Arc<World>) {
    let clients: Vec<_> = (world.nodes().iter())
        .map(|node| (node.id, node.coord.clone()))
        .collect();
    let mutexes = (0..=world.plan.resources).map(|id| ("m", id));
    let locks: Vec<_> = mutexes.chain((0..PAGES).map(|id| ("p", id))).collect();
    let mut tasks = Vec::new();
    for (node, coord) in clients.clone() {
        for (class, id) in locks.clone() {
            let (world, coord) = (Arc::clone(world), coord.clone());
            let env = world.env.clone();
            tasks.push(env.spawn(async move { lock(&world, node, &coord, class, id).await }));
        }
    }
    for task in tasks {
        drop(task.await);
    }
    let mut tasks = Vec::new();
    for (node, coord) in clients {
        let world = Arc::clone(world);
        let env = world.env.clone();
        tasks.push(env.spawn(async move { lock_all(&world, node, &coord).await }));
    }
    for task in tasks {
        drop(task.await);
    }
}

async fn lock(world: &World, node: u32, coord: &Coordinator, class: &str, id: u64) {
    // What a dead node held ends first, and each before it may be one that has to be passed over.
    let wait = LONG_TTL * 2;
    let resource = format!("{class}/{id}");
    let call = |what: &str, within| Call {
        node,
        resource: &resource,
        hold: None,
        what: what.to_owned(),
        within,
        must: true,
    };
    let in_time = wait + REQUEST_TIMEOUT + FAREWELL;
    let calling = world.recorder.call(call("lock", in_time));
    let locked = match coord.mutexes(class) {
        Ok(mutexes) => {
            mutexes
                .ttl(Duration::from_secs(3))
                .lock_timeout(id, wait)
                .await
        }
        Err(error) => Err(error),
    };
    calling.end(&locked);
    if let Ok(guard) = locked {
        world.env.sleep(Duration::from_millis(20)).await;
        let calling = world.recorder.call(call("release", REQUEST_TIMEOUT));
        calling.end(&guard.release().await);
    }
}
