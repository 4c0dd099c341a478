//! What people are told of a job.

use std::collections::BTreeMap;

use leasehold_core::{Coordinator, NodeId};
use serde::Serialize;

use crate::ledger::{Defined, Last, Pause, Pending, Running, Via};

/// A job in a list. Times are seconds since 1970, on the store's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobSummary {
    /// What it is called today.
    pub name: String,
    /// What it is in the store: its first name.
    pub id: String,
    /// The expression of its schedule; `None` if it only runs when it is asked for, or if [`problem`](Self::problem) says so.
    pub schedule: Option<String>,
    /// The schedule in English.
    pub describes: String,
    /// By whose clocks it goes.
    pub zone: String,
    /// The next tick; one in the past is due.
    pub next: Option<i64>,
    /// The latest end.
    pub last: Option<Last>,
    /// Runs under way.
    pub running: usize,
    /// Runs to come besides those of the schedule: further attempts, queued ticks, triggers, backfills.
    pub pending: usize,
    /// Since when it is paused, by itself or with all others.
    pub paused: Option<Paused>,
    /// It was defined in the store, and taken out: nobody can ask for it.
    pub taken_out: bool,
    /// Why this is all that can be said.
    pub problem: Option<String>,
}

/// All of a job. Made by [`Jobs::show`](crate::Jobs::show).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobDetails {
    /// In short.
    pub summary: JobSummary,
    /// Its specification, as far as it is not the default.
    pub words: BTreeMap<String, String>,
    /// The specification for short, as records have it.
    pub version: String,
    /// From when on it is in force, if that is known.
    pub since: Option<i64>,
    /// From when on there is a ledger, if that is known.
    pub created: Option<i64>,
    /// Every tick up to here is decided.
    pub cursor: i64,
    /// Runs under way.
    pub running: Vec<RunUnderWay>,
    /// Runs to come.
    pub pending: Vec<RunToCome>,
    /// The tick of the latest run that ended well, and when it ended.
    pub succeeded: Option<(i64, i64)>,
    /// Live nodes that have the job; of one that is defined in the store those that have its latest kind.
    pub nodes: Vec<NodeOfJob>,
    /// Its kind, if it is defined in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What its runs are given then.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub payload: serde_json::Value,
    /// What it is going to be, as soon as what is due by the specification in force has had its due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coming: Option<Coming>,
}

/// What a job is defined as in the store, and is not yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coming {
    /// Its kind.
    pub kind: String,
    /// Its specification, as far as it is not the default.
    pub words: BTreeMap<String, String>,
    /// What its runs will be given.
    pub payload: serde_json::Value,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Paused {
    /// Since when.
    pub since: i64,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// All jobs are.
    pub all: bool,
}

/// A run under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunUnderWay {
    /// The tick.
    pub tick: i64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What it is owed to.
    pub via: Via,
    /// The id of the trigger or backfill.
    pub id: Option<String>,
    /// Where it runs.
    pub node: NodeId,
    /// Who that is, if it is live.
    pub label: Option<String>,
    /// The run's fence.
    pub fence: u64,
    /// When it was claimed.
    pub since: i64,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunToCome {
    /// The tick.
    pub tick: i64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What it is owed to.
    pub via: Via,
    /// The id of the trigger or backfill.
    pub id: Option<String>,
    /// Not before this time.
    pub not_before: i64,
}

/// A node that has a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeOfJob {
    /// The node.
    pub node: NodeId,
    /// Who it is, for people.
    pub label: String,
    /// Whether it has the labels that the job wants.
    pub may_run: bool,
}

impl Paused {
    pub(super) fn of(pause: &Pause, all: bool) -> Self {
        Self {
            since: seconds(pause.since_ms),
            by: pause.by.clone(),
            reason: pause.reason.clone(),
            all,
        }
    }
}

impl Coming {
    pub(super) fn of(defined: &Defined) -> Self {
        Self {
            kind: defined.kind.clone(),
            words: defined.spec.clone(),
            payload: defined.payload.clone(),
        }
    }
}

impl RunUnderWay {
    pub(super) fn of(run: &Running, label: Option<String>) -> Self {
        Self {
            tick: run.tick,
            attempt: run.attempt,
            via: run.via,
            id: run.id.clone(),
            node: run.node,
            label,
            fence: run.fence,
            since: seconds(run.claimed_ms),
        }
    }
}

impl RunToCome {
    pub(super) fn of(pending: &Pending) -> Self {
        Self {
            tick: pending.tick,
            attempt: pending.attempt,
            via: pending.via,
            id: pending.id.clone(),
            not_before: seconds(pending.not_before_ms),
        }
    }
}

/// Who a node is, if it is live.
pub(super) fn label_of(coord: &Coordinator, node: NodeId) -> Option<String> {
    let members = coord.members();
    let member = members.members.iter().find(|member| member.node == node);
    member.map(|member| member.label.clone())
}

pub(super) fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}
