//! Jobs that are defined at run time, in the store.

use std::collections::BTreeMap;

use leasehold_core::store::Stamped;
use leasehold_spec::Spec;
use serde::Serialize;

use super::{Jobs, wake};
use crate::ledger::{Defined, Ledger, words_of};
use crate::registers::{LedgerRegister, Stored, Swap, called, ledger_name};
use crate::{Error, defined, fleet};

impl Jobs {
    /// Defines a job in the store, or changes it, while the fleet runs: nodes that were built with
    /// [`kinds`](crate::Builder::kinds) of that name run it from now on, each run with `payload` to be read by
    /// [`JobContext::payload`](crate::JobContext::payload). Within about two seconds nodes know of it. What is due by its
    /// earlier specification has its due before, or is recorded as missed if no live node has its earlier kind. Says whether
    /// that changes anything.
    ///
    /// Such jobs are kept by the store alone: if it loses its data they have to be defined again.
    ///
    /// ```
    /// # use leasehold_core::{Coordinator, store::MemoryStore};
    /// use leasehold_scheduler::{Jobs, Spec};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
    /// let jobs = Jobs::new(&coord);
    /// let daily = Spec::from_words([("schedule", "0 7 * * *"), ("tz", "Europe/Berlin")]).unwrap();
    /// assert!(jobs.define("report for acme", "report", &daily, "acme").await?);
    /// assert_eq!(jobs.defined().await?["report for acme"], "report");
    /// jobs.undefine("report for acme").await?;
    /// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotDefined`] for the name of a job of a program; [`Error::Payload`] for one that JSON can't carry; a name that
    /// cannot be used; and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect, or in part: define it again.
    pub async fn define(
        &self,
        job: &str,
        kind: &str,
        spec: &Spec,
        payload: impl Serialize + Send,
    ) -> Result<bool, Error> {
        // A kind is the name of a job that only has a body.
        ledger_name(kind).map_err(|error| called(error, "the name of a kind"))?;
        let payload = serde_json::to_value(payload).map_err(|error| Error::Payload {
            job: job.to_owned(),
            error: error.to_string(),
        })?;
        let defined = Defined {
            kind: kind.to_owned(),
            spec: words_of(spec),
            payload,
            taken_out: false,
        };
        let changes = self.write_definition(job, &defined).await?;
        // Repeated, each of these does what it has not done yet.
        defined::list(&self.coord, job, Some(kind)).await?;
        fleet::index::add(&self.coord, std::iter::once(job)).await?;
        wake::wake(&self.coord, job).await?;
        Ok(changes)
    }

    /// Takes a job out of the store that was [defined](Self::define) there: it is due no more, and nobody can ask for it
    /// until it is defined again. Runs under way go on; its history stays.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`]; [`Error::NotDefined`] for a job of a program; and [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Dropped, it may still take effect, or in part: do it again.
    pub async fn undefine(&self, job: &str) -> Result<(), Error> {
        let found = self.find(job).await?;
        let id = found.ledger.job.to_string();
        let Some(now) = found.stored.ledger.defined.clone() else {
            return Err(Error::NotDefined { job: id });
        };
        let off = Defined {
            spec: words_of(&Spec::default()),
            taken_out: true,
            ..now
        };
        self.write_definition(&id, &off).await?;
        defined::list(&self.coord, &id, None).await?;
        wake::wake(&self.coord, &id).await
    }

    /// The jobs that are defined in the store, with their kinds.
    ///
    /// # Errors
    /// [`Error::Core`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn defined(&self) -> Result<BTreeMap<String, String>, Error> {
        defined::read(&self.coord).await
    }

    async fn write_definition(&self, job: &str, defined: &Defined) -> Result<bool, Error> {
        let ledger = LedgerRegister::new(&self.coord, job)?;
        let Stamped { now, mut value } = ledger.read().await?;
        let now_s = i64::try_from(now.wall_us / 1_000_000).unwrap_or(i64::MAX);
        loop {
            let swap = match value {
                None => {
                    let new = Ledger::of_defined(job, defined.clone(), now_s);
                    ledger.swap(None, new).await?
                }
                Some(Stored { ledger: known, .. }) if known.defined.is_none() => {
                    let job = job.to_owned();
                    return Err(Error::NotDefined { job });
                }
                Some(Stored {
                    ledger: mut known,
                    version,
                }) => {
                    if !known.redefine(defined) {
                        return Ok(false);
                    }
                    let kind = known.defined.as_ref().map(|now| &*now.kind);
                    let before = kind.map(|kind| (kind, &[][..]));
                    if fleet::having(&self.coord, job, before).await?.is_empty() {
                        // Nobody is there who could see to what is due by the earlier one.
                        known.adopt_definition(now.wall_us);
                    }
                    ledger.swap(Some(version), known).await?
                }
            };
            match swap {
                Swap::Done(_) => return Ok(true),
                // An earlier copy of this write may have moved it: then it is as it is to be.
                Swap::Moved { current, unsure } => {
                    let is_done = current
                        .as_ref()
                        .is_some_and(|stored| stored.ledger.definition() == Some(defined));
                    if unsure && is_done {
                        return Ok(true);
                    }
                    value = current;
                }
            }
        }
    }
}
