//! A job whose last success is older than it should be: pure; and who is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::control::nearest;
use crate::ledger::{Ledger, Timing};
use crate::{Error, Job};

/// A job that has not ended well for longer than it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overdue {
    /// The job.
    pub job: String,
    /// Its latest tick that ended well, in seconds since 1970, if there was one.
    pub last_success: Option<i64>,
    /// How long it is overdue.
    pub by: Duration,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job `{}` is overdue by {:.0?}: ", self.job, self.by)?;
        match self.last_success {
            Some(tick) => write!(f, "the latest tick that ended well is that of {tick}"),
            None => f.write_str("it never ended well"),
        }
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct Callback(pub(crate) Arc<dyn Fn(Overdue) + Send + Sync>);

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// The limits by the names that jobs have now. Any other name may be that of a job of the store, if there are kinds.
pub(crate) fn limits(
    said: BTreeMap<String, Duration>,
    jobs: &[Job],
    kinds: &[Job],
) -> Result<BTreeMap<String, Duration>, Error> {
    let mut limits = BTreeMap::new();
    for (name, limit) in said {
        let is_it = |job: &&Job| job.name() == name || job.aliases().any(|alias| alias == name);
        let job = match jobs.iter().find(is_it) {
            Some(job) => job.name().to_owned(),
            None if !kinds.is_empty() => name,
            None => {
                let names = jobs.iter().map(|job| job.name().to_owned()).collect();
                let nearest = nearest(&name, names);
                return Err(Error::WatchedJob { job: name, nearest });
            }
        };
        if limit.is_zero() {
            return Err(Error::WatchLimit { job });
        }
        limits.insert(job, limit);
    }
    Ok(limits)
}

/// A job that is overdue; in ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    /// What counts from then on: its last success, or what began later.
    pub(crate) from_ms: u64,
    /// Since when it is overdue.
    pub(crate) since_ms: u64,
}

/// How a job is watched.
pub(crate) struct Watch<'a> {
    pub(crate) timing: Timing<'a>,
    /// How old its last success may be.
    pub(crate) limit: Option<Duration>,
    pub(crate) grace_ms: u64,
    /// When a pause of all jobs ended last: the job's own ledger hears of it later.
    pub(crate) resumed_ms: u64,
}

impl Watch<'_> {
    /// Whether a job is overdue. `limit` is how old its last success may be; without one two ticks in a row may end
    /// otherwise, and while a run is under way it is not asked. One that was taken out of the store is not overdue.
    pub(crate) fn late(&self, ledger: &Ledger, now_ms: u64) -> Option<Late> {
        let timing = &self.timing;
        let is_out = ledger.defined.is_some() && timing.spec.schedule.is_none();
        if ledger.paused.is_some() || is_out {
            return None;
        }
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let of_s = |s: i64| u64::try_from(s).unwrap_or(0).saturating_mul(1000);
        let succeeded = ledger.succeeded.map_or(0, |success| success.ended_ms);
        let began = [ledger.created, ledger.since, ledger.resumed].map(of_s);
        let began = began.into_iter().chain([self.resumed_ms]);
        let from_ms = began.fold(succeeded, u64::max);
        let since_ms = match self.limit {
            Some(limit) => from_ms.saturating_add(millis(limit)),
            None if !ledger.running.is_empty() => return None,
            None => {
                let from = i64::try_from(from_ms / 1000).unwrap_or(i64::MAX);
                let second = timing.next(timing.next(from)?)?;
                let allowed = timing.spec.timeout.map_or(0, millis);
                let starts = timing.start_ms(second);
                (starts.saturating_add(self.grace_ms)).saturating_add(allowed)
            }
        };
        (now_ms > since_ms).then_some(Late { from_ms, since_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Defined, Pause, Success, words_of};
    use leasehold_spec::Spec;

    const HOUR: u64 = 3_600_000;

    fn at(change: impl Fn(&mut Ledger), limit: Option<Duration>, now_ms: u64) -> Option<u64> {
        let spec = Spec::from_words([("schedule", "0 * * * *"), ("timeout", "10s")]).unwrap();
        let timing = Timing {
            job: "job",
            spec: &spec,
        };
        let mut ledger = Ledger::new("job", words_of(&spec), 36_000, None);
        change(&mut ledger);
        let watch = Watch {
            timing,
            limit,
            grace_ms: 5000,
            resumed_ms: 0,
        };
        Some(watch.late(&ledger, now_ms)?.since_ms)
    }

    #[test]
    fn two_ticks_in_a_row_may_end_otherwise() {
        let due = 12 * HOUR + 15_000;
        assert_eq!(at(|_| {}, None, due), None);
        assert_eq!(at(|_| {}, None, due + 1), Some(due));
        let success = |ledger: &mut Ledger| {
            let ended_ms = 11 * HOUR + 1000;
            ledger.succeeded = Some(Success {
                tick: 39_600,
                ended_ms,
            });
        };
        assert_eq!(at(success, None, due + 1), None);
        assert_eq!(at(success, None, 14 * HOUR), Some(13 * HOUR + 15_000));
    }

    #[test]
    fn a_limit_counts_from_the_last_success_and_from_what_began_since() {
        let limit = Some(Duration::from_secs(7200));
        assert_eq!(at(|_| {}, limit, 12 * HOUR), None);
        assert_eq!(at(|_| {}, limit, 12 * HOUR + 1), Some(12 * HOUR));
        let resumed = |ledger: &mut Ledger| ledger.resumed = 40_000;
        assert_eq!(at(resumed, limit, 13 * HOUR), None);
        assert_eq!(at(resumed, limit, 14 * HOUR), Some(47_200_000));
    }

    #[test]
    fn a_job_that_is_paused_or_runs_is_not_asked_unless_a_limit_says_so() {
        let paused = |ledger: &mut Ledger| {
            let (by, reason) = (String::new(), String::new());
            ledger.paused = Some(Pause {
                since_ms: 0,
                by,
                reason,
            });
        };
        let limit = Some(Duration::from_secs(1));
        assert_eq!(at(paused, limit, 20 * HOUR), None);
        let runs = |ledger: &mut Ledger| {
            let run = r#"{"tick":36000,"attempt":1,"node":"0000000000000000000000000000000a","fence":1,
                "lease":"x","delay_ms":0,"claimed_ms":0,"version":"v"}"#;
            ledger.running.push(serde_json::from_str(run).unwrap());
        };
        assert_eq!(at(runs, None, 20 * HOUR), None);
        assert!(at(runs, limit, 20 * HOUR).is_some());
    }

    #[test]
    fn a_job_that_was_taken_out_of_the_store_is_not_overdue() {
        let spec = Spec::default();
        let timing = Timing {
            job: "job",
            spec: &spec,
        };
        let watch = Watch {
            timing,
            limit: Some(Duration::from_secs(1)),
            grace_ms: 5000,
            resumed_ms: 0,
        };
        let mut ledger = Ledger::new("job", words_of(&spec), 36_000, None);
        assert!(watch.late(&ledger, 11 * HOUR).is_some(), "it is triggered");
        let resumed_ms = 11 * HOUR - 500;
        let resumed = Watch {
            timing: Timing { ..watch.timing },
            resumed_ms,
            ..watch
        };
        assert_eq!(resumed.late(&ledger, 11 * HOUR), None, "all were paused");
        ledger.defined = Some(Defined {
            kind: "kind".into(),
            spec: words_of(&spec),
            payload: serde_json::Value::Null,
            taken_out: true,
        });
        assert_eq!(watch.late(&ledger, 11 * HOUR), None);
    }
}
