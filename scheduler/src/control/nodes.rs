//! Why a tick that is due is not claimed, as far as the nodes tell.

use std::collections::BTreeMap;

use leasehold_core::NodeId;

use super::details::{NodeOfJob, label_of};
use super::explain::{Facts, Told};
use super::names::{self, Found};
use super::why::{Because, Why};
use super::{Jobs, spec_of, zone_of};
use crate::fleet::{Having, having};
use crate::{Error, history};

impl Jobs {
    /// What became of a job's tick at a time (seconds since 1970), or why nothing has yet. See [`Zone::read`](crate::Zone)
    /// for times as people write them.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::Spec`] if this version cannot read the job's specification; and [`Error::Core`] if the
    /// store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn why(&self, job: &str, at: i64) -> Result<Why, Error> {
        let fleet = self.told().await?;
        let found = self.find(job).await?;
        let ledger = &found.stored.ledger;
        let recorded = history::recorded(&found.ledger, &ledger.out).await?;
        let spec = spec_of(ledger)?;
        let now_ms = found.now.wall_us / 1000;
        let told = {
            let facts = Facts {
                job: &found.ledger.job,
                ledger,
                fleet: &fleet,
                recorded: &recorded,
                now_ms,
                label: &|node| label_of(&self.coord, node),
            };
            facts.explain(Some(&spec), at)
        };
        let because = match told {
            Told::Because(because) => because,
            Told::Due => self.unclaimed(&found, &spec.only_on).await?,
        };
        let labels = match &because {
            Because::Recorded { records: known }
            | Because::Running { earlier: known, .. }
            | Because::Pending { earlier: known, .. } => {
                let nodes = known.iter().filter_map(|record| record.node);
                nodes
                    .filter_map(|node| Some((node, label_of(&self.coord, node)?)))
                    .collect()
            }
            _ => BTreeMap::new(),
        };
        Ok(Why {
            job: ledger.name.clone(),
            at,
            now_ms,
            because,
            labels,
            zone: zone_of(Some(&spec)),
        })
    }

    async fn unclaimed(&self, found: &Found, labels: &[String]) -> Result<Because, Error> {
        let defined = found.stored.ledger.defined.as_ref();
        let defined = defined.map(|defined| (&*defined.kind, labels));
        let having = having(&self.coord, &found.ledger.job, defined).await?;
        if having.is_empty() {
            return Ok(Because::NoNode);
        }
        let able: Vec<Having> = having.into_iter().filter(|having| having.may_run).collect();
        if able.is_empty() {
            return Ok(Because::NoLabel {
                labels: labels.to_vec(),
            });
        }
        let told = |nodes: &[Having]| nodes.iter().map(NodeOfJob::of).collect();
        if able.iter().all(|node| node.is_held) {
            return Ok(Because::Held { nodes: told(&able) });
        }
        if able.iter().all(|node| node.slots.is_some()) {
            let running = self.running().await?;
            let is_full = |node: &Having| running.get(&node.node).copied() >= node.slots;
            if able.iter().all(is_full) {
                return Ok(Because::Full { nodes: told(&able) });
            }
        }
        Ok(Because::Due { nodes: told(&able) })
    }

    /// How many runs each node has.
    async fn running(&self) -> Result<BTreeMap<NodeId, usize>, Error> {
        let (_, all) = names::all(&self.coord).await?;
        let mut running = BTreeMap::new();
        let ledgers = all
            .into_iter()
            .filter_map(|known| known.stored.ok().flatten());
        for run in ledgers.flat_map(|stored| stored.ledger.running) {
            *running.entry(run.node).or_default() += 1;
        }
        Ok(running)
    }
}

impl NodeOfJob {
    pub(super) fn of(having: &Having) -> Self {
        Self {
            node: having.node,
            label: having.label.clone(),
            may_run: having.may_run,
        }
    }
}
