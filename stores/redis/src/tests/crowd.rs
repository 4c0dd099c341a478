//! Crowds: where the layout changes, what it leaves, what it costs, and what becomes of one that lost a part.

use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{
    self, Acquire, Capacity, NodeId, Now, Op, Record, Release, Renew, Reply, Rid, TooNew, Weight,
};
use leasehold_core::store::LeaseCall;

use super::rig::{Rig, START_US, step};
use crate::leases::{put_keys, put_words, take_replies};
use crate::record;
use crate::script::{CROWD, Crowded, LARGEST};

const TTL_US: u64 = 30_000_000;
/// Above what makes a crowd.
const MANY: u64 = 20;

struct Stage {
    rig: Rig,
    name: ResourceName,
    now: Now,
    capacity: u32,
}

impl Stage {
    fn new(capacity: u64) -> Self {
        let name = Class::new("crowd").unwrap().resource("{}:l:ü").unwrap();
        Self {
            rig: Rig::new(name.bucket(), &[]),
            name,
            now: step(Now::default(), i64::try_from(START_US).unwrap()),
            capacity: u32::try_from(capacity).unwrap(),
        }
    }

    fn call(&self, op: Op) -> Reply {
        let calls = [LeaseCall {
            name: self.name.clone(),
            op,
        }];
        let answer = self.rig.run(
            &self.rig.scripts.leases,
            self.now,
            |cmd| put_keys(cmd, &self.rig.keys, &calls),
            |cmd| put_words(cmd, &self.rig.keys, &calls),
        );
        take_replies(answer).unwrap().value.remove(0)
    }

    fn ask(&self, seq: u64) -> Reply {
        self.call(Op::Acquire(Acquire {
            rid: rid(seq),
            not_after_us: self.now.lease_us + TTL_US,
            weight: Weight::ONE,
            capacity: Capacity {
                size: self.capacity,
                revision: 0,
            },
            ttl_us: TTL_US,
            wait: true,
            want: 1,
            seen: 0,
            label: "".into(),
        }))
    }

    fn end(&self, seq: u64, close_until_us: u64) -> Reply {
        self.call(Op::Release(Release {
            rid: rid(seq),
            not_after_us: LARGEST,
            used: 0,
            close_until_us,
        }))
    }

    fn renew(&self, seq: u64, renewal: u64) -> Reply {
        self.call(Op::Renew(Renew {
            rid: rid(seq),
            not_after_us: LARGEST,
            renewal,
        }))
    }

    fn record(&self) -> Option<Record> {
        match self.call(Op::Inspect) {
            Reply::Inspected(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.rig.get(&self.rig.keys.lease(&self.name))
    }

    fn is_crowd(&self) -> bool {
        self.bytes().as_deref().is_some_and(record::is_crowd)
    }

    fn parts(&self) -> Vec<String> {
        self.rig.parts(&self.name)
    }

    /// Above their fences, so that a record goes when it is empty.
    fn later(&mut self, by_us: i64) {
        self.now = step(self.now, by_us);
    }
}

fn rid(seq: u64) -> Rid {
    let node = uuid::Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0001);
    Rid {
        node: NodeId::new(node),
        seq,
    }
}

#[test]
fn a_record_moves_to_keys_of_its_own_and_back_and_leaves_none() {
    let mut stage = Stage::new(MANY / 2);
    let Crowded { above, until } = Crowded::MEASURED;
    let (above, until) = (u64::from(above), u64::from(until));
    for seq in 1..=MANY {
        stage.ask(seq);
        assert_eq!(stage.is_crowd(), seq > above, "{seq}");
        assert_eq!(stage.parts().is_empty(), seq <= above, "{seq}");
        assert_eq!(stage.record().unwrap().entries.len() as u64, seq);
    }
    stage.later(1_000_000);
    for left in (0..MANY).rev() {
        let before = stage.record().unwrap();
        stage.end(left + 1, 0);
        assert_eq!(stage.is_crowd(), left > until, "{left}");
        assert_eq!(stage.parts().is_empty(), left <= until, "{left}");
        if left > 0 {
            let entries = stage.record().unwrap().entries;
            assert_eq!(entries, before.entries[..usize::try_from(left).unwrap()]);
        }
    }
    assert_eq!(stage.bytes(), None);
}

#[test]
fn a_crowd_between_the_two_bounds_stays_what_it_is() {
    let stage = Stage::new(MANY);
    let above = u64::from(Crowded::MEASURED.above);
    for seq in 1..=above {
        stage.ask(seq);
    }
    assert!(!stage.is_crowd());
    stage.ask(above + 1);
    for _ in 0..3 {
        stage.end(above + 1, 0);
        assert!(stage.is_crowd());
        stage.ask(above + 1);
        assert!(stage.is_crowd());
    }
}

#[test]
fn every_part_of_a_crowd_collects_itself() {
    let mut stage = Stage::new(MANY);
    for seq in 1..=MANY {
        stage.ask(seq);
    }
    // A queue and a list of ended ids that come, go and come again: their keys are new ones each time.
    for round in 0..3 {
        let until_us = stage.now.lease_us + 500_000;
        for waiter in [100 + round, 200 + round] {
            assert!(matches!(stage.ask(waiter), Reply::Queued { .. }));
        }
        stage.end(100 + round, until_us);
        for key in stage.parts() {
            let kept_ms = stage.rig.time_to_live_ms(&key);
            assert!((90_000..=160_000).contains(&kept_ms), "{key} {kept_ms}");
        }
        assert_eq!(stage.parts().len(), 6, "{:?}", stage.parts());
        stage.end(200 + round, 0);
        stage.later(1_000_000);
        stage.renew(1, u64::from(round == 0));
        assert_eq!(stage.parts().len(), 3, "{:?}", stage.parts());
    }
}

/// As a record of them does; and whoever comes after that is kept as everybody is.
#[test]
fn a_crowd_of_ended_requests_goes_as_soon_as_they_are_forgotten() {
    let mut stage = Stage::new(MANY / 2);
    for seq in 1..=MANY {
        stage.ask(seq);
    }
    stage.later(1_000_000);
    let until_us = stage.now.lease_us + 20_000_000;
    for seq in 1..=MANY {
        stage.end(seq, until_us);
    }
    let keys = || [stage.parts(), vec![stage.rig.keys.lease(&stage.name)]].concat();
    assert!(stage.is_crowd());
    assert_eq!(keys().len(), 3, "{:?}", keys());
    for key in keys() {
        let kept_ms = stage.rig.time_to_live_ms(&key);
        assert!((1..=21_000).contains(&kept_ms), "{key} {kept_ms}");
    }
    assert!(matches!(stage.ask(100), Reply::Granted { .. }));
    assert_eq!(keys().len(), 5, "{:?}", keys());
    for key in keys() {
        let kept_ms = stage.rig.time_to_live_ms(&key);
        assert!(kept_ms > 80_000, "{key} {kept_ms}");
    }
    stage.end(100, 0);
    for key in keys() {
        let kept_ms = stage.rig.time_to_live_ms(&key);
        assert!((1..=21_000).contains(&kept_ms), "{key} {kept_ms}");
    }
}

/// Each in turn: what is left is as lost as a record that was evicted, but for its last fence.
#[test]
fn a_crowd_that_lost_a_part_is_free_again() {
    let parts = {
        let stage = Stage::new(MANY / 2);
        for seq in 1..=MANY {
            stage.ask(seq);
        }
        stage.end(1000, stage.now.lease_us + TTL_US);
        stage.parts()
    };
    assert_eq!(parts.len(), 6, "{parts:?}");
    for part in parts {
        let mut stage = Stage::new(MANY / 2);
        for seq in 1..=MANY {
            stage.ask(seq);
        }
        stage.end(1000, stage.now.lease_us + TTL_US);
        let last = stage.record().unwrap().last;
        stage.rig.delete(&part);
        stage.later(7_000_000);
        let Reply::Granted { first, .. } = stage.ask(500) else {
            panic!("{part}");
        };
        assert!(first > last, "{part}");
        let entries = stage.record().unwrap().entries;
        assert_eq!(entries.len(), 1, "{part}");
        assert!(stage.parts().is_empty(), "{part}");
    }
}

#[test]
fn what_a_call_does_on_the_server_does_not_grow_with_the_crowd() {
    let commands = |many: u64| {
        let stage = Stage::new(many);
        for seq in 1..=2 * many {
            stage.ask(seq);
        }
        let count = |call: &dyn Fn()| {
            stage.rig.command(redis::cmd("CONFIG").arg("RESETSTAT"));
            call();
            stage.rig.calls()
        };
        [
            count(&|| drop(stage.end(1, stage.now.lease_us + TTL_US))),
            count(&|| drop(stage.renew(many + 1, 1))),
            count(&|| drop(stage.ask(2 * many + 1))),
            count(&|| drop(stage.ask(2 * many))),
            count(&|| drop(stage.ask(2))),
            count(&|| drop(stage.end(2 * many, 0))),
        ]
    };
    let few = commands(20);
    assert_eq!(commands(400), few);
    assert!(few.iter().all(|calls| *calls <= 30), "{few:?}");
}

/// A version that knows no crowds refuses one, and does not guess.
#[test]
fn the_head_of_a_crowd_is_no_record_to_those_who_know_none() {
    let stage = Stage::new(MANY);
    for seq in 1..=MANY {
        stage.ask(seq);
    }
    let refused = protocol::decode(&stage.bytes().unwrap()).unwrap_err();
    let TooNew::Version { found, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(found, char::from(CROWD));
}
