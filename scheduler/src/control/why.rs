//! The answer to "why didn't it run?".

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use leasehold_core::NodeId;
use leasehold_cron::Zone;
use serde::Serialize;

use super::details::{NodeOfJob, Paused, RunToCome, RunUnderWay};
use crate::ledger::{Outcome, TickRecord, Via};

/// Why a job did or didn't run at a time. Shown, it is the answer in English, by the clocks of the job's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// The job's name.
    pub job: String,
    /// The time (seconds since 1970).
    pub at: i64,
    /// The store's time when it was asked (ms since 1970).
    pub now_ms: u64,
    /// The answer.
    pub because: Because,
    /// Who the nodes of records are, of those that are live.
    pub labels: BTreeMap<NodeId, String>,
    /// By whose clocks times are shown.
    #[serde(serialize_with = "zone_name")]
    pub zone: Zone,
}

fn zone_name<S: serde::Serializer>(zone: &Zone, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(zone.name())
}

/// What became of a tick, or why nothing did yet. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Because {
    /// It is over.
    Recorded {
        /// All that is recorded of it. The last one is the last word.
        records: Vec<TickRecord>,
    },
    /// It is running.
    Running {
        /// The run.
        run: RunUnderWay,
        /// Attempts before.
        earlier: Vec<TickRecord>,
    },
    /// It is going to run: another attempt, a tick that was queued, or one that somebody asked for.
    Pending {
        /// The run.
        run: RunToCome,
        /// Attempts before.
        earlier: Vec<TickRecord>,
    },
    /// It is due, and paused.
    Paused {
        /// Since when, by whom, and why.
        paused: Paused,
    },
    /// It is due, and waits for the end of a run.
    Behind {
        /// The run.
        run: RunUnderWay,
    },
    /// It is due, and no live node has the job.
    NoNode,
    /// It is due, and no node that has the job has the labels that it wants.
    NoLabel {
        /// The labels.
        labels: Vec<String>,
    },
    /// It is due, and each node that has the job runs as many as it may.
    Full {
        /// The nodes.
        nodes: Vec<NodeOfJob>,
    },
    /// It is due, and the nodes that have the job do not believe the store's clock, which has left its course.
    Held {
        /// The nodes.
        nodes: Vec<NodeOfJob>,
    },
    /// It is due, and about to be claimed.
    Due {
        /// The nodes that may.
        nodes: Vec<NodeOfJob>,
    },
    /// It is not due yet.
    NotDue {
        /// When it is, in ms since 1970: its own time, or a little later with `jitter`.
        starts_ms: u64,
        /// The job is paused now.
        paused: Option<Paused>,
    },
    /// The schedule has no tick at that time.
    NotATick {
        /// The last one before.
        before: Option<i64>,
        /// The first one after.
        after: Option<i64>,
    },
    /// The job only runs when it is asked for.
    NoSchedule,
    /// The job was not there yet.
    BeforeTheJob {
        /// From when on there is a ledger.
        created: i64,
    },
    /// The job had another schedule then, without that tick.
    OtherSchedule {
        /// From when on it has this one.
        since: i64,
    },
    /// It is so long ago that its record was dropped.
    Forgotten {
        /// Up to when records were dropped.
        until: i64,
    },
    /// It is over, and there is no record of it: history was lost.
    Unrecorded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {} ", self.job, self.zone.show(self.at))?;
        let due = "is due, and";
        match &self.because {
            Because::Recorded { records } => self.records(f, records),
            Because::Running { run, earlier } => {
                self.attempts(f, earlier)?;
                write!(
                    f,
                    "is running since {} ({}{}) {}, fence {}",
                    self.zone.show(run.since),
                    attempt(run.attempt),
                    asked(run.via),
                    On(run),
                    run.fence
                )
            }
            Because::Pending { run, earlier } => {
                self.attempts(f, earlier)?;
                write!(
                    f,
                    "is going to run ({}{})",
                    attempt(run.attempt),
                    asked(run.via)
                )?;
                if u64::try_from(run.not_before).is_ok_and(|from| from * 1000 > self.now_ms) {
                    write!(f, ", not before {}", self.zone.show(run.not_before))?;
                }
                Ok(())
            }
            Because::Paused { paused } => write!(f, "{due} {}", self.paused(paused)),
            Because::Behind { run } => {
                let tick = self.zone.show(run.tick);
                write!(
                    f,
                    "{due} waits for the end of the run of {tick} {}",
                    On(run)
                )
            }
            Because::NoNode => write!(f, "{due} no live node has the job"),
            Because::NoLabel { labels } => {
                let labels = labels.join(", ");
                write!(
                    f,
                    "{due} no live node that has the job has the labels it wants: {labels}"
                )
            }
            Because::Full { nodes } => {
                write!(
                    f,
                    "{due} runs as soon as one of these has run another job: {}",
                    Nodes(nodes)
                )
            }
            Because::Held { nodes } => write!(
                f,
                "{due} is held: the store's clock has left its course, and is not believed by {}",
                Nodes(nodes)
            ),
            Because::Due { nodes } => {
                write!(f, "{due} about to be claimed by one of {}", Nodes(nodes))
            }
            Because::NotDue { starts_ms, paused } => self.not_due(f, *starts_ms, paused.as_ref()),
            Because::NotATick { before, after } => self.not_a_tick(f, *before, *after),
            Because::NoSchedule => {
                f.write_str("is no tick: the job only runs when it is asked for")
            }
            Because::BeforeTheJob { created } => {
                write!(
                    f,
                    "is before the job was there: it is since {}",
                    self.zone.show(*created)
                )
            }
            Because::OtherSchedule { since } => {
                let since = self.zone.show(*since);
                write!(
                    f,
                    "is a tick of the schedule in force since {since}, and not of the one before"
                )
            }
            Because::Forgotten { until } => {
                let until = self.zone.show(*until);
                write!(
                    f,
                    "is longer ago than history is kept: records up to {until} were dropped"
                )
            }
            Because::Unrecorded => {
                f.write_str("is over, and there is no record of it: what became of it is not known")
            }
        }
    }
}

impl Why {
    fn paused(&self, paused: &Paused) -> String {
        let whole = if paused.all { " with all jobs" } else { "" };
        let (since, by) = (self.zone.show(paused.since), &paused.by);
        let reason = if paused.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", paused.reason)
        };
        format!("is paused{whole} since {since} by {by}{reason}")
    }

    fn not_due(
        &self,
        f: &mut fmt::Formatter<'_>,
        starts_ms: u64,
        paused: Option<&Paused>,
    ) -> fmt::Result {
        let left = Duration::from_millis(starts_ms.saturating_sub(self.now_ms));
        write!(f, "is not due yet, but in {}", Long(left))?;
        match paused {
            Some(paused) => write!(f, "; now the job {}", self.paused(paused)),
            None => Ok(()),
        }
    }

    fn not_a_tick(
        &self,
        f: &mut fmt::Formatter<'_>,
        before: Option<i64>,
        after: Option<i64>,
    ) -> fmt::Result {
        f.write_str("is not a tick of the schedule")?;
        let told = |time: i64| self.zone.show(time);
        match (before.map(told), after.map(told)) {
            (Some(before), Some(after)) => {
                write!(f, ": the nearest are {before} and {after}")
            }
            (Some(before), None) => write!(f, ": the last is {before}"),
            (None, Some(after)) => write!(f, ": the first is {after}"),
            (None, None) => Ok(()),
        }
    }

    fn attempts(&self, f: &mut fmt::Formatter<'_>, records: &[TickRecord]) -> fmt::Result {
        for record in records {
            self.record(f, record)?;
            f.write_str("; it ")?;
        }
        Ok(())
    }

    fn records(&self, f: &mut fmt::Formatter<'_>, records: &[TickRecord]) -> fmt::Result {
        let Some((last, earlier)) = records.split_last() else {
            return Ok(());
        };
        self.attempts(f, earlier)?;
        self.record(f, last)
    }

    fn record(&self, f: &mut fmt::Formatter<'_>, record: &TickRecord) -> fmt::Result {
        f.write_str(match record.outcome {
            Outcome::Ran => "ran",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed out",
            Outcome::SkippedOverlap => "was skipped: another run of the job was under way",
            Outcome::Missed if record.attempt == 0 => "was missed: no node claimed it in time",
            Outcome::Missed => "was missed",
            Outcome::Paused => "did not run: the job was paused",
            Outcome::LostLease => "was claimed, and never heard of again",
            Outcome::Unknown => "is not known: the store lost its data",
        })?;
        if record.attempt > 0 {
            write!(f, " ({}{})", attempt(record.attempt), asked(record.via))?;
        }
        if record.start < record.end {
            let (start, end) = (self.zone.show(record.start), self.zone.show(record.end));
            write!(f, ", with all ticks from {start} to {end}")?;
        }
        if let Some(error) = &record.error {
            write!(f, ": {error}")?;
        }
        if record.late {
            f.write_str(", after it had been given up")?;
        }
        if let Some(node) = record.node {
            write!(f, ", on node {node}")?;
            if let Some(label) = self.labels.get(&node) {
                write!(f, " ({label})")?;
            }
        }
        if let Some(delay) = record.delay_ms.filter(|_| record.via == Via::Schedule) {
            write!(
                f,
                ", claimed {} after its time",
                Long(Duration::from_millis(delay))
            )?;
        }
        if let Some(took) = record.took_ms {
            write!(f, ", took {}", Long(Duration::from_millis(took)))?;
        }
        if let Some(fence) = record.fence {
            write!(f, ", fence {fence}")?;
        }
        if record.moved_by_dst {
            f.write_str(", moved from a time that clocks skipped")?;
        }
        if record.retry {
            f.write_str(", and was to be tried again")?;
        }
        Ok(())
    }
}

fn attempt(attempt: u32) -> String {
    format!("attempt {attempt}")
}

fn asked(via: Via) -> &'static str {
    match via {
        Via::Schedule => "",
        Via::Trigger => ", triggered",
        Via::Backfill => ", backfilled",
    }
}

struct On<'a>(&'a RunUnderWay);

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.label {
            Some(label) => write!(f, "on {label}"),
            None => write!(f, "on node {}, which is not live", self.0.node),
        }
    }
}

struct Nodes<'a>(&'a [NodeOfJob]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.0.iter().map(|node| &*node.label).collect();
        f.write_str(&labels.join(", "))
    }
}

/// Tenths of a second, or the two largest units.
struct Long(Duration);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0.as_secs(), self.0.subsec_millis());
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (seconds, minutes, hours, days) {
            (0, ..) => write!(f, "{ms} ms"),
            (_, 0, ..) => write!(f, "{seconds}.{} s", ms / 100),
            (_, _, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (_, _, _, 0) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}
