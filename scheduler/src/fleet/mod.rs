//! The fleet: who has which job, in which version, and what each node says of itself to the others.
//!
//! A node announces three words with its heartbeat, however many jobs it has: `jobs`, which names its
//! [manifest](manifest); `labels`; and `tick`, the highest cursor it has seen of any job.
//!
//! One `tick` for all jobs is enough. It is needed when a ledger is gone: nothing that was claimed may then run again. No
//! tick is claimed before the store's clock reaches it, so the highest cursor of all jobs lies at most as far ahead of a
//! store whose clock went back as that clock had been. To start a job there, instead of at its own cursor, costs only
//! ticks of the time that the clock goes through twice.

pub(crate) mod index;
mod manifest;
pub(crate) mod version;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::protocol::{HEARTBEAT_US, LIVENESS_US};
use leasehold_core::store::{Member, Membership};
use leasehold_core::{Coordinator, Moment, NodeId, Put, RegisterHandle};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::registers::put_until_answered;
pub(crate) use manifest::{Listed, Manifest};
use version::Announced;
use view::Seen;
pub(crate) use view::View;

const JOBS: &str = "jobs";
const LABELS: &str = "labels";
const TICK: &str = "tick";
const SLOTS: &str = "slots";
const HELD: &str = "held";
/// Manifests that are kept beyond those of live nodes: a build that comes and goes is read once.
const SPARE: usize = 16;
/// Manifests read in one request.
const BATCH: usize = 16;
/// The manifest and the index are written at least this often: they would expire else.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Tries again this soon after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// What this node knows of the fleet, and the fleet of it.
pub(crate) struct Fleet {
    coord: Coordinator,
    manifest: Arc<Manifest>,
    /// Names the manifest.
    hash: String,
    labels: Vec<String>,
    /// The highest cursor seen of any job.
    tick: AtomicI64,
    view: Mutex<Arc<View>>,
}

impl Fleet {
    pub(crate) fn new(coord: &Coordinator, manifest: Manifest, labels: &BTreeSet<String>) -> Self {
        let hash = manifest::hash_of(&manifest.encode());
        let fleet = Self {
            coord: coord.clone(),
            manifest: Arc::new(manifest),
            hash,
            labels: labels.iter().cloned().collect(),
            tick: AtomicI64::new(i64::MIN),
            view: Mutex::default(),
        };
        let (members, now) = (coord.members(), coord.env().now());
        let view = Sight::default().view(&fleet, &members, now);
        fleet.show(view);
        fleet
    }

    /// The fleet as it is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// The nodes that may run the job.
    pub(crate) fn nodes_with(&self, job: &str) -> Vec<NodeId> {
        self.view().nodes_with(job)
    }

    /// The nodes that can run jobs of this kind.
    pub(crate) fn nodes_with_kind(&self, kind: &str) -> Vec<NodeId> {
        self.view().nodes_with_kind(kind)
    }

    /// What is said of a job by those that have it, this node among them.
    pub(crate) fn announced(&self, job: &str) -> Vec<Announced> {
        self.view().announced(job, self.coord.env().now())
    }

    /// Whether a live node was, or may have been, built with another specification of the job than this one.
    pub(crate) fn is_contested(&self, job: &str, version: &str) -> bool {
        self.view().is_contested(&self.manifest, job, version)
    }

    /// See [`View::known_tick`].
    pub(crate) fn known_tick(&self, job: &str) -> Option<i64> {
        self.view().known_tick(self.coord.node(), job)
    }

    /// Lets others know that the ticks of some job are claimed up to here.
    pub(crate) fn saw_tick(&self, cursor: i64) {
        if self.tick.fetch_max(cursor, Ordering::Relaxed) < cursor {
            self.coord.announce(TICK, cursor.to_string());
        }
    }

    /// Lets people know how many jobs may run here at a time.
    pub(crate) fn say_slots(&self, slots: usize) {
        self.coord.announce(SLOTS, slots.to_string());
    }

    /// Lets people know whether this node claims nothing, since it does not believe the store's clock.
    pub(crate) fn say_held(&self, is_held: bool) {
        if is_held {
            self.coord.announce(HELD, "");
        } else {
            self.coord.retract(HELD);
        }
    }

    /// Tells the fleet of this node's jobs, and learns of the others', until `stop`. Then it takes back what it said:
    /// nobody waits any more for this node to claim first.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        let _retracting = Retracting(&self.coord);
        let env = self.coord.env();
        let mut sight = Sight::default();
        // In which of the store's lives, and when, this node's jobs were written down.
        let mut told: Option<(String, Moment)> = None;
        while !stop.is_cancelled() {
            let members = self.coord.members();
            let now = env.now();
            let is_told = (told.as_ref()).is_some_and(|(incarnation, when)| {
                *incarnation == members.incarnation && now.since(*when) < DAY
            });
            let work = async {
                // The others first: to be known by them can wait.
                let read = sight.read(&self.coord, &members).await;
                self.show(sight.view(self, &members, env.now()));
                read?;
                if !is_told {
                    self.tell().await?;
                }
                Ok::<_, Error>(())
            };
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                done = work => done,
            };
            let again = match done {
                Ok(()) if is_told => DAY,
                Ok(()) => {
                    told = Some((members.incarnation.clone(), now));
                    DAY
                }
                Err(error) => {
                    tracing::debug!(%error, "what the fleet knows of its jobs waits for the store");
                    env.jittered(RETRY)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = self.coord.members_after(&members) => {}
                () = env.sleep(again) => {}
            }
        }
    }

    /// Writes down which jobs this node has, and only then says where.
    async fn tell(&self) -> Result<(), Error> {
        let register = manifest::register(&self.coord, &self.hash)?;
        let put = Put::new(self.manifest.encode());
        put_until_answered(&self.coord, &register, &put).await?;
        self.coord.announce(JOBS, &*self.hash);
        if !self.labels.is_empty() {
            self.coord.announce(LABELS, self.labels.join(", "));
        }
        index::add(&self.coord, self.manifest.jobs.keys().map(String::as_str)).await
    }
}

/// A live node that has a job, as it says itself.
pub(crate) struct Having {
    pub(crate) node: NodeId,
    pub(crate) label: String,
    /// It has the labels that the job wants.
    pub(crate) may_run: bool,
    /// How many jobs may run on it at a time.
    pub(crate) slots: Option<usize>,
    /// It does not believe the store's clock.
    pub(crate) is_held: bool,
}

/// The live nodes that have a job, for who has none itself; of one that is defined in the store those that have its kind,
/// and the labels that it wants.
pub(crate) async fn having(
    coord: &Coordinator,
    job: &str,
    defined: Option<(&str, &[String])>,
) -> Result<Vec<Having>, Error> {
    let members = coord.members();
    let mut sight = Sight::default();
    sight.read(coord, &members).await?;
    let having = members.members.iter().filter_map(|member| {
        let (_, manifest) = sight.manifests.get(hash_said_by(member)?)?;
        let manifest = manifest.as_ref()?;
        let wanted = match defined {
            None => &*manifest.jobs.get(job)?.on,
            Some((kind, on)) => manifest
                .kinds
                .iter()
                .any(|known| known == kind)
                .then_some(on)?,
        };
        let labels = member.meta.get(LABELS).map_or("", String::as_str);
        let labels: Vec<_> = labels.split(", ").collect();
        Some(Having {
            node: member.node,
            label: member.label.clone(),
            may_run: wanted.iter().all(|label| labels.contains(&&**label)),
            slots: member.meta.get(SLOTS).and_then(|slots| slots.parse().ok()),
            is_held: member.meta.contains_key(HELD),
        })
    });
    Ok(having.collect())
}

struct Retracting<'a>(&'a Coordinator);

impl Drop for Retracting<'_> {
    fn drop(&mut self) {
        for key in [JOBS, LABELS, TICK, SLOTS, HELD] {
            self.0.retract(key);
        }
    }
}

/// What is remembered from one view to the next.
#[derive(Default)]
struct Sight {
    /// Since when each live node is seen.
    since: BTreeMap<NodeId, Moment>,
    /// The manifests of the fleet by their hashes, with when they were last of use; `None` for one that is not readable here.
    manifests: BTreeMap<String, (Moment, Option<Arc<Manifest>>)>,
    /// The last members, and when they were heard of.
    heard: Option<(Arc<Membership>, Moment)>,
    unsettled: Option<Range<Moment>>,
}

fn hash_said_by(member: &Member) -> Option<&str> {
    member.meta.get(JOBS).map(String::as_str)
}

impl Sight {
    /// Reads what is not known yet.
    async fn read(&mut self, coord: &Coordinator, members: &Membership) -> Result<(), Error> {
        let now = coord.env().now();
        let mut unknown = BTreeSet::new();
        for hash in members.members.iter().filter_map(hash_said_by) {
            match self.manifests.get_mut(hash) {
                Some((used, _)) => *used = now,
                None => drop(unknown.insert(hash)),
            }
        }
        // Any node may say anything: what can be no name is read by nobody.
        let named = unknown.into_iter().filter_map(|hash| {
            let register = manifest::register(coord, hash).ok()?;
            Some((hash, register))
        });
        let (hashes, registers): (Vec<_>, Vec<_>) = named.unzip();
        for (hashes, registers) in hashes.chunks(BATCH).zip(registers.chunks(BATCH)) {
            let read = RegisterHandle::read(registers).await?;
            for (hash, register) in hashes.iter().zip(read.value) {
                // Not there yet, or any more: its node writes it again.
                let Some(register) = register else { continue };
                let manifest = Manifest::decode(&register.value);
                if let Err(error) = &manifest {
                    tracing::warn!(hash, error, "what jobs a node has can't be read here");
                }
                let manifest = manifest.ok().map(Arc::new);
                self.manifests.insert((*hash).to_owned(), (now, manifest));
            }
        }
        while self.manifests.len() > members.members.len() + SPARE {
            let oldest = self.manifests.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) else {
                break;
            };
            self.manifests.remove(&oldest);
        }
        Ok(())
    }

    fn view(&mut self, fleet: &Fleet, members: &Arc<Membership>, now: Moment) -> View {
        let me = fleet.coord.node();
        match &self.heard {
            Some((known, _)) if Arc::ptr_eq(known, members) => {}
            before => {
                let heard = before.as_ref().map(|(_, heard)| *heard);
                // TTLs may have ended while nobody could renew them: who is not heard of right now may be there.
                if heard.is_some_and(|heard| now.since(heard) > micros(LIVENESS_US)) {
                    self.unsettled = Some(now..now + micros(HEARTBEAT_US));
                }
                self.heard = Some((Arc::clone(members), now));
            }
        }
        let live = |node: &NodeId| members.members.iter().any(|member| member.node == *node);
        self.since.retain(|node, _| live(node));
        let mut nodes = Vec::new();
        let mut seen = |node: NodeId, manifest, labels, tick| {
            let since = *self.since.entry(node).or_insert(now);
            nodes.push(Seen {
                node,
                since,
                manifest,
                labels,
                tick,
            });
        };
        for member in members.members.iter().filter(|member| member.node != me) {
            let Some(hash) = hash_said_by(member) else {
                continue;
            };
            let manifest = if hash == fleet.hash {
                Some(Arc::clone(&fleet.manifest))
            } else {
                self.manifests
                    .get(hash)
                    .and_then(|(_, manifest)| manifest.clone())
            };
            let labels = member.meta.get(LABELS).map_or("", String::as_str);
            let labels = labels.split(", ").map(str::to_owned).collect();
            let tick = member.meta.get(TICK).and_then(|tick| tick.parse().ok());
            seen(member.node, manifest, labels, tick);
        }
        // Of itself it knows without being told.
        let tick = fleet.tick.load(Ordering::Relaxed);
        let (manifest, labels) = (Arc::clone(&fleet.manifest), fleet.labels.clone());
        seen(me, Some(manifest), labels, Some(tick));
        nodes.sort_by_key(|seen| seen.node);
        View {
            nodes,
            unsettled: self.unsettled.clone(),
        }
    }
}

const fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests;
