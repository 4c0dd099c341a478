//! What happened in a run: each body's start and end, each step of a job's ledger, each fault, and what was recorded.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use leasehold_scheduler::{Outcome, TickRecord, Via};

/// Numbers nodes and bodies.
pub type Id = u32;

/// A specification, as it is written.
pub type Words = BTreeMap<String, String>;

/// All that happened in one run, and what was set for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// What was set.
    pub setting: Setting,
    /// What happened, in its order.
    pub events: Vec<Event>,
}

/// What a run's promises depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setting {
    /// The store's wall time when the run began, in µs since 1970.
    pub wall_us: u64,
    /// How late a tick may start.
    pub grace: Duration,
    /// The TTL of runs.
    pub run_ttl: Duration,
    /// By how many millionths a node's clock may run fast or slow.
    pub drift_ppm: i32,
    /// The jobs.
    pub jobs: Vec<JobPlan>,
}

/// A job, in all releases of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlan {
    /// Its name.
    pub name: String,
    /// Its specification in each release; `None` where the release does not have the job.
    pub releases: Vec<Option<Words>>,
    /// How long its bodies take; which of them a body takes is chance.
    pub takes: Vec<Duration>,
    /// Of 1000 bodies, so many fail.
    pub fails: u32,
    /// And so many panic.
    pub panics: u32,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since the run began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A node began to schedule.
    Joined {
        /// Which.
        node: Id,
        /// Of which release of the program.
        release: usize,
    },
    /// It was told to stop.
    Stopping {
        /// Which.
        node: Id,
    },
    /// It has drained.
    Gone {
        /// Which.
        node: Id,
    },
    /// A body began.
    Started {
        /// The body.
        body: Id,
        /// Where.
        node: Id,
        /// The job's number.
        job: usize,
        /// Its tick.
        tick: i64,
        /// Which attempt, from 1.
        attempt: u32,
        /// What it is owed to.
        via: Via,
        /// What is the same for all its attempts, and for no other run.
        run: String,
        /// Its fence.
        fence: u64,
        /// Whether the store had it as the holder of its run's lease.
        held: bool,
    },
    /// A body ended.
    Ended {
        /// The body.
        body: Id,
        /// How.
        how: How,
    },
    /// A job's ledger was written.
    Wrote {
        /// The job's number.
        job: usize,
        /// What stands in it now.
        ledger: Seen,
    },
    /// Somebody asked for a run, and was told that it is going to be.
    Triggered {
        /// The job's number.
        job: usize,
        /// What the run carries.
        id: String,
    },
    /// A run's lease was granted, for a claim that is about to be made.
    Leased {
        /// What it is called.
        lease: String,
    },
    /// A run's lease was given back before its time, while its claim stands in the ledger.
    Released {
        /// What it is called.
        lease: String,
    },
    /// Something went wrong, or stopped doing so.
    Fault(Fault),
    /// From here on, every tick must run.
    Settled,
    /// Up to here: the fleet is told to stop.
    Closing,
    /// What was recorded of a job, read at the end.
    Recorded {
        /// The job's number.
        job: usize,
        /// Its records.
        records: Vec<Record>,
    },
    /// The run itself broke a rule.
    Broke {
        /// The rule.
        rule: &'static str,
        /// How.
        text: String,
    },
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Well.
    Well,
    /// With an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It was dropped at an await.
    Dropped,
}

/// A ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The specification in force.
    pub spec: Words,
    /// Its place among those that the job has had.
    pub order: u64,
    /// Those of which the places are remembered.
    pub known: Vec<(u64, Words)>,
    /// Up to where ticks are claimed or disposed of.
    pub cursor: i64,
    /// Claims under way.
    pub running: Vec<Entry>,
    /// Ticks that are to be tried again, or wait for their turn.
    pub pending: Vec<i64>,
    /// Whether the job is paused.
    pub paused: bool,
}

/// A claim under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its tick.
    pub tick: i64,
    /// Which attempt.
    pub attempt: u32,
    /// Its fence.
    pub fence: u64,
    /// Who made the claim.
    pub node: Option<Id>,
    /// What its lease is called.
    pub lease: String,
    /// It is owed to somebody who asked for it, not to the schedule.
    pub asked: bool,
}

/// What was recorded of a tick, or of all ticks of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The tick, or the first second of a range.
    pub start: i64,
    /// The tick, or the last second of a range.
    pub end: i64,
    /// Which attempt; 0 if nothing ran.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Another attempt is to follow.
    pub retry: bool,
    /// What it is owed to.
    pub via: Via,
    /// The id of who asked for it.
    pub asked: Option<String>,
    /// The run's fence.
    pub fence: Option<u64>,
    /// It stands beside another one, which said before that the run was given up.
    pub late: bool,
    /// What went wrong.
    pub error: Option<String>,
}

impl From<&TickRecord> for Record {
    fn from(record: &TickRecord) -> Self {
        Self {
            start: record.start,
            end: record.end,
            attempt: record.attempt,
            outcome: record.outcome,
            retry: record.retry,
            via: record.via,
            asked: record.id.clone(),
            fence: record.fence,
            late: record.late,
            error: record.error.clone(),
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The node stands still.
    Paused(Id),
    /// It runs again.
    Resumed(Id),
    /// It is gone, with all that ran on it.
    Killed(Id),
    /// Nothing passes between it and the store.
    Cut(Id),
    /// It is connected again.
    Healed(Id),
    /// Nothing passes for anybody, or the store stands still, or requests get lost.
    Disturbed(String),
    /// The network and the store work as they should.
    Calm,
    /// The store's wall clock stepped by so many µs.
    WallClock(i64),
    /// The clock that leases expire on stepped by so many µs.
    LeaseClock(i64),
    /// The store lost all its data.
    DataLost,
    /// An operator deleted the lease of the run with this fence.
    LeaseDeleted(u64),
    /// Anything else; no promise depends on it.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Paused(node) => write!(f, "node {node} stands still"),
            Fault::Resumed(node) => write!(f, "node {node} runs again"),
            Fault::Killed(node) => write!(f, "node {node} is killed"),
            Fault::Cut(node) => write!(f, "node {node} is cut off"),
            Fault::Healed(node) => write!(f, "node {node} is back"),
            Fault::Disturbed(how) => f.write_str(how),
            Fault::Calm => f.write_str("network and store are well"),
            Fault::WallClock(us) => write!(f, "the store's wall clock steps by {us} us"),
            Fault::LeaseClock(us) => write!(f, "the store's lease clock steps by {us} us"),
            Fault::DataLost => f.write_str("the store loses its data"),
            Fault::LeaseDeleted(fence) => write!(f, "the lease of run {fence} is deleted"),
            Fault::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self
            .spec
            .iter()
            .map(|(word, said)| format!("{word} {said}"));
        let said: Vec<_> = said.collect();
        write!(f, "{}; cursor {}", said.join(", "), self.cursor)?;
        if self.paused {
            f.write_str(", paused")?;
        }
        for entry in &self.running {
            let Entry {
                tick,
                attempt,
                fence,
                ..
            } = entry;
            write!(f, ", runs {tick}.{attempt} under {fence}")?;
        }
        if !self.pending.is_empty() {
            write!(f, ", to come {:?}", self.pending)?;
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start)?;
        if self.end != self.start {
            write!(f, "..={}", self.end)?;
        }
        if self.attempt > 0 {
            write!(f, ".{}", self.attempt)?;
        }
        write!(f, " {}", self.outcome)?;
        if self.retry {
            f.write_str(", to be tried again")?;
        }
        if self.via != Via::Schedule {
            write!(f, ", by a {}", self.via)?;
        }
        if let Some(fence) = self.fence {
            write!(f, " under {fence}")?;
        }
        if self.late {
            f.write_str(", late")?;
        }
        if let Some(id) = &self.asked {
            write!(f, ", asked for as {id}")?;
        }
        match &self.error {
            Some(error) => write!(f, " ({error})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11.6} s  ", self.at.as_secs_f64())?;
        match &self.what {
            What::Joined { node, release } => {
                write!(f, "node {node}   schedules, release {release}")
            }
            What::Stopping { node } => write!(f, "node {node}   is told to stop"),
            What::Gone { node } => write!(f, "node {node}   has drained"),
            What::Started {
                body,
                node,
                job,
                tick,
                attempt,
                fence,
                held,
                ..
            } => {
                let lease = if *held { "" } else { ", WITHOUT ITS LEASE" };
                write!(
                    f,
                    "node {node}   job {job} starts {tick}.{attempt} under {fence}{lease}  [body {body}]"
                )
            }
            What::Ended { body, how } => write!(f, "         [body {body}] ended: {how:?}"),
            What::Wrote { job, ledger } => write!(f, "store    job {job}: {ledger}"),
            What::Leased { lease } => write!(f, "store    lease {lease} is granted"),
            What::Released { lease } => {
                write!(f, "store    lease {lease} is given back")
            }
            What::Triggered { job, id } => write!(f, "asked    job {job} has taken trigger {id}"),
            What::Fault(fault) => write!(f, "fault    {fault}"),
            What::Settled => f.write_str("from here on every tick must run"),
            What::Closing => f.write_str("the fleet is told to stop"),
            What::Recorded { job, records } => {
                write!(f, "history  of job {job}:")?;
                for record in records {
                    write!(f, "\n                  {record}")?;
                }
                Ok(())
            }
            What::Broke { rule, text } => write!(f, "breaks a rule: {rule}: {text}"),
        }
    }
}
