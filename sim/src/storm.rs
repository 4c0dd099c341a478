//! What goes wrong, and when.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::Entry;
use leasehold_core::store::Faults;
use leasehold_core::{Env, Moment, NodeId};

use crate::history::{Fault, Id, What};
use crate::plan::{Peril, one_of, up_to};
use crate::recorder::Call;
use crate::world::{REQUEST_TIMEOUT, World};

/// Goes on until `until`; what it began ends by itself, or with `World::calm`.
pub(crate) async fn storm(world: Arc<World>, until: Moment) {
    let env = &world.env;
    if world.plan.weather != Faults::none() {
        weather(&world, world.plan.weather);
    }
    while env.now() < until && !world.plan.perils.is_empty() {
        env.sleep(up_to(env, Duration::from_millis(2500))).await;
        if let Some(peril) = one_of(env, &world.plan.perils) {
            befall(&world, peril, until).await;
        }
    }
    env.sleep_until(until).await;
}

fn weather(world: &World, faults: Faults) {
    let what = if faults == Faults::none() {
        "the weather is calm"
    } else {
        "the weather is bad"
    };
    world.recorder.other(what);
    world.faulty.set_faults(faults);
}

/// A node, as chance will have it.
fn victim(world: &World) -> Option<(Id, NodeId, Env)> {
    let nodes = world.nodes();
    let at = one_of(&world.env, &(0..nodes.len()).collect::<Vec<_>>())?;
    let node = &nodes[at];
    Some((node.id, node.coord.node(), node.env.clone()))
}

async fn befall(world: &Arc<World>, peril: Peril, until: Moment) {
    let env = &world.env;
    let recorder = &world.recorder;
    match peril {
        Peril::Pause => pause(world),
        Peril::Cut => cut(world),
        Peril::Outage => {
            recorder.other("the network is down");
            world.faulty.outage();
            env.sleep(up_to(env, Duration::from_secs(2))).await;
            recorder.other("the network is up");
            world.faulty.recover();
        }
        Peril::Stop => {
            recorder.other("the store stands still");
            world.memory.stop();
            env.sleep(up_to(env, Duration::from_secs(2))).await;
            recorder.other("the store runs again");
            world.memory.start();
        }
        Peril::Weather => {
            let kinds = [Faults::none(), Faults::mild(), Faults::wild()];
            weather(world, one_of(env, &kinds).unwrap_or_default());
        }
        Peril::Kill => kill(world, until),
        Peril::ShutDown => shut_down(world, until),
        Peril::DataLoss if env.random(3) == 0 => {
            recorder.forgot(Fault::DataLost);
            world.memory.restart();
        }
        Peril::WallClock => {
            let step = step(env, 10_000_000);
            recorder.fault(Fault::WallClock(step));
            world.memory.step_wall_clock(step);
        }
        Peril::LeaseClock if env.random(3) == 0 => {
            let step = step(env, 3_000_000);
            recorder.forgot(Fault::LeaseClock(step));
            world.memory.step_lease_clock(step);
        }
        Peril::DataLoss | Peril::LeaseClock => {}
    }
}

/// A clock's step, to either side; mostly a small one.
fn step(env: &Env, longest_us: u64) -> i64 {
    let longest_us = one_of(env, &[2_000, 100_000, longest_us]).unwrap_or(longest_us);
    let us = env.random(longest_us).cast_signed();
    if env.random(2) == 0 { us } else { -us }
}

fn pause(world: &Arc<World>) {
    let Some((id, _, env)) = victim(world) else {
        return;
    };
    if env.is_paused() {
        return;
    }
    world.recorder.fault(Fault::Paused(id));
    env.pause();
    let (world, longest) = (Arc::clone(world), Duration::from_secs(5));
    let for_ = up_to(&world.env, longest);
    let later = Arc::clone(&world);
    world.env.spawn(async move {
        later.env.sleep(for_).await;
        // Killed, or shut down and gone, it is not there any more.
        if let Some(node) = later.nodes().iter().find(|node| node.id == id) {
            later.resume(node);
        }
    });
}

fn cut(world: &Arc<World>) {
    let Some((id, node, _)) = victim(world) else {
        return;
    };
    world.recorder.other(format!("node {id} is cut off"));
    world.faulty.cut(node);
    let for_ = up_to(&world.env, world.plan.longest_hold);
    let later = Arc::clone(world);
    world.env.spawn(async move {
        later.env.sleep(for_).await;
        later.recorder.other(format!("node {id} is back"));
        later.faulty.heal(node);
    });
}

/// Ends a node without a word, and starts another.
fn kill(world: &Arc<World>, until: Moment) {
    let Some((id, _, env)) = victim(world) else {
        return;
    };
    world.recorder.fault(Fault::Killed(id));
    // What it sent travels on; nothing of it runs again.
    env.pause();
    for task in forget(world, id) {
        std::mem::forget(task);
    }
    replace(world, until);
}

/// Takes a node off the list; its tasks go on as they can.
fn forget(world: &World, id: Id) -> Vec<tokio::task::JoinHandle<()>> {
    let mut nodes = world.nodes();
    let Some(at) = nodes.iter().position(|node| node.id == id) else {
        return Vec::new();
    };
    let node = nodes.remove(at);
    // The client lives as long as its tasks do.
    std::mem::forget(node.coord);
    node.tasks
}

fn shut_down(world: &Arc<World>, until: Moment) {
    let Some((id, _, env)) = victim(world) else {
        return;
    };
    if env.is_paused() {
        return;
    }
    let coord = {
        let nodes = world.nodes();
        let Some(node) = nodes.iter().find(|node| node.id == id) else {
            return;
        };
        node.coord.clone()
    };
    world.recorder.fault(Fault::ShutDown(id));
    let grace = up_to(&world.env, Duration::from_millis(500));
    let later = Arc::clone(world);
    let shutting = env.spawn(async move {
        let calling = later.recorder.call(Call {
            node: id,
            resource: "",
            hold: None,
            what: "shutdown".into(),
            within: grace + REQUEST_TIMEOUT * 3 + Duration::from_millis(50),
            must: false,
        });
        let shut_down = coord.shutdown(grace).await;
        calling.end(&Ok(()));
        if shut_down.unreleased == 0 && !later.recorder.has(forgets) {
            let is_own = |entry: &Entry| entry.rid.node == coord.node();
            later.note_left(|record| record.entries.iter().any(is_own));
        }
    });
    let later = Arc::clone(world);
    world.env.spawn(async move {
        drop(shutting.await);
        let tasks = {
            let mut nodes = later.nodes();
            let at = nodes.iter().position(|node| node.id == id);
            at.map(|at| nodes.remove(at).tasks)
        };
        replace(&later, until);
        for task in tasks.into_iter().flatten() {
            drop(task.await);
        }
    });
}

/// Whether what was ended may come back.
pub(crate) fn forgets(what: &What) -> bool {
    matches!(what, What::Fault(Fault::DataLost | Fault::LeaseClock(_)))
}

fn replace(world: &Arc<World>, until: Moment) {
    let later = Arc::clone(world);
    world.env.spawn(async move {
        later
            .env
            .sleep(up_to(&later.env, Duration::from_secs(1)))
            .await;
        let mut node = later.new_node().await;
        node.work(&later, until);
        later.nodes().push(node);
    });
}
