//! Jobs that are defined in the store, and not in a program: which there are. What each is stands in its ledger.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Class, Coordinator, Expect, Put, RegisterReply, ResourceName};
use leasehold_spec::Spec;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::registers::{LedgerRegister, put_until_answered};
use crate::scheduler::{Entry, Shared};

const FORMAT: u32 = 1;
/// The list is not forgotten, however long nobody changes it.
const KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The jobs, with their kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    format: u32,
    jobs: BTreeMap<String, String>,
}

fn list_name() -> ResourceName {
    let name = Class::internal("~jobs").resource("defined");
    name.expect("a constant that is a valid name")
}

impl List {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let job = || "that are defined in the store".to_owned();
        let read: Result<Self, _> = serde_json::from_slice(bytes);
        let read = read.map_err(|error| Error::LedgerDamaged {
            job: job(),
            error: error.to_string(),
        })?;
        if read.format > FORMAT {
            return Err(Error::LedgerTooNew {
                job: job(),
                found: read.format,
                supported: FORMAT,
            });
        }
        Ok(read)
    }
}

/// The names of all of them, and their kinds.
pub(crate) async fn read(coord: &Coordinator) -> Result<BTreeMap<String, String>, Error> {
    match coord.register_of(list_name()).get().await? {
        Some(found) => Ok(List::decode(&found.value)?.jobs),
        None => Ok(BTreeMap::new()),
    }
}

/// Lists a job under a kind, or, with none, not any more.
pub(crate) async fn list(coord: &Coordinator, job: &str, kind: Option<&str>) -> Result<(), Error> {
    let register = coord.register_of(list_name());
    let mut found = register.get().await?;
    loop {
        let mut list = match &found {
            Some(found) => List::decode(&found.value)?,
            None => List {
                format: FORMAT,
                jobs: BTreeMap::new(),
            },
        };
        let known = match kind {
            Some(kind) => list.jobs.insert(job.to_owned(), kind.to_owned()),
            None => list.jobs.remove(job),
        };
        if known.as_deref() == kind {
            return Ok(());
        }
        let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
        // Numbers and strings: JSON takes all of them.
        let bytes = serde_json::to_vec(&list).expect("a list has only encodable fields");
        let put = Put::new(bytes).expect(expect).ttl(KEPT_FOR);
        match put_until_answered(coord, &register, &put).await?.0 {
            RegisterReply::Conflict(current) => found = current,
            RegisterReply::Written { .. } | RegisterReply::Fenced { .. } => return Ok(()),
        }
    }
}

/// A job that is defined in the store, for a node that has its kind; `None` for others.
pub(crate) fn entry(shared: &Shared, name: &str, kind: &str) -> Result<Option<Entry>, Error> {
    let Some(handler) = shared.kinds.get(kind) else {
        return Ok(None);
    };
    Ok(Some(Entry {
        name: name.into(),
        ledger: LedgerRegister::new(&shared.coord, name)?,
        // What counts is the ledger's.
        spec: Arc::new(Spec::default()),
        words: BTreeMap::new(),
        version: String::new(),
        in_force: Mutex::default(),
        handler: Arc::clone(handler),
        kind: Some(kind.to_owned()),
        is_out: AtomicBool::new(false),
    }))
}
