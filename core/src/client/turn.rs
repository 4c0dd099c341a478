//! A turn: what one task holds, under the tenure that its client has of the store.

use std::panic::Location;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::line::After;
use super::{Cleanup, Core, Tenure};
use crate::env::Moment;
use crate::error::{Lost, LostCause};
use crate::fence::GrantId;
use crate::planted::{Bug, planted};

/// One task's hold.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) tenure: Arc<Tenure>,
    /// The number of its grant: the next of its tenure's block.
    pub(crate) grant_id: GrantId,
    pub(crate) since: Moment,
    /// It is lost then.
    pub(crate) hold_until: Moment,
    pub(crate) seat: Seat,
    ended: AtomicBool,
    warned: AtomicBool,
    lost: OnceLock<LostCause>,
}

/// Who takes a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) max_hold: Option<Duration>,
    pub(crate) overdue: Overdue,
    pub(crate) task: TaskId,
}

/// When a holder is to be warned of, and where in the program it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overdue {
    pub(crate) after: Option<Duration>,
    pub(crate) caller: &'static Location<'static>,
}

/// The task that asks; outside of one, its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TaskId {
    Task(tokio::task::Id),
    Thread(std::thread::ThreadId),
}

impl TaskId {
    pub(crate) fn current() -> Self {
        match tokio::task::try_id() {
            Some(id) => Self::Task(id),
            None => Self::Thread(std::thread::current().id()),
        }
    }
}

impl Turn {
    /// Begins one. `since` is when its lease began, or when it was handed on.
    pub(crate) fn begin(tenure: &Arc<Tenure>, number: u64, since: Moment, seat: Seat) -> Arc<Self> {
        let turn = Arc::new(Self {
            tenure: Arc::clone(tenure),
            grant_id: GrantId::new(number),
            since,
            hold_until: match seat.max_hold.filter(|_| !planted(Bug::NoMaxHold)) {
                Some(hold) => since + hold,
                None => Moment::NEVER,
            },
            seat,
            ended: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            lost: OnceLock::new(),
        });
        tenure.begin_turn(&turn);
        tenure.name.keys(tenure.mode()).held(1.0);
        turn
    }

    pub(crate) fn deadline(&self) -> Moment {
        self.tenure.deadline().min(self.hold_until)
    }

    /// The guard is gone. Whether it was there until now.
    pub(crate) fn end(&self) -> bool {
        // What has ended needs no look at the clock.
        !self.is_ended() && self.end_at(self.tenure.env.now())
    }

    /// The same, for who knows what time it is.
    pub(crate) fn end_at(&self, now: Moment) -> bool {
        if self.ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        let held_for = now.since(self.since);
        self.warn_if_over(held_for);
        let keys = self.tenure.name.keys(self.tenure.mode());
        keys.held(-1.0);
        keys.hold_ended(held_for);
        true
    }

    /// It was never anybody's: the one it was for had gone.
    pub(crate) fn withdraw(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.tenure.name.keys(self.tenure.mode()).held(-1.0);
            self.tenure.sharers.remove(self);
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn held_for(&self) -> Duration {
        self.tenure.env.now().since(self.since)
    }

    /// Names, once, the line of the program that has held it for longer than its class says is right.
    pub(crate) fn warn_if_overdue(&self) {
        self.warn_if_over(self.held_for());
    }

    fn warn_if_over(&self, held_for: Duration) {
        let Some(limit) = self.seat.overdue.after.filter(|limit| held_for >= *limit) else {
            return;
        };
        if !self.warned.swap(true, Ordering::Relaxed) {
            let (name, caller) = (&self.tenure.name, self.seat.overdue.caller);
            tracing::warn!(%name, %caller, ?held_for, ?limit, "a lease is held for long");
        }
    }

    /// When the renewer is to look whether it is overdue, or over.
    pub(crate) fn look_at(&self) -> Moment {
        match self.seat.overdue.after {
            Some(limit) if !self.warned.load(Ordering::Relaxed) => {
                self.hold_until.min(self.since + limit)
            }
            _ => self.hold_until,
        }
    }

    /// Whether it is held now; notices its own expiry. A loss stays a loss.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        self.check_at(self.tenure.env.now())
    }

    /// The same, for who knows what time it is.
    pub(crate) fn check_at(&self, now: Moment) -> Result<(), Lost> {
        if planted(Bug::LossIsForgotten) && now < self.hold_until {
            return self
                .tenure
                .check_at(now)
                .map_err(|cause| self.lost_error(cause));
        }
        if self.lost.get().is_none() {
            match self.tenure.check_at(now) {
                Err(cause) => {
                    let _ = self.lost.set(cause);
                }
                Ok(()) if !self.is_ended() && now >= self.hold_until => {
                    let _ = self.lost.set(LostCause::MaxHold);
                    self.tenure.lose_to(self);
                }
                Ok(()) => {}
            }
        }
        match self.lost.get() {
            None if !self.is_ended() => Ok(()),
            cause => Err(self.lost_error(cause.copied().unwrap_or(LostCause::Expired))),
        }
    }

    pub(crate) fn lost_error(&self, cause: LostCause) -> Lost {
        let is_exclusive = !self.tenure.is_shared();
        Lost::new(self.tenure.name.clone(), self.grant_id, is_exclusive, cause)
    }

    /// Resolves once it is lost, at its deadline at the latest.
    pub(crate) async fn lost(&self) -> LostCause {
        loop {
            let changed = self.tenure.changed();
            if let Err(error) = self.check() {
                return error.cause;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.tenure.env.sleep_until(self.deadline()) => {}
            }
        }
    }
}

/// A turn on its way to its guard, and in it: dropped, it ends, and the next in the line is served.
#[derive(Debug)]
pub(crate) struct Holding {
    core: Arc<Core>,
    turn: Arc<Turn>,
}

impl Holding {
    pub(crate) fn new(core: &Arc<Core>, turn: Arc<Turn>) -> Self {
        Self {
            core: Arc::clone(core),
            turn,
        }
    }
}

impl std::ops::Deref for Holding {
    type Target = Arc<Turn>;

    fn deref(&self) -> &Arc<Turn> {
        &self.turn
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // A released one has ended already; this neither blocks nor panics, on or off a runtime.
        if planted(Bug::DropReleasesNothing) {
            return;
        }
        if !self.turn.end() {
            return;
        }
        // Before it leaves: a cleaner that finds nobody there would end.
        let _departing = self.core.depart();
        if self.turn.tenure.pool.is_some() {
            if let Some(pool) = self.turn.tenure.pool() {
                pool.leave(&self.core, &self.turn);
                pool.proceed(&self.core);
            }
            return;
        }
        if self.core.lines.leave(&self.core, &self.turn, false) == After::Release {
            let cleanup = Cleanup::of(&self.core, &self.turn.tenure);
            self.core.clean_up(cleanup);
        }
    }
}
