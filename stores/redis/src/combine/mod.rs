//! Several callers in one script call: while requests are under way, further ones wait a moment for each other.
//!
//! Who comes when nothing is under way goes alone, and pays for none of this. The others are picked up by a few carriers,
//! tasks of their own on the store's runtime, so that a caller that is dropped, or whose runtime is not run any more, takes
//! nobody's answer with it.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_core::Moment;
use leasehold_core::name::Bucket;
use leasehold_core::store::{Stamped, StoreError, StoreErrorKind};
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::error::malformed;

mod leases;
mod quotas;

pub(crate) use leases::can_travel;

/// How many script calls are under way at most.
const CARRIERS: usize = 16;
/// How many callers one script call serves at most.
const SEATS: usize = 32;

/// Which calls may travel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Together {
    /// Any: one server has all buckets.
    AnyBuckets,
    /// Those of one bucket: a cluster has it on one node.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "clusters are not supported yet")
    )]
    OneBucket,
}

/// Calls that may travel together.
pub(crate) trait Cargo: Clone + Send + Sync + 'static {
    /// The answer to one.
    type Reply: Send + 'static;
    /// What they are called, for errors.
    const OPERATION: &'static str;

    /// The callers of such calls.
    fn callers(connection: &Connection) -> &Combiner<Self>;

    fn bucket(&self) -> Bucket;

    /// Takes those out of the queue who can travel together. None may overtake another of its key.
    fn pick_up(waiting: &mut VecDeque<Waiting<Self>>, together: Together) -> Vec<Waiting<Self>>;

    /// One script call for all of them, and what became of each; `None` if nothing was done of one, which goes alone then.
    /// In place of all of it `None` if the server did not answer as it should.
    fn send(
        connection: &Connection,
        calls: &[Self],
        deadline: Moment,
    ) -> impl Future<Output = Result<Option<Answers<Self>>, StoreError>> + Send;

    /// A script call for one, who asked at `asked`.
    fn send_alone(
        connection: &Connection,
        call: &Self,
        asked: Moment,
    ) -> impl Future<Output = Result<Stamped<Vec<Self::Reply>>, StoreError>> + Send;
}

/// What became of each.
pub(crate) type Answers<C> = Stamped<Vec<Option<<C as Cargo>::Reply>>>;

/// What became of a call that travelled.
enum Outcome<R> {
    Done(Stamped<R>),
    /// Nothing was done: it has to go alone.
    Left,
    Failed(StoreError),
}

struct Caller<R> {
    deadline: Moment,
    outcome: oneshot::Sender<Outcome<R>>,
}

/// A call, and who waits for its answer.
pub(crate) struct Waiting<C: Cargo> {
    call: C,
    bucket: Bucket,
    caller: Caller<C::Reply>,
}

struct State<C: Cargo> {
    waiting: VecDeque<Waiting<C>>,
    /// Calls that went alone and are under way.
    alone: usize,
    carriers: usize,
    /// Of these, those that have not picked anybody up yet.
    starting: usize,
}

/// The callers of one connection.
pub(crate) struct Combiner<C: Cargo> {
    together: Together,
    state: Mutex<State<C>>,
}

/// One who goes alone.
struct Alone<'a, C: Cargo>(&'a Combiner<C>);

impl<C: Cargo> Drop for Alone<'_, C> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

/// How a caller goes.
enum Way<'a, C: Cargo> {
    Alone(Alone<'a, C>),
    Along(oneshot::Receiver<Outcome<C::Reply>>, NeedsCarrier),
}

type NeedsCarrier = bool;

impl<C: Cargo> Combiner<C> {
    pub(crate) fn new(together: Together) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            alone: 0,
            carriers: 0,
            starting: 0,
        };
        Self {
            together,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way_of(&self, call: &C, deadline: Moment) -> Way<'_, C> {
        let mut state = self.state();
        if state.alone + state.carriers == 0 {
            state.alone += 1;
            return Way::Alone(Alone(self));
        }
        let (sender, outcome) = oneshot::channel();
        state.waiting.push_back(Waiting {
            call: call.clone(),
            bucket: call.bucket(),
            caller: Caller {
                deadline,
                outcome: sender,
            },
        });
        let crowded = state.waiting.len() > SEATS * state.starting;
        let needs_carrier = crowded && state.carriers < CARRIERS;
        if needs_carrier {
            state.carriers += 1;
            state.starting += 1;
        }
        Way::Along(outcome, needs_carrier)
    }
}

impl Connection {
    /// Sends one call that can travel, of who asks now.
    pub(crate) async fn send_one<C: Cargo>(
        &self,
        call: &C,
        now: Moment,
    ) -> Result<Stamped<Vec<C::Reply>>, StoreError> {
        let deadline = now + self.shared.session.request_timeout;
        let (outcome, needs_carrier) = match C::callers(self).way_of(call, deadline) {
            // Boxed: what travels should not be as large as what goes alone.
            Way::Alone(_alone) => return Box::pin(C::send_alone(self, call, now)).await,
            Way::Along(outcome, needs_carrier) => (outcome, needs_carrier),
        };
        if needs_carrier && let Some(connection) = self.me.upgrade() {
            let carrier = Carrier::<C> {
                connection,
                is_starting: true,
                of: PhantomData,
            };
            let env = &self.shared.session.env;
            drop(env.spawn_on(&self.runtime, carrier.carry()));
        }
        match outcome.await {
            Ok(Outcome::Done(Stamped { now, value })) => Ok(Stamped {
                now,
                value: vec![value],
            }),
            Ok(Outcome::Failed(error)) => Err(error),
            Ok(Outcome::Left) => Box::pin(C::send_alone(self, call, now)).await,
            Err(_) => Err(StoreError::unknown(
                C::OPERATION,
                "the runtime that carried the request has ended",
            )),
        }
    }
}

/// Sends script calls, one after the other, while somebody waits.
struct Carrier<C: Cargo> {
    connection: Arc<Connection>,
    is_starting: bool,
    of: PhantomData<fn(C)>,
}

impl<C: Cargo> Drop for Carrier<C> {
    fn drop(&mut self) {
        let mut state = C::callers(&self.connection).state();
        state.carriers -= 1;
        state.starting -= usize::from(self.is_starting);
        // The last one may end with the store's runtime, while others still wait to be picked up.
        let stranded = if state.carriers == 0 {
            std::mem::take(&mut state.waiting)
        } else {
            VecDeque::new()
        };
        drop(state);
        for waiting in stranded {
            waiting.caller.tell(Outcome::Left);
        }
    }
}

impl<C: Cargo> Carrier<C> {
    async fn carry(mut self) {
        // Whoever is ready to run comes along.
        tokio::task::yield_now().await;
        loop {
            let group = self.pick_up();
            if group.is_empty() {
                return;
            }
            self.connection.send_together(group).await;
        }
    }

    fn pick_up(&mut self) -> Vec<Waiting<C>> {
        let combiner = C::callers(&self.connection);
        let mut state = combiner.state();
        if std::mem::take(&mut self.is_starting) {
            state.starting -= 1;
        }
        C::pick_up(&mut state.waiting, combiner.together)
    }
}

impl Connection {
    /// One script call for all of them; each is told what became of its own.
    async fn send_together<C: Cargo>(&self, group: Vec<Waiting<C>>) {
        let env = &self.shared.session.env;
        let mut calls = Vec::with_capacity(group.len());
        let mut callers = Vec::with_capacity(group.len());
        for Waiting { call, caller, .. } in group {
            calls.push(call);
            callers.push(Some(caller));
        }
        let deadlines = callers.iter().flatten().map(|caller| caller.deadline);
        let Some(last) = deadlines.max() else { return };
        let mut sent = pin!(C::send(self, &calls, last));
        let answer = loop {
            // Each caller has its own deadline; the last one's is the request's.
            let deadlines = callers.iter().flatten().map(|caller| caller.deadline);
            let Some(next) = deadlines.filter(|deadline| *deadline < last).min() else {
                break sent.await;
            };
            if let Ok(answer) = env.timeout_at(next, &mut sent).await {
                break answer;
            }
            let within = self.shared.session.request_timeout;
            for caller in &mut callers {
                if let Some(caller) = caller.take_if(|caller| caller.deadline <= next) {
                    let text = format!("{}: no answer within {within:?}", self.shared.address);
                    caller.tell(Outcome::Failed(StoreError::unknown(C::OPERATION, text)));
                }
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            // The server refused all of it: each is told, alone, what it says to it.
            Err(error) if error.kind() != StoreErrorKind::Unknown => {
                for caller in callers.into_iter().flatten() {
                    caller.tell(Outcome::Left);
                }
                return;
            }
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix(C::OPERATION).unwrap_or(&text);
                let text = text.trim_start_matches(": ");
                for caller in callers.into_iter().flatten() {
                    caller.tell(Outcome::Failed(StoreError::unknown(C::OPERATION, text)));
                }
                return;
            }
        };
        let Some(Stamped { now, value }) = answer else {
            for caller in callers.into_iter().flatten() {
                caller.tell(Outcome::Failed(malformed(C::OPERATION)));
            }
            return;
        };
        for (caller, reply) in callers.into_iter().zip(value) {
            let Some(caller) = caller else { continue };
            caller.tell(reply.map_or(Outcome::Left, |value| Outcome::Done(Stamped { now, value })));
        }
    }
}

impl<R> Caller<R> {
    fn tell(self, outcome: Outcome<R>) {
        // One that went away needs no answer.
        let _ = self.outcome.send(outcome);
    }
}
