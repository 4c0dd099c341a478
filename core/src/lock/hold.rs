//! What every guard is: a hold, exclusive or shared.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::client::{Holding, Inner, Revocation, release};
use crate::error::{Error, Lost, LostCause};
use crate::fence::GrantId;
use crate::name::ResourceName;

/// What this client holds, or held, of a resource, exclusively (then it is a [`Lease`](crate::Lease)) or shared with
/// others: renewed in the background until it is released or dropped.
///
/// Everything here is judged on this client's monotonic clock: a hold says "lost" before the store could grant what it
/// holds to another.
#[must_use = "a hold ends when it is dropped"]
pub struct Hold {
    inner: Arc<Inner>,
    /// Dropped, it ends in the background: that neither blocks nor panics, on or off a runtime.
    held: Holding,
}

impl Hold {
    pub(crate) fn new(inner: Arc<Inner>, held: Holding) -> Self {
        Self { inner, held }
    }

    pub(super) fn into_holding(self) -> Holding {
        self.held
    }

    /// Resolves once it is lost.
    pub(super) async fn lost_error(&self) -> Lost {
        let cause = self.held.lost().await;
        self.held.lost_error(cause)
    }

    /// Names this grant, for logs and audit. It orders nothing: what is written under an exclusive grant is guarded by
    /// its [`fence`](crate::Lease::fence), and a shared one has none.
    pub fn grant_id(&self) -> GrantId {
        self.held.grant_id
    }

    /// The resource.
    pub fn name(&self) -> &ResourceName {
        &self.held.tenure.name
    }

    /// `Ok` while it is held.
    ///
    /// # Errors
    /// [`Lost`], with the cause.
    pub fn check(&self) -> Result<(), Lost> {
        self.held.check()
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.check().is_ok()
    }

    /// How long it surely lasts, without another renewal; zero if it is lost.
    pub fn remaining(&self) -> Duration {
        match self.check() {
            Ok(()) => self.held.deadline().since(self.held.tenure.env.now()),
            Err(_) => Duration::ZERO,
        }
    }

    /// Resolves once it is lost, and says why. While it is held this stays pending.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lost(&self) -> LostCause {
        self.held.lost().await
    }

    /// Resolves once less than `left` of it remains: an early warning, since renewals come at a third of the TTL and so
    /// have been failing for a while (a lease that is not disturbed keeps more than half of its TTL). Resolves when it is
    /// lost, too.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn running_out(&self, left: Duration) {
        loop {
            let changed = self.held.tenure.changed();
            let spare = self.remaining().saturating_sub(left);
            if spare.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                // Lost, or revoked, which leaves less of it.
                () = changed => {}
                () = self.held.tenure.env.sleep(spare) => {}
            }
        }
    }

    /// Whether someone else was seen waiting for it. Known by a push, or from the next renewal on.
    pub fn is_contended(&self) -> bool {
        self.held.tenure.is_contended()
    }

    /// Resolves once someone else waits for it, for holders that can do with less.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn contended(&self) {
        loop {
            let changed = self.held.tenure.changed();
            if self.is_contended() {
                return;
            }
            changed.await;
        }
    }

    /// Why it is to go, if it was revoked: it is lost when the grace is over.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.held.tenure.revocation()
    }

    /// Resolves once it is revoked, and says why; it is still held then, for the grace. Pending while it is not.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn revoked(&self) -> &Revocation {
        loop {
            let changed = self.held.tenure.changed();
            if let Some(revocation) = self.revocation() {
                return revocation;
            }
            changed.await;
        }
    }

    /// A token that is cancelled when the lease is lost, for code that takes one. After a release it is cancelled when
    /// the lease would have ended.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn token(&self) -> CancellationToken {
        let (token, held) = (CancellationToken::new(), Arc::clone(&*self.held));
        let guard = token.clone().drop_guard();
        self.held.tenure.env.spawn(async move {
            held.lost().await;
            drop(guard);
        });
        token
    }

    /// Runs `future` until it ends or the lease is lost, whichever comes first; a lost lease drops it.
    ///
    /// # Errors
    /// [`Error::Lost`], also if the future ended but did so after the lease.
    ///
    /// # Cancel safety
    /// As `future`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        tokio::select! {
            biased;
            cause = self.held.lost() => Err(self.held.lost_error(cause).into()),
            output = future => {
                // A body that never yields can outlast its lease unnoticed by the select.
                self.check()?;
                Ok(output)
            }
        }
    }

    /// Ends it, and tells whether it was held until now. If another task of this client is served next, nothing is asked
    /// of the store, and the answer is this client's own.
    ///
    /// # Errors
    /// [`Error::Lost`] if it was not; [`Error::Unavailable`] if the store could not say (it is ended in the background).
    ///
    /// # Cancel safety
    /// Dropped at any point, the lease is ended in the background.
    pub async fn release(self) -> Result<(), Error> {
        let Self { inner, held } = self;
        release(&inner, held).await
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("name", &self.name().as_str())
            .field("grant_id", &self.grant_id().get())
            .field("held", &self.is_held())
            .finish_non_exhaustive()
    }
}
