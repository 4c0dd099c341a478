//! A pool's request: one at a time, sent by who caused it, or by the background; and what its answer means.
//!
//! Until it is answered the same is asked again, whoever goes on with it: weights are absolute, and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pool::{Asking, Base, Call, Ended, Pool, Stand, State};
use super::units::Units;
use crate::client::{Cleanup, Core, RETRY, Tenure};
use crate::env::Moment;
use crate::error::{Busy, Error, LostCause};
use crate::protocol::{Absorbed, Capacity, Op, Release, Reply, Reweigh, Was, Weight};
use crate::store::{LeaseCall, StoreError, StoreErrorKind, StoreHandle};

/// The longest pause between two attempts.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// What is asked for in one request, in this order.
#[derive(Debug, Default)]
pub(super) struct Flight {
    pub(super) base: Option<BaseStep>,
    /// An entry that ends. It becomes part of the first one, if that `absorbs` it.
    pub(super) ended: Option<Asking>,
    pub(super) absorbs: bool,
    /// The entry that asks does so; whether to wait.
    pub(super) asks: Option<bool>,
    /// Pushes have to be on before it is sent.
    pub(super) needs_ears: bool,
    pub(super) returning: Vec<oneshot::Sender<Ended>>,
    sent: u32,
    /// How often others were said to wait, when it was sent.
    contentions: u64,
    pause: Duration,
}

/// What becomes of the entry that holds.
#[derive(Debug)]
pub(super) enum BaseStep {
    Weigh {
        tenure: Arc<Tenure>,
        change: u64,
        weight: u32,
        capacity: Capacity,
    },
    End {
        tenure: Arc<Tenure>,
    },
}

impl BaseStep {
    fn tenure(&self) -> &Arc<Tenure> {
        match self {
            Self::Weigh { tenure, .. } | Self::End { tenure } => tenure,
        }
    }
}

impl Flight {
    pub(super) fn is_empty(&self) -> bool {
        self.base.is_none() && self.ended.is_none() && self.asks.is_none()
    }

    /// Whether the entry that holds is told anything.
    pub(super) fn gives_back(&self) -> bool {
        self.base.is_some()
    }

    fn calls(
        &mut self,
        core: &Core,
        pool: &Pool,
        state: &mut State,
        now: Moment,
    ) -> Vec<LeaseCall> {
        let name = pool.name();
        let not_after_us = core.not_after_us_from(now, core.request_timeout);
        let mut calls = Vec::with_capacity(3);
        match &self.base {
            None => {}
            Some(BaseStep::Weigh {
                tenure,
                change,
                weight,
                capacity,
            }) => {
                self.contentions = tenure.contentions();
                let absorbed = self.ended.as_ref().filter(|_| self.absorbs);
                calls.push(LeaseCall {
                    name: name.clone(),
                    op: Op::Reweigh(Reweigh {
                        rid: tenure.rid,
                        not_after_us,
                        change: *change,
                        weight: super::pool::weight(*weight),
                        capacity: *capacity,
                        absorb: absorbed.map(|asking| Absorbed {
                            rid: asking.attempt.rid,
                            close_until_us: asking.attempt.close_until_us(),
                        }),
                    }),
                });
            }
            Some(BaseStep::End { tenure }) => {
                if self.sent == 0 {
                    // No renewal and no further permit from here on.
                    tenure.end();
                    core.renewals.remove(tenure);
                }
                calls.push(core.release_call(tenure, now));
            }
        }
        if let Some(ended) = &self.ended {
            calls.push(LeaseCall {
                name: name.clone(),
                op: Op::Release(Release {
                    rid: ended.attempt.rid,
                    not_after_us,
                    used: 0,
                    close_until_us: ended.attempt.close_until_us(),
                }),
            });
        }
        if let Some(wait) = self.asks {
            // Not counting the first one. Who wants many numbers has the next ones few: a block never runs far ahead.
            let behind = state.waiters.len().saturating_sub(1);
            match &mut state.asking {
                Some(asking) => {
                    calls.push(asking.attempt.call(core, &asking.ask, wait, behind));
                }
                None => self.asks = None,
            }
        }
        self.sent += 1;
        calls
    }

    /// Whoever was to send it is gone, and so is its client: the cleaner ends what it may have left.
    pub(super) fn clean_up(self, core: &Core) {
        if let Some(BaseStep::End { tenure }) = &self.base {
            core.clean_up(Cleanup::of(core, tenure));
        }
        if let Some(ended) = self.ended {
            core.clean_up(ended.attempt.cleanup());
        }
    }
}

/// A request on its way. Dropped, it is stranded, and the background goes on with it.
struct Aloft<'a> {
    pool: &'a Arc<Pool>,
    core: &'a Arc<Core>,
    flight: Option<Box<Flight>>,
}

impl Drop for Aloft<'_> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.pool.strand(self.core, flight, Duration::ZERO);
        }
    }
}

impl Pool {
    /// What is to be sent, to be [flown](Self::fly) by the caller.
    pub(super) fn take_off(self: &Arc<Self>, core: &Arc<Core>) -> Option<Box<Flight>> {
        let mut state = self.state();
        state.next(core, self, core.env.now())
    }

    /// Sends it, once. What is not answered is left to the background.
    ///
    /// # Cancel safety
    /// Dropped, the background goes on with it.
    pub(super) async fn fly(
        self: &Arc<Self>,
        core: &Arc<Core>,
        store: &StoreHandle,
        flight: Box<Flight>,
    ) {
        let mut aloft = Aloft {
            pool: self,
            core,
            flight: Some(flight),
        };
        let bucket = self.name().bucket();
        if aloft.flight.as_ref().is_some_and(|f| f.needs_ears) && !core.is_listening(bucket) {
            // Before the first enqueue.
            if let Err(error) = core.listen(store, bucket).await {
                if let Some(flight) = aloft.flight.take() {
                    self.fail(core, flight, error);
                }
                return;
            }
        }
        let now = core.env.now();
        let calls = match &mut aloft.flight {
            Some(flight) => flight.calls(core, self, &mut self.state(), now),
            None => return,
        };
        let answer = if calls.is_empty() {
            Ok(None)
        } else {
            let within = core.request_timeout;
            core.send_at(now, store, &calls, within).await.map(Some)
        };
        let Some(flight) = aloft.flight.take() else {
            return;
        };
        match answer {
            Ok(Some(answer)) => {
                let stamp = (answer.sent, answer.now);
                self.land(core, flight, answer.value, stamp, answer.received);
            }
            Ok(None) => self.landed(core),
            Err(error) => self.fail(core, flight, error),
        }
    }

    /// It goes on later, by the background.
    fn strand(self: &Arc<Self>, core: &Arc<Core>, flight: Box<Flight>, pause: Duration) {
        let mut state = self.state();
        state.is_flying = false;
        if state.is_over {
            drop(state);
            flight.clean_up(core);
            return;
        }
        state.pause_until = core.env.now() + pause;
        state.stranded = Some(flight);
        drop(state);
        self.proceed(core);
    }

    fn landed(self: &Arc<Self>, core: &Arc<Core>) {
        self.state().is_flying = false;
        self.proceed(core);
    }

    /// It was not answered, or the store refused.
    fn fail(self: &Arc<Self>, core: &Arc<Core>, mut flight: Box<Flight>, error: StoreError) {
        flight.pause = (flight.pause * 2).clamp(RETRY, LONGEST_RETRY);
        let pause = core.env.jittered(flight.pause);
        tracing::debug!(%error, name = %self.name(), "permits wait for the store");
        if error.kind() != StoreErrorKind::Unknown {
            self.refused(core, &mut flight, error);
        }
        // What nobody can have any more needs no answer: the store has forgotten it.
        let now = core.env.now();
        let is_forgotten = match &flight.base {
            Some(BaseStep::End { tenure }) => {
                now >= tenure.deadline() + tenure.ttl + core.request_timeout
            }
            Some(BaseStep::Weigh { tenure, .. }) => tenure.cause().is_some(),
            None => true,
        };
        if flight.asks.is_none() && is_forgotten {
            if let Some(ended) = flight.ended.take() {
                core.clean_up(ended.attempt.cleanup());
            }
            self.state().pause_until = now + pause;
            self.landed(core);
            return;
        }
        self.strand(core, flight, pause);
    }

    /// The store refused, and did nothing. What goes back still has to.
    fn refused(&self, core: &Arc<Core>, flight: &mut Flight, error: StoreError) {
        let mut state = self.state();
        let mut asks = flight.asks.take().is_some();
        let asking = if asks { state.asking.take() } else { None };
        if let Some(BaseStep::Weigh { weight, .. }) = &flight.base {
            let grows = |base: &Base| *weight > base.weight;
            asks |= state.base.as_ref().is_some_and(grows);
            // What the entry weighs is to be said anew.
            state.announced = None;
            flight.base = None;
        }
        let head = state.head().map(|(id, _)| id).filter(|_| asks);
        let waiter = head.and_then(|id| state.waiters.remove(&id));
        drop(state);
        if let Some(asking) = asking.filter(|asking| asking.attempt.was_sent()) {
            core.clean_up(asking.attempt.cleanup());
        }
        for told in flight.returning.drain(..) {
            let copy = StoreError::new(error.kind(), "release", error.to_string());
            let _gone = told.send(Ended::Failed(Error::from_store(self.name(), copy)));
        }
        if let Some(waiter) = waiter {
            let error = Error::from_store(self.name(), error);
            let _gone = waiter.to.send(Call::Refused(error));
        }
    }

    fn land(
        self: &Arc<Self>,
        core: &Arc<Core>,
        mut flight: Box<Flight>,
        replies: Vec<Reply>,
        stamp: (Moment, crate::protocol::Now),
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
    fn asked(
        &mut self,
        pool: &Arc<Pool>,
        reply: Reply,
        term: crate::client::tenure::Term,
        now: Moment,
    ) {
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
