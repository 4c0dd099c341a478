//! Why a tick did or didn't run, as far as the ledger and history tell: pure.

use leasehold_core::NodeId;
use leasehold_spec::{Overlap, Spec};

use super::details::{RunToCome, RunUnderWay};
use super::list::paused;
use super::why::Because;
use crate::history::Recorded;
use crate::ledger::{FleetControl, Ledger, TickRecord, Timing, Via};

/// What is known.
pub(super) struct Facts<'a> {
    pub(super) job: &'a str,
    pub(super) ledger: &'a Ledger,
    pub(super) fleet: &'a FleetControl,
    pub(super) recorded: &'a Recorded,
    pub(super) now_ms: u64,
    /// Who a node is.
    pub(super) label: &'a dyn Fn(NodeId) -> Option<String>,
}

/// What a search comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The answer.
    Because(Because),
    /// It is due, and nothing here keeps it from being claimed: the nodes know why it isn't.
    Due,
}

impl Facts<'_> {
    /// What became of what was due at `at`: history ordered by range end, then the register.
    pub(super) fn explain(&self, spec: Option<&Spec>, at: i64) -> Told {
        Told::Because(match self.seen(spec, at) {
            Some(because) => because,
            None => match self.unseen(spec, at) {
                Told::Because(because) => because,
                Told::Due => return Told::Due,
            },
        })
    }

    /// What is under way, to come, or recorded.
    fn seen(&self, spec: Option<&Spec>, at: i64) -> Option<Because> {
        // A trigger's run belongs to no tick, unless there is none at that second.
        self.of(at, |via| via != Via::Trigger).or_else(|| {
            let is_tick = spec.is_some_and(|spec| is_tick(spec, at));
            (!is_tick)
                .then(|| self.of(at, |via| via == Via::Trigger))
                .flatten()
        })
    }

    fn of(&self, at: i64, is_wanted: impl Fn(Via) -> bool) -> Option<Because> {
        let ledger = self.ledger;
        let records = self.recorded.records.iter();
        let mut records: Vec<TickRecord> = records
            .filter(|record| is_wanted(record.via) && self.is_of(record, at))
            .cloned()
            .collect();
        // Fences rise with each attempt, whatever it is owed to. What ended late stands before what was said then.
        records.sort_by_key(|record| (record.fence.unwrap_or(0), !record.late));
        let running = (ledger.running.iter()).find(|run| run.tick == at && is_wanted(run.via));
        if let Some(run) = running {
            let run = RunUnderWay::of(run, (self.label)(run.node));
            return Some(Because::Running {
                run,
                earlier: records,
            });
        }
        let pending = (ledger.pending.iter()).find(|p| p.tick == at && is_wanted(p.via));
        if let Some(pending) = pending {
            return Some(match paused(ledger, self.fleet) {
                Some(paused) if pending.via == Via::Schedule => Because::Paused { paused },
                _ => Because::Pending {
                    run: RunToCome::of(pending),
                    earlier: records,
                },
            });
        }
        (!records.is_empty()).then_some(Because::Recorded { records })
    }

    /// Whether a record is about a tick at `at`: a range is about those that the schedule of its time had in it.
    fn is_of(&self, record: &TickRecord, at: i64) -> bool {
        if !record.is_about(at) || record.attempt > 0 || record.start == record.end {
            return record.is_about(at);
        }
        let words = (record.version.as_ref()).and_then(|hash| self.ledger.versions.words(hash));
        let words = words.map(|words| words.iter().map(|(word, said)| (&**word, &**said)));
        match words.map(Spec::from_words) {
            Some(Ok(spec)) => is_tick(&spec, at),
            // It is not remembered, or not known here.
            _ => true,
        }
    }

    /// What is known of a tick that left no trace.
    fn unseen(&self, spec: Option<&Spec>, at: i64) -> Told {
        let ledger = self.ledger;
        let Some(schedule) = spec.and_then(|spec| spec.schedule.as_ref()) else {
            return Told::Because(Because::NoSchedule);
        };
        let spec = spec.unwrap_or_else(|| unreachable!("it has a schedule"));
        if !is_tick(spec, at) {
            return Told::Because(Because::NotATick {
                before: schedule.previous_before(at),
                after: schedule.next_after(at),
            });
        }
        if at <= ledger.cursor {
            return Told::Because(if at <= ledger.created {
                Because::BeforeTheJob {
                    created: ledger.created,
                }
            } else if let Some(until) = self.recorded.forgotten.filter(|until| at <= *until) {
                Because::Forgotten { until }
            } else if at <= ledger.since {
                Because::OtherSchedule {
                    since: ledger.since,
                }
            } else {
                Because::Unrecorded
            });
        }
        let timing = Timing {
            job: self.job,
            spec,
        };
        let starts_ms = timing.start_ms(at);
        let paused = paused(ledger, self.fleet);
        if starts_ms > self.now_ms {
            return Told::Because(Because::NotDue { starts_ms, paused });
        }
        if let Some(paused) = paused {
            return Told::Because(Because::Paused { paused });
        }
        let bound = match spec.overlap {
            Overlap::Allow { cap } => cap as usize,
            _ => 1,
        };
        match ledger.running.first() {
            Some(run) if ledger.running.len() >= bound => {
                let run = RunUnderWay::of(run, (self.label)(run.node));
                Told::Because(Because::Behind { run })
            }
            _ => Told::Due,
        }
    }
}

fn is_tick(spec: &Spec, at: i64) -> bool {
    let schedule = spec.schedule.as_ref();
    schedule.is_some_and(|schedule| schedule.next_after(at.saturating_sub(1)) == Some(at))
}
