//! A pool: the permits that this client has of one resource, and the tasks that wait for some.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::flight::Flight;
use super::units::{Units, Visit};
use super::wait::Want;
use crate::client::acquire::Ask;
use crate::client::attempt::Attempt;
use crate::client::line::Mode;
use crate::client::tenure::{Grant, Term};
use crate::client::turn::{Holding, Seat, Turn};
use crate::client::{Core, Tenure};
use crate::env::Moment;
use crate::error::{Error, LostCause, TooHeavy};
use crate::metrics;
use crate::name::ResourceName;
use crate::protocol::{Capacity, Weight};

/// So many blocks of numbers are kept: each that is granted brings one.
const MOST_BLOCKS: usize = 4;

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
    /// When others were last known to wait elsewhere.
    contended_at: AtomicU64,
    /// When others were said to begin to wait elsewhere, and who waited here then.
    told: Mutex<Visit>,
}

/// How it stands.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is so or not, whatever the others are"
)]
pub(super) struct State {
    /// The entry that holds.
    pub(super) base: Option<Base>,
    /// What it holds and nobody here has.
    pub(super) free: Units,
    /// What each guard has, by the number of its grant.
    pub(super) issued: BTreeMap<u64, Units>,
    /// Numbers for further grants: blocks, from the next to the last one.
    numbers: VecDeque<(u64, u64)>,
    /// The entry that asks or waits.
    pub(super) asking: Option<Asking>,
    pub(super) waiters: BTreeMap<u64, Waiter>,
    /// How much there is in all, as far as is known here.
    pub(super) capacity: Capacity,
    /// What was last said to the store of that.
    pub(super) announced: Option<Capacity>,
    /// There is less than there was: until the store has granted something, nothing is passed on here.
    pub(super) drains: bool,
    /// There was no room for more.
    pub(super) is_crowded: bool,
    /// Who waits to hear that what he gave back has arrived.
    pub(super) returning: Vec<oneshot::Sender<Ended>>,
    /// A request is under way.
    pub(super) is_flying: bool,
    /// One whose sender went away, or that was not answered.
    pub(super) stranded: Option<Box<Flight>>,
    /// Nothing is sent before that.
    pub(super) pause_until: Moment,
    /// A task of the background watches over it.
    pub(super) is_driven: bool,
    /// It was taken out of the client's pools.
    pub(super) is_over: bool,
}

/// The entry that holds.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) tenure: Arc<Tenure>,
    /// What it surely holds at the store.
    pub(super) weight: u32,
    /// Counts the changes of its weight.
    pub(super) change: u64,
}

/// The entry that asks.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) attempt: Attempt,
    pub(super) ask: Ask,
    pub(super) units: u32,
    pub(super) stand: Stand,
}

/// How it stands at the store.
#[derive(Debug)]
pub(super) enum Stand {
    /// To be asked. `wait`: to stand in the queue if it can't be had.
    Unasked { wait: bool },
    /// In the queue: to be asked again then.
    Queued { again: Moment },
    /// It holds.
    Granted {
        block: (u64, u64),
        claimed: bool,
        contended: bool,
        term: Term,
    },
}

/// A task that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) to: oneshot::Sender<Call>,
    pub(super) units: u32,
    pub(super) seat: Seat,
    /// Until when it waits; `None` for one that would not.
    pub(super) until: Option<Moment>,
    /// The store was asked for it, and has no room.
    pub(super) was_refused: bool,
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
            state: Mutex::new(State {
                base: None,
                free: Units::default(),
                issued: BTreeMap::new(),
                numbers: VecDeque::new(),
                asking: None,
                waiters: BTreeMap::new(),
                capacity: want.capacity,
                announced: None,
                drains: false,
                is_crowded: false,
                returning: Vec::new(),
                is_flying: false,
                stranded: None,
                pause_until: Moment::default(),
                is_driven: false,
                is_over: false,
            }),
            wake: Notify::new(),
            arrivals: AtomicU64::new(0),
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
            arrivals: self.arrivals.load(Ordering::Relaxed),
        }
    }

    /// Others begin to wait elsewhere, just now: those who wait here came before them. Not so if nobody did for a moment
    /// only: else no visit would end among those who come and go.
    pub(in crate::client) fn tell(&self, now: Moment) {
        if !self.was_contended(now) {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = self.visit(now);
        }
    }

    /// Whether others waited elsewhere just now.
    fn was_contended(&self, now: Moment) -> bool {
        let last = Moment::from_nanos(self.contended_at.load(Ordering::Relaxed));
        now.since(last) < CALM
    }

    fn told(&self) -> Visit {
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

impl State {
    /// How much the guards have.
    pub(super) fn in_use(&self) -> u32 {
        self.issued.values().map(Units::count).sum()
    }

    /// Whether anything is to be asked of the store, or to be watched for.
    pub(super) fn has_work(&self) -> bool {
        let is_unused = self.base.is_some() && self.issued.is_empty();
        let has_news = self.base.is_some() && self.announced != Some(self.capacity);
        !self.is_over
            && (self.stranded.is_some()
                || self.asking.is_some()
                || !self.waiters.is_empty()
                || self.free.count() > 0
                || is_unused
                || has_news)
    }

    /// Whether nothing is left.
    pub(super) fn is_idle(&self) -> bool {
        self.base.is_none() && !self.is_flying && !self.has_work()
    }

    /// What is known of the capacity, anew.
    pub(super) fn take_in(&mut self, pool: &Pool, capacity: Capacity) {
        let before = self.capacity;
        self.capacity = before.or(capacity);
        if self.capacity.size >= before.size {
            return;
        }
        // Below what is in use, nothing is taken away: what comes back goes to the store, which knows what others have.
        self.drains = self.base.is_some();
        let size = self.capacity.size;
        let too_heavy: Vec<_> = (self.waiters.iter())
            .filter(|(_, waiter)| waiter.units > size)
            .map(|(id, _)| *id)
            .collect();
        for id in too_heavy {
            self.refuse_too_heavy(pool, id, size);
        }
    }

    /// A waiter that asks for more than there is.
    pub(super) fn refuse_too_heavy(&mut self, pool: &Pool, id: u64, size: u32) {
        if let Some(waiter) = self.waiters.remove(&id) {
            let error = TooHeavy::new(pool.name().clone(), weight(waiter.units), size);
            let _gone = waiter.to.send(Call::Refused(error.into()));
        }
    }

    /// The first who waits still.
    pub(super) fn head(&mut self) -> Option<(u64, &mut Waiter)> {
        while let Some((id, waiter)) = self.waiters.first_key_value() {
            if !waiter.to.is_closed() {
                break;
            }
            let id = *id;
            self.waiters.remove(&id);
        }
        let first = self.waiters.iter_mut().next();
        first.map(|(id, waiter)| (*id, waiter))
    }

    /// Whether others wait elsewhere.
    pub(super) fn is_contended(&self) -> bool {
        (self.base.as_ref()).is_some_and(|base| base.tenure.is_contended())
    }

    /// Whether its entry has time left that is worth to be passed on.
    fn is_fresh(&self, now: Moment) -> bool {
        let Some(base) = &self.base else {
            return false;
        };
        let tenure = &base.tenure;
        let left = tenure.deadline().since(now);
        tenure.check_at(now).is_ok() && tenure.revocation().is_none() && left >= tenure.term() / 2
    }

    /// Gives those who wait what they may have of what is here, in the order they came.
    /// Answers how many it served.
    pub(super) fn serve(&mut self, core: &Arc<Core>, pool: &Arc<Pool>, now: Moment) -> usize {
        let mut served = 0;
        if self.drains || self.free.count() == 0 || !self.is_fresh(now) {
            return served;
        }
        let contended = self.is_contended().then(|| pool.told());
        if contended.is_some() {
            pool.contended_at.store(now.as_nanos(), Ordering::Relaxed);
        }
        let keeps_visits = pool.was_contended(now);
        let size = self.capacity.size;
        let mut in_use = self.in_use();
        while let Some((id, head)) = self.head() {
            let wants = head.units;
            if in_use.saturating_add(wants) > size {
                return served;
            }
            let is_open = |visit: Visit| {
                contended.is_none_or(|contended| visit.is_open_to(id, now, contended))
            };
            let Some(number) = self.next_number() else {
                return served;
            };
            let (Some(units), Some(base)) = (self.free.take(wants, is_open), &self.base) else {
                self.numbers.push_front((number, number));
                return served;
            };
            let Some(waiter) = self.waiters.remove(&id) else {
                return served;
            };
            let turn = Turn::begin(&base.tenure, number, now, waiter.seat);
            let holding = Holding::new(core, Arc::clone(&turn));
            match waiter.to.send(Call::Served(holding)) {
                Ok(()) => {
                    if turn.look_at() < now + pool.key.1 / 3 {
                        core.renewals.look_at(base.tenure.rid, turn.look_at());
                    }
                    metrics::permits_in_use(pool.name(), f64::from(wants));
                    let units = if keeps_visits {
                        units
                    } else {
                        // Should others come, they serve those who wait now.
                        Units::new(pool.visit(now), wants)
                    };
                    self.issued.insert(number, units);
                    in_use += wants;
                    served += 1;
                }
                Err(_unheard) => {
                    turn.withdraw();
                    self.free.put(units);
                }
            }
        }
        served
    }

    /// A number that no other grant has.
    fn next_number(&mut self) -> Option<u64> {
        let (next, end) = self.numbers.front_mut()?;
        let number = *next;
        *next += 1;
        if *next > *end {
            self.numbers.pop_front();
        }
        Some(number)
    }

    pub(super) fn has_numbers(&self) -> bool {
        !self.numbers.is_empty()
    }

    pub(super) fn add_numbers(&mut self, block: (u64, u64)) {
        if self.numbers.len() >= MOST_BLOCKS {
            self.numbers.pop_front();
        }
        self.numbers.push_back(block);
    }

    /// What a guard had is free again. Not so if it was lost with its entry, or by itself.
    fn take_back(&mut self, turn: &Turn) -> bool {
        let is_of = |base: &Base| Arc::ptr_eq(&base.tenure, &turn.tenure);
        if !self.base.as_ref().is_some_and(is_of) {
            return false;
        }
        let Some(units) = self.issued.remove(&turn.grant_id.get()) else {
            return false;
        };
        turn.tenure.sharers.remove(turn);
        metrics::permits_in_use(&turn.tenure.name, -f64::from(units.count()));
        self.free.put(units);
        true
    }

    /// What was asked for holds: it is the entry from now on.
    pub(super) fn adopt(&mut self, core: &Arc<Core>, pool: &Arc<Pool>, now: Moment) {
        let is_granted = |asking: &mut Asking| matches!(asking.stand, Stand::Granted { .. });
        let Some(asking) = self.asking.take_if(is_granted) else {
            return;
        };
        let Stand::Granted {
            block,
            claimed,
            contended,
            term,
        } = asking.stand
        else {
            return;
        };
        let attempt = asking.attempt;
        core.saw(block.1);
        let grant = Grant {
            name: pool.name().clone(),
            rid: attempt.rid,
            weight: asking.ask.weight,
            end: block.1,
            ttl: pool.key.1,
            close_until_us: attempt.close_until_us(),
            asked_until: attempt.until(),
            members: core.members(),
            line: None,
            pool: Some(Arc::downgrade(pool)),
        };
        let tenure = Tenure::new(core.env.clone(), grant, &term, claimed);
        if contended {
            tenure.contend();
        }
        self.announced = Some(asking.ask.capacity);
        self.numbers.clear();
        self.numbers.push_back(block);
        self.free = Units::new(pool.visit(now), asking.units);
        self.granted();
        core.keep_alive(&tenure, now);
        self.base = Some(Base {
            tenure,
            weight: asking.units,
            change: 0,
        });
    }

    /// The store has granted something: there is room, of what it takes the capacity to be.
    pub(super) fn granted(&mut self) {
        self.is_crowded = false;
        if self.announced == Some(self.capacity) {
            self.drains = false;
        }
    }

    /// It holds nothing any more. Who has a guard of it is told by his guard.
    pub(super) fn lose_base(&mut self, core: &Arc<Core>) {
        let Some(base) = self.base.take() else {
            return;
        };
        let in_use = self.in_use();
        let name = &base.tenure.name;
        let cause = base.tenure.cause().unwrap_or(LostCause::Expired);
        metrics::permits_in_use(name, -f64::from(in_use));
        metrics::permits_lost(name.class(), in_use, cause.as_str());
        self.forget_base();
        // The renewer ends it at the store.
        core.renewals.look_at(base.tenure.rid, core.env.now());
    }

    /// Nothing of it counts any more.
    pub(super) fn forget_base(&mut self) {
        self.base = None;
        self.free.clear();
        self.issued.clear();
        self.numbers.clear();
        self.drains = false;
        if let Some(asking) = &mut self.asking
            && let Stand::Granted { term, .. } = &asking.stand
        {
            // What was to become a part is to stand for itself: it is dated by an answer.
            let again = term.sent;
            asking.stand = Stand::Queued { again };
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
        let was_waiting = self.pool.state().waiters.remove(&self.id).is_some();
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
