//! A job's ledger in the store: read, compared and set, with unknown answers repeated until they are known.

use std::time::Duration;

use leasehold_core::store::Stamped;
use leasehold_core::{
    Class, Coordinator, Error as CoreError, Expect, NameError, Put, Register, RegisterHandle,
    RegisterReply, ResourceName,
};

use crate::Error;
use crate::ledger::Ledger;

const RETRY: Duration = Duration::from_millis(100);
/// For how long a job's ledger and its history are kept, after the latest write: a yearly job's last runs can be looked up,
/// and what people told a job (a pause, what it is) outlasts a fleet that is away for months.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(400 * 24 * 3600);

/// A ledger, and the version it was read or written at.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) ledger: Ledger,
    pub(crate) version: u64,
}

impl Stored {
    fn decode(job: &str, register: &Register) -> Result<Self, Error> {
        Ok(Self {
            ledger: Ledger::decode(job, &register.value)?,
            version: register.version,
        })
    }
}

/// How a compare-and-set ended.
pub(crate) enum Swap {
    /// Written.
    Done(Stored),
    /// The version had moved on to this. `unsure`: an earlier copy of the same write may be what moved it.
    Moved {
        current: Option<Stored>,
        unsure: bool,
    },
}

/// Repeats the same write until the store has answered it. Says whether an earlier copy may have been applied.
pub(crate) async fn put_until_answered(
    coord: &Coordinator,
    register: &RegisterHandle,
    put: &Put,
) -> Result<(RegisterReply, bool), Error> {
    let mut unsure = false;
    loop {
        match register.put(put).await {
            Ok(reply) => return Ok((reply, unsure)),
            Err(error @ CoreError::Unavailable { .. }) => {
                tracing::debug!(%error, "a write to a ledger waits for the store");
                unsure = true;
                let env = coord.env();
                env.sleep(env.jittered(RETRY)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The registers of one job.
#[derive(Debug, Clone)]
pub(crate) struct LedgerRegister {
    pub(crate) job: std::sync::Arc<str>,
    pub(crate) register: RegisterHandle,
    pub(crate) coord: Coordinator,
}

/// The name of a job's register; what is wrong with the job's name is said of that.
pub(crate) fn ledger_name(job: &str) -> Result<ResourceName, NameError> {
    let name = Class::internal("~ledger").resource(job);
    name.map_err(|error| called(error, "the name of a job"))
}

/// The same said of what people know.
pub(crate) fn called(error: NameError, what: &'static str) -> NameError {
    match error {
        NameError::Empty { .. } => NameError::Empty { what },
        NameError::TooLong { bytes, .. } => NameError::TooLong { what, bytes },
        NameError::Control { character, at, .. } => NameError::Control {
            what,
            character,
            at,
        },
        other => other,
    }
}

impl LedgerRegister {
    /// That of the job with this identity.
    pub(crate) fn new(coord: &Coordinator, id: &str) -> Result<Self, NameError> {
        let name = ledger_name(id)?;
        Ok(Self {
            job: id.into(),
            register: coord.register_of(name),
            coord: coord.clone(),
        })
    }

    /// Reads it, with the store's time.
    pub(crate) async fn read(&self) -> Result<Stamped<Option<Stored>>, Error> {
        let registers = std::slice::from_ref(&self.register);
        let read = RegisterHandle::read(registers).await?;
        let register = read.value.first().and_then(Option::as_ref);
        Ok(Stamped {
            now: read.now,
            value: self.decode(register)?,
        })
    }

    pub(crate) fn decode(&self, register: Option<&Register>) -> Result<Option<Stored>, Error> {
        let stored = register.map(|register| Stored::decode(&self.job, register));
        stored.transpose()
    }

    /// Writes `ledger` if the version is still that of `from`.
    pub(crate) async fn swap(&self, from: Option<u64>, ledger: Ledger) -> Result<Swap, Error> {
        let expect = from.map_or(Expect::Absent, Expect::Version);
        let put = Put::new(ledger.encode()).expect(expect).ttl(KEPT_FOR);
        match put_until_answered(&self.coord, &self.register, &put).await? {
            (RegisterReply::Written { version }, _) => Ok(Swap::Done(Stored { ledger, version })),
            (RegisterReply::Conflict(current), unsure) => Ok(Swap::Moved {
                current: self.decode(current.as_ref())?,
                unsure,
            }),
            // Ledgers are not written under a fence.
            (RegisterReply::Fenced { .. }, unsure) => Ok(Swap::Moved {
                current: None,
                unsure,
            }),
        }
    }

    /// Changes it until that took effect. `change` is given the ledger as it is and whether an earlier copy of this
    /// change may already be in it; it answers whether there is anything to write. What is stored then is answered.
    pub(crate) async fn update(
        &self,
        mut stored: Option<Stored>,
        mut change: impl FnMut(&mut Ledger, bool) -> bool + Send,
    ) -> Result<Option<Stored>, Error> {
        let mut unsure = false;
        loop {
            let Some(Stored {
                mut ledger,
                version,
            }) = stored
            else {
                return Ok(None);
            };
            if !change(&mut ledger, unsure) {
                return Ok(Some(Stored { ledger, version }));
            }
            match self.swap(Some(version), ledger).await? {
                Swap::Done(stored) => return Ok(Some(stored)),
                Swap::Moved {
                    current,
                    unsure: maybe,
                } => {
                    unsure |= maybe;
                    stored = current;
                }
            }
        }
    }
}
