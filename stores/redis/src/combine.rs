//! Several callers in one script call: while requests are under way, further ones wait a moment for each other.
//!
//! Who comes when nothing is under way goes alone, and pays for none of this. The others are picked up by a few carriers,
//! tasks of their own on the store's runtime, so that a caller that is dropped, or whose runtime is not run any more, takes
//! nobody's answer with it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_core::Moment;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{Op, Reply};
use leasehold_core::store::{LeaseCall, Stamped, StoreError, StoreErrorKind};
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::error::malformed;
use crate::fast::{Batch, Shape, is_plain, shape_of};
use crate::leases::OPERATION;

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

/// What became of a call that travelled.
enum Outcome {
    Done(Stamped<Reply>),
    /// Nothing was done: it has to go alone.
    Left,
    Failed(StoreError),
}

struct Caller {
    deadline: Moment,
    outcome: oneshot::Sender<Outcome>,
}

struct Waiting {
    call: LeaseCall,
    bucket: Bucket,
    caller: Caller,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Calls that went alone and are under way.
    alone: usize,
    carriers: usize,
    /// Of these, those that have not picked anybody up yet.
    starting: usize,
}

/// The callers of one connection.
pub(crate) struct Combiner {
    together: Together,
    state: Mutex<State>,
}

/// One who goes alone.
struct Alone<'a>(&'a Combiner);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

/// Whether a call can travel with those of others: what it asks for is mostly uncontended.
pub(crate) fn can_travel(op: &Op) -> bool {
    match op {
        // Who stands in line has met others.
        Op::Acquire(ask) => !ask.wait && shape_of(ask).is_some(),
        Op::Release(ask) => is_plain(ask),
        _ => false,
    }
}

/// How a caller goes.
enum Way<'a> {
    Alone(Alone<'a>),
    Along(oneshot::Receiver<Outcome>, NeedsCarrier),
}

type NeedsCarrier = bool;

impl Combiner {
    pub(crate) fn new(together: Together) -> Self {
        Self {
            together,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way_of(&self, call: &LeaseCall, deadline: Moment) -> Way<'_> {
        let mut state = self.state();
        if state.alone + state.carriers == 0 {
            state.alone += 1;
            return Way::Alone(Alone(self));
        }
        let (sender, outcome) = oneshot::channel();
        state.waiting.push_back(Waiting {
            call: call.clone(),
            bucket: call.name.bucket(),
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
    /// Sends one call that [`can_travel`], of who asks now.
    pub(crate) async fn execute_one(
        &self,
        call: &LeaseCall,
        now: Moment,
    ) -> Result<Stamped<Vec<Reply>>, StoreError> {
        let deadline = now + self.shared.session.request_timeout;
        let calls = std::slice::from_ref(call);
        let (outcome, needs_carrier) = match self.combiner.way_of(call, deadline) {
            // Boxed: what travels should not be as large as what goes alone.
            Way::Alone(_alone) => return Box::pin(self.alone(calls, now)).await,
            Way::Along(outcome, needs_carrier) => (outcome, needs_carrier),
        };
        if needs_carrier && let Some(connection) = self.me.upgrade() {
            let carrier = Carrier {
                connection,
                is_starting: true,
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
            Ok(Outcome::Left) => Box::pin(self.alone(calls, now)).await,
            Err(_) => Err(StoreError::unknown(
                OPERATION,
                "the runtime that carried the request has ended",
            )),
        }
    }
}

/// Sends script calls, one after the other, while somebody waits.
struct Carrier {
    connection: Arc<Connection>,
    is_starting: bool,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let mut state = self.connection.combiner.state();
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

impl Carrier {
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

    /// Picks up who can travel together, acquires first. Those of one resource are kept apart, and in their order.
    fn pick_up(&mut self) -> Vec<Waiting> {
        let combiner = &self.connection.combiner;
        let mut state = combiner.state();
        if std::mem::take(&mut self.is_starting) {
            state.starting -= 1;
        }
        let mut group = Group::default();
        let mut left = Vec::new();
        while group.len() < SEATS
            && let Some(waiting) = state.waiting.pop_front()
        {
            if waiting.caller.outcome.is_closed() {
                // Its caller went away before anything was sent.
            } else if group.takes(&waiting, &left, combiner.together) {
                group.add(waiting);
            } else {
                group.buckets.add(waiting.bucket);
                left.push(waiting);
            }
        }
        for waiting in left.into_iter().rev() {
            state.waiting.push_front(waiting);
        }
        group.acquires.append(&mut group.releases);
        group.acquires
    }
}

/// Those who are picked up.
#[derive(Default)]
struct Group {
    acquires: Vec<Waiting>,
    releases: Vec<Waiting>,
    shape: Option<Shape>,
    /// Of those who were looked at.
    buckets: Buckets,
}

impl Group {
    fn len(&self) -> usize {
        self.acquires.len() + self.releases.len()
    }

    /// Whether one can come with them and overtakes nobody of `left`.
    fn takes(&self, waiting: &Waiting, left: &[Waiting], together: Together) -> bool {
        let same_shape = match (&waiting.call.op, self.shape) {
            (Op::Acquire(ask), Some(shape)) => shape_of(ask) == Some(shape),
            _ => true,
        };
        let before = || self.acquires.iter().chain(&self.releases);
        let same_resource = |other: &Waiting| other.call.name == waiting.call.name;
        let met = self.buckets.has(waiting.bucket) && before().chain(left).any(same_resource);
        let within_reach = match together {
            Together::AnyBuckets => true,
            Together::OneBucket => before().all(|other| other.bucket == waiting.bucket),
        };
        same_shape && !met && within_reach
    }

    fn add(&mut self, waiting: Waiting) {
        self.buckets.add(waiting.bucket);
        if let Op::Acquire(ask) = &waiting.call.op {
            self.shape = shape_of(ask);
            self.acquires.push(waiting);
        } else {
            self.releases.push(waiting);
        }
    }
}

/// A set: a bit each.
#[derive(Default)]
struct Buckets([u64; 4]);

impl Buckets {
    fn has(&self, Bucket(bucket): Bucket) -> bool {
        self.0[usize::from(bucket / 64)] & (1 << (bucket % 64)) != 0
    }

    fn add(&mut self, Bucket(bucket): Bucket) {
        self.0[usize::from(bucket / 64)] |= 1 << (bucket % 64);
    }
}

impl Connection {
    /// One script call for all of them; each is told what became of its own.
    async fn send_together(&self, group: Vec<Waiting>) {
        let env = &self.shared.session.env;
        let mut calls = Vec::with_capacity(group.len());
        let mut callers = Vec::with_capacity(group.len());
        for Waiting { call, caller, .. } in group {
            calls.push(call);
            callers.push(Some(caller));
        }
        let mut batch = Batch::default();
        for LeaseCall { name, op } in &calls {
            // What can travel is of this batch: nothing is left out.
            batch.add(name, op);
        }
        let keys = &self.shared.keys;
        let fill = |cmd: &mut Cmd| {
            batch.put_keys(cmd, keys);
            batch.put_words(cmd);
        };
        let deadlines = callers.iter().flatten().map(|caller| caller.deadline);
        let Some(last) = deadlines.max() else { return };
        let mut sent =
            pin!(self.run_until(last, OPERATION, &self.scripts.together, calls.len(), fill));
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
                    caller.tell(Outcome::Failed(StoreError::unknown(OPERATION, text)));
                }
            }
        };
        let answer = match answer {
            Ok(Value::BulkString(bytes)) => batch.take_answers(&bytes),
            Ok(_) => None,
            // The server refused all of it: each is told, alone, what it says to it.
            Err(error) if error.kind() != StoreErrorKind::Unknown => {
                for caller in callers.into_iter().flatten() {
                    caller.tell(Outcome::Left);
                }
                return;
            }
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("lease: ").unwrap_or(&text);
                for caller in callers.into_iter().flatten() {
                    caller.tell(Outcome::Failed(StoreError::unknown(OPERATION, text)));
                }
                return;
            }
        };
        let Some(Stamped { now, value }) = answer else {
            for caller in callers.into_iter().flatten() {
                caller.tell(Outcome::Failed(malformed(OPERATION)));
            }
            return;
        };
        for (caller, reply) in callers.into_iter().zip(value) {
            let Some(caller) = caller else { continue };
            caller.tell(reply.map_or(Outcome::Left, |value| Outcome::Done(Stamped { now, value })));
        }
    }
}

impl Caller {
    fn tell(self, outcome: Outcome) {
        // One that went away needs no answer.
        let _ = self.outcome.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::Env;
    use leasehold_core::name::Class;
    use leasehold_core::protocol::{Acquire, Capacity, NodeId, Rid, Weight};

    use super::*;

    fn acquire(id: u32, ttl_us: u64) -> LeaseCall {
        LeaseCall {
            name: Class::new("c").unwrap().resource(id).unwrap(),
            op: Op::Acquire(Acquire {
                rid: Rid {
                    node: NodeId::new(uuid::Uuid::nil()),
                    seq: 1,
                },
                not_after_us: 0,
                weight: Weight::All,
                capacity: Capacity::ONE,
                ttl_us,
                wait: false,
                want: 1,
                seen: 0,
                label: "".into(),
            }),
        }
    }

    fn waiting(call: LeaseCall) -> Waiting {
        let (outcome, _) = oneshot::channel();
        let deadline = Env::system().now();
        Waiting {
            bucket: call.name.bucket(),
            call,
            caller: Caller { deadline, outcome },
        }
    }

    #[test]
    fn who_comes_when_nothing_is_under_way_goes_alone() {
        let combiner = Combiner::new(Together::AnyBuckets);
        let deadline = Env::system().now();
        let way = |id| combiner.way_of(&acquire(id, 1), deadline);
        for _ in 0..2 {
            let first = way(1);
            assert!(matches!(first, Way::Alone(_)));
            assert!(matches!(way(2), Way::Along(_, true)));
            // The first one's carrier has not begun yet.
            assert!(matches!(way(3), Way::Along(_, false)));
            // As when it has.
            let mut state = combiner.state();
            (state.carriers, state.starting) = (0, 0);
        }
    }

    #[test]
    fn what_cannot_travel_together_is_kept_apart() {
        let mut group = Group::default();
        group.add(waiting(acquire(1, 1)));
        let takes = |call, left: &[Waiting], together| group.takes(&waiting(call), left, together);
        let any = Together::AnyBuckets;
        assert!(takes(acquire(2, 1), &[], any));
        assert!(!takes(acquire(1, 1), &[], any), "of one resource");
        assert!(!takes(acquire(2, 7), &[], any), "of two TTLs");
        assert!(!takes(acquire(2, 1), &[], Together::OneBucket), "of two");
        let bucket = acquire(1, 1).name.bucket();
        let of_bucket = |id: &u32| acquire(*id, 1).name.bucket() == bucket;
        let near = (2..10_000).find(of_bucket).unwrap();
        assert!(takes(acquire(near, 1), &[], Together::OneBucket));
        let left = [waiting(acquire(near, 7))];
        assert!(!takes(acquire(near, 1), &left, any), "it would overtake");
    }
}
