//! Pause and resume, of a job and of the fleet.

use std::time::Duration;

use leasehold_core::{Expect, Put, RegisterHandle, RegisterReply};

use super::{Jobs, wake};
use crate::Error;
use crate::ledger::{FleetControl, Pause, Resume};
use crate::registers::put_until_answered;
use crate::scheduler::control_name;

/// The word to the fleet is not forgotten, however long nobody writes it.
const KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Jobs {
    /// Pauses a job: its ticks do not run until it is resumed. Runs under way go on, and what people ask for (a trigger, a
    /// backfill) runs all the same. Says whether that changes anything: an earlier pause stays as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn pause(&self, job: &str, reason: &str) -> Result<bool, Error> {
        let found = self.find(job).await?;
        let pause = self.pause_from(found.now.wall_us / 1000, reason);
        let mut is_new = false;
        let paused = |ledger: &mut crate::ledger::Ledger, unsure: bool| {
            let changes = ledger.pause(pause.clone());
            // An earlier copy of this write may have done it.
            is_new = changes || (unsure && ledger.paused.as_ref() == Some(&pause));
            changes
        };
        let stored = found.ledger.update(Some(found.stored), paused).await?;
        self.still_there(job, stored)?;
        Ok(is_new)
    }

    /// Resumes a job, and says what becomes of the ticks that came due meanwhile.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::NotPaused`]; [`Error::Spec`] if this version cannot read the job's specification; and
    /// [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn resume(&self, job: &str, how: Resume) -> Result<(), Error> {
        let found = self.find(job).await?;
        let (id, now_ms) = (found.ledger.job.clone(), found.now.wall_us / 1000);
        let mut done = Ok(false);
        let resumed = |ledger: &mut crate::ledger::Ledger, unsure: bool| {
            let resumed = super::with_timing(&id, ledger, |ledger, timing| {
                ledger.resume(timing, now_ms, how)
            });
            let changes = matches!(resumed, Ok(true));
            // If it is not paused any more, an earlier copy of this write has done it.
            done = resumed.map(|resumed| resumed || unsure);
            changes
        };
        let stored = found.ledger.update(Some(found.stored), resumed).await?;
        self.still_there(job, stored)?;
        if !done? {
            return Err(Error::NotPaused {
                what: format!("job `{job}`"),
            });
        }
        wake::wake(&self.coord, &id).await
    }

    /// Pauses all jobs of the namespace, also those that are added later. Says whether that changes anything.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn pause_all(&self, reason: &str) -> Result<bool, Error> {
        let (mut is_new, mut mine) = (false, None);
        self.tell(|control, now_ms, unsure| {
            let pause = mine.get_or_insert_with(|| self.pause_from(now_ms, reason));
            let changes = control.pause(pause.clone());
            // An earlier copy of this write may have done it.
            is_new = changes || (unsure && control.paused.as_ref() == Some(pause));
            changes
        })
        .await?;
        Ok(is_new)
    }

    /// Resumes all jobs of the namespace, and says what becomes of the ticks that came due meanwhile. A job that was paused
    /// by itself stays so.
    ///
    /// # Errors
    /// [`Error::NotPaused`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect.
    pub async fn resume_all(&self, how: Resume) -> Result<(), Error> {
        let mut done = false;
        self.tell(|control, now_ms, unsure| {
            let changes = control.resume(now_ms, how);
            done = changes || unsure;
            changes
        })
        .await?;
        if !done {
            let what = "the fleet".to_owned();
            return Err(Error::NotPaused { what });
        }
        Ok(())
    }

    fn pause_from(&self, since_ms: u64, reason: &str) -> Pause {
        Pause {
            since_ms,
            by: self.coord.label().to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Changes the word to the fleet until that took effect. `change` is given the store's time, and whether an earlier copy
    /// of it may have taken effect; it answers whether there is anything to write.
    async fn tell(
        &self,
        mut change: impl FnMut(&mut FleetControl, u64, bool) -> bool + Send,
    ) -> Result<(), Error> {
        let register = self.coord.register_of(control_name());
        let mut unsure = false;
        loop {
            let read = RegisterHandle::read(std::slice::from_ref(&register)).await?;
            let found = read.value.into_iter().next().flatten();
            let mut control = match &found {
                Some(found) => FleetControl::decode(&found.value)?,
                None => FleetControl::default(),
            };
            if !change(&mut control, read.now.wall_us / 1000, unsure) {
                return Ok(());
            }
            let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
            let put = Put::new(control.encode()).expect(expect).ttl(KEPT_FOR);
            match put_until_answered(&self.coord, &register, &put).await? {
                (RegisterReply::Conflict(_), maybe) => unsure |= maybe,
                // It is not written under a fence.
                (RegisterReply::Written { .. } | RegisterReply::Fenced { .. }, _) => return Ok(()),
            }
        }
    }
}
