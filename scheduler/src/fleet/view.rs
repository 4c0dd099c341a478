//! The fleet as this node sees it: who is there, and which jobs each has.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Moment, NodeId};

use super::manifest::{Listed, Manifest};
use super::version::Announced;

/// A live node that runs jobs.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) node: NodeId,
    /// Since when this node has seen it.
    pub(super) since: Moment,
    /// Its jobs; `None` while they can't be read.
    pub(super) manifest: Option<Arc<Manifest>>,
    /// Sorted.
    pub(super) labels: Vec<String>,
    /// The highest cursor it has seen of any job.
    pub(super) tick: Option<i64>,
}

impl Seen {
    fn may_run(&self, listed: &Listed) -> bool {
        listed.on.iter().all(|label| self.labels.contains(label))
    }
}

/// What was known of the fleet at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Ordered by id.
    pub(super) nodes: Vec<Seen>,
    /// When what is not in here need not have gone: the members' TTLs may have ended only because the store was away.
    pub(super) unsettled: Option<Range<Moment>>,
}

impl View {
    /// Those of the nodes that list the job, with what they list.
    fn having<'a>(&'a self, job: &'a str) -> impl Iterator<Item = (&'a Seen, &'a Listed)> {
        // Nodes of one build share their manifest: it is looked into once.
        let mut last: Option<(&'a Arc<Manifest>, Option<&'a Listed>)> = None;
        self.nodes.iter().filter_map(move |seen| {
            let manifest = seen.manifest.as_ref()?;
            let listed = match last {
                Some((known, listed)) if Arc::ptr_eq(known, manifest) => listed,
                _ => manifest.jobs.get(job),
            };
            last = Some((manifest, listed));
            Some((seen, listed?))
        })
    }

    /// The nodes that have the job, and the labels it needs.
    pub(crate) fn nodes_with(&self, job: &str) -> Vec<NodeId> {
        let able = self
            .having(job)
            .filter(|(seen, listed)| seen.may_run(listed));
        able.map(|(seen, _)| seen.node).collect()
    }

    /// The nodes that can run jobs of this kind.
    pub(crate) fn nodes_with_kind(&self, kind: &str) -> Vec<NodeId> {
        let able = self.nodes.iter().filter(|seen| {
            let kinds = seen.manifest.as_ref().map(|manifest| &manifest.kinds);
            kinds.is_some_and(|kinds| kinds.iter().any(|known| known == kind))
        });
        able.map(|seen| seen.node).collect()
    }

    /// Whether a node with these labels has the job, or the kind that it is of; or may have it.
    pub(crate) fn may_be_run(
        &self,
        job: &str,
        kind: Option<&str>,
        labels: &[String],
        now: Moment,
    ) -> bool {
        let has_it = |manifest: &Manifest| match kind {
            None => manifest.jobs.contains_key(job),
            Some(kind) => manifest.kinds.iter().any(|known| known == kind),
        };
        let may_run = |seen: &Seen| match &seen.manifest {
            None => true,
            Some(manifest) => {
                has_it(manifest) && labels.iter().all(|label| seen.labels.contains(label))
            }
        };
        self.is_unsettled(now) || self.nodes.iter().any(may_run)
    }

    /// Whether nodes that are not in here may be there.
    fn is_unsettled(&self, now: Moment) -> bool {
        let unsettled = self.unsettled.as_ref();
        unsettled.is_some_and(|range| range.contains(&now))
    }

    /// What the nodes that have the job say of it, and those of whom that is not known.
    pub(crate) fn announced(&self, job: &str, now: Moment) -> Vec<Announced> {
        let having = self.having(job).map(|(seen, listed)| Announced {
            hash: Some(listed.spec.clone()),
            revision: seen
                .manifest
                .as_ref()
                .and_then(|manifest| manifest.revision),
            lived: now.since(seen.since),
        });
        let unread = self.nodes.iter().filter(|seen| seen.manifest.is_none());
        let unread = unread.map(|seen| now.since(seen.since));
        let unseen = self.is_unsettled(now).then_some(Duration::ZERO);
        let anything = unread.chain(unseen).map(|lived| Announced {
            hash: None,
            revision: None,
            lived,
        });
        having.chain(anything).collect()
    }

    /// Whether a node lists another version of the job, or may list one. Those that have this node's manifest do not.
    pub(crate) fn is_contested(&self, own: &Arc<Manifest>, job: &str, version: &str) -> bool {
        self.nodes.iter().any(|seen| match &seen.manifest {
            None => true,
            Some(manifest) if Arc::ptr_eq(manifest, own) => false,
            Some(manifest) => {
                let listed = manifest.jobs.get(job);
                listed.is_some_and(|listed| listed.spec != version)
            }
        })
    }

    /// The highest cursor of any job that a node other than `me` knows, of those that have this job.
    pub(crate) fn known_tick(&self, me: NodeId, job: &str) -> Option<i64> {
        let others = self.having(job).filter(|(seen, _)| seen.node != me);
        others.filter_map(|(seen, _)| seen.tick).max()
    }
}
