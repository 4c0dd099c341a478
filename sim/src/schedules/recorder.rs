//! Writes the history down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_core::protocol::{
    Entry as LeaseEntry, Op, Phase, Record as LeaseRecord, RegisterReply, Reply,
};
use leasehold_core::store::{Done, MemoryStore, Step};
use leasehold_core::{Env, Moment, NodeId};
use leasehold_scheduler::JobContext;
use tokio::sync::Notify;

use super::history::{Event, Fault, How, Id, Seen, What};
use super::ledger;
use super::world::NAMESPACE;

/// How many events a run may have, and steps of its store: one that has more goes round in circles.
const MOST_EVENTS: usize = 100_000;
const MOST_STEPS: u64 = 500_000;
/// The class of runs' leases.
const RUN: &str = "~run";

/// A holder dates its lease back, to when the request was sent that was answered first, and takes it for lost that much
/// before its time.
const DATED_US: u64 = 2_000_000;

/// One run's history as it grows.
pub(crate) struct Recorder {
    env: Env,
    start: Moment,
    memory: MemoryStore,
    jobs: Vec<String>,
    log: Mutex<Log>,
    endless: Notify,
    leased: Notify,
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    bodies: Id,
    stepped: u64,
    ledgers: Vec<Option<Seen>>,
    nodes: BTreeMap<String, Id>,
}

impl Recorder {
    pub(crate) fn new(env: Env, memory: MemoryStore, jobs: Vec<String>) -> Arc<Self> {
        let log = Log {
            ledgers: vec![None; jobs.len()],
            ..Log::default()
        };
        Arc::new(Self {
            start: env.now(),
            env,
            memory,
            jobs,
            log: Mutex::new(log),
            endless: Notify::new(),
            leased: Notify::new(),
        })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, what: What) {
        let at = self.env.now().since(self.start);
        let mut log = self.log();
        log.events.push(Event { at, what });
        if log.events.len() > MOST_EVENTS {
            self.endless.notify_one();
        }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.note(What::Fault(fault));
    }

    pub(crate) fn other(&self, text: impl Into<String>) {
        self.fault(Fault::Other(text.into()));
    }

    /// What a node is called in the ledgers.
    pub(crate) fn knows(&self, node: NodeId, id: Id) {
        self.log().nodes.insert(node.to_string(), id);
    }

    /// A body began; what is answered notes its end.
    pub(crate) fn started(self: &Arc<Self>, node: Id, job: usize, ctx: &JobContext) -> Ending {
        let fence = ctx.fence().get();
        let body = {
            let mut log = self.log();
            log.bodies += 1;
            log.bodies
        };
        self.note(What::Started {
            body,
            node,
            job,
            tick: ctx.tick_unix_s(),
            attempt: ctx.attempt(),
            via: ctx.via(),
            run: ctx.run_id(),
            fence,
            held: self.is_held(fence),
        });
        Ending {
            recorder: Arc::clone(self),
            body,
            how: None,
        }
    }

    /// Whether the store has the run with this fence as the holder of its lease.
    fn is_held(&self, fence: u64) -> bool {
        let now_us = self.memory.time(&self.env).lease_us;
        let holds = |record: &LeaseRecord| {
            record.entries.iter().any(|entry| {
                matches!(entry.phase, Phase::Granted | Phase::Held)
                    && (entry.first..=entry.end).contains(&fence)
                    && entry.expires_us > now_us
            })
        };
        let records = self.memory.records(NAMESPACE);
        let mut runs = (records.iter()).filter(|(name, _)| name.class() == RUN);
        runs.any(|(_, record)| holds(record))
    }

    /// Takes in what a step of the store did.
    pub(crate) fn stepped(&self, step: &Step<'_>) {
        let mut log = self.log();
        log.stepped += 1;
        if log.stepped > MOST_STEPS {
            self.endless.notify_one();
        }
        let (write, reply) = match &step.done {
            Done::Write { write, reply } => (write, reply),
            Done::Quota { .. } => return,
            Done::Lease {
                op, before, reply, ..
            } => {
                let released = before.and_then(|before| given_back(step, op, before));
                let released = released.filter(|lease| log.is_claimed(lease));
                drop(log);
                if let Some(lease) = released {
                    self.note(What::Released { lease });
                }
                if before.is_none()
                    && let (Reply::Granted { .. }, Some(lease)) = (reply, lease_of(step))
                {
                    self.note(What::Leased { lease });
                    self.leased.notify_waiters();
                }
                return;
            }
        };
        if !matches!(reply, RegisterReply::Written { .. }) {
            return;
        }
        let name = ledger::job_of(step.name.as_str());
        let Some(job) = self.jobs.iter().position(|job| Some(job.as_str()) == name) else {
            return;
        };
        let what = match ledger::read(&write.value, &log.nodes) {
            Some(seen) => {
                log.ledgers[job] = Some(seen.clone());
                What::Wrote { job, ledger: seen }
            }
            None => What::Broke {
                rule: "the simulation can read the ledgers",
                text: String::from_utf8_lossy(&write.value).into_owned(),
            },
        };
        drop(log);
        self.note(what);
    }

    /// What stands in the ledgers.
    pub(crate) fn ledgers(&self) -> Vec<Option<Seen>> {
        self.log().ledgers.clone()
    }

    /// Resolves when a run's lease is granted next, before anybody has heard of that.
    pub(crate) async fn leased(&self) {
        self.leased.notified().await;
    }

    /// Resolves when the run goes round in circles.
    pub(crate) async fn endless(&self) {
        self.endless.notified().await;
        let (rule, text) = ("a run ends", String::new());
        self.note(What::Broke { rule, text });
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.log().events)
    }
}

impl Log {
    /// Whether a claim with this lease stands in a ledger.
    fn is_claimed(&self, lease: &str) -> bool {
        let mut running = (self.ledgers.iter().flatten()).flat_map(|ledger| &ledger.running);
        running.any(|run| run.lease == lease)
    }
}

/// The lease of a run that is given back before its first TTL is over: later its holder may have lost it, since no renewal
/// was answered.
fn given_back(step: &Step<'_>, op: &Op, before: &LeaseRecord) -> Option<String> {
    let Op::Release(release) = op else {
        return None;
    };
    let is_it = |entry: &&LeaseEntry| entry.rid == release.rid && entry.holds();
    let entry = before.entries.iter().find(is_it)?;
    let lease = lease_of(step)?;
    let lasts_us = entry.ttl_us.saturating_sub(DATED_US);
    (step.now.lease_us < entry.granted_us + lasts_us).then_some(lease)
}

/// Which run's lease a step is about, if it is about one.
fn lease_of(step: &Step<'_>) -> Option<String> {
    let lease = step.name.as_str().strip_prefix(RUN)?.strip_prefix('/')?;
    Some(lease.to_owned())
}

/// Notes a body's end when it is dropped.
pub(crate) struct Ending {
    recorder: Arc<Recorder>,
    body: Id,
    how: Option<How>,
}

impl Ending {
    pub(crate) fn end(mut self, how: How) {
        self.how = Some(how);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let how = match self.how {
            Some(how) => how,
            None if std::thread::panicking() => How::Panicked,
            None => How::Dropped,
        };
        let body = self.body;
        self.recorder.note(What::Ended { body, how });
    }
}
