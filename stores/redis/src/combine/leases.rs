//! Leases: acquires that do not wait, and releases, each of a resource of its own.

use std::collections::VecDeque;

use leasehold_core::Moment;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{Op, Reply};
use leasehold_core::store::{LeaseCall, Stamped, StoreError};
use redis::{Cmd, Value};

use super::{Answers, Cargo, Combiner, SEATS, Together, Waiting};
use crate::connection::Connection;
use crate::fast::{Batch, Shape, is_plain, shape_of};
use crate::leases::OPERATION;

/// Whether a call can travel with those of others: what it asks for is mostly uncontended.
pub(crate) fn can_travel(op: &Op) -> bool {
    match op {
        // Who stands in line has met others.
        Op::Acquire(ask) => !ask.wait && shape_of(ask).is_some(),
        Op::Release(ask) => is_plain(ask),
        _ => false,
    }
}

impl Cargo for LeaseCall {
    type Reply = Reply;
    const OPERATION: &'static str = OPERATION;

    fn callers(connection: &Connection) -> &Combiner<Self> {
        &connection.combiner
    }

    fn bucket(&self) -> Bucket {
        self.name.bucket()
    }

    /// Acquires first. Those of one resource are kept apart, and in their order.
    fn pick_up(waiting: &mut VecDeque<Waiting<Self>>, together: Together) -> Vec<Waiting<Self>> {
        let mut group = Group::default();
        let mut left = Vec::new();
        while group.len() < SEATS
            && let Some(next) = waiting.pop_front()
        {
            if next.caller.outcome.is_closed() {
                // Its caller went away before anything was sent.
            } else if group.takes(&next, &left, together) {
                group.add(next);
            } else {
                group.buckets.add(next.bucket);
                left.push(next);
            }
        }
        for next in left.into_iter().rev() {
            waiting.push_front(next);
        }
        group.acquires.append(&mut group.releases);
        group.acquires
    }

    async fn send(
        connection: &Connection,
        calls: &[Self],
        deadline: Moment,
    ) -> Result<Option<Answers<Self>>, StoreError> {
        let mut batch = Batch::default();
        for LeaseCall { name, op } in calls {
            // What can travel is of this batch: nothing is left out.
            batch.add(name, op);
        }
        let keys = &connection.shared.keys;
        let fill = |cmd: &mut Cmd| {
            batch.put_keys(cmd, keys);
            batch.put_words(cmd);
        };
        let script = &connection.scripts.together;
        let answer = connection.run_until(deadline, OPERATION, script, calls.len(), fill);
        match answer.await? {
            Value::BulkString(bytes) => Ok(batch.take_answers(&bytes)),
            _ => Ok(None),
        }
    }

    async fn send_alone(
        connection: &Connection,
        call: &Self,
        asked: Moment,
    ) -> Result<Stamped<Vec<Reply>>, StoreError> {
        connection.alone(std::slice::from_ref(call), asked).await
    }
}

/// Those who are picked up.
#[derive(Default)]
struct Group {
    acquires: Vec<Waiting<LeaseCall>>,
    releases: Vec<Waiting<LeaseCall>>,
    shape: Option<Shape>,
    /// Of those who were looked at.
    buckets: Buckets,
}

impl Group {
    fn len(&self) -> usize {
        self.acquires.len() + self.releases.len()
    }

    /// Whether one can come with them and overtakes nobody of `left`.
    fn takes(
        &self,
        waiting: &Waiting<LeaseCall>,
        left: &[Waiting<LeaseCall>],
        together: Together,
    ) -> bool {
        let same_shape = match (&waiting.call.op, self.shape) {
            (Op::Acquire(ask), Some(shape)) => shape_of(ask) == Some(shape),
            _ => true,
        };
        let before = || self.acquires.iter().chain(&self.releases);
        let same_resource = |other: &Waiting<LeaseCall>| other.call.name == waiting.call.name;
        let met = self.buckets.has(waiting.bucket) && before().chain(left).any(same_resource);
        let within_reach = match together {
            Together::AnyBuckets => true,
            Together::OneBucket => before().all(|other| other.bucket == waiting.bucket),
        };
        same_shape && !met && within_reach
    }

    fn add(&mut self, waiting: Waiting<LeaseCall>) {
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

#[cfg(test)]
mod tests {
    use leasehold_core::Env;
    use leasehold_core::name::Class;
    use leasehold_core::protocol::{Acquire, Capacity, NodeId, Rid, Weight};
    use tokio::sync::oneshot;

    use super::super::{Caller, Way};
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

    fn waiting(call: LeaseCall) -> Waiting<LeaseCall> {
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
        let takes = |call, left: &[Waiting<LeaseCall>], together| {
            group.takes(&waiting(call), left, together)
        };
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
