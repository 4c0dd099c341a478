//! The tick ledger of one job: pure. Reading, planning, claiming and ending, without I/O or a clock.

mod plan;
mod record;

pub(crate) use plan::{Plan, plan};
pub use record::{Outcome, TickRecord};

use std::collections::BTreeMap;

use leasehold_core::NodeId;
use leasehold_cron::Schedule;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The version of the stored form.
pub(crate) const FORMAT: u32 = 1;
/// How many ended ticks a ledger carries before they must go to history.
pub(crate) const OUT_LIMIT: usize = 32;

/// What the store keeps of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) format: u32,
    /// The schedule in force: the stored one decides, whatever a node was built with.
    pub(crate) expression: String,
    /// Counts the schedules this job has had.
    pub(crate) order: u64,
    /// Every tick up to here is claimed or disposed of, and can never be claimed again.
    pub(crate) cursor: i64,
    /// Runs under way.
    pub(crate) running: Vec<Running>,
    /// Ended ticks that history does not have yet.
    pub(crate) out: Vec<TickRecord>,
    /// The latest leader's term.
    pub(crate) term: u64,
    /// The greatest fence of a run.
    pub(crate) last_fence: u64,
    /// Fields of later versions, kept as they are.
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, serde_json::Value>,
}

/// A run under way. It is this claim's, and no other's, by node and fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) tick: i64,
    pub(crate) attempt: u32,
    pub(crate) node: NodeId,
    pub(crate) fence: u64,
    /// The id of its lease, in the class `~run`.
    pub(crate) lease: String,
    pub(crate) delay_ms: u64,
}

impl Running {
    /// When it was claimed, in ms since 1970 on the store's clock.
    fn claimed_ms(&self) -> i64 {
        let delay_ms = i64::try_from(self.delay_ms).unwrap_or(i64::MAX);
        self.tick.saturating_mul(1000).saturating_add(delay_ms)
    }
}

impl Ledger {
    /// A new job's: it starts now, or after the latest tick that a live node knows of (then the data was lost).
    pub(crate) fn new(expression: &str, now_s: i64, known: Option<i64>) -> Self {
        let mut ledger = Self {
            format: FORMAT,
            expression: expression.to_owned(),
            order: 1,
            cursor: now_s,
            running: Vec::new(),
            out: Vec::new(),
            term: 0,
            last_fence: 0,
            rest: BTreeMap::new(),
        };
        if let Some(known) = known {
            ledger.cursor = known;
            ledger.lost_data(now_s.max(known));
        }
        ledger
    }

    pub(crate) fn decode(job: &str, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged = |error: serde_json::Error| Error::LedgerDamaged {
            job: job.to_owned(),
            error: error.to_string(),
        };
        // The version first: a newer form need not have today's fields.
        let found = serde_json::from_slice::<Version>(bytes)
            .map_err(damaged)?
            .format;
        if found > FORMAT {
            return Err(Error::LedgerTooNew {
                job: job.to_owned(),
                found,
                supported: FORMAT,
            });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Numbers, strings and sequences with text keys: JSON takes all of them.
        serde_json::to_vec(self).expect("a ledger has only encodable fields")
    }

    /// The store is behind what this node has seen: nothing up to `until` is known, so none of it may run (again).
    pub(crate) fn lost_data(&mut self, until: i64) {
        if until > self.cursor {
            self.dispose(self.cursor + 1, until, Outcome::Unknown);
        }
    }

    /// Moves the cursor to `end`, and records what became of the ticks from `start` on, none of which ran. Ranges of one
    /// outcome with no other tick between them are one record.
    pub(crate) fn dispose(&mut self, start: i64, end: i64, outcome: Outcome) {
        let cursor = std::mem::replace(&mut self.cursor, end);
        match self.out.last_mut() {
            Some(last) if last.is_range() && last.outcome == outcome && last.end == cursor => {
                last.end = end;
            }
            _ => self.out.push(TickRecord::range(start, end, outcome)),
        }
    }

    /// Puts another schedule in force, from now on. What was due by the old one and not claimed is missed.
    pub(crate) fn adopt(&mut self, expression: &str, now_s: i64) {
        let old = Schedule::parse(&self.expression).ok();
        let due = old.and_then(|old| old.next_after(self.cursor));
        if let Some(first) = due.filter(|first| *first <= now_s) {
            self.dispose(first, now_s, Outcome::Missed);
        }
        expression.clone_into(&mut self.expression);
        self.order += 1;
        self.cursor = self.cursor.max(now_s);
    }

    /// Whether a claim is in here: comparing only the node would take another claim of it for this one.
    pub(crate) fn has_claim(&self, node: NodeId, fence: u64) -> bool {
        (self.running.iter()).any(|run| run.node == node && run.fence == fence)
    }

    /// Enters a claim.
    pub(crate) fn claim(&mut self, run: Running) {
        self.cursor = run.tick;
        self.last_fence = self.last_fence.max(run.fence);
        self.running.push(run);
    }

    /// Ends a claim with its record; beside the record that is there if the claim was reaped before.
    pub(crate) fn end(&mut self, node: NodeId, mut record: TickRecord) {
        let fence = record.fence.unwrap_or(0);
        let before = self.running.len();
        (self.running).retain(|run| run.node != node || run.fence != fence);
        record.late = self.running.len() == before;
        self.out.push(record);
    }

    /// Ends the claims whose lease is gone: claimed, and never heard of again.
    pub(crate) fn reap(&mut self, is_gone: impl Fn(&Running) -> bool) {
        let (gone, live) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(is_gone);
        self.running = live;
        let gone: Vec<Running> = gone;
        self.out.extend(gone.iter().map(TickRecord::lost));
    }
}

#[cfg(test)]
mod tests;
