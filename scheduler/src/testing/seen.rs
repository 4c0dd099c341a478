//! What the store saw of the ledgers: all of it, also what history keeps no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_core::RegisterReply;
use leasehold_core::store::{Done, Step};

use crate::TickRecord;
use crate::ledger::Ledger;

/// Records of one job that may be the same, or grow, stand at most so far from the latest one.
const NEAR: usize = 64;

/// The jobs, by what they are in the store. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<String, SeenJob>>>);

#[derive(Default)]
struct SeenJob {
    ledger: Option<Ledger>,
    /// In the order of history.
    records: Vec<TickRecord>,
}

impl Seen {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, SeenJob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a step of the store.
    pub(super) fn step(&self, step: &Step<'_>) {
        let Some(job) = step.name.as_str().strip_prefix("~ledger/") else {
            return;
        };
        let Done::Write { write, reply } = &step.done else {
            return;
        };
        if !matches!(reply, RegisterReply::Written { .. }) {
            return;
        }
        let mut jobs = self.jobs();
        let seen = jobs.entry(job.to_owned()).or_default();
        // A test may write what is no ledger, to see what becomes of it.
        seen.ledger = Ledger::decode(job, &write.value).ok();
        let ended = seen.ledger.iter().flat_map(|ledger| ledger.out.clone());
        for record in ended.collect::<Vec<_>>() {
            seen.add(record);
        }
    }

    /// The ledger as it was written last.
    pub(super) fn ledger(&self, job: &str) -> Option<Ledger> {
        self.jobs().get(job)?.ledger.clone()
    }

    /// All that ended so far.
    pub(super) fn records(&self, job: &str) -> Vec<TickRecord> {
        let jobs = self.jobs();
        jobs.get(job)
            .map(|seen| seen.records.clone())
            .unwrap_or_default()
    }
}

impl SeenJob {
    fn add(&mut self, record: TickRecord) {
        let near = self.records.len().saturating_sub(NEAR);
        if self.records[near..]
            .iter()
            .any(|known| known.covers(&record))
        {
            return;
        }
        let grown = (near..self.records.len()).find(|at| record.covers(&self.records[*at]));
        if let Some(grown) = grown {
            self.records.remove(grown);
        }
        let key = record.key();
        let at = self.records.partition_point(|known| known.key() < key);
        self.records.insert(at, record);
    }
}
