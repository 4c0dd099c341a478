//! What goes wrong, and when.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::Faults;
use leasehold_core::{Env, Moment};

use super::control;
use super::deploy;
use super::history::Fault;
use super::plan::Peril;
use super::world::{FAIR, NAMESPACE, World};
use crate::plan::{one_of, up_to};

/// Longer than any lease of a run.
const LONG: Duration = Duration::from_secs(16);
/// So long a store stands still at a time.
const STILL: Duration = Duration::from_secs(8);

/// Goes on until `until`; what it began ends by itself, or with `World::calm`.
pub(crate) async fn storm(world: &Arc<World>, until: Moment) {
    let env = &world.env;
    world.set_weather(world.plan.weather);
    while env.now() < until && !world.plan.perils.is_empty() {
        env.sleep(up_to(env, Duration::from_secs(10))).await;
        if let Some(peril) = one_of(env, &world.plan.perils) {
            befall(world, peril).await;
        }
    }
    env.sleep_until(until).await;
}

async fn befall(world: &Arc<World>, peril: Peril) {
    let (env, recorder) = (&world.env, &world.recorder);
    match peril {
        Peril::Pause => pause(world),
        Peril::Cut => cut(world),
        Peril::Outage => {
            recorder.fault(Fault::Disturbed("the network is down".into()));
            world.faulty.outage();
            env.sleep(up_to(env, Duration::from_secs(8))).await;
            world.faulty.recover();
            world.clear_up();
        }
        Peril::Stop => {
            if env.random(2) == 0 {
                amid_a_claim(world).await;
            }
            recorder.fault(Fault::Disturbed("the store stands still".into()));
            world.memory.stop();
            env.sleep(up_to(env, STILL)).await;
            if world.plan.perils.contains(&Peril::WallClock) {
                go_on_in_another_time(world).await;
            }
            world.memory.start();
            world.clear_up();
        }
        Peril::Weather => {
            let kinds = [FAIR, FAIR, Faults::mild(), Faults::wild()];
            world.set_weather(one_of(env, &kinds).unwrap_or(FAIR));
        }
        Peril::Kill => {
            if let Some(victim) = world.victim() {
                world.kill(victim.id);
                replace(world, victim.release);
            }
        }
        Peril::Restart => restart(world),
        Peril::Deploy => deploy::roll(world).await,
        Peril::CrashLoop => deploy::crash_loop(world),
        Peril::Ask => control::ask(world),
        Peril::DeleteLease => delete_lease(world),
        Peril::DataLoss if env.random(3) == 0 => {
            recorder.fault(Fault::DataLost);
            world.memory.restart();
        }
        Peril::RollBack => {
            let saved = world.memory.snapshot();
            env.sleep(up_to(env, Duration::from_secs(6))).await;
            recorder.fault(Fault::DataLost);
            world.memory.restore(&saved);
        }
        Peril::WallClock => step_wall_clock(world),
        Peril::LeaseClock => {
            let step = step(env, &[100_000, 3_000_000]);
            recorder.fault(Fault::LeaseClock(step));
            world.memory.step_lease_clock(step);
        }
        Peril::DataLoss => {}
    }
}

/// Waits until a run's lease is granted whose claim is still to be written, unless that takes long.
async fn amid_a_claim(world: &World) {
    tokio::select! {
        biased;
        () = world.recorder.leased() => {}
        () = world.a_while(LONG) => {}
    }
}

/// A store that stood still goes on for a moment only, and its clock is set back long before it does again. What was read
/// there in that moment, by who has ticks to catch up with, is of another time.
async fn go_on_in_another_time(world: &World) {
    let env = &world.env;
    env.sleep(STILL / 2).await;
    world.memory.start();
    env.sleep(up_to(env, Duration::from_secs(1))).await;
    world.memory.stop();
    let longest_us = one_of(env, &[10_000_000, 20_000_000]).unwrap_or(1);
    set_wall_clock(world, -env.random(longest_us).cast_signed());
    env.sleep(STILL / 2 + up_to(env, STILL / 2)).await;
}

fn step_wall_clock(world: &World) {
    let longest_us = [100_000, 3_000_000, 20_000_000, 70_000_000];
    set_wall_clock(world, step(&world.env, &longest_us));
}

fn set_wall_clock(world: &World, step_us: i64) {
    world.recorder.fault(Fault::WallClock(step_us));
    world.memory.step_wall_clock(step_us);
}

/// A clock's step of up to one of these, to either side.
fn step(env: &Env, longest_us: &[u64]) -> i64 {
    let longest_us = one_of(env, longest_us).unwrap_or(1);
    let us = env.random(longest_us).cast_signed();
    if env.random(2) == 0 { us } else { -us }
}

fn pause(world: &Arc<World>) {
    let Some(victim) = world.victim() else {
        return;
    };
    if victim.env.is_paused() {
        return;
    }
    world.recorder.fault(Fault::Paused(victim.id));
    victim.env.pause();
    let (world, for_) = (Arc::clone(world), up_to(&world.env, LONG));
    world.env.clone().spawn(async move {
        world.env.sleep(for_).await;
        // Killed meanwhile, it never goes on.
        if !world.is_gone(victim.id) {
            world.resume(victim.id, &victim.env);
        }
    });
}

fn cut(world: &Arc<World>) {
    let Some(victim) = world.victim() else {
        return;
    };
    world.recorder.fault(Fault::Cut(victim.id));
    world.faulty.cut(victim.node);
    let (world, for_) = (Arc::clone(world), up_to(&world.env, LONG));
    world.env.clone().spawn(async move {
        world.env.sleep(for_).await;
        world.recorder.fault(Fault::Healed(victim.id));
        world.faulty.heal(victim.node);
    });
}

/// A new process in the place of one that is gone.
fn replace(world: &Arc<World>, release: usize) {
    let world = Arc::clone(world);
    world.env.clone().spawn(async move {
        world.a_while(Duration::from_secs(2)).await;
        world.launch(release).await;
    });
}

/// A process that is told to stop, as in a deploy, and comes again.
fn restart(world: &Arc<World>) {
    let Some(victim) = world.victim() else {
        return;
    };
    let world = Arc::clone(world);
    world.env.clone().spawn(async move {
        world.drain(victim.id).await;
        world.launch(victim.release).await;
    });
}

/// Takes the lease of a run away, as an operator does who deletes its key.
fn delete_lease(world: &World) {
    let records = world.memory.records(NAMESPACE);
    let held: Vec<_> = (records.iter())
        .filter(|(name, _)| name.class() == "~run")
        .filter_map(|(name, record)| Some((name, record.entries.iter().find(|e| e.holds())?.first)))
        .collect();
    let at = one_of(&world.env, &(0..held.len()).collect::<Vec<_>>());
    if let Some((name, fence)) = at.map(|at| held[at]) {
        world.recorder.fault(Fault::LeaseDeleted(fence));
        world.memory.delete_holders(NAMESPACE, name);
    }
}
