//! What a pool asks the store for next.

use std::sync::Arc;
use std::time::Duration;

use super::flight::{BaseStep, Flight};
use super::pool::{Call, Ended, Pool};
use super::state::{Asking, Stand, State};
use crate::client::Core;
use crate::client::acquire::ROUND;
use crate::client::attempt::Attempt;
use crate::env::Moment;

/// A place in the store's queue is kept for so long at least.
const SHORTEST_STAND: Duration = Duration::from_secs(30);

impl State {
    /// What is to be asked of the store now, if anything. From here on it is under way: whoever takes it sends it, or
    /// leaves it [stranded](Self::stranded).
    pub(super) fn next(
        &mut self,
        core: &Arc<Core>,
        pool: &Arc<Pool>,
        now: Moment,
    ) -> Option<Box<Flight>> {
        if self.is_flying || self.is_over || now < self.pause_until {
            return None;
        }
        if let Some(mut stranded) = self.stranded.take() {
            self.is_flying = true;
            self.forgo(&mut stranded);
            return Some(stranded);
        }
        self.see_to_loss(core, now);
        if self.base.is_none() {
            self.adopt(core, pool, now);
        }
        self.serve(core, pool, now);
        self.refuse_tries();
        let mut flight = Flight::default();
        self.end_what_is_of_no_use(&mut flight, now);
        let has_head = self.head().is_some();
        if self.base.is_none() {
            if has_head {
                self.ask_for_an_entry(core, pool, &mut flight, now);
            }
        } else if !has_head {
            self.is_crowded = false;
            self.give_back(&mut flight);
        } else if self.is_leaving() {
            self.give_back(&mut flight);
        } else if matches!(&self.asking, Some(a) if matches!(a.stand, Stand::Granted { .. })) {
            self.merge(core, pool, &mut flight, now);
        } else {
            self.get_more(core, pool, &mut flight, now);
        }
        if !flight.gives_back() {
            // Passed on here, or nothing was left of it.
            for told in self.returning.drain(..) {
                let _gone = told.send(Ended::Held);
            }
        }
        if flight.is_empty() {
            return None;
        }
        if flight.gives_back() {
            flight.returning = std::mem::take(&mut self.returning);
        }
        self.is_flying = true;
        Some(Box::new(flight))
    }

    /// A lost entry that the renewer has not looked at yet.
    fn see_to_loss(&mut self, core: &Arc<Core>, now: Moment) {
        if (self.base.as_ref()).is_some_and(|base| base.tenure.check_at(now).is_err()) {
            self.lose_base(core);
        }
    }

    /// Whether its entry was told to go.
    fn is_leaving(&self) -> bool {
        (self.base.as_ref()).is_some_and(|base| base.tenure.revocation().is_some())
    }

    /// An entry that asks for what nobody waits for, or for less than the first one needs.
    fn end_what_is_of_no_use(&mut self, flight: &mut Flight, now: Moment) {
        let wants = self.head().map(|(_, head)| head.units);
        let leaves = self.is_leaving();
        let (has_base, size) = (self.base.is_some(), self.capacity.size);
        let is_of_no_use = |asking: &mut Asking| match (&asking.stand, wants) {
            (_, None) => true,
            _ if leaves => true,
            (Stand::Granted { term, .. }, _) => term.is_over(now),
            // There is more than it says, and nobody else to say so.
            _ if !has_base && asking.ask.capacity.size < size => true,
            (_, Some(wants)) => asking.units < wants || now >= asking.attempt.until(),
        };
        if let Some(asking) = self.asking.take_if(is_of_no_use)
            && asking.attempt.was_sent()
        {
            flight.ended = Some(asking);
        }
    }

    /// Nobody here has any permits: an entry, with what those who wait need.
    fn ask_for_an_entry(
        &mut self,
        core: &Arc<Core>,
        pool: &Arc<Pool>,
        flight: &mut Flight,
        now: Moment,
    ) {
        if self.asking.is_none() {
            let Some((_, head)) = self.head() else {
                return;
            };
            let (wants, is_try) = (head.units, head.until.is_none());
            let size = self.capacity.size;
            let all = self.wanted(size);
            let units = if self.is_crowded { wants } else { all };
            let can_queue = units == wants && !is_try;
            let wait = can_queue && (self.is_crowded || core.is_listening(pool.name().bucket()));
            self.asking = self.new_asking(core, pool, units, wait, now);
        }
        self.ask(core, pool, flight, now);
    }

    /// Sends what asks, if it is time.
    fn ask(&mut self, core: &Arc<Core>, pool: &Arc<Pool>, flight: &mut Flight, now: Moment) {
        let Some(asking) = &self.asking else {
            return;
        };
        let wait = match asking.stand {
            Stand::Unasked { wait } => wait,
            Stand::Queued { again } if now >= again => true,
            _ => return,
        };
        flight.asks = Some(wait);
        flight.needs_ears = wait && !core.is_listening(pool.name().bucket());
    }

    fn new_asking(
        &mut self,
        core: &Arc<Core>,
        pool: &Arc<Pool>,
        units: u32,
        wait: bool,
        now: Moment,
    ) -> Option<Asking> {
        let longest = (self.waiters.values()).filter_map(|waiter| waiter.until);
        let longest = longest.max().unwrap_or(now).since(now);
        let patience = longest.clamp(SHORTEST_STAND, ROUND);
        let seat = self.head()?.1.seat;
        let ask = pool.ask(units, patience, seat, self.capacity);
        Some(Asking {
            attempt: Attempt::new(core, &ask, now),
            ask,
            units,
            stand: Stand::Unasked { wait },
        })
    }

    /// What those who wait need in all, the first ones first, of so much.
    fn wanted(&self, of: u32) -> u32 {
        let mut wanted: u32 = 0;
        for waiter in self.waiters.values() {
            match wanted.checked_add(waiter.units) {
                Some(more) if more <= of => wanted = more,
                _ => break,
            }
        }
        wanted
    }

    /// What nobody here has goes back, and the entry with the last of it.
    fn give_back(&mut self, flight: &mut Flight) {
        let in_use = self.in_use();
        if in_use == 0 {
            self.end_base(flight);
        } else if self.free.count() > 0 || self.announced != Some(self.capacity) {
            self.free.clear();
            self.weigh(flight, in_use);
        }
    }

    fn end_base(&mut self, flight: &mut Flight) {
        let Some(base) = self.base.take() else {
            return;
        };
        flight.base = Some(BaseStep::End {
            tenure: base.tenure,
        });
        self.forget_base();
    }

    /// The entry is to weigh so much. Less counts at once: what is given back is nobody's here from now on.
    fn weigh(&mut self, flight: &mut Flight, weight: u32) {
        let capacity = self.capacity;
        let Some(base) = &mut self.base else {
            return;
        };
        base.change += 1;
        base.weight = base.weight.min(weight);
        self.announced = Some(capacity);
        flight.base = Some(BaseStep::Weigh {
            tenure: Arc::clone(&base.tenure),
            change: base.change,
            weight,
            capacity,
        });
    }

    /// What was granted becomes part of the entry; and if more is needed, that is asked for along with it.
    fn merge(&mut self, core: &Arc<Core>, pool: &Arc<Pool>, flight: &mut Flight, now: Moment) {
        let Some(granted) = self.asking.take() else {
            return;
        };
        if let Stand::Granted { block, .. } = granted.stand {
            core.saw(block.1);
            self.add_numbers(block);
        }
        let is_contended = self.is_contended();
        if is_contended || self.drains {
            self.free.clear();
        }
        let kept = self.in_use() + self.free.count();
        if let Some(base) = &mut self.base {
            base.weight = base.weight.min(kept);
        }
        self.weigh(flight, kept + granted.units);
        let served = self.wanted(self.free.count() + granted.units);
        flight.absorbs = true;
        flight.ended = Some(granted);
        let mut before = 0;
        let next = (self.waiters.values()).find(|waiter| {
            before += waiter.units;
            before > served
        });
        if is_contended
            && let Some(next) = next
            && next.until.is_some()
        {
            let units = next.units;
            self.asking = self.new_asking(core, pool, units, true, now);
            self.ask(core, pool, flight, now);
        }
    }

    /// The first one who waits needs more than is here.
    fn get_more(&mut self, core: &Arc<Core>, pool: &Arc<Pool>, flight: &mut Flight, now: Moment) {
        let is_contended = self.is_contended();
        let (in_use, size) = (self.in_use(), self.capacity.size);
        let weight = self.base.as_ref().map_or(0, |base| base.weight);
        if self.asking.is_some() {
            if self.free.count() > 0 || self.announced != Some(self.capacity) {
                // Not for the first one, else he had it; and who waits there keeps nothing back here.
                self.give_back(flight);
            }
            self.ask(core, pool, flight, now);
            return;
        }
        let Some((_, head)) = self.head() else {
            return;
        };
        let (wants, is_try) = (head.units, head.until.is_none());
        if self.drains && self.free.count() > 0 {
            self.give_back(flight);
            return;
        }
        let is_alone = !is_contended && !self.is_crowded && self.has_numbers();
        if is_try || is_alone {
            let enough = in_use + self.wanted(size.saturating_sub(in_use));
            if enough > weight {
                self.weigh(flight, enough);
            }
            // All there is is here: the first one has it once enough of it is free. Or a renewal is to be answered first.
            let is_here = weight >= size || in_use.saturating_add(wants) <= size;
            if is_try || flight.base.is_some() || (is_here && !self.drains) {
                return;
            }
        } else if !self.has_numbers() && self.free.count() == 0 && weight >= size {
            // The next one that comes back goes to the store, which gives it out with new numbers.
            return;
        }
        if flight.base.is_none() {
            self.give_back(flight);
            self.asking = self.new_asking(core, pool, wants, true, now);
            self.ask(core, pool, flight, now);
        }
    }

    /// Those in front that would not wait, and for whom there is nothing.
    fn refuse_tries(&mut self) {
        let weight = self.base.as_ref().map(|base| base.weight);
        let (in_use, size) = (self.in_use(), self.capacity.size);
        while let Some((id, head)) = self.head() {
            let is_full = weight.is_some_and(|weight| weight >= size)
                || in_use.saturating_add(head.units) > size;
            let is_refused = head.was_refused || is_full;
            if head.until.is_some() || !is_refused {
                return;
            }
            if let Some(waiter) = self.waiters.remove(&id) {
                let _gone = waiter.to.send(Call::Full);
            }
        }
    }

    /// A request that is sent again asks for nothing that nobody waits for any more.
    fn forgo(&mut self, flight: &mut Flight) {
        if flight.asks.is_some() && flight.ended.is_none() && self.head().is_none() {
            flight.asks = None;
            flight.ended = self.asking.take();
        }
    }
}
