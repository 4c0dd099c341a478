//! What people ask of jobs in the storm, from a program without the jobs, over the same network.

use std::sync::Arc;
use std::time::Duration;

use leasehold_scheduler::{Error, Jobs, Resume};

use super::history::What;
use super::plan::Peril;
use super::world::World;
use crate::plan::{one_of, up_to};

/// How long a job is paused at most.
const PAUSE: Duration = Duration::from_secs(8);
/// How many triggers come at once, at most, besides the first.
const BURST: u64 = 8;
/// So long after a trigger somebody may ask for it again.
const AGAIN: Duration = Duration::from_secs(5);
/// How far back a backfill may reach.
const BACK_S: u64 = 20;

/// Somebody asks for something, and goes away when that is done.
pub(crate) fn ask(world: &Arc<World>) {
    let world = Arc::clone(world);
    world.env.clone().spawn(async move {
        let coord = world.connect(0, &world.env.node()).await;
        let jobs = Jobs::new(&coord);
        let number = chosen(&world);
        let name = &world.plan.jobs[number].name;
        match world.env.random(3) {
            0 => {
                world
                    .recorder
                    .other(format!("job {number} is to be paused"));
                if jobs.pause(name, "as planned").await.is_ok() {
                    world.a_while(PAUSE).await;
                }
                resume(&world, &jobs, name).await;
            }
            1 => {
                let ids = (0..=world.env.random(BURST)).map(|_| world.env.random(u64::MAX));
                let ids: Vec<_> = ids.map(|id| format!("{id:x}")).collect();
                world
                    .recorder
                    .other(format!("job {number} is triggered: {}", ids.join(", ")));
                let mut taken = Vec::new();
                for id in ids {
                    if let Ok(true) = jobs.trigger_as(name, &id).await {
                        taken.push(id.clone());
                        world.recorder.note(What::Triggered { job: number, id });
                    }
                }
                // Somebody who was told, and does not know it any more, asks again: that changes nothing.
                world.a_while(AGAIN).await;
                for id in taken {
                    drop(jobs.trigger_as(name, &id).await);
                }
            }
            _ => {
                let now_s = coord.store_now().wall_us / 1_000_000;
                let to = i64::try_from(now_s - world.env.random(BACK_S)).unwrap_or(0);
                let from = to
                    - up_to(&world.env, Duration::from_secs(BACK_S))
                        .as_secs()
                        .cast_signed();
                world
                    .recorder
                    .other(format!("job {number} is backfilled: {from}..={to}"));
                drop(jobs.backfill(name, from..=to).await);
            }
        }
        coord.shutdown(Duration::ZERO).await;
    });
}

/// Any of the jobs: if the program is deployed, above all those that this changes.
fn chosen(world: &World) -> usize {
    let (jobs, perils) = (&world.plan.jobs, &world.plan.perils);
    let mut numbers: Vec<_> = (0..jobs.len()).collect();
    if perils.contains(&Peril::Deploy) && world.env.random(2) == 0 {
        numbers.retain(|number| {
            jobs[*number]
                .releases
                .windows(2)
                .any(|pair| pair[0] != pair[1])
        });
    }
    one_of(&world.env, &numbers).unwrap_or(0)
}

/// Until it is not paused.
async fn resume(world: &World, jobs: &Jobs, name: &str) {
    let how = one_of(&world.env, &[Resume::FromNow, Resume::WhereItStopped]);
    let how = how.unwrap_or(Resume::FromNow);
    while let Err(Error::Core(_)) = jobs.resume(name, how).await {
        world.a_while(Duration::from_secs(1)).await;
    }
}

/// Resumes what a store that went back has paused again.
pub(crate) async fn resume_all(world: &World) {
    let coord = world.connect(0, &world.env.node()).await;
    let jobs = Jobs::new(&coord);
    for job in &world.plan.jobs {
        resume(world, &jobs, &job.name).await;
    }
    coord.shutdown(Duration::ZERO).await;
}
