//! What there is.

use leasehold_core::RegisterHandle;
use leasehold_spec::Spec;

use super::details::{
    Coming, JobDetails, JobSummary, NodeOfJob, Paused, RunToCome, RunUnderWay, label_of, seconds,
};
use super::names::{self, Found, Known};
use super::{Jobs, spec_of, zone_of};
use crate::ledger::{FleetControl, Ledger, TickRecord};
use crate::scheduler::control_name;
use crate::{Error, fleet, history};

impl Jobs {
    /// All jobs that the fleet has or had, by name. It takes a request for each 128 of them, and reads no history.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say. A job whose ledger cannot be read is listed with its
    /// [`problem`](JobSummary::problem).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Result<Vec<JobSummary>, Error> {
        let fleet = self.told().await?;
        let (now, all) = names::all(&self.coord).await?;
        let now_s = seconds(now.wall_us / 1000);
        let mut jobs: Vec<_> = (all.into_iter())
            .map(|Known { ledger, stored }| match stored {
                Ok(Some(stored)) => summary(&ledger.job, &stored.ledger, &fleet, now_s),
                Ok(None) => {
                    let problem = "no node has looked at it yet, or its ledger is lost";
                    unreadable(&ledger.job, problem.into())
                }
                Err(error) => unreadable(&ledger.job, error.to_string()),
            })
            .collect();
        jobs.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(jobs)
    }

    /// All of a job, but its history.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn show(&self, job: &str) -> Result<JobDetails, Error> {
        let fleet = self.told().await?;
        let Found {
            ledger: register,
            stored,
            now,
        } = self.find(job).await?;
        let ledger = &stored.ledger;
        let defined = ledger.defined.as_ref();
        // Those that matter from now on.
        let latest = ledger.definition();
        let words = latest.map_or(&ledger.spec, |latest| &latest.spec).iter();
        let words = words.map(|(word, said)| (&**word, &**said));
        let labels = Spec::from_words(words).map(|spec| spec.only_on);
        let labels = labels.unwrap_or_default();
        let kind = latest.map(|latest| (&*latest.kind, &*labels));
        let nodes = fleet::having(&self.coord, &register.job, kind).await?;
        let known = |time: i64| (time > i64::MIN).then_some(time);
        let success = |success: crate::ledger::Success| (success.tick, seconds(success.ended_ms));
        let running = ledger.running.iter();
        Ok(JobDetails {
            summary: summary(&register.job, ledger, &fleet, seconds(now.wall_us / 1000)),
            words: ledger.spec.clone(),
            version: ledger.version().to_owned(),
            since: known(ledger.since),
            created: known(ledger.created),
            cursor: ledger.cursor,
            running: running
                .map(|run| RunUnderWay::of(run, label_of(&self.coord, run.node)))
                .collect(),
            pending: ledger.pending.iter().map(RunToCome::of).collect(),
            succeeded: ledger.succeeded.map(success),
            nodes: nodes.iter().map(NodeOfJob::of).collect(),
            kind: defined.map(|defined| defined.kind.clone()),
            payload: ledger.payload(),
            coming: ledger.redefined.as_ref().map(Coming::of),
        })
    }

    /// The next ticks of a job, whether or not it is paused; none if it has no schedule, or was taken out of the store.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::Spec`] if this version cannot read the job's specification; and [`Error::Core`] if the
    /// store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&self, job: &str, n: usize) -> Result<Vec<i64>, Error> {
        let found = self.find(job).await?;
        let ledger = &found.stored.ledger;
        let spec = spec_of(ledger)?;
        let now_s = seconds(found.now.wall_us / 1000);
        let schedule = spec.schedule.as_ref().filter(|_| !ledger.is_taken_out());
        Ok(schedule.map_or_else(Vec::new, |schedule| schedule.next_n(now_s, n).collect()))
    }

    /// What became of a job's latest ticks, oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn history(&self, job: &str) -> Result<Vec<TickRecord>, Error> {
        let found = self.find(job).await?;
        let recorded = history::recorded(&found.ledger, &found.stored.ledger.out).await?;
        Ok(recorded.records)
    }

    /// Since when all jobs are paused, if they are.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn paused_all(&self) -> Result<Option<Paused>, Error> {
        let fleet = self.told().await?;
        Ok(fleet.paused.map(|pause| Paused::of(&pause, true)))
    }

    /// Since when a job is paused, by itself or with all others, if it is.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn paused(&self, job: &str) -> Result<Option<Paused>, Error> {
        let fleet = self.told().await?;
        let found = self.find(job).await?;
        Ok(paused(&found.stored.ledger, &fleet))
    }

    /// What the fleet was told.
    pub(super) async fn told(&self) -> Result<FleetControl, Error> {
        let control: RegisterHandle = self.coord.register_of(control_name());
        match control.get().await? {
            Some(register) => FleetControl::decode(&register.value),
            None => Ok(FleetControl::default()),
        }
    }
}

/// Its own pause first: it outlasts that of all.
pub(super) fn paused(ledger: &Ledger, fleet: &FleetControl) -> Option<Paused> {
    let own = ledger.paused.as_ref().map(|pause| Paused::of(pause, false));
    own.or_else(|| fleet.paused.as_ref().map(|pause| Paused::of(pause, true)))
}

fn summary(id: &str, ledger: &Ledger, fleet: &FleetControl, now_s: i64) -> JobSummary {
    let spec = spec_of(ledger);
    let problem = spec.as_ref().err().map(ToString::to_string);
    let spec: Option<Spec> = spec.ok();
    let schedule = spec.as_ref().and_then(|spec| spec.schedule.as_ref());
    let paused = paused(ledger, fleet);
    // What came due during a pause need not run: the next is what runs if it ends now.
    let after = if paused.is_some() {
        ledger.cursor.max(now_s)
    } else {
        ledger.cursor
    };
    JobSummary {
        name: ledger.name.clone(),
        id: id.to_owned(),
        schedule: schedule.map(|schedule| schedule.expression().to_owned()),
        describes: match (&spec, schedule) {
            (_, Some(schedule)) => schedule.describe(),
            (Some(_), None) => "when it is asked for".to_owned(),
            (None, None) => String::new(),
        },
        zone: zone_of(spec.as_ref()).name().to_owned(),
        next: (schedule.filter(|_| !ledger.is_taken_out()))
            .and_then(|schedule| schedule.next_after(after)),
        last: ledger.last(),
        running: ledger.running.len(),
        pending: ledger.pending.len(),
        paused,
        taken_out: ledger.is_taken_out(),
        problem,
    }
}

fn unreadable(id: &str, problem: String) -> JobSummary {
    JobSummary {
        name: id.to_owned(),
        id: id.to_owned(),
        schedule: None,
        describes: String::new(),
        zone: zone_of(None).name().to_owned(),
        next: None,
        last: None,
        running: 0,
        pending: 0,
        paused: None,
        taken_out: false,
        problem: Some(problem),
    }
}
