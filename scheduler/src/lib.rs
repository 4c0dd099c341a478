//! Cron for a fleet: every tick of a job starts once, on one of the nodes, and what became of it is recorded.
//!
//! *The tick ledger is the guarantee, the leader only an optimisation*: a run is claimed by compare-and-set on the
//! job's register, so a tick starts once whatever clocks, pauses and elections do, while the ledger's store keeps its
//! data. Every node knows what is due; the elected leader only keeps the house (reaps runs that were lost, writes
//! history), so losing it delays nothing.
//!
//! ```
//! use leasehold_core::{Coordinator, store::MemoryStore};
//! use leasehold_scheduler::{JobContext, Scheduler, State, jobs, singleton_job};
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::sync::Arc;
//!
//! // Users of `leasehold` leave `crate = ..` out.
//! #[singleton_job("* * * * * *", crate = leasehold_scheduler)]
//! async fn count(State(runs): State<Arc<AtomicU32>>, ctx: JobContext) {
//!     println!("tick {} under fence {}", ctx.tick_unix_s(), ctx.fence());
//!     runs.fetch_add(1, Ordering::Relaxed);
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
//! let runs = Arc::new(AtomicU32::new(0));
//! let scheduler = Scheduler::builder(&coord).state(runs.clone()).jobs(jobs![count]).build()?;
//! scheduler.run_until(coord.env().sleep(std::time::Duration::from_millis(2100))).await?;
//! assert!(runs.load(Ordering::Relaxed) >= 1);
//! # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
//! ```

mod builder;
mod context;
mod control;
mod defined;
mod dispatch;
mod error;
mod fleet;
mod handler;
mod history;
mod house;
mod job;
mod job_builder;
mod ledger;
mod look;
mod manifest;
mod metrics;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod rank;
mod registers;
mod run;
mod scheduler;
mod shutdown;
#[cfg(feature = "test-util")]
pub mod testing;
mod timetable;
mod watchdog;

pub use builder::Builder;
pub use context::{JobContext, State};
pub use control::{
    Because, Coming, JobDetails, JobSummary, Jobs, NodeOfJob, Paused, Progress, RunToCome,
    RunUnderWay, Why,
};
pub use error::Error;
pub use fleet::index::job_names;
pub use handler::BoxError;
pub use history::history;
pub use job::{Job, JobDefinition};
pub use job_builder::JobBuilder;
pub use leasehold_cron::{Dst, Schedule, TimeError, Zone};
pub use leasehold_scheduler_macros::singleton_job;
pub use leasehold_spec::{Misfire, OnCrash, Overlap, Spec, SpecError};
pub use ledger::{Backfilled, Last, Outcome, Resume, TickRecord, Via};
pub use manifest::Manifest;
pub use scheduler::Scheduler;
pub use shutdown::shutdown_signal;
pub use watchdog::Overdue;

/// What the attribute's expansion uses. Not for users: it may change in any version.
#[doc(hidden)]
pub mod __macro {
    pub use crate::JobContext;
    pub use crate::context::{FromRun, Requirement};
    pub use crate::handler::{BoxError, IntoJobResult};
    pub use crate::job::{Job, JobDefinition};
}
