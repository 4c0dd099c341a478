//! What a job's specification says: when it is due, and what to do when things go wrong.
//!
//! A specification is a list of words, the same in the attribute, in code, in the store and on the command line:
//!
//! ```
//! use leasehold_spec::{Misfire, Overlap, Spec};
//!
//! let spec = Spec::from_words([("schedule", "0 2 * * *"), ("misfire", "run_once"), ("timeout", "10m")])?;
//! assert_eq!(spec.misfire, Misfire::RunOnce);
//! assert_eq!(spec.overlap, Overlap::Skip); // unless it says otherwise
//! assert_eq!(spec.words()["timeout"], "10m");
//!
//! let error = Spec::from_words([("schedule", "0 2 * * *"), ("overlap", "maybe")]).unwrap_err();
//! assert_eq!(error.word, "overlap");
//! # Ok::<(), leasehold_spec::SpecError>(())
//! ```
#![forbid(unsafe_code)]

mod check;
mod error;
mod policy;
mod spec;
mod words;

pub use error::SpecError;
pub use policy::{Misfire, OnCrash, Overlap};
pub use spec::Spec;
pub use words::duration_text;
