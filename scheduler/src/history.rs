//! History: ended ticks, beyond what the ledger carries.

use leasehold_core::{Coordinator, Expect, Put, RegisterHandle, RegisterReply};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::job::history_name;
use crate::ledger::TickRecord;
use crate::planted::{Bug, planted};
use crate::registers::{KEPT_FOR, LedgerRegister, Stored, put_until_answered};

/// How many records of a job are kept.
const KEPT: usize = 256;
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Page {
    format: u32,
    /// Up to this tick records were dropped: that there is none says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<i64>,
    records: Vec<TickRecord>,
}

impl Page {
    fn decode(job: &str, bytes: &[u8]) -> Result<Self, Error> {
        let page: Self = serde_json::from_slice(bytes).map_err(|error| Error::LedgerDamaged {
            job: job.to_owned(),
            error: error.to_string(),
        })?;
        if page.format > FORMAT {
            return Err(Error::LedgerTooNew {
                job: job.to_owned(),
                found: page.format,
                supported: FORMAT,
            });
        }
        Ok(page)
    }

    /// Adds what is not there yet. A record written twice is one; so is a range, and the longer one it grew to.
    fn add(&mut self, records: &[TickRecord]) -> bool {
        let mut changed = false;
        for record in records {
            if self.records.iter().any(|known| known.covers(record)) {
                continue;
            }
            self.records.retain(|known| !record.covers(known));
            let key = record.key();
            let at = self.records.partition_point(|known| known.key() < key);
            self.records.insert(at, record.clone());
            changed = true;
        }
        let surplus = self.records.len().saturating_sub(KEPT);
        let dropped = self.records.drain(..surplus).map(|record| record.end);
        self.forgotten = dropped.max().max(self.forgotten);
        changed
    }
}

async fn read(job: &str, register: &RegisterHandle) -> Result<(Page, Expect), Error> {
    Ok(match register.get().await? {
        Some(found) => (
            Page::decode(job, &found.value)?,
            Expect::Version(found.version),
        ),
        None => (
            Page {
                format: FORMAT,
                forgotten: None,
                records: Vec::new(),
            },
            Expect::Absent,
        ),
    })
}

/// Moves what the ledger carries to history: written there first, and taken from the ledger only once that is certain.
/// Whoever does it twice, or at the same time as another, does no harm.
pub(crate) async fn flush(ledger: &LedgerRegister, stored: Stored) -> Result<(), Error> {
    let records = stored.ledger.out.clone();
    if records.is_empty() {
        return Ok(());
    }
    let register = ledger.coord.register_of(history_name(&ledger.job)?);
    if planted(Bug::OutClearedFirst) {
        let clear = |ledger: &mut crate::ledger::Ledger, _| {
            ledger.out.clear();
            true
        };
        ledger.update(Some(stored.clone()), clear).await?;
    }
    loop {
        let (mut page, expect) = read(&ledger.job, &register).await?;
        if !page.add(&records) {
            break;
        }
        // Numbers, strings and sequences: JSON takes all of them.
        let bytes = serde_json::to_vec(&page).expect("a page has only encodable fields");
        let put = Put::new(bytes).expect(expect).ttl(KEPT_FOR);
        let (reply, _) = put_until_answered(&ledger.coord, &register, &put).await?;
        if let RegisterReply::Written { .. } = reply {
            break;
        }
    }
    let clear = |ledger: &mut crate::ledger::Ledger, _| {
        let before = ledger.out.len();
        ledger.last = ledger.last();
        ledger.out.retain(|record| !records.contains(record));
        ledger.out.len() < before
    };
    ledger.update(Some(stored), clear).await?;
    Ok(())
}

/// What is recorded of a job's ticks.
pub(crate) struct Recorded {
    /// Ordered by the end of their ranges.
    pub(crate) records: Vec<TickRecord>,
    /// Up to this tick records were dropped.
    pub(crate) forgotten: Option<i64>,
}

/// History, and what `out` of the ledger adds. The ledger has to be read first: a record that moves meanwhile is then
/// seen twice, which is once, and never not at all.
pub(crate) async fn recorded(
    ledger: &LedgerRegister,
    out: &[TickRecord],
) -> Result<Recorded, Error> {
    let register = ledger.coord.register_of(history_name(&ledger.job)?);
    let (mut page, _) = read(&ledger.job, &register).await?;
    page.add(out);
    Ok(Recorded {
        records: page.records,
        forgotten: page.forgotten,
    })
}

/// What became of a job's latest ticks, oldest first: its history and what its ledger still carries. `job` is its
/// [`id`](crate::Job::id); [`Jobs::history`](crate::Jobs::history) takes its name, too.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// for record in leasehold_scheduler::history(&coord, "nightly").await? {
///     println!("{} {}", record.end, record.outcome);
/// }
/// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// [`Error::Core`] if the store can't say.
///
/// # Cancel safety
/// Cancel safe.
pub async fn history(coord: &Coordinator, job: &str) -> Result<Vec<TickRecord>, Error> {
    let ledger = LedgerRegister::new(coord, job)?;
    let stored = ledger.read().await?.value;
    let out = stored.map_or_else(Vec::new, |stored| stored.ledger.out);
    Ok(recorded(&ledger, &out).await?.records)
}
