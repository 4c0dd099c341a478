//! Many tasks, all of one limit.

use std::time::Duration;

use leasehold::core::Class;
use leasehold::core::name::ResourceName;
use leasehold::core::protocol::{Charge, Quota};
use leasehold::{Coordinator, Env, Moment};

use super::floor::Floor;
use super::progress::Progress;
use super::report::{Report, Times, micros, rounded};
use crate::exit::Failure;

/// So fast that nearly all pass, as they do on a limit that is not reached: each is a write.
const A_SECOND: u64 = 1_000_000;
const WITHIN: Duration = Duration::from_secs(2);

/// What is asked for a unit; it answers whether it was had.
pub(super) trait Limit: Clone + Send + Sync + 'static {
    fn ask(&self) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// A key of a quota, charged exactly.
#[derive(Clone)]
pub(super) struct Hot {
    coord: Coordinator,
    key: ResourceName,
    charge: Charge,
}

impl Hot {
    pub(super) fn new(coord: Coordinator) -> Result<Self, Failure> {
        let class = Class::new("bench").map_err(leasehold::Error::from)?;
        let key = class.resource("limit").map_err(leasehold::Error::from)?;
        let quota = Quota::new(A_SECOND, 1_000_000, A_SECOND);
        // A million a second is a fine quota; a benchmark without one measures nothing.
        let quota = quota.map_err(|error| Failure::Usage(error.to_string()))?;
        let charge = Charge {
            quota,
            cost: 1,
            least: 1,
        };
        Ok(Self { coord, key, charge })
    }
}

impl Limit for Hot {
    async fn ask(&self) -> Result<bool, Failure> {
        let charges = [(self.key.clone(), self.charge)];
        let quotas = self.coord.quotas();
        let taken = quotas.take(&charges, Duration::ZERO, WITHIN).await?;
        Ok(taken.is_taken())
    }
}

impl Limit for Floor {
    async fn ask(&self) -> Result<bool, Failure> {
        self.get_and_set().await.map(|()| true)
    }
}

/// So many tasks ask, each again at once, until the time is over.
pub(super) async fn run<L: Limit>(
    what: &'static str,
    address: &str,
    limit: &L,
    tasks: u32,
    lasts: Duration,
    progress: &Progress,
) -> Result<Report, Failure> {
    let env = Env::system();
    for _ in 0..200 {
        limit.ask().await?;
    }
    let until = env.now() + lasts;
    let tasks: Vec<_> = (0..tasks)
        .map(|_| env.spawn(ask_until(limit.clone(), env.clone(), until)))
        .collect();
    let count = tasks.len();
    let (mut times, mut passed) = (Vec::new(), 0_u64);
    for task in tasks {
        let ended = task.await;
        let (its, had) = ended.map_err(|e| Failure::Io("a task failed", e.into()))??;
        times.extend(its);
        passed += had;
    }
    progress.done();
    let asked = times.len();
    let times = Times::new(times);
    Ok(Report::new(what, address)
        .with("tasks", count)
        .with("asked", asked)
        .with("passed", passed)
        .with("secs", rounded(lasts.as_secs_f64()))
        .with("p50_us", micros(times.percentile(50)))
        .with("p99_us", micros(times.percentile(99))))
}

async fn ask_until<L: Limit>(
    limit: L,
    env: Env,
    until: Moment,
) -> Result<(Vec<Duration>, u64), Failure> {
    let (mut times, mut passed) = (Vec::new(), 0);
    loop {
        let asked = env.now();
        if asked >= until {
            return Ok((times, passed));
        }
        passed += u64::from(limit.ask().await?);
        times.push(env.now().since(asked));
        // A store that answers at once would never let the next task run.
        env.give_way().await;
    }
}
