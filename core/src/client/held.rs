//! A lease that this client holds, as its guard and the renewer see it.

use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::drift_margin;
use crate::env::{Env, Moment};
use crate::error::{Lost, LostCause};
use crate::fence::Fence;
use crate::metrics;
use crate::name::ResourceName;
use crate::protocol::Rid;

/// Shared by the guard and the renewer.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) env: Env,
    grant: Grant,
    deadline: AtomicU64,
    /// The lease's end in the store's time, for a release that was sent twice.
    expires_us: AtomicU64,
    renewal: AtomicU64,
    ended: AtomicBool,
    warned: AtomicBool,
    /// The latest renewal was not answered.
    unanswered: AtomicBool,
    lost: watch::Sender<Option<LostCause>>,
}

/// What a grant or renewal said of its end.
pub(crate) struct Term {
    /// When the request was sent that was answered.
    pub(crate) sent: Moment,
    /// The store's time of the answer.
    pub(crate) store_us: u64,
    /// How long the lease lasts from there.
    pub(crate) remaining_us: u64,
}

/// What never changes of a held lease.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: ResourceName,
    pub(crate) rid: Rid,
    pub(crate) fence: Fence,
    pub(crate) ttl: Duration,
    /// Until when the acquire is to be remembered as ended; 0 if no copy of it can be under way.
    pub(crate) close_until_us: u64,
    /// No renewal reaches beyond this.
    pub(crate) hold_until: Moment,
    pub(crate) incarnation: String,
    /// Whether the store gave only a claim window so far.
    pub(crate) unclaimed: bool,
    /// When it was granted.
    pub(crate) since: Moment,
    pub(crate) overdue: Overdue,
}

/// When a holder is to be warned of, and where in the program it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overdue {
    pub(crate) after: Option<Duration>,
    pub(crate) caller: &'static Location<'static>,
}

impl Deref for Held {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.grant
    }
}

impl Held {
    pub(crate) fn new(env: Env, grant: Grant, term: &Term) -> Arc<Self> {
        let held = Self {
            env,
            grant,
            deadline: AtomicU64::new(0),
            expires_us: AtomicU64::new(0),
            renewal: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            lost: watch::Sender::new(None),
        };
        held.extend(term);
        Arc::new(held)
    }

    /// Validity counts from the instant before the request was sent, less the margin: dated by receipt there would be
    /// two holders. Never beyond `max_hold`.
    pub(crate) fn extend(&self, term: &Term) {
        let remaining = Duration::from_micros(term.remaining_us);
        let deadline = (term.sent + remaining).minus(drift_margin(self.ttl));
        let deadline = deadline.min(self.hold_until);
        // A loss stays a loss: a renewal answered too late does not bring the lease back to a guard that said "lost".
        if self.cause().is_none() {
            self.deadline
                .fetch_max(deadline.as_nanos(), Ordering::AcqRel);
        }
        self.unanswered.store(false, Ordering::Release);
        let expires_us = term.store_us + term.remaining_us;
        self.expires_us.fetch_max(expires_us, Ordering::AcqRel);
    }

    pub(crate) fn deadline(&self) -> Moment {
        Moment::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    pub(crate) fn expires_us(&self) -> u64 {
        self.expires_us.load(Ordering::Acquire)
    }

    pub(crate) fn next_renewal(&self) -> u64 {
        self.renewal.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A renewal met no answer: if the lease ends before the next one does, that is why.
    pub(crate) fn miss_answer(&self) {
        self.unanswered.store(true, Ordering::Release);
    }

    /// The guard is gone: no renewal from now on.
    pub(crate) fn end(&self) {
        self.warn_if_overdue();
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Names, once, the line of the program that has held it for longer than its class says is right.
    pub(crate) fn warn_if_overdue(&self) {
        let held_for = self.env.now().since(self.since);
        let Some(limit) = self.overdue.after.filter(|limit| held_for >= *limit) else {
            return;
        };
        if !self.warned.swap(true, Ordering::Relaxed) {
            let caller = self.overdue.caller;
            tracing::warn!(name = %self.name, %caller, ?held_for, ?limit, "a lease is held for long");
        }
    }

    /// When the renewer is to look whether it is overdue.
    pub(crate) fn overdue_at(&self) -> Moment {
        match self.overdue.after {
            Some(limit) if !self.warned.load(Ordering::Relaxed) => self.since + limit,
            _ => Moment::NEVER,
        }
    }

    /// Says "lost", once; the first cause stays.
    pub(crate) fn lose(&self, cause: LostCause) {
        if self.is_ended() {
            return;
        }
        let first = self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            *lost = lost.or(Some(cause));
            first
        });
        if first {
            metrics::lost(self.name.class(), cause.as_str());
            tracing::warn!(name = %self.name, fence = %self.fence, %cause, "lease lost");
        }
    }

    fn cause(&self) -> Option<LostCause> {
        *self.lost.borrow()
    }

    /// Whether it is held now; notices its own expiry.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        let now = self.env.now();
        if self.cause().is_none() && now >= self.deadline() {
            self.lose(if now >= self.hold_until {
                LostCause::MaxHold
            } else if self.unanswered.load(Ordering::Acquire) {
                LostCause::Unreachable
            } else {
                LostCause::Expired
            });
        }
        match self.cause() {
            None if !self.is_ended() => Ok(()),
            cause => Err(self.lost_error(cause.unwrap_or(LostCause::Expired))),
        }
    }

    pub(crate) fn lost_error(&self, cause: LostCause) -> Lost {
        Lost::new(self.name.clone(), self.fence, cause)
    }

    /// Resolves once it is lost, at its deadline at the latest.
    pub(crate) async fn lost(&self) -> LostCause {
        let mut lost = self.lost.subscribe();
        loop {
            if let Err(error) = self.check() {
                return error.cause;
            }
            tokio::select! {
                biased;
                _ = lost.changed() => {}
                () = self.env.sleep_until(self.deadline()) => {}
            }
        }
    }
}
