//! Several mutexes at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Lease, Mutexes};
use crate::client::{Ask, Inner, Patience, acquire_all, release_all, several};
use crate::error::{Error, Lost, TogetherError};
use crate::fence::Fence;
use crate::name::ResourceName;
use crate::planted::{Bug, planted};
use crate::protocol::Weight;

/// Several mutexes, also of several classes, to be locked at once: all of them or none.
///
/// However they are added, all clients lock them in one order, so that whoever waits for one holds only smaller ones, and
/// callers never wait for one another in a circle. That holds among those who use `lock_all`; who holds a guard already and
/// locks more by hand can still make a circle, which ends when a wait does.
///
/// Names of a [group](Mutexes::group) cost one request to lock, up to 64 of them, and one to release, as long as nobody is in
/// the way. Others cost one each, and one for each of the 256 parts of a namespace that they fall into.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "bank").connect().await?;
/// let accounts = coord.mutexes("account")?;
/// let ledgers = coord.mutexes("ledger")?;
///
/// let (from, to) = (7, 3);
/// let guard = coord.lock_all().add(&accounts, from).add(&accounts, to).add(&ledgers, "day").lock().await?;
/// // Fences and leases are in the order in which they were added.
/// let [from_fence, to_fence, _day] = guard.fences()[..] else { unreachable!() };
/// assert_eq!(guard.fence_of(&accounts.name(from)?), Some(from_fence));
/// # assert_ne!(from_fence, to_fence);
/// guard.run(async { /* until one of them is lost */ }).await?;
/// guard.release().await?;
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing is locked before `lock` is awaited"]
pub struct LockAll {
    inner: Arc<Inner>,
    asks: Vec<Ask>,
    wait: Duration,
    /// The first of what was added that cannot be.
    refused: Option<Error>,
}

impl LockAll {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            asks: Vec::new(),
            wait: Duration::ZERO,
            refused: None,
        }
    }

    /// Adds one, with the settings of its class. What is wrong with it is told when it is locked.
    #[track_caller]
    pub fn add(mut self, mutexes: &Mutexes, id: impl fmt::Display) -> Self {
        let settings = mutexes.settings();
        let asked = match settings.ask(&id, Weight::All, None) {
            Err(error) => Err(error.into()),
            Ok(ask) if !Arc::ptr_eq(&settings.inner, &self.inner) => {
                Err(TogetherError::OtherClient { name: ask.name }.into())
            }
            Ok(ask) if self.asks.iter().any(|other| other.name == ask.name) => {
                Err(TogetherError::Twice { name: ask.name }.into())
            }
            Ok(ask) => Ok(ask),
        };
        match asked {
            Ok(ask) => {
                self.asks.push(ask);
                self.wait = self.wait.max(settings.wait);
            }
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self
    }

    /// Locks all, waiting in all as long as the most patient of their classes says.
    ///
    /// # Errors
    /// [`Error::Busy`] if the wait was not enough; it names the one that was in the way. [`Error::Unavailable`] if the store
    /// can't say, [`Error::Lost`] if one was lost while another was waited for, [`Error::Together`] and other errors of use.
    /// Then none is held.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped at any await, nothing stays held and nothing queued.
    pub async fn lock(self) -> Result<MultiGuard, Error> {
        let wait = self.wait;
        self.lock_timeout(wait).await
    }

    /// Locks all, waiting at most `wait` in all. A request that is under way then is waited for, and one more that tells who
    /// has it.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_timeout(self, wait: Duration) -> Result<MultiGuard, Error> {
        let deadline = self.inner.core.env.now() + wait;
        self.acquire(Patience::Until(deadline)).await
    }

    /// Locks all if all are free.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if one is not. Others as [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock(self) -> Result<MultiGuard, Error> {
        self.acquire(Patience::None).await
    }

    /// Locks all, waiting until they are granted or `stop` resolves; as [`Mutexes::lock_until`].
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `stop` came first; it names the first that was added. Others as [`lock`](Self::lock), but for
    /// `Busy` and `Unavailable`.
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_until<S: Future<Output = ()>>(self, stop: S) -> Result<MultiGuard, Error> {
        let name = self.asks.first().map(|ask| ask.name.clone());
        let stopped = async {
            stop.await;
            match name {
                Some(name) => Error::Cancelled { name },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            error = stopped => Err(error),
            locked = self.acquire(Patience::Endless) => locked,
        }
    }

    async fn acquire(self, patience: Patience) -> Result<MultiGuard, Error> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let inner = self.inner;
        let mut asks: Vec<_> = self
            .asks
            .into_iter()
            .map(Ask::by_this_task)
            .enumerate()
            .collect();
        if !planted(Bug::OrderAsAdded) {
            asks.sort_by(|(_, one), (_, other)| {
                let key = |ask: &Ask| (ask.name.bucket(), ask.name.clone());
                key(one).cmp(&key(other))
            });
        }
        let (places, asks): (Vec<_>, Vec<_>) = asks.into_iter().unzip();
        let held = acquire_all(&inner, &asks, patience).await?;
        let mut leases: Vec<_> = (places.into_iter().zip(held))
            .map(|(place, held)| (place, Lease::new(Arc::clone(&inner), held)))
            .collect();
        leases.sort_by_key(|(place, _)| *place);
        let leases = leases.into_iter().map(|(_, lease)| lease).collect();
        let guard = MultiGuard { inner, leases };
        // Who waited long for the last may have lost the first.
        guard.check()?;
        Ok(guard)
    }
}

impl fmt::Debug for LockAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.asks.iter().map(|ask| ask.name.as_str());
        f.debug_list().entries(names).finish()
    }
}

/// Several mutexes, all of them locked. Dropping it unlocks them in the background.
///
/// What it says is of all of them: one that is lost makes it lost, and the rest stays held until it is released or dropped.
#[must_use = "the mutexes are unlocked when their guard is dropped"]
pub struct MultiGuard {
    inner: Arc<Inner>,
    leases: Vec<Lease>,
}

impl MultiGuard {
    /// Their leases, in the order in which they were added.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Their fences, in the order in which they were added.
    pub fn fences(&self) -> Vec<Fence> {
        self.leases.iter().map(Lease::fence).collect()
    }

    /// The fence of one of them.
    pub fn fence_of(&self, name: &ResourceName) -> Option<Fence> {
        let lease = self.leases.iter().find(|lease| lease.name() == name);
        lease.map(Lease::fence)
    }

    /// `Ok` while all are held.
    ///
    /// # Errors
    /// [`Lost`] of the first, in the order in which they were added, that is not.
    pub fn check(&self) -> Result<(), Lost> {
        self.leases.iter().try_for_each(|lease| lease.check())
    }

    /// Whether all are held.
    pub fn is_held(&self) -> bool {
        self.check().is_ok()
    }

    /// How long all of them surely last, without another renewal; zero if one is lost.
    pub fn remaining(&self) -> Duration {
        let each = self.leases.iter().map(|lease| lease.remaining());
        each.min().unwrap_or(Duration::MAX)
    }

    /// Resolves once one of them is lost, and says which and why. While all are held this stays pending.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lost(&self) -> Lost {
        several::first(self.leases.iter().map(|lease| lease.lost_error())).await
    }

    /// Runs `future` until it ends or one of them is lost, whichever comes first; a lost one drops it.
    ///
    /// # Errors
    /// [`Error::Lost`], also if the future ended but did so after the loss.
    ///
    /// # Cancel safety
    /// As `future`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        tokio::select! {
            biased;
            lost = self.lost() => Err(lost.into()),
            output = future => {
                self.check()?;
                Ok(output)
            }
        }
    }

    /// Unlocks all, and tells whether all were held until now: one request for those that live together.
    ///
    /// # Errors
    /// [`Error::Lost`] if one was not; else [`Error::Unavailable`] if the store could not say of one (it is ended in the
    /// background). All are given back in any case.
    ///
    /// # Cancel safety
    /// Dropped at any point, all are ended in the background.
    pub async fn release(self) -> Result<(), Error> {
        let holdings = self.leases.into_iter().map(Lease::into_holding).collect();
        let errors = release_all(&self.inner, holdings).await.into_iter();
        let mut errors: Vec<_> = errors.filter_map(Result::err).collect();
        let lost = errors.iter().position(Error::is_lost).unwrap_or(0);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors.swap_remove(lost))
        }
    }
}

impl fmt::Debug for MultiGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MultiGuard").field(&self.leases).finish()
    }
}
