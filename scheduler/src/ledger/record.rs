//! What became of a tick.

use std::fmt;

use leasehold_core::NodeId;
use serde::{Deserialize, Serialize};

use super::{Pending, Running};

/// How a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The run ended well.
    Ran,
    /// The run returned an error, panicked, or was cancelled.
    Failed,
    /// The run took longer than its job's timeout, and was cancelled.
    TimedOut,
    /// Another run of the job was still under way.
    SkippedOverlap,
    /// No node claimed it in time, or the claim was decided too late to start it.
    Missed,
    /// The job, or the fleet, was paused.
    Paused,
    /// Claimed, and its lease ended before the run did.
    LostLease,
    /// The ledger's data was lost: what became of these ticks is not known.
    Unknown,
}

impl Outcome {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ran => "ran",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::SkippedOverlap => "skipped_overlap",
            Outcome::Missed => "missed",
            Outcome::Paused => "paused",
            Outcome::LostLease => "lost_lease",
            Outcome::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a run is owed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Via {
    /// The job's schedule.
    #[default]
    Schedule,
    /// Somebody who asked for one run.
    Trigger,
    /// Somebody who asked for ticks of the past.
    Backfill,
}

impl Via {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn is_schedule(&self) -> bool {
        *self == Via::Schedule
    }

    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::Schedule => "schedule",
            Via::Trigger => "trigger",
            Via::Backfill => "backfill",
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a tick, or of every tick of a range that nobody ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TickRecord {
    /// The tick, or the first second of a range (seconds since 1970).
    pub start: i64,
    /// The tick, or the last second of a range.
    pub end: i64,
    /// Which attempt, from 1; 0 if nothing ran.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Another attempt is to follow: this is not the last word on the tick.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// What it is owed to.
    #[serde(default, skip_serializing_if = "Via::is_schedule")]
    pub via: Via,
    /// The id of the trigger or backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The specification in force, for short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tick's nominal time was skipped by a change of the clocks, and moved to the first instant after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved_by_dst: bool,
    /// The node that ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The run's fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// From nominal time to claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// From claim to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What the run failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The run ended after its claim had been given up: another record says so, this one stands beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

impl TickRecord {
    pub(super) fn range(start: i64, end: i64, outcome: Outcome) -> Self {
        Self {
            start,
            end,
            attempt: 0,
            outcome,
            retry: false,
            via: Via::Schedule,
            id: None,
            version: None,
            moved_by_dst: false,
            node: None,
            fence: None,
            delay_ms: None,
            took_ms: None,
            error: None,
            late: false,
        }
    }

    /// Of ticks that nobody ran.
    pub(super) fn is_range(&self) -> bool {
        self.attempt == 0
    }

    pub(crate) fn of_run(run: &Running, outcome: Outcome) -> Self {
        Self {
            attempt: run.attempt,
            via: run.via,
            id: run.id.clone(),
            version: Some(run.version.clone()),
            node: Some(run.node),
            fence: Some(run.fence),
            delay_ms: Some(run.delay_ms),
            ..Self::range(run.tick, run.tick, outcome)
        }
    }

    /// Of a run that was to come, and does not.
    pub(super) fn given_up(pending: &Pending, version: String, outcome: Outcome) -> Self {
        Self {
            // The first attempt of a queued tick never was: it is a tick that nobody ran.
            attempt: if pending.is_queued() {
                0
            } else {
                pending.attempt
            },
            via: pending.via,
            id: pending.id.clone(),
            version: Some(version),
            ..Self::range(pending.tick, pending.tick, outcome)
        }
    }

    pub(super) fn lost(run: &Running) -> Self {
        Self::of_run(run, Outcome::LostLease)
    }

    /// Whether it is about `tick`.
    pub fn is_about(&self, tick: i64) -> bool {
        (self.start..=self.end).contains(&tick)
    }

    /// Whether it says all that `other` says: it is the same, or the range that the other grew to.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let grown = self.is_range()
            && other.is_range()
            && self.outcome == other.outcome
            && self.version == other.version;
        self.key() == other.key() || (grown && self.start == other.start && self.end >= other.end)
    }

    /// What makes it the same record, however often it is written to history.
    pub(crate) fn key(&self) -> (i64, i64, u32, bool, u64, &str) {
        let (fence, id) = (self.fence.unwrap_or(0), self.id.as_deref().unwrap_or(""));
        (self.end, self.start, self.attempt, self.late, fence, id)
    }
}
