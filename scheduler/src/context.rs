//! What a run knows, and the state it was given.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_core::{Coordinator, Fence};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::ledger::Via;

/// A run: its nominal time, its fence, and its cancellation. Cheap to clone.
#[derive(Clone)]
pub struct JobContext(pub(crate) Arc<Run>);

pub(crate) struct Run {
    pub(crate) job: Arc<str>,
    /// What the job is in the store.
    pub(crate) id: Arc<str>,
    pub(crate) tick: i64,
    pub(crate) attempt: u32,
    pub(crate) via: Via,
    /// The id of the trigger or backfill.
    pub(crate) asked: Option<String>,
    /// Of a job that is defined in the store.
    pub(crate) payload: serde_json::Value,
    pub(crate) fence: Fence,
    pub(crate) leader_term: Fence,
    pub(crate) delay: Duration,
    pub(crate) cancelled: CancellationToken,
    pub(crate) coord: Coordinator,
    pub(crate) states: Arc<States>,
}

impl JobContext {
    /// The job's name.
    pub fn job(&self) -> &str {
        &self.0.job
    }

    /// The nominal time: when the tick was due, in seconds since 1970.
    pub fn tick_unix_s(&self) -> i64 {
        self.0.tick
    }

    /// The nominal time.
    pub fn tick(&self) -> SystemTime {
        let distance = Duration::from_secs(self.0.tick.unsigned_abs());
        if self.0.tick < 0 {
            UNIX_EPOCH - distance
        } else {
            UNIX_EPOCH + distance
        }
    }

    /// Which attempt at the tick this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The run's fence, greater than that of every earlier run of the job: send it along with every write.
    pub fn fence(&self) -> Fence {
        self.0.fence
    }

    /// What the run is owed to: the schedule, a trigger or a backfill.
    pub fn via(&self) -> Via {
        self.0.via
    }

    /// The same for every attempt at the same tick, also if it is a backfill's: use it as the idempotency key of what the
    /// run does. Each trigger has one of its own. It begins with the job's [`id`](crate::Job::id), so that no rename
    /// changes it.
    pub fn run_id(&self) -> String {
        let run = &self.0;
        match (run.via, &run.asked) {
            (Via::Trigger, Some(asked)) => format!("{}@{}#{asked}", run.id, run.tick),
            _ => format!("{}@{}", run.id, run.tick),
        }
    }

    /// What a job that is defined in the store was [defined](crate::Jobs::define) with; `()` for others.
    ///
    /// # Errors
    /// [`Error::Payload`] if that is no `T`: the run should end with it.
    pub fn payload<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.0.payload).map_err(|error| Error::Payload {
            job: self.0.job.to_string(),
            error: error.to_string(),
        })
    }

    /// The term of the fleet's latest leader that this job's ledger knows; it never falls from run to run.
    pub fn leader_term(&self) -> Fence {
        self.0.leader_term
    }

    /// How long after its nominal time the run was claimed, on the store's clock.
    pub fn delay(&self) -> Duration {
        self.0.delay
    }

    /// Cancelled when the run should stop: before its lease ends, and when the scheduler's drain time is over. What
    /// still runs shortly after that is dropped at its next await.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }

    /// What the scheduler was given with `.state(..)` of this type. A job by code declares it with
    /// [`needs`](crate::JobBuilder::needs), so that `build()` refuses to start without it; functions with the attribute
    /// take `State<T>` as an argument instead.
    ///
    /// # Panics
    /// If there is none. That ends the run as failed, with what to do in the text.
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> T {
        let state = self.0.states.get::<T>();
        state.unwrap_or_else(|| {
            panic!(
                "job `{}` asks for state of type {}, which the scheduler was not given: add `.state(..)` to the \
                 scheduler, and `.needs::<_>()` to the job so that `build()` says it",
                self.0.job,
                type_name::<T>()
            )
        })
    }

    /// The coordinator the scheduler runs on.
    pub fn coordinator(&self) -> &Coordinator {
        &self.0.coord
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job", &self.0.job)
            .field("tick", &self.0.tick)
            .field("attempt", &self.0.attempt)
            .field("fence", &self.0.fence)
            .finish_non_exhaustive()
    }
}

/// Shared state, given once with `Scheduler::builder(..).state(value)`, for every job that has it as an argument.
///
/// A job whose state is missing fails in `build()`, before anything is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(pub T);

/// State that a job's argument needs.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    pub(crate) id: TypeId,
    pub(crate) type_name: &'static str,
}

/// An argument of a job's function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an argument that a job can have",
    label = "a job takes `JobContext` and `State<T>`, where T: Clone + Send + Sync + 'static"
)]
pub trait FromRun: Sized {
    /// The state it needs.
    fn requirement() -> Option<Requirement>;

    /// The argument's value for a run.
    fn from_run(ctx: &JobContext) -> Self;
}

impl FromRun for JobContext {
    fn requirement() -> Option<Requirement> {
        None
    }

    fn from_run(ctx: &JobContext) -> Self {
        ctx.clone()
    }
}

impl<T: Clone + Send + Sync + 'static> FromRun for State<T> {
    fn requirement() -> Option<Requirement> {
        Some(Requirement {
            id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
        })
    }

    fn from_run(ctx: &JobContext) -> Self {
        let state = ctx.0.states.get::<T>();
        State(state.expect("build() refuses a job whose state is missing"))
    }
}

/// The values given with `.state(..)`, one of each type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    pub(crate) fn has(&self, requirement: &Requirement) -> bool {
        self.0.contains_key(&requirement.id)
    }

    fn get<T: Clone + 'static>(&self) -> Option<T> {
        let value = self.0.get(&TypeId::of::<T>())?;
        value.downcast_ref::<T>().cloned()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}
