//! The tick ledger of one job: pure. Reading, planning, claiming and ending, without I/O or a clock.

mod control;
mod fleet;
mod plan;
mod record;
mod timing;

pub use control::{Backfilled, Resume};
pub(crate) use control::{MOST_PENDING, Refused};
pub(crate) use fleet::FleetControl;
pub(crate) use plan::{Plan, Start, plan};
pub use record::{Outcome, TickRecord, Via};
pub(crate) use timing::Timing;

use std::collections::BTreeMap;

use leasehold_core::NodeId;
use leasehold_core::name::fnv1a_64;
use leasehold_spec::{OnCrash, Spec};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::fleet::version::{Decision, Versions};
use crate::planted::{Bug, planted};

/// The version of the stored form.
pub(crate) const FORMAT: u32 = 1;
/// How many ended ticks a ledger carries before they must go to history.
pub(crate) const OUT_LIMIT: usize = 32;

/// A specification as it is stored.
pub(crate) type Words = BTreeMap<String, String>;

/// What the store keeps of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) format: u32,
    /// The specification in force: the stored one decides, whatever a node was built with.
    pub(crate) spec: Words,
    /// What the job is called today; its identity is the name of its ledger.
    #[serde(default)]
    pub(crate) name: String,
    /// The specifications this job has had, and which of them is in force.
    pub(crate) versions: Versions,
    /// From when on there is a ledger of the job: nothing is known of ticks up to here.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub(crate) created: i64,
    /// From when on the specification is in force.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub(crate) since: i64,
    /// Every tick up to here is claimed, pending or disposed of, and can never be claimed again as one that is due.
    pub(crate) cursor: i64,
    /// Ticks up to here are wanted however late they are.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub(crate) wanted_until: i64,
    /// Runs under way.
    pub(crate) running: Vec<Running>,
    /// Runs that are to come besides the ticks above the cursor: further attempts, queued ticks, triggers, backfills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<Pending>,
    /// Since when the job is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Pause>,
    /// The latest word to the whole fleet that has been acted on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) fleet_seen: u64,
    /// Ended ticks that history does not have yet.
    pub(crate) out: Vec<TickRecord>,
    /// The latest end that history took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Last>,
    /// When a pause ended last.
    #[serde(default, skip_serializing_if = "is_start")]
    pub(crate) resumed: i64,
    /// Somebody was told, at this instant, that the job is overdue; it has not ended well since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) overdue_ms: u64,
    /// The latest success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) succeeded: Option<Success>,
    /// What a job is that is defined in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) defined: Option<Defined>,
    /// What it is to be, once what is due by its specification of now has had its due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redefined: Option<Defined>,
    /// The latest triggers and backfills: one that is sent again is known by its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) asked: Vec<String>,
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
    #[serde(default, skip_serializing_if = "Via::is_schedule")]
    pub(crate) via: Via,
    /// Of a trigger or backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) node: NodeId,
    pub(crate) fence: u64,
    /// The id of its lease, in the class `~run`.
    pub(crate) lease: String,
    pub(crate) delay_ms: u64,
    /// When it was claimed, on the store's clock.
    pub(crate) claimed_ms: u64,
    /// The specification it was claimed under.
    pub(crate) version: String,
    /// A later tick wants it to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancelled: bool,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) tick: i64,
    pub(crate) attempt: u32,
    #[serde(default, skip_serializing_if = "Via::is_schedule")]
    pub(crate) via: Via,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// On the store's clock.
    pub(crate) not_before_ms: u64,
    /// When the attempt before was claimed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) claimed_ms: u64,
}

impl Pending {
    /// A further attempt at a tick that was due: the tick is not over.
    fn is_retry(&self) -> bool {
        self.via.is_schedule() && self.attempt > 1
    }

    /// A tick that waits for the end of a run.
    fn is_queued(&self) -> bool {
        self.via.is_schedule() && self.attempt == 1
    }
}

/// A job that is defined in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Defined {
    /// Which of the nodes' handlers runs it.
    pub(crate) kind: String,
    pub(crate) spec: Words,
    /// What the handler is given.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) payload: serde_json::Value,
    /// It is due no more, and nobody can ask for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) taken_out: bool,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) since_ms: u64,
    /// Who asked for it, and why, for people.
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// A run that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Success {
    pub(crate) tick: i64,
    pub(crate) ended_ms: u64,
}

/// The latest end of a tick, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Last {
    /// The tick, or the last second of a range (seconds since 1970).
    pub tick: i64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Clone)]
pub(crate) struct End<'a> {
    pub(crate) running: &'a Running,
    pub(crate) record: TickRecord,
    /// Its node went away, or was stopped.
    pub(crate) crashed: bool,
    pub(crate) now_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_start(second: &i64) -> bool {
    *second == 0
}

const fn never() -> i64 {
    i64::MIN
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_never(tick: &i64) -> bool {
    *tick == never()
}

/// A specification as it is stored.
pub(crate) fn words_of(spec: &Spec) -> Words {
    let words = spec.words().into_iter();
    words.map(|(word, said)| (word.to_owned(), said)).collect()
}

/// What a specification is called for short: by its hash.
pub(crate) fn version_of(spec: &Words) -> String {
    let mut text = String::new();
    for (word, said) in spec {
        text.extend([word, "=", said, "\n"]);
    }
    format!("{:016x}", fnv1a_64(text.as_bytes()))
}

impl Ledger {
    /// A new job's: it starts now, or after the latest tick that a live node knows of (then the data was lost).
    pub(crate) fn new(name: &str, spec: Words, now_s: i64, known: Option<i64>) -> Self {
        let mut ledger = Self {
            format: FORMAT,
            versions: Versions::new(&version_of(&spec), None, Some(spec.clone())),
            spec,
            name: name.to_owned(),
            resumed: 0,
            overdue_ms: 0,
            created: now_s,
            since: now_s,
            cursor: now_s,
            wanted_until: never(),
            running: Vec::new(),
            pending: Vec::new(),
            paused: None,
            fleet_seen: 0,
            out: Vec::new(),
            last: None,
            succeeded: None,
            defined: None,
            redefined: None,
            asked: Vec::new(),
            term: 0,
            last_fence: 0,
            rest: BTreeMap::new(),
        };
        if let Some(known) = known {
            ledger.created = known;
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

    /// The specification in force, for short.
    pub(crate) fn version(&self) -> &str {
        &self.versions.current
    }

    /// The store is behind what this node has seen: nothing up to `until` is known, so none of it may run (again), nor
    /// what was still to come besides.
    pub(crate) fn lost_data(&mut self, until: i64) {
        self.give_up_pending(Outcome::Unknown, |_| true);
        if until > self.cursor {
            self.dispose(self.cursor + 1, until, Outcome::Unknown);
        }
    }

    /// Moves the cursor to `end`, and records what became of the ticks from `start` on, none of which ran. Ranges of one
    /// outcome with no other tick between them are one record.
    pub(crate) fn dispose(&mut self, start: i64, end: i64, outcome: Outcome) {
        let cursor = std::mem::replace(&mut self.cursor, end);
        let version = self.version().to_owned();
        match self.out.last_mut() {
            Some(last)
                if last.is_range()
                    && last.outcome == outcome
                    && last.end == cursor
                    && last.version.as_ref() == Some(&version) =>
            {
                last.end = end;
            }
            _ => {
                let record = TickRecord::range(start, end, outcome);
                self.out.push(TickRecord {
                    version: Some(version),
                    ..record
                });
            }
        }
    }

    /// Gives up runs that were to come.
    fn give_up_pending(&mut self, outcome: Outcome, which: impl Fn(&Pending) -> bool) {
        let version = self.version().to_owned();
        let (given_up, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(which);
        self.pending = kept;
        let records = given_up
            .iter()
            .map(|pending| TickRecord::given_up(pending, version.clone(), outcome));
        self.out.extend(records);
    }

    /// Enters what was decided about the specification in force. If another one is put in force, that is from now on: what
    /// was due by the old one and not claimed is missed.
    pub(crate) fn adopt(&mut self, decision: &Decision, now_us: u64) {
        if let Decision::Up { hash, .. } | Decision::Down { hash, .. } = decision {
            let Some(spec) = self.versions.words(hash).cloned() else {
                // What it says is not known: who has it enters it.
                return;
            };
            self.put_in_force(spec, now_us);
        }
        self.versions.apply(decision, now_us);
    }

    fn put_in_force(&mut self, spec: Words, now_us: u64) {
        let now_s = i64::try_from(now_us / 1_000_000).unwrap_or(i64::MAX);
        let old = Spec::from_words(self.words()).ok();
        let due = old.and_then(|old| old.schedule?.next_after(self.cursor));
        let due = due.filter(|first| *first <= now_s && !planted(Bug::OldIsForgotten));
        if let Some(first) = due {
            self.dispose(first, now_s, Outcome::Missed);
        }
        self.spec = spec;
        self.since = now_s;
        self.cursor = self.cursor.max(now_s);
        if planted(Bug::VersionsApart) {
            self.cursor = now_s - 10;
        }
    }

    /// A job that is defined in the store; it starts now.
    pub(crate) fn of_defined(name: &str, defined: Defined, now_s: i64) -> Self {
        let ledger = Self::new(name, defined.spec.clone(), now_s, None);
        Self {
            defined: Some(defined),
            ..ledger
        }
    }

    /// What people said last that the job is, if it is defined in the store.
    pub(crate) fn definition(&self) -> Option<&Defined> {
        self.redefined.as_ref().or(self.defined.as_ref())
    }

    /// Whether people took it out of the store.
    pub(crate) fn is_taken_out(&self) -> bool {
        self.definition().is_some_and(|latest| latest.taken_out)
    }

    /// Has a defined job be something else from now on, or as soon as a node has seen to what is due; says whether that
    /// changes anything.
    pub(crate) fn redefine(&mut self, new: &Defined) -> bool {
        if self.definition() == Some(new) {
            return false;
        }
        self.redefined = Some(new.clone());
        true
    }

    /// Lets a job be what it was redefined to.
    pub(crate) fn adopt_definition(&mut self, now_us: u64) {
        let Some(new) = self.redefined.take() else {
            return;
        };
        if new.spec != self.spec {
            self.put_in_force(new.spec.clone(), now_us);
            self.versions = Versions::new(&version_of(&new.spec), None, None);
        }
        self.defined = Some(new);
    }

    /// What its runs are given.
    pub(crate) fn payload(&self) -> serde_json::Value {
        let defined = self.defined.as_ref();
        defined.map_or(serde_json::Value::Null, |defined| defined.payload.clone())
    }

    /// The latest end there is a record of.
    pub(crate) fn last(&self) -> Option<Last> {
        let mut ends = self.out.iter().rev().filter(|record| !record.late);
        let end = ends.next().map(|record| Last {
            tick: record.end,
            outcome: record.outcome,
        });
        end.or(self.last)
    }

    /// The specification's words, as [`Spec::from_words`] reads them.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spec.iter().map(|(word, said)| (&**word, &**said))
    }

    /// Whether a claim is in here: comparing only the node would take another claim of it for this one.
    pub(crate) fn has_claim(&self, node: NodeId, fence: u64) -> bool {
        let is_enough = planted(Bug::NodeIsEnough);
        (self.running.iter()).any(|run| run.node == node && (run.fence == fence || is_enough))
    }

    /// Enters a claim of what [`plan`] said to start.
    pub(crate) fn claim(&mut self, start: &Start, run: Running) {
        if start.pending {
            if !planted(Bug::AttemptStays) {
                self.pending.retain(|pending| !start.is(pending));
            }
        } else {
            self.cursor = start.tick;
        }
        self.last_fence = self.last_fence.max(run.fence);
        self.running.push(run);
    }

    /// Ends a claim with its record, and enters the next attempt if there is to be one; if the claim was given up
    /// before, the record stands beside the one that said so.
    pub(crate) fn end(&mut self, spec: &Spec, end: End<'_>) {
        let End {
            running,
            mut record,
            crashed,
            now_ms,
        } = end;
        let at = self
            .running
            .iter()
            .position(|run| run.node == running.node && run.fence == running.fence);
        let known = at.map(|at| self.running.remove(at));
        record.late = known.is_none();
        if record.outcome == Outcome::Ran {
            self.overdue_ms = 0;
            let success = Success {
                tick: record.end,
                ended_ms: now_ms,
            };
            let later = |known: Success| known.ended_ms > now_ms;
            if !self.succeeded.is_some_and(later) {
                self.succeeded = Some(success);
            }
        }
        if let Some(known) = known {
            record.retry = match record.outcome {
                Outcome::LostLease => self.try_again_after_crash(spec, &known, now_ms),
                Outcome::Failed | Outcome::TimedOut => {
                    let pause = u64::try_from(spec.pause_after(known.attempt).as_millis());
                    let not_before_ms = now_ms.saturating_add(pause.unwrap_or(u64::MAX));
                    self.try_again(&known, spec.attempts(crashed), not_before_ms)
                }
                _ => false,
            };
        }
        self.out.push(record);
    }

    /// Enters the next attempt, if there may be one. Says whether.
    fn try_again(&mut self, run: &Running, attempts: u32, not_before_ms: u64) -> bool {
        if run.cancelled || run.attempt >= attempts {
            return false;
        }
        self.pending.push(Pending {
            tick: run.tick,
            attempt: run.attempt + 1,
            via: run.via,
            id: run.id.clone(),
            not_before_ms,
            claimed_ms: run.claimed_ms,
        });
        true
    }

    fn try_again_after_crash(&mut self, spec: &Spec, run: &Running, now_ms: u64) -> bool {
        spec.on_crash == OnCrash::Retry && self.try_again(run, spec.attempts(true), now_ms)
    }

    /// Ends the claims whose lease is gone: claimed, and never heard of again.
    pub(crate) fn reap(&mut self, spec: &Spec, now_ms: u64, is_gone: impl Fn(&Running) -> bool) {
        let (gone, live): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(is_gone);
        self.running = live;
        for run in gone {
            let mut record = TickRecord::lost(&run);
            record.retry = self.try_again_after_crash(spec, &run, now_ms);
            if !planted(Bug::LostInSilence) {
                self.out.push(record);
            }
        }
    }
}

#[cfg(test)]
mod tests;
