//! How many permits there are. The program says so, and who resizes says so in a register, which counts if its revision
//! is higher.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::{Core, Inner, RETRY, look, micros};
use crate::env::Moment;
use crate::error::Error;
use crate::name::{Class, NameError, ResourceName};
use crate::protocol::{Capacity, Expect, HEARTBEAT_US, Register, RegisterReply, RegisterWrite};
use crate::store::{StoreError, StoreErrorKind, StoreHandle};

/// The first word of a stored size: the version of its form.
const FORMAT: &str = "1";
/// A size that was set stays set.
const TTL: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// For how long a size that was read is good.
const HEARTBEAT: Duration = Duration::from_micros(HEARTBEAT_US);

/// A size that was set, with its revision.
type Stored = Capacity;

/// What was read lately.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    by_name: BTreeMap<ResourceName, (Moment, Option<Stored>)>,
    tidied: Moment,
}

impl Sizes {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What counts by what was read, if that was lately.
    fn known(&self, name: &ResourceName, said: Capacity, now: Moment) -> Option<Capacity> {
        let read = self.read();
        let (at, stored) = read.by_name.get(name)?;
        (now < *at + HEARTBEAT).then(|| counts(said, *stored))
    }

    fn note(&self, name: &ResourceName, at: Moment, stored: Option<Stored>) {
        let mut read = self.read();
        if at >= read.tidied + HEARTBEAT {
            read.tidied = at;
            read.by_name.retain(|_, (of, _)| at < *of + HEARTBEAT);
        }
        read.by_name.insert(name.clone(), (at, stored));
    }
}

/// What the program says, or what was set.
fn counts(said: Capacity, stored: Option<Stored>) -> Capacity {
    stored.map_or(said, |stored| said.or(stored))
}

/// Where the size of a resource is set.
fn register(name: &ResourceName) -> Result<ResourceName, NameError> {
    Class::internal("~semaphore").resource(name)
}

/// Whether the size of a resource of this name can be set: its register's name holds all of it.
pub(crate) fn check_name(name: ResourceName) -> Result<ResourceName, NameError> {
    register(&name)?;
    Ok(name)
}

fn parse(register: &Register) -> Result<Stored, StoreError> {
    let damaged = || {
        StoreError::new(
            StoreErrorKind::TooNew,
            "size",
            "a semaphore's size is of a form that this version does not know",
        )
    };
    let text = std::str::from_utf8(&register.value).map_err(|_| damaged())?;
    let mut words = text.split(' ');
    let (format, size, revision) = (words.next(), words.next(), words.next());
    let stored = match (format, size, revision) {
        (Some(FORMAT), Some(size), Some(revision)) => size.parse().ok().zip(revision.parse().ok()),
        _ => None,
    };
    let (size, revision) = stored.ok_or_else(damaged)?;
    Ok(Capacity { size, revision })
}

/// Reads what was set.
pub(super) async fn read(
    core: &Arc<Core>,
    store: &StoreHandle,
    name: &ResourceName,
) -> Result<Option<Stored>, Error> {
    let (_, stored) = read_register(core, store, name, core.request_timeout).await?;
    Ok(stored)
}

async fn read_register(
    core: &Arc<Core>,
    store: &StoreHandle,
    name: &ResourceName,
    within: Duration,
) -> Result<(Expect, Option<Stored>), Error> {
    let names = [register(name)?];
    let reading = store.registers.read(&names);
    let answer = core.timed("read", within, reading).await;
    let found = answer.and_then(|answer| {
        let found = answer.value.into_iter().next().flatten();
        let Some(found) = found else {
            return Ok((Expect::Absent, None));
        };
        Ok((Expect::Version(found.version), Some(parse(&found)?)))
    });
    let (expect, stored) = found.map_err(|error| Error::from_store(name, error))?;
    core.pools.sizes.note(name, core.env.now(), stored);
    Ok((expect, stored))
}

/// How many there are, as this client knows it: read about every heartbeat while it is asked for.
pub(super) async fn known(
    inner: &Arc<Inner>,
    name: &ResourceName,
    said: Capacity,
    deadline: Moment,
) -> Result<Capacity, Error> {
    let core = &inner.core;
    loop {
        let now = core.env.now();
        if let Some(known) = core.pools.sizes.known(name, said, now) {
            return Ok(known);
        }
        let within = core.request_timeout.min(deadline.since(now).max(RETRY));
        match read_register(core, &inner.store, name, within).await {
            Ok((_, stored)) => return Ok(counts(said, stored)),
            Err(error) => {
                let next = core.env.now() + core.env.jittered(RETRY);
                if !error.is_unavailable() || next >= deadline {
                    return Err(error);
                }
                core.env.sleep_until(next).await;
            }
        }
    }
}

/// How many there are, read now.
pub(crate) async fn size(
    inner: &Arc<Inner>,
    name: &ResourceName,
    said: Capacity,
) -> Result<Capacity, Error> {
    let stored = read(&inner.core, &inner.store, name).await?;
    Ok(counts(said, stored))
}

/// Sets it for the fleet, with a revision above all that are known: of the register, of those who hold or wait, and of
/// this program.
///
/// # Cancel safety
/// Dropped, it may still be set.
pub(crate) async fn resize(
    inner: &Arc<Inner>,
    name: &ResourceName,
    said: Capacity,
    size: u32,
) -> Result<(), Error> {
    let core = &inner.core;
    let deadline = core.env.now() + core.request_timeout;
    let announced = look(inner, name).await?.value.unwrap_or_default();
    let announced = announced.entries.iter().map(|entry| entry.revision).max();
    let above = announced.unwrap_or(0).max(said.revision);
    loop {
        let within = core.request_timeout;
        let (expect, stored) = read_register(core, &inner.store, name, within).await?;
        let above = stored.map_or(above, |stored| above.max(stored.revision));
        let set = Capacity {
            size,
            revision: above + 1,
        };
        let write = RegisterWrite {
            expect,
            fence: None,
            ttl_us: micros(TTL),
            value: format!("{FORMAT} {size} {}", set.revision).into_bytes(),
        };
        let register = register(name)?;
        let writing = inner.store.registers.write(&register, &write);
        let answer = core.timed("write", within, writing).await;
        match answer.map(|answer| answer.value) {
            Ok(RegisterReply::Written { .. }) => {
                core.pools.sizes.note(name, core.env.now(), Some(set));
                for pool in core.pools.of(name) {
                    pool.state().take_in(&pool, set);
                    pool.proceed(core);
                }
                return Ok(());
            }
            // Another one resized meanwhile, or this one did and was not told: once more, above that.
            Ok(_) => {}
            Err(error) => {
                let next = core.env.now() + core.env.jittered(RETRY);
                if next >= deadline || error.kind() != StoreErrorKind::Unknown {
                    return Err(Error::from_store(name, error));
                }
                core.env.sleep_until(next).await;
            }
        }
    }
}
