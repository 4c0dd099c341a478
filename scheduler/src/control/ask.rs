//! Runs that people ask for: a trigger, a backfill.

use std::ops::RangeInclusive;

use super::names::Found;
use super::{Jobs, not_taken_out, spec_of, wake, with_timing, zone_of};
use crate::ledger::{Backfilled, Ledger, MOST_PENDING, Refused};
use crate::registers::{Stored, Swap};
use crate::{Error, history};

/// The longest id of a trigger.
const LONGEST_ID: usize = 100;

impl Jobs {
    /// Has a job run once, within about two seconds, whatever its schedule says and also while it is paused; if a run of it
    /// is under way, afterwards (unless its `overlap` allows both). Answers the run's id, by which [`progress`](Self::progress)
    /// knows it.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::TakenOut`]; [`Error::TooManyPending`]; and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn trigger(&self, job: &str) -> Result<String, Error> {
        let id = self.new_id();
        self.trigger_as(job, &id).await?;
        Ok(id)
    }

    /// As [`trigger`](Self::trigger), with an id of the caller's: asked again with it, nothing happens, and the answer is
    /// false. A job remembers the last 32 ids.
    ///
    /// # Errors
    /// As [`trigger`](Self::trigger), and [`Error::AskedId`] for an id that cannot be used.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect; asked again with the same id it does so once.
    pub async fn trigger_as(&self, job: &str, id: &str) -> Result<bool, Error> {
        if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(char::is_control) {
            return Err(Error::AskedId);
        }
        let found = self.find(job).await?;
        not_taken_out(&found.stored.ledger)?;
        let now_ms = found.now.wall_us / 1000;
        let mut done = Ok(false);
        let triggered = |ledger: &mut Ledger, unsure: bool| {
            let entered = ledger.trigger(id, now_ms);
            let changes = entered == Ok(true);
            // An earlier copy of this write may have entered it.
            done = entered.map(|entered| entered || unsure);
            changes
        };
        let stored = found.ledger.update(Some(found.stored), triggered).await?;
        self.still_there(job, stored)?;
        let is_new = done.map_err(|_| too_many_pending(job))?;
        wake::wake(&self.coord, &found.ledger.job).await?;
        Ok(is_new)
    }

    /// Has the ticks of a range run that are over and did not run well, one after the other, oldest first: missed, skipped,
    /// failed and paused ones, and those before the job existed. The answer says what becomes of each tick of the range.
    ///
    /// What is asked for is checked at the version of the ledger that is written: a tick that another backfill or the
    /// schedule itself is about to run is not run twice.
    ///
    /// ```
    /// # use leasehold_scheduler::{Error, Jobs};
    /// # async fn f(jobs: Jobs) -> Result<(), Error> {
    /// let done = jobs.backfill("nightly", 1_774_000_000..=1_774_600_000).await?;
    /// println!("{} ticks are going to run, {} ran before", done.accepted.len(), done.ran.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::TakenOut`]; [`Error::ReversedRange`]; [`Error::TooManyTicks`], with the part of the range that can be had;
    /// [`Error::TooManyPending`]; [`Error::NoSchedule`]; [`Error::Spec`] if this version cannot read the job's specification;
    /// and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn backfill(
        &self,
        job: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Backfilled, Error> {
        let id = self.new_id();
        let mut found = self.find(job).await?;
        let mut asked: Option<Backfilled> = None;
        let mut unsure = false;
        loop {
            // An earlier copy of the write took effect: what that entered is what was asked for.
            if let Some(done) = asked.take_if(|_| unsure && found.stored.ledger.was_asked(&id)) {
                wake::wake(&self.coord, &found.ledger.job).await?;
                return Ok(done);
            }
            let version = found.stored.version;
            let (ledger, done) = filled(job, &id, &range, &found).await?;
            if done.accepted.is_empty() {
                return Ok(done);
            }
            match found.ledger.swap(Some(version), ledger).await? {
                Swap::Done(_) => {
                    wake::wake(&self.coord, &found.ledger.job).await?;
                    return Ok(done);
                }
                Swap::Moved {
                    current,
                    unsure: maybe,
                } => {
                    unsure |= maybe;
                    asked = Some(done);
                    found.stored = self.still_there(job, current)?;
                }
            }
        }
    }

    /// What [`backfill`](Self::backfill) would do now, without doing it.
    ///
    /// # Errors
    /// As [`backfill`](Self::backfill).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn plan_backfill(
        &self,
        job: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Backfilled, Error> {
        let found = self.find(job).await?;
        let (_, done) = filled(job, "", &range, &found).await?;
        Ok(done)
    }

    /// Unlike all others: made once a call, so that a repeat of its write is known.
    fn new_id(&self) -> String {
        let env = self.coord.env();
        format!("{:016x}", env.random(u64::MAX))
    }
}

/// The ledger with the backfill entered. History is read after the ledger was: a run that ended before is in one of the
/// two.
async fn filled(
    job: &str,
    id: &str,
    range: &RangeInclusive<i64>,
    found: &Found,
) -> Result<(Ledger, Backfilled), Error> {
    let (from, to) = (*range.start(), *range.end());
    if from > to {
        return Err(Error::ReversedRange);
    }
    let Stored { mut ledger, .. } = found.stored.clone();
    not_taken_out(&ledger)?;
    let recorded = history::recorded(&found.ledger, &ledger.out).await?;
    let now_ms = found.now.wall_us / 1000;
    let filled = with_timing(&found.ledger.job, &mut ledger, |ledger, timing| {
        let (records, forgotten) = (&recorded.records, recorded.forgotten);
        ledger.backfill(timing, id, (from, to), records, forgotten, now_ms)
    })?;
    match filled {
        Ok(done) => Ok((ledger, done)),
        Err(Refused::NoSchedule) => Err(Error::NoSchedule {
            job: job.to_owned(),
        }),
        Err(Refused::TooMany(_)) => Err(narrower(job, from, to, &ledger)?),
    }
}

/// Says how to narrow a range that is too large, or that those before it have to run first.
fn narrower(job: &str, from: i64, to: i64, ledger: &Ledger) -> Result<Error, Error> {
    let spec = spec_of(ledger)?;
    let schedule = spec.schedule.as_ref();
    let ticks = schedule.map(|schedule| schedule.next_n(from.saturating_sub(1), MOST_PENDING));
    let last = ticks.and_then(Iterator::last).filter(|last| *last < to);
    let beyond = last.and_then(|last| schedule?.next_after(last));
    let (Some(last), Some(_)) = (last, beyond.filter(|tick| *tick <= to)) else {
        return Ok(too_many_pending(job));
    };
    let zone = zone_of(Some(&spec));
    Ok(Error::TooManyTicks {
        job: job.to_owned(),
        most: MOST_PENDING,
        until: last,
        shown: zone.show(last),
    })
}

fn too_many_pending(job: &str) -> Error {
    Error::TooManyPending {
        job: job.to_owned(),
        most: MOST_PENDING,
    }
}
