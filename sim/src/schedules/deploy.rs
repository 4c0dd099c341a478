//! Deploys: one process after the other is replaced by one of another release; and pods that crash again and again.

use std::sync::Arc;
use std::time::Duration;

use super::control;
use super::plan::Peril;
use super::world::World;
use crate::plan::{one_of, up_to};

/// Replaces all nodes, one after the other, by such of another release: the next one, or the one before.
pub(crate) async fn roll(world: &Arc<World>) {
    let env = &world.env;
    let (from, last) = (world.release(), world.plan.releases - 1);
    let to = match env.random(3) {
        // A roll-back.
        0 => from.saturating_sub(1),
        _ => (from + 1).min(last),
    };
    world.set_release(to);
    world.recorder.other(format!("release {to} is rolled out"));
    let surges = env.random(2) == 0;
    let asks = world.plan.perils.contains(&Peril::Ask);
    for old in world.ids() {
        if asks {
            control::ask(world);
        }
        if surges {
            world.launch(to).await;
            world.drain(old).await;
        } else {
            world.drain(old).await;
            world.launch(to).await;
        }
        if !world.is_over() {
            world.a_while(Duration::from_secs(6)).await;
        }
    }
}

/// Starts a pod that is killed after a while, and again.
pub(crate) fn crash_loop(world: &Arc<World>) {
    let env = world.env.clone();
    let releases: Vec<_> = (0..world.plan.releases).collect();
    let release = one_of(&env, &releases).unwrap_or(0);
    let world = Arc::clone(world);
    world
        .recorder
        .other(format!("a pod of release {release} crashes in a loop"));
    env.spawn(async move {
        for _ in 0..4 {
            if world.is_over() {
                return;
            }
            let id = world.launch(release).await;
            world
                .env
                .sleep(up_to(&world.env, Duration::from_secs(8)))
                .await;
            world.kill(id);
            world.a_while(Duration::from_secs(4)).await;
        }
    });
}
