//! Registers as users see them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Inner, micros};
use crate::error::Error;
use crate::fence::Fence;
use crate::name::ResourceName;
use crate::protocol::{Expect, Now, Register, RegisterReply, RegisterWrite};
use crate::store::Stamped;

const TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ten years: far beyond any use, and far below where times in µs leave 2^53.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A small value with a version, kept for 30 days after its last write. Compared and set; optionally guarded by a
/// fence, so that a holder whose lease has passed on cannot write.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// use leasehold_core::{Expect, Put, RegisterReply};
/// let balance = coord.register("balance")?;
/// let guard = coord.mutexes("account")?.lock(1).await?;
/// let put = Put::new("100").fenced(guard.fence());
/// assert!(matches!(balance.put(&put).await?, RegisterReply::Written { .. }));
/// let late = Put::new("0").fenced(leasehold_core::Fence::new(1));
/// assert!(matches!(balance.put(&late).await?, RegisterReply::Fenced { .. }));
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct RegisterHandle {
    inner: Arc<Inner>,
    name: ResourceName,
}

/// A write to a register.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "give it to `RegisterHandle::put`"]
pub struct Put {
    value: Vec<u8>,
    expect: Expect,
    fence: Option<Fence>,
    ttl: Duration,
}

impl Put {
    /// Writes `value`, whatever is there.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: value.into(),
            expect: Expect::Any,
            fence: None,
            ttl: TTL,
        }
    }

    /// Only if what is there is as expected.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// Only if no greater fence wrote before.
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// How long it is kept (default 30 days). With it goes the memory of the fence that wrote it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

impl RegisterHandle {
    pub(crate) fn new(inner: Arc<Inner>, name: ResourceName) -> Self {
        Self { inner, name }
    }

    /// What is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self) -> Result<Option<Register>, Error> {
        let read = Self::read(std::slice::from_ref(self)).await?;
        Ok(read.value.into_iter().next().flatten())
    }

    /// Reads several of one coordinator in one round trip, in their order; at most 128. The store's time comes along.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(
        registers: &[RegisterHandle],
    ) -> Result<Stamped<Vec<Option<Register>>>, Error> {
        let Some(first) = registers.first() else {
            let (now, value) = (Now::default(), Vec::new());
            return Ok(Stamped { now, value });
        };
        let names: Vec<_> = registers.iter().map(|r| r.name.clone()).collect();
        let core = &first.inner.core;
        let read = first.inner.store.registers.read(&names);
        let answer = core.timed("read", core.request_timeout, read).await;
        let answer = answer.map_err(|error| Error::from_store(&first.name, error))?;
        Ok(Stamped {
            now: answer.now,
            value: answer.value,
        })
    }

    /// Writes, if what it demands is so.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether it was written is unknown; read, or repeat the same write.
    ///
    /// # Cancel safety
    /// Dropped, it may still be written.
    pub async fn put(&self, put: &Put) -> Result<RegisterReply, Error> {
        let write = RegisterWrite {
            expect: put.expect,
            fence: put.fence,
            ttl_us: micros(put.ttl.min(LONGEST)),
            value: put.value.clone(),
        };
        let core = &self.inner.core;
        let request = self.inner.store.registers.write(&self.name, &write);
        let answer = core.timed("write", core.request_timeout, request).await;
        let answer = answer.map_err(|error| Error::from_store(&self.name, error))?;
        Ok(answer.value)
    }
}

impl fmt::Debug for RegisterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Register({})", self.name)
    }
}
