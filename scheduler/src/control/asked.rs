//! What became of what people asked for.

use serde::Serialize;

use super::Jobs;
use super::details::{RunToCome, RunUnderWay, label_of};
use crate::ledger::TickRecord;
use crate::{Error, history};

/// How far a trigger or a backfill has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Runs to come: first attempts, and further ones.
    pub pending: Vec<RunToCome>,
    /// Runs under way.
    pub running: Vec<RunUnderWay>,
    /// Attempts that have ended, oldest tick first. Those that another one followed have `retry`.
    pub ended: Vec<TickRecord>,
}

impl Progress {
    /// Whether nothing more is to come of it.
    pub fn is_over(&self) -> bool {
        self.pending.is_empty() && self.running.is_empty()
    }
}

impl Jobs {
    /// How far a trigger or a backfill has come, by its id. Of an unknown id there is nothing; of an old one there may be
    /// nothing any more.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn progress(&self, job: &str, id: &str) -> Result<Progress, Error> {
        let found = self.find(job).await?;
        let ledger = &found.stored.ledger;
        let mut ended = history::recorded(&found.ledger, &ledger.out).await?.records;
        ended.retain(|record| record.id.as_deref() == Some(id));
        let (pending, running) = (ledger.pending.iter(), ledger.running.iter());
        Ok(Progress {
            pending: (pending.filter(|pending| pending.id.as_deref() == Some(id)))
                .map(RunToCome::of)
                .collect(),
            running: (running.filter(|run| run.id.as_deref() == Some(id)))
                .map(|run| RunUnderWay::of(run, label_of(&self.coord, run.node)))
                .collect(),
            ended,
        })
    }
}
