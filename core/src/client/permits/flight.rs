//! A pool's request: one at a time, sent by who caused it, or by the background; and what its answer means.
//!
//! Until it is answered the same is asked again, whoever goes on with it: weights are absolute, and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pool::{Call, Ended, Pool};
use super::state::{Asking, Base, State};
use crate::client::{Cleanup, Core, RETRY, Tenure};
use crate::env::Moment;
use crate::error::Error;
use crate::protocol::{Absorbed, Capacity, Op, Release, Reweigh};
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
    pub(super) sent: u32,
    /// How often others were said to wait, when it was sent.
    pub(super) contentions: u64,
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
    pub(super) fn tenure(&self) -> &Arc<Tenure> {
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
    pub(super) fn fail(
        self: &Arc<Self>,
        core: &Arc<Core>,
        mut flight: Box<Flight>,
        error: StoreError,
    ) {
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
}
