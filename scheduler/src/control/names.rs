//! Jobs by the names that people give.

use leasehold_core::protocol::Now;
use leasehold_core::{Coordinator, RegisterHandle};

use crate::Error;
use crate::registers::{LedgerRegister, Stored};

/// Ledgers read in one request.
const BATCH: usize = 128;
/// Names that a misspelt one may have meant.
const NEAREST: usize = 3;
/// Longer names than this are not compared.
const LONGEST: usize = 100;

/// A job's ledger, and the store's time when it was read.
pub(crate) struct Found {
    pub(crate) ledger: LedgerRegister,
    pub(crate) stored: Stored,
    pub(crate) now: Now,
}

/// A job of the fleet; its ledger, if there is one that can be read.
pub(crate) struct Known {
    pub(crate) ledger: LedgerRegister,
    pub(crate) stored: Result<Option<Stored>, Error>,
}

/// The job of this identity, or else the one that is called so today.
pub(crate) async fn find(coord: &Coordinator, job: &str) -> Result<Found, Error> {
    let ledger = LedgerRegister::new(coord, job)?;
    let read = ledger.read().await?;
    if let Some(stored) = read.value {
        let now = read.now;
        return Ok(Found {
            ledger,
            stored,
            now,
        });
    }
    let (now, all) = all(coord).await?;
    let mut names = Vec::new();
    for known in all {
        names.push(known.ledger.job.to_string());
        let Ok(Some(stored)) = known.stored else {
            continue;
        };
        if stored.ledger.name == job {
            let ledger = known.ledger;
            return Ok(Found {
                ledger,
                stored,
                now,
            });
        }
        names.push(stored.ledger.name);
    }
    Err(Error::NoSuchJob {
        job: job.to_owned(),
        nearest: nearest(job, names),
    })
}

/// All jobs that the fleet has or had, by identity, and the store's time when the last of them were read.
pub(crate) async fn all(coord: &Coordinator) -> Result<(Now, Vec<Known>), Error> {
    let names = crate::fleet::index::job_names(coord).await?;
    let ledgers: Result<Vec<_>, _> = (names.iter())
        .map(|name| LedgerRegister::new(coord, name))
        .collect();
    let (ledgers, mut now) = (ledgers?, coord.store_now());
    let mut all = Vec::new();
    for ledgers in ledgers.chunks(BATCH) {
        let registers: Vec<_> = ledgers
            .iter()
            .map(|ledger| ledger.register.clone())
            .collect();
        let read = RegisterHandle::read(&registers).await?;
        now = read.now;
        for (ledger, register) in ledgers.iter().zip(read.value) {
            all.push(Known {
                ledger: ledger.clone(),
                stored: ledger.decode(register.as_ref()),
            });
        }
    }
    Ok((now, all))
}

/// Of `names` those that `job` may have meant, the nearest first.
pub(crate) fn nearest(job: &str, mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    let wanted = job.to_lowercase();
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let distance = |name: &String| {
        let name = name.to_lowercase();
        // A module's path is easily left out, and so is a part of it.
        if name.len() <= LONGEST && (name.contains(&wanted) || wanted.contains(&name)) {
            return Some((0, name.len().abs_diff(wanted.len())));
        }
        let last = name.rsplit("::").next().unwrap_or(&name);
        let edits = edits(&wanted, &name).min(edits(&wanted, last));
        (edits <= (wanted.chars().count() / 3).max(1)).then_some((1, edits))
    };
    let mut near: Vec<_> = (names.into_iter())
        .filter_map(|name| Some((distance(&name)?, name)))
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(NEAREST)
        .map(|(_, name)| name)
        .collect()
}

/// How many characters have to be put in, taken out or changed (Levenshtein); two that are swapped count as two.
fn edits(from: &str, to: &str) -> usize {
    if to.len() > LONGEST {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_another_is_not() {
        let names = [
            "billing::nightly",
            "billing::hourly",
            "cleanup",
            "nightlies",
        ];
        let near = |job| nearest(job, names.map(str::to_owned).to_vec());
        assert_eq!(near("nightly"), ["billing::nightly"]);
        assert_eq!(near("Nihgtly"), ["billing::nightly"]);
        assert_eq!(near("clean-up"), ["cleanup"]);
        assert_eq!(near("billing"), ["billing::hourly", "billing::nightly"]);
        assert!(near("x").is_empty() && near(&"y".repeat(5000)).is_empty());
    }
}
