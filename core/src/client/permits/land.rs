//! What the answer to a pool's request means.

use std::sync::Arc;
use std::time::Duration;

use super::flight::{BaseStep, Flight};
use super::pool::{Call, Ended, Pool};
use super::state::{Stand, State};
use super::units::Units;
use crate::client::tenure::Term;
use crate::client::{Core, Tenure};
use crate::env::Moment;
use crate::error::{Busy, LostCause};
use crate::protocol::{Now, Reply, Was, Weight};
use crate::store::StoreError;

impl Pool {
    /// Takes it in. `stamp` is when the request was sent, and the store's time.
    pub(super) fn land(
        self: &Arc<Self>,
        core: &Arc<Core>,
        mut flight: Box<Flight>,
        replies: Vec<Reply>,
        stamp: (Moment, Now),
        received: Moment,
    ) {
        let mut state = self.state();
        let mut replies = replies.into_iter();
        // One answer a call: the contract.
        let base = flight.base.as_ref().and_then(|_| replies.next());
        let ended = flight.ended.as_ref().and_then(|_| replies.next());
        let asked = flight.asks.and_then(|_| {
            let asking = state.asking.as_mut()?;
            asking.attempt.answered(&mut replies, false, stamp)
        });
        let is_stale = |reply: &Option<Reply>| matches!(reply, Some(Reply::Stale));
        let aged = is_stale(&base) || is_stale(&ended);
        if aged {
            // Neither has taken effect; both again, with what else was asked for: that gets the same answer.
            drop(state);
            self.fail(
                core,
                flight,
                StoreError::unknown("request", "the store's clock moved on"),
            );
            return;
        }
        state.is_flying = false;
        let tenure = flight.base.as_ref().map(|step| Arc::clone(step.tenure()));
        if let (Some(step), Some(reply)) = (&flight.base, base) {
            let in_time = stamp.1.lease_us < step.tenure().expires_us();
            let first = flight.sent == 1;
            let is_held = match (step, reply) {
                (
                    BaseStep::Weigh {
                        tenure,
                        change,
                        weight: asked,
                        ..
                    },
                    Reply::Weighed { weight, contended },
                ) => {
                    if contended {
                        tenure.contend();
                    } else {
                        tenure.calm(flight.contentions);
                    }
                    state.weighed(self, tenure, *change, *asked, weight, received);
                    true
                }
                (BaseStep::End { .. }, Reply::Released { was }) => was == Was::Held,
                (BaseStep::Weigh { tenure, .. }, _) => {
                    tenure.lose(if in_time {
                        LostCause::Deleted
                    } else {
                        LostCause::Expired
                    });
                    let is_its = |tenure: &Arc<Tenure>| {
                        (state.base.as_ref()).is_some_and(|b| Arc::ptr_eq(&b.tenure, tenure))
                    };
                    if is_its(tenure) {
                        state.lose_base(core);
                    }
                    false
                }
                (BaseStep::End { .. }, _) => false,
            };
            let is_weigh = matches!(step, BaseStep::Weigh { .. });
            for told in flight.returning.drain(..) {
                let _gone = told.send(if is_held {
                    Ended::Held
                } else {
                    // A change of weight ends nothing, however often it is sent.
                    let first = first || is_weigh;
                    Ended::Absent { first, in_time }
                });
            }
        }
        if let Some((reply, term)) = asked {
            state.asked(self, reply, term, received);
        }
        if state.base.is_none() {
            state.adopt(core, self, received);
        }
        state.serve(core, self, received);
        drop((state, tenure));
        self.proceed(core);
    }
}

impl State {
    /// The entry weighs so much now.
    fn weighed(
        &mut self,
        pool: &Arc<Pool>,
        tenure: &Arc<Tenure>,
        change: u64,
        asked: u32,
        weight: Weight,
        now: Moment,
    ) {
        let visit = pool.visit(now);
        let Some(base) = &mut self.base else {
            return;
        };
        let Weight::Units(weight) = weight else {
            return;
        };
        if !Arc::ptr_eq(&base.tenure, tenure) || base.change != change {
            return;
        }
        let weight = weight.get();
        let more = weight.saturating_sub(base.weight);
        base.weight += more;
        self.free.put(Units::new(visit, more));
        if weight < asked {
            self.is_crowded = true;
            // Who would not wait has been asked for.
            if let Some((_, head)) = self.head() {
                head.was_refused = true;
            }
        } else if more > 0 {
            self.granted();
        }
    }

    /// What asks was answered.
    fn asked(&mut self, pool: &Arc<Pool>, reply: Reply, term: Term, now: Moment) {
        let Some(asking) = &mut self.asking else {
            return;
        };
        match reply {
            Reply::Granted {
                first,
                end,
                claimed,
                contended,
                ..
            } => {
                asking.stand = Stand::Granted {
                    block: (first, end),
                    claimed,
                    contended,
                    term,
                };
            }
            Reply::Queued { check_in_us, .. } => {
                let again = now + Duration::from_micros(check_in_us);
                asking.stand = Stand::Queued { again };
            }
            Reply::Busy {
                holder,
                held_us,
                remaining_us,
            } => {
                let is_answered = asking.attempt.is_answered();
                let units = asking.units;
                self.is_crowded = true;
                let head = self.head().map(|(id, head)| (id, head.units, head.until));
                let goes_on = match head {
                    // Nothing of it is there: the same request may wait.
                    Some((_, wants, Some(_))) => wants == units,
                    // For the first one alone, once more.
                    Some((_, wants, None)) if wants != units => false,
                    Some((id, ..)) => {
                        if let Some(waiter) = self.waiters.remove(&id) {
                            let name = pool.name().clone();
                            let busy = Busy::new(name, holder, held_us, remaining_us);
                            let _gone = waiter.to.send(Call::Refused(busy.into()));
                        }
                        false
                    }
                    None => false,
                };
                let Some(asking) = &mut self.asking else {
                    return;
                };
                if goes_on {
                    asking.stand = Stand::Unasked { wait: true };
                } else if is_answered {
                    self.asking = None;
                } else {
                    // A copy may be under way: it is ended, and the next one is another.
                    asking.units = 0;
                }
            }
            Reply::TooHeavy { capacity } => {
                let units = asking.units;
                self.asking = None;
                self.is_crowded = true;
                let head = self.head().map(|(id, head)| (id, head.units));
                if let Some((id, wants)) = head
                    && wants.min(units) > capacity
                {
                    self.refuse_too_heavy(pool, id, capacity);
                }
            }
            // Its time is over at the store, or it was ended: it can't be granted any more.
            _ => asking.units = 0,
        }
    }
}
