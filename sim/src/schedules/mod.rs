//! A fleet of schedulers on one store, with everything going wrong that can.
//!
//! [`run`] plays one seed; [`judge`] is pure: from what the jobs' bodies wrote down, the steps of their ledgers and the
//! history that is read at the end by a node without faults, it says which promises were broken.

mod body;
mod clocks;
mod control;
mod deploy;
mod history;
mod jobs;
mod judge;
mod ledger;
mod node;
mod plan;
mod recorder;
mod report;
mod run;
mod storm;
mod world;

pub use history::{
    Entry, Event, Fault, History, How, Id, JobPlan, Record, Seen, Setting, What, Words,
};
pub use judge::judge;
pub use report::report;
pub use run::{Outcome, run};
