//! A pool: the permits that this client has of one resource, and the tasks that wait for some.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::state::{State, Waiter};
use super::units::{Units, Visit};
use super::wait::Want;
use crate::client::acquire::Ask;
use crate::client::line::Mode;
use crate::client::turn::{Holding, Seat, Turn};
use crate::client::{Core, Tenure};
use crate::env::Moment;
use crate::error::{Error, LostCause, TooHeavy};
use crate::metrics;
use crate::name::ResourceName;
use crate::protocol::{Capacity, Weight};

/// So long nobody else must have waited for visits to begin anew.
const CALM: Duration = Duration::from_millis(100);

/// What tells pools apart: those who ask for one TTL share an entry of it.
pub(super) type Key = (ResourceName, Duration);

/// The permits of one client and resource.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) core: Weak<Core>,
    pub(super) key: Key,
    label: Arc<str>,
    state: Mutex<State>,
    /// Its driver is to look again.
    pub(super) wake: Notify,
    arrivals: AtomicU64,
    /// How many tasks wait, as was last seen.
    waiting: AtomicUsize,
    /// When others were last known to wait elsewhere.
    contended_at: AtomicU64,
    /// When others were said to begin to wait elsewhere, and who waited here then.
    told: Mutex<Visit>,
}

/// What a waiter is called for.
#[derive(Debug)]
pub(super) enum Call {
    /// It has its permits.
    Served(Holding),
    /// It will not get them.
    Refused(Error),
    /// There is nothing for it, and it would not wait.
    Full,
}

/// What became of what was given back.
#[derive(Debug)]
pub(in crate::client) enum Ended {
    /// It was held until now.
    Held,
    /// The entry was not there. `first`: no copy of the request can have ended it before.
    Absent { first: bool, in_time: bool },
    /// The store refused.
    Failed(Error),
}

/// How a task comes in.
#[derive(Debug)]
pub(super) enum Entry {
    Served(Holding),
    Waiting(Spot),
    /// Others wait before it, and it would not.
    Full,
    TooHeavy(TooHeavy),
}

impl Pool {
    pub(super) fn new(core: &Arc<Core>, key: Key, want: &Want) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::downgrade(core),
            key,
            label: want.label.clone(),
            state: Mutex::new(State::new(want.capacity)),
            wake: Notify::new(),
            arrivals: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            contended_at: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &ResourceName {
        &self.key.0
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A visit that begins now.
    pub(super) fn visit(&self, now: Moment) -> Visit {
        Visit {
            began: now,
            left: self.waiting.load(Ordering::Relaxed),
        }
    }

    pub(super) fn note_waiting(&self, waiting: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Others begin to wait elsewhere, just now: those who wait here came before them. Not so if nobody did for a moment
    /// only: else no visit would end among those who come and go.
    pub(in crate::client) fn tell(&self, now: Moment) {
        if !self.was_contended(now) {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = self.visit(now);
        }
    }

    pub(super) fn note_contended(&self, now: Moment) {
        self.contended_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Whether others waited elsewhere just now.
    pub(super) fn was_contended(&self, now: Moment) -> bool {
        let last = Moment::from_nanos(self.contended_at.load(Ordering::Relaxed));
        now.since(last) < CALM
    }

    pub(super) fn told(&self) -> Visit {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the pool asks the store for on behalf of those who wait here.
    pub(super) fn ask(&self, units: u32, wait: Duration, seat: Seat, capacity: Capacity) -> Ask {
        Ask {
            name: self.name().clone(),
            weight: weight(units),
            capacity,
            ttl: self.key.1,
            wait: Some(wait),
            label: self.label.clone(),
            strict: false,
            seat,
            may_relock: true,
        }
    }

    /// Takes permits if there are some for it here, or a place in the line.
    /// `None` if it is over: there is another one, or is to be.
    pub(super) fn enter(
        self: &Arc<Self>,
        core: &Arc<Core>,
        want: &Want,
        until: Moment,
    ) -> Option<Entry> {
        let now = core.env.now();
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        state.take_in(self, want.capacity);
        let capacity = state.capacity.size;
        if want.units > capacity {
            let name = self.name().clone();
            let error = TooHeavy::new(name, weight(want.units), capacity);
            return Some(Entry::TooHeavy(error));
        }
        let waits = want.wait.is_some();
        if !waits && state.waiters.values().any(|w| w.until.is_some()) {
            return Some(Entry::Full);
        }
        let (to, called) = oneshot::channel();
        let id = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let waiter = Waiter {
            to,
            units: want.units,
            seat: want.seat,
            until: waits.then_some(until),
            was_refused: false,
        };
        state.waiters.insert(id, waiter);
        self.note_waiting(state.waiters.len());
        metrics::permits_waiting(self.name(), f64::from(want.units));
        self.name().keys(Mode::Permits).waiting(1.0);
        let mut spot = Spot {
            pool: Arc::clone(self),
            id,
            units: want.units,
            called,
        };
        state.serve(core, self, now);
        drop(state);
        Some(match spot.called_by_now() {
            Some(Call::Served(holding)) => {
                self.name().keys(Mode::Permits).local_turn();
                Entry::Served(holding)
            }
            _ => Entry::Waiting(spot),
        })
    }

    /// A guard has ended: what it had goes on. Answers where to hear that it has arrived at the store, if it goes there.
    pub(in crate::client) fn leave(
        self: &Arc<Self>,
        core: &Arc<Core>,
        turn: &Turn,
    ) -> Option<oneshot::Receiver<Ended>> {
        let mut state = self.state();
        if !state.take_back(turn) {
            return None;
        }
        for _ in 0..state.serve(core, self, core.env.now()) {
            self.name().keys(Mode::Permits).local_turn();
        }
        if state.free.count() == 0 {
            return None;
        }
        let (told, told_by) = oneshot::channel();
        state.returning.push(told);
        Some(told_by)
    }

    /// A guard outstays its time, and is lost by itself: the others go on.
    pub(in crate::client) fn outstayed(self: &Arc<Self>, turn: &Turn) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let mut state = self.state();
        let units = state.issued.get(&turn.grant_id.get()).map(Units::count);
        if !state.take_back(turn) {
            return;
        }
        state.serve(&core, self, core.env.now());
        drop(state);
        let (name, cause) = (self.name(), LostCause::MaxHold);
        metrics::lost(name.class(), Mode::Permits, cause.as_str());
        metrics::permits_lost(name.class(), units.unwrap_or(0), cause.as_str());
        tracing::warn!(%name, grant_id = %turn.grant_id, %cause, "a permit is lost");
        self.proceed(&core);
    }

    /// Its entry is lost, and with it what all guards have.
    pub(in crate::client) fn lose(self: &Arc<Self>, core: &Arc<Core>, tenure: &Arc<Tenure>) {
        let mut state = self.state();
        if !(state.base.as_ref()).is_some_and(|base| Arc::ptr_eq(&base.tenure, tenure)) {
            return;
        }
        state.lose_base(core);
        drop(state);
        self.proceed(core);
    }

    /// Its entry was renewed: those who waited for that go on.
    pub(in crate::client) fn renewed(self: &Arc<Self>, core: &Arc<Core>) {
        self.state().serve(core, self, core.env.now());
        self.proceed(core);
    }

    /// Sees to it that somebody does what is to be done next; or that nothing is left of it.
    pub(in crate::client) fn proceed(self: &Arc<Self>, core: &Arc<Core>) {
        let mut state = self.state();
        if state.is_flying {
            // Who flies comes by here.
            return;
        }
        if !state.has_work() {
            let is_idle = state.base.is_none() && !state.is_over;
            drop(state);
            if is_idle {
                core.pools.tidy(self);
            }
            return;
        }
        if state.is_driven {
            drop(state);
            self.wake.notify_one();
            return;
        }
        state.is_driven = true;
        drop(state);
        core.pools.drive(core, self);
    }

    /// The client stops: what may be left at the store is the cleaner's.
    pub(super) fn abandon(&self, core: &Arc<Core>) {
        let mut state = self.state();
        state.is_over = true;
        if let Some(base) = &state.base {
            base.tenure.lose(LostCause::ShutDown);
        }
        let waiters = std::mem::take(&mut state.waiters);
        let asking = state.asking.take();
        let stranded = state.stranded.take();
        state.lose_base(core);
        drop(state);
        // Called by nobody, they are told of the shutdown.
        drop(waiters);
        if let Some(asking) = asking.filter(|asking| asking.attempt.was_sent()) {
            core.clean_up(asking.attempt.cleanup());
        }
        if let Some(stranded) = stranded {
            stranded.clean_up(core);
        }
    }
}

/// A place in the line.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) pool: Arc<Pool>,
    id: u64,
    units: u32,
    called: oneshot::Receiver<Call>,
}

impl Spot {
    /// Waits to be called. `None` if the client stops.
    pub(super) async fn called(&mut self) -> Option<Call> {
        (&mut self.called).await.ok()
    }

    /// The call that came by now.
    pub(super) fn called_by_now(&mut self) -> Option<Call> {
        self.called.try_recv().ok()
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let was_waiting = state.waiters.remove(&self.id).is_some();
        self.pool.note_waiting(state.waiters.len());
        drop(state);
        metrics::permits_waiting(self.pool.name(), -f64::from(self.units));
        self.pool.name().keys(Mode::Permits).waiting(-1.0);
        // Permits that came unheard end with the channel. Who comes next may be served by what is here.
        if was_waiting && let Some(core) = self.pool.core.upgrade() {
            let now = core.env.now();
            self.pool.state().serve(&core, &self.pool, now);
            self.pool.proceed(&core);
        }
    }
}

/// So many units; at least one.
pub(super) fn weight(units: u32) -> Weight {
    match std::num::NonZeroU32::new(units) {
        Some(units) => Weight::Units(units),
        None => Weight::ONE,
    }
}
