//! What people ask of jobs, and what they are told: from any program that has the namespace, also one without the jobs.

mod ask;
mod asked;
mod define;
mod details;
mod explain;
mod list;
mod names;
mod nodes;
mod pauses;
mod wake;
mod why;

pub use asked::Progress;
pub use details::{Coming, JobDetails, JobSummary, NodeOfJob, Paused, RunToCome, RunUnderWay};
pub(crate) use names::nearest;
pub(crate) use wake::{Heard, News, Wake, hash_of, wake_name};
pub use why::{Because, Why};

use leasehold_core::Coordinator;
use leasehold_cron::Zone;
use leasehold_spec::Spec;

use crate::Error;
use crate::ledger::{Ledger, Timing};
use crate::registers::Stored;
use names::Found;

/// The jobs of a namespace, for people and for programs that act for them: what there is and what became of it, pause and
/// resume, runs that are asked for, and why a tick did or didn't run. The program need not have the jobs themselves; on the
/// command line it is `leasehold jobs`.
///
/// A job is given by its name, or by its [`id`](crate::Job::id) (its first name), which counts if both are taken. Times
/// are seconds since 1970, on the store's clock.
///
/// ```
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # use leasehold_scheduler::{BoxError, Job, Scheduler};
/// use leasehold_scheduler::{Error, Jobs};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// # let nightly = Job::new("nightly", "0 2 * * *", |_| async { Ok::<(), BoxError>(()) });
/// # let scheduler = Scheduler::builder(&coord).jobs([nightly]).build()?;
/// # let env = coord.env().clone();
/// # let stop = async move { env.sleep(std::time::Duration::from_secs(3)).await };
/// # let running = tokio::spawn(async move { scheduler.run_until(stop).await });
/// # coord.env().sleep(std::time::Duration::from_millis(500)).await;
/// let jobs = Jobs::new(&coord);
/// for job in jobs.list().await? {
///     println!("{}: {}, next {:?}", job.name, job.describes, job.next);
/// }
/// jobs.pause("nightly", "the report is being repaired").await?;
/// let id = jobs.trigger("nightly").await?; // runs all the same
/// println!("{}", jobs.why("nightly", 1_774_746_000).await?);
///
/// let error = jobs.trigger("nihgtly").await.unwrap_err();
/// assert!(error.to_string().ends_with("did you mean `nightly`?"), "{error}");
/// # running.await.unwrap()?;
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Jobs {
    coord: Coordinator,
}

impl Jobs {
    /// Those of this coordinator's namespace.
    pub fn new(coord: &Coordinator) -> Self {
        let coord = coord.clone();
        Self { coord }
    }

    async fn find(&self, job: &str) -> Result<Found, Error> {
        names::find(&self.coord, job).await
    }

    /// Refuses what was found and is gone now: the store lost its data.
    #[allow(clippy::unused_self, reason = "reads as what it is about")]
    fn still_there(&self, job: &str, stored: Option<Stored>) -> Result<Stored, Error> {
        stored.ok_or_else(|| Error::NoSuchJob {
            job: job.to_owned(),
            nearest: Vec::new(),
        })
    }
}

/// Calls `act` with when the job's ticks are, by the specification in force.
fn with_timing<T>(
    id: &str,
    ledger: &mut Ledger,
    act: impl FnOnce(&mut Ledger, &Timing<'_>) -> T,
) -> Result<T, Error> {
    let spec = spec_of(ledger)?;
    let timing = Timing {
        job: id,
        spec: &spec,
    };
    Ok(act(ledger, &timing))
}

/// Refuses a job that nodes need not know any more.
fn not_taken_out(ledger: &Ledger) -> Result<(), Error> {
    if ledger.is_taken_out() {
        let job = ledger.name.clone();
        return Err(Error::TakenOut { job });
    }
    Ok(())
}

fn spec_of(ledger: &Ledger) -> Result<Spec, Error> {
    Spec::from_words(ledger.words()).map_err(|error| Error::Spec {
        job: ledger.name.clone(),
        error,
    })
}

/// By whose clocks people are told of a job's ticks.
fn zone_of(spec: Option<&Spec>) -> Zone {
    let schedule = spec.and_then(|spec| spec.schedule.as_ref());
    schedule.map_or(Zone::UTC, |schedule| schedule.zone().clone())
}
