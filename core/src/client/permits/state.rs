//! How a pool stands: what its client holds, what the guards have of that, who waits, and what is under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::flight::Flight;
use super::pool::{Call, Ended, Pool, weight};
use super::units::{Units, Visit};
use crate::client::acquire::Ask;
use crate::client::attempt::Attempt;
use crate::client::tenure::{Grant, Term};
use crate::client::turn::{Holding, Seat, Turn};
use crate::client::{Core, Tenure};
use crate::env::Moment;
use crate::error::{LostCause, TooHeavy};
use crate::metrics;
use crate::protocol::Capacity;

/// So many blocks of numbers are kept: each that is granted brings one.
const MOST_BLOCKS: usize = 4;

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

impl State {
    /// Of a pool that is new.
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            base: None,
            free: Units::default(),
            issued: BTreeMap::new(),
            numbers: VecDeque::new(),
            asking: None,
            waiters: BTreeMap::new(),
            capacity,
            announced: None,
            drains: false,
            is_crowded: false,
            returning: Vec::new(),
            is_flying: false,
            stranded: None,
            pause_until: Moment::default(),
            is_driven: false,
            is_over: false,
        }
    }

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
            pool.note_contended(now);
        }
        let keeps_visits = pool.was_contended(now);
        let size = self.capacity.size;
        let mut in_use = self.in_use();
        while let Some((id, head)) = self.head() {
            let wants = head.units;
            if in_use.saturating_add(wants) > size {
                return served;
            }
            let is_open =
                |visit: Visit| contended.is_none_or(|contended| visit.is_open(now, contended));
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
            pool.note_waiting(self.waiters.len());
            let turn = Turn::begin(&base.tenure, number, now, waiter.seat);
            let holding = Holding::new(core, Arc::clone(&turn));
            match waiter.to.send(Call::Served(holding)) {
                Ok(()) => {
                    if turn.look_at() < now + pool.key.1 / 3 {
                        core.renewals.look_at(base.tenure.rid, turn.look_at());
                    }
                    metrics::permits_in_use(pool.name(), f64::from(wants));
                    let units = if keeps_visits {
                        units.turned(contended.unwrap_or_default())
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
    pub(super) fn take_back(&mut self, turn: &Turn) -> bool {
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
