//! The names of all jobs that the fleet ever had, for who does not have the program: spread over 64 registers, which are
//! read in one request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_core::name::fnv1a_64;
use leasehold_core::{Class, Coordinator, Expect, Put, Register, RegisterHandle, RegisterReply};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::registers::put_until_answered;

const SHARDS: u64 = 64;
/// As long as history is.
const KEPT_FOR: Duration = Duration::from_secs(400 * 24 * 3600);
/// Written anew when its last writing is this long ago, so that it does not expire while its jobs live.
const TOUCHED_US: u64 = 24 * 3600 * 1_000_000;
const FORMAT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shard {
    format: u32,
    jobs: BTreeSet<String>,
}

fn shard_of(job: &str) -> u64 {
    fnv1a_64(job.as_bytes()) % SHARDS
}

fn name_of(shard: u64) -> String {
    format!("~index/{shard:02x}")
}

fn register(coord: &Coordinator, shard: u64) -> Result<RegisterHandle, Error> {
    let name = Class::internal("~index").resource(format!("{shard:02x}"))?;
    Ok(coord.register_of(name))
}

impl Shard {
    fn decode(shard: u64, register: Option<&Register>) -> Result<(Self, Expect), Error> {
        let Some(register) = register else {
            let (format, jobs) = (FORMAT, BTreeSet::new());
            return Ok((Self { format, jobs }, Expect::Absent));
        };
        let read: Result<Self, _> = serde_json::from_slice(&register.value);
        let read = read.map_err(|error| Error::LedgerDamaged {
            job: name_of(shard),
            error: error.to_string(),
        })?;
        if read.format > FORMAT {
            return Err(Error::LedgerTooNew {
                job: name_of(shard),
                found: read.format,
                supported: FORMAT,
            });
        }
        Ok((read, Expect::Version(register.version)))
    }
}

/// Changes a shard, as it was read, until that took effect. `change` answers whether there is anything to write.
async fn update(
    coord: &Coordinator,
    shard: u64,
    mut found: Option<Register>,
    mut change: impl FnMut(&mut BTreeSet<String>, Option<&Register>) -> bool + Send,
) -> Result<(), Error> {
    let register = register(coord, shard)?;
    loop {
        let (mut read, expect) = Shard::decode(shard, found.as_ref())?;
        if !change(&mut read.jobs, found.as_ref()) {
            return Ok(());
        }
        // Numbers and strings: JSON takes all of them.
        let bytes = serde_json::to_vec(&read).expect("a shard has only encodable fields");
        let put = Put::new(bytes).expect(expect).ttl(KEPT_FOR);
        let (reply, _) = put_until_answered(coord, &register, &put).await?;
        match reply {
            RegisterReply::Conflict(current) => found = current,
            // Shards are not written under a fence.
            RegisterReply::Written { .. } | RegisterReply::Fenced { .. } => return Ok(()),
        }
    }
}

async fn read_all(coord: &Coordinator) -> Result<(u64, Vec<Option<Register>>), Error> {
    let registers: Result<Vec<_>, _> = (0..SHARDS).map(|shard| register(coord, shard)).collect();
    let read = RegisterHandle::read(&registers?).await?;
    Ok((read.now.wall_us, read.value))
}

/// Adds the jobs that are not in it.
pub(crate) async fn add<'a>(
    coord: &Coordinator,
    jobs: impl Iterator<Item = &'a str> + Send,
) -> Result<(), Error> {
    let mut by_shard: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for job in jobs {
        by_shard.entry(shard_of(job)).or_default().push(job);
    }
    let (now_us, mut found) = read_all(coord).await?;
    for (shard, jobs) in by_shard {
        let before = usize::try_from(shard)
            .ok()
            .and_then(|at| found.get_mut(at)?.take());
        let enter = |known: &mut BTreeSet<String>, register: Option<&Register>| {
            let count = known.len();
            known.extend(jobs.iter().map(ToString::to_string));
            // Versions are the store's time of writing.
            let is_old = |register: &Register| register.version + TOUCHED_US < now_us;
            known.len() > count || register.is_some_and(is_old)
        };
        update(coord, shard, before, enter).await?;
    }
    Ok(())
}

/// Takes a job out that is forgotten. A node that still has it adds it again when it starts.
#[allow(dead_code, reason = "no job is forgotten yet")]
pub(crate) async fn remove(coord: &Coordinator, job: &str) -> Result<(), Error> {
    let shard = shard_of(job);
    let found = register(coord, shard)?.get().await?;
    update(coord, shard, found, |known, _| known.remove(job)).await
}

/// The names of all jobs that the fleet has or had, in order, also of those that no live node has.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// for job in leasehold_scheduler::job_names(&coord).await? {
///     println!("{job}");
/// }
/// # Ok::<(), leasehold_scheduler::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// [`Error::Core`] if the store can't say.
///
/// # Cancel safety
/// Cancel safe.
pub async fn job_names(coord: &Coordinator) -> Result<Vec<String>, Error> {
    let (_, found) = read_all(coord).await?;
    let mut all = BTreeSet::new();
    for (shard, register) in (0..).zip(found) {
        all.append(&mut Shard::decode(shard, register.as_ref())?.0.jobs);
    }
    Ok(all.into_iter().collect())
}
