//! A tenure: what one grant of the store gives to this client. The tasks that take turns under it come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::drift_margin;
use super::line::{Line, Mode};
use super::permits::Pool;
use super::share::Sharers;
use super::turn::{TaskId, Turn};
use crate::env::{Env, Moment};
use crate::error::LostCause;
use crate::metrics;
use crate::name::ResourceName;
use crate::planted::{Bug, planted};
use crate::protocol::{CLAIM_WINDOW_US, Revoked, Rid, Weight};
use crate::store::Membership;

const CLAIM_WINDOW: Duration = Duration::from_micros(CLAIM_WINDOW_US);

/// Shared by the turn that is being taken, the local line and the renewer.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) env: Env,
    grant: Grant,
    deadline: AtomicU64,
    /// The lease's end in the store's time, for a release that was sent twice.
    expires_us: AtomicU64,
    renewal: AtomicU64,
    /// The turn that is being taken, if it is exclusive.
    turn: Mutex<Weak<Turn>>,
    /// Those that are being taken, if it is shared.
    pub(super) sharers: Sharers,
    /// Pushes for it were asked for.
    hears: AtomicBool,
    /// The last fence that was given to a turn.
    used: AtomicU64,
    claimed: AtomicBool,
    ended: AtomicBool,
    /// The latest renewal was not answered.
    unanswered: AtomicBool,
    lost: OnceLock<LostCause>,
    contended: AtomicBool,
    /// How often that was said.
    contentions: AtomicU64,
    revoked: OnceLock<Revocation>,
    /// When a revoked holder's grace is over.
    revoked_until: AtomicU64,
    /// It was lost, contended or revoked. (A `watch` channel would be an allocation for each grant.)
    changed: Notify,
}

/// A holder was told to go; the first time, if it was told so again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// Why, in the words of who did it.
    pub reason: String,
    /// How long the holder may go on from when it heard.
    pub grace: Duration,
}

/// What a grant or renewal said of its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    /// When the request was sent that was answered, or an instant no later than the push's grant.
    pub(crate) sent: Moment,
    /// The store's time of the answer.
    pub(crate) store_us: u64,
    /// How long the lease lasts from there.
    pub(crate) remaining_us: u64,
}

impl Term {
    /// Validity counts from the instant before the request was sent, less the margin: dated by receipt there would be
    /// two holders.
    pub(crate) fn deadline(&self) -> Moment {
        let remaining = Duration::from_micros(self.remaining_us);
        (self.sent + remaining).minus(drift_margin(remaining))
    }

    /// Whether nothing beyond the margin is left of it.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        now >= self.deadline() && !planted(Bug::OverIsTaken)
    }
}

/// What never changes of a tenure.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: ResourceName,
    pub(crate) rid: Rid,
    pub(crate) weight: Weight,
    /// The last number of its block.
    pub(crate) end: u64,
    pub(crate) ttl: Duration,
    /// Until when the acquire is to be remembered as ended; 0 if no copy of it can be under way.
    pub(crate) close_until_us: u64,
    /// Until when the store keeps its place in the queue: it has one again if the grant is not claimed.
    pub(crate) asked_until: Moment,
    /// Who was there when it was granted, in which incarnation of the store.
    pub(crate) members: Arc<Membership>,
    /// Who takes turns under it; `None` for a try beside the line.
    pub(crate) line: Option<Line>,
    /// Whose permits it has; `None` if it is no semaphore's.
    pub(crate) pool: Option<Weak<Pool>>,
}

impl std::ops::Deref for Tenure {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.grant
    }
}

impl Tenure {
    pub(crate) fn new(env: Env, grant: Grant, term: &Term, claimed: bool) -> Arc<Self> {
        let tenure = Arc::new(Self {
            env,
            grant,
            deadline: AtomicU64::new(0),
            expires_us: AtomicU64::new(0),
            renewal: AtomicU64::new(0),
            turn: Mutex::default(),
            sharers: Sharers::default(),
            hears: AtomicBool::new(false),
            used: AtomicU64::new(0),
            claimed: AtomicBool::new(claimed),
            ended: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            lost: OnceLock::new(),
            contended: AtomicBool::new(false),
            contentions: AtomicU64::new(0),
            revoked: OnceLock::new(),
            revoked_until: AtomicU64::new(Moment::NEVER.as_nanos()),
            changed: Notify::new(),
        });
        tenure.extend(term);
        tenure
    }

    /// A renewal or confirmation was answered.
    pub(crate) fn extend(&self, term: &Term) {
        // A loss stays a loss: an answer that comes too late does not bring the lease back to a guard that said "lost".
        if self.cause().is_none() {
            let deadline = term.deadline().as_nanos();
            self.deadline.fetch_max(deadline, Ordering::AcqRel);
        }
        self.unanswered.store(false, Ordering::Release);
        let expires_us = term.store_us.saturating_add(term.remaining_us);
        self.expires_us.fetch_max(expires_us, Ordering::AcqRel);
    }

    /// Until when it surely lasts.
    pub(crate) fn deadline(&self) -> Moment {
        let deadline = self.deadline.load(Ordering::Acquire);
        let revoked_until = self.revoked_until.load(Ordering::Acquire);
        Moment::from_nanos(deadline.min(revoked_until))
    }

    pub(crate) fn expires_us(&self) -> u64 {
        self.expires_us.load(Ordering::Acquire)
    }

    pub(crate) fn next_renewal(&self) -> u64 {
        self.renewal.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The full TTL is claimed.
    pub(crate) fn claim(&self) {
        self.claimed.store(true, Ordering::Release);
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// What it has at most without another renewal: the TTL, or the claim window.
    pub(crate) fn term(&self) -> Duration {
        if self.is_claimed() {
            self.ttl
        } else {
            self.ttl.min(CLAIM_WINDOW)
        }
    }

    /// A turn begins.
    pub(crate) fn begin_turn(&self, turn: &Arc<Turn>) {
        self.used.fetch_max(turn.grant_id.get(), Ordering::AcqRel);
        if self.is_shared() {
            self.sharers.add(turn);
            return;
        }
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(turn);
    }

    fn turn(&self) -> Option<Arc<Turn>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.upgrade().filter(|turn| !turn.is_ended())
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.pool {
            Some(_) => Mode::Permits,
            None => Mode::of(self.weight),
        }
    }

    /// The pool whose entry it is, while that is there.
    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.as_ref().and_then(Weak::upgrade)
    }

    /// Whether several turns are taken under it, side by side.
    pub(crate) fn is_shared(&self) -> bool {
        self.mode() != Mode::Exclusive
    }

    /// Whether pushes for it are to be asked for: the first time.
    pub(super) fn hears_first(&self) -> bool {
        !self.hears.swap(true, Ordering::AcqRel)
    }

    /// The turn that this task takes under it.
    pub(super) fn turn_of(&self, task: TaskId) -> Option<Arc<Turn>> {
        let is_its = |turn: &Arc<Turn>| turn.seat.task == task && turn.check().is_ok();
        if self.is_shared() {
            self.sharers.turns().into_iter().find(is_its)
        } else {
            self.turn().filter(is_its)
        }
    }

    /// Its turn outstays its time: the line may go on without it. Not so if that turn has ended meanwhile, and the next
    /// one has begun; nor while others share it.
    pub(crate) fn lose_to(&self, turn: &Turn) {
        if self.pool.is_some() {
            if let Some(pool) = self.pool() {
                pool.outstayed(turn);
            }
            return;
        }
        if self.is_shared() {
            self.sharers.outstayed(self, turn);
            return;
        }
        let current = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = std::ptr::eq(current.as_ptr(), turn);
        if is_current && !turn.is_ended() {
            self.lose(LostCause::MaxHold);
        }
    }

    /// The last fence that was given to a turn.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// When its turn is to be looked at: to be warned of, or to end.
    pub(crate) fn look_at(&self) -> Moment {
        if self.is_shared() {
            let turns = self.sharers.turns();
            let looks = turns.iter().map(|turn| turn.look_at());
            return looks.min().unwrap_or(Moment::NEVER);
        }
        self.turn().map_or(Moment::NEVER, |turn| turn.look_at())
    }

    /// Warns of its turn, or loses it, if it is time.
    pub(crate) fn look(&self, now: Moment) {
        let warn_or_lose = |turn: Arc<Turn>| {
            if turn.look_at() <= now {
                turn.warn_if_overdue();
                // It says by itself why.
                drop(turn.check());
            }
        };
        if self.is_shared() {
            self.sharers.turns().into_iter().for_each(warn_or_lose);
        } else if let Some(turn) = self.turn() {
            warn_or_lose(turn);
        }
    }

    /// A renewal met no answer: if the lease ends before the next one does, that is why.
    pub(crate) fn miss_answer(&self) {
        self.unanswered.store(true, Ordering::Release);
    }

    /// Its end is on its way to the store: no renewal and no further turn from now on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Says "lost", once; the first cause stays.
    pub(crate) fn lose(&self, cause: LostCause) {
        if self.is_ended() || planted(Bug::LossIsForgotten) {
            return;
        }
        if self.lost.set(cause).is_ok() {
            self.changed.notify_waiters();
            metrics::lost(self.name.class(), self.mode(), cause.as_str());
            tracing::warn!(name = %self.name, fence = self.used(), %cause, "lease lost");
        }
    }

    pub(crate) fn cause(&self) -> Option<LostCause> {
        self.lost.get().copied()
    }

    /// Whether it lasts; notices its own expiry.
    pub(crate) fn check(&self) -> Result<(), LostCause> {
        self.check_at(self.env.now())
    }

    /// The same, for who knows what time it is.
    pub(crate) fn check_at(&self, now: Moment) -> Result<(), LostCause> {
        let is_over = now >= self.deadline();
        if is_over && self.cause().is_none() {
            self.lose(if self.revoked.get().is_some() {
                LostCause::Revoked
            } else if self.unanswered.load(Ordering::Acquire) {
                LostCause::Unreachable
            } else {
                LostCause::Expired
            });
        }
        match self.cause() {
            Some(cause) => Err(cause),
            // Ended, and so not to be lost any more: its time may be over all the same.
            None if is_over => Err(LostCause::Expired),
            None => Ok(()),
        }
    }

    /// Someone waits for it.
    pub(crate) fn contend(&self) {
        self.contentions.fetch_add(1, Ordering::AcqRel);
        if !self.contended.swap(true, Ordering::AcqRel) {
            self.changed.notify_waiters();
        }
    }

    /// How often somebody was said to wait.
    pub(super) fn contentions(&self) -> u64 {
        self.contentions.load(Ordering::Acquire)
    }

    /// Nobody waits any more, says an answer to what was asked after so many times.
    pub(super) fn calm(&self, contentions: u64) {
        if self.contentions() == contentions {
            self.contended.store(false, Ordering::Release);
            if self.contentions() != contentions {
                self.contended.store(true, Ordering::Release);
            }
        }
    }

    /// It is to go: the grace counts from now. A later, shorter one counts, too.
    pub(crate) fn revoke(&self, revoked: Revoked) {
        if planted(Bug::RevocationUnheard) {
            return;
        }
        let Revoked { grace_us, reason } = revoked;
        let grace = Duration::from_micros(grace_us);
        let until = self.env.now() + grace;
        let before = self
            .revoked_until
            .fetch_min(until.as_nanos(), Ordering::AcqRel);
        let name = &self.name;
        let revocation = Revocation { reason, grace };
        if before > until.as_nanos() {
            tracing::warn!(%name, reason = revocation.reason, ?grace, "lease revoked");
        }
        // Known before it is said.
        if self.revoked.set(revocation).is_ok() {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn revocation(&self) -> Option<&Revocation> {
        self.revoked.get()
    }

    pub(crate) fn is_contended(&self) -> bool {
        self.contended.load(Ordering::Acquire)
    }

    /// Whether who would share has to wait for its end: a share is in the way only of those that others wait before.
    pub(super) fn holds_up_sharers(&self) -> bool {
        !self.is_shared() || self.is_contended()
    }

    /// Resolves once it is lost, contended or revoked after this call: so look at it between this and the await.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
