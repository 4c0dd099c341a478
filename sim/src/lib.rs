//! Simulates a fleet of leasehold clients on one store, with everything going wrong that can, and checks what they saw.
//!
//! [`run`] plays one seed and answers its [`History`]; [`check`] is pure and says which promises it breaks, and
//! [`report`] shows it to people. [`schedules`] has the same for fleets of schedulers. [`play`] plays many seeds of
//! either; `cargo xtask sim` builds and starts the program that does.

mod checker;
mod guard;
mod history;
mod many;
mod node;
mod pages;
mod panics;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod recorder;
mod report;
mod run;
pub mod schedules;
mod steps;
mod storm;
mod tally;
mod task;
mod together;
mod world;

pub use checker::{Violation, check};
pub use history::{Event, Fault, History, How, Id, What};
pub use many::{Broken, Played, Simulation, Summary, play};
#[cfg(feature = "planted-bugs")]
pub use planted::{Bug, Caught, hunt};
pub use report::report;
pub use run::{Outcome, run, run_with};
pub use tally::Tally;
