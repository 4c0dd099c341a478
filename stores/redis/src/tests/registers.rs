//! Lua against `protocol::write`.

use leasehold_core::Fence;
use leasehold_core::name::{Bucket, Class};
use leasehold_core::protocol::{self, Expect, Now, Register, RegisterWrite};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::rig::{Rig, START_US, runner, step};
use crate::registers::{decode, put_write, take_write};
use crate::script::LARGEST;

/// What a write expects, in terms of what it meets.
#[derive(Debug, Clone, Copy)]
enum Expects {
    Any,
    Absent,
    ThisVersion,
    Version(u64),
}

#[test]
fn lua_and_the_protocol_agree_on_every_register() {
    let rig = Rig::new(Bucket(0), &[]);
    let key = rig
        .keys
        .register(&Class::new("tick").unwrap().resource("nightly").unwrap());
    let expects = select(vec![
        Expects::Any,
        Expects::Absent,
        Expects::ThisVersion,
        Expects::ThisVersion,
        Expects::Version(0),
        Expects::Version(LARGEST),
    ]);
    let fence = select(vec![
        None,
        Some(0),
        Some(1),
        Some(START_US),
        Some(LARGEST - 1),
        Some(LARGEST),
    ]);
    let ttl = select(vec![0, 1, 300, 1_000_000, 86_400_000_000]);
    let value = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(vec![0xff; 70_000]),
        Just("grüße".as_bytes().to_vec()),
    ];
    let clock = select(vec![0, 0, 1, 299, 301, 1_000_000, -1, -500, -2_000_000]);
    let writes = vec((expects, fence, ttl, value, clock), 1..30);
    let result = runner(150).run(&writes, |writes| {
        rig.delete(&key);
        let mut model: Option<Register> = None;
        let mut now = Now {
            lease_us: START_US - 5,
            wall_us: START_US,
            epoch: 0,
        };
        for (expects, fence, ttl_us, value, by_us) in writes {
            now = step(now, by_us);
            let write = RegisterWrite {
                expect: match expects {
                    Expects::Any => Expect::Any,
                    Expects::Absent => Expect::Absent,
                    Expects::ThisVersion => {
                        Expect::Version(model.as_ref().map_or(1, |r| r.version))
                    }
                    Expects::Version(version) => Expect::Version(version),
                },
                fence: fence.map(Fence::new),
                ttl_us,
                value,
            };
            let (reply, written) = protocol::write(model.clone(), &write, now);
            model = written.or(model);
            let answer = rig.run(
                &rig.scripts.register,
                now,
                |cmd| {
                    cmd.arg(1).arg(&key);
                },
                |cmd| put_write(cmd, &write),
            );
            prop_assert_eq!(take_write(answer).unwrap().value, reply);
            let stored = rig.get(&key).map(|bytes| decode(&bytes).unwrap());
            prop_assert_eq!(&stored, &model);
            if stored.is_some() {
                let ttl_ms = i64::try_from(ttl_us / 1000).unwrap();
                prop_assert!(rig.time_to_live_ms(&key) >= ttl_ms.min(1));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
