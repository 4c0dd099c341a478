//! Registers.

use super::context::{LONG, SLACK, micros, name};
use super::{Context, Opened};
use crate::Fence;
use crate::name::ResourceName;
use crate::protocol::{Expect, Register, RegisterReply, RegisterWrite};

fn value(expect: Expect, value: impl Into<Vec<u8>>) -> RegisterWrite {
    RegisterWrite {
        expect,
        fence: None,
        ttl_us: micros(LONG),
        value: value.into(),
    }
}

async fn write(session: &Opened, name: &ResourceName, write: &RegisterWrite) -> RegisterReply {
    let reply = session.handle.registers.write(name, write).await;
    reply
        .unwrap_or_else(|e| panic!("{name} is written: {e}"))
        .value
}

async fn written(session: &Opened, name: &ResourceName, ask: &RegisterWrite) -> u64 {
    match write(session, name, ask).await {
        RegisterReply::Written { version } => version,
        other => panic!("{name} is written, not {other:?}"),
    }
}

async fn read(session: &Opened, name: &ResourceName) -> Option<Register> {
    let names = std::slice::from_ref(name);
    let reply = session.handle.registers.read(names).await;
    let mut registers = reply
        .unwrap_or_else(|e| panic!("{name} is read: {e}"))
        .value;
    assert_eq!(registers.len(), 1, "one answer a name");
    registers.remove(0)
}

/// Of two that expect nothing to be there, one writes.
pub async fn an_absent_register_is_created_once(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let at = name("created");
    assert_eq!(read(&one, &at).await, None);
    let version = written(&one, &at, &value(Expect::Absent, "first")).await;
    let there = read(&two, &at).await.expect("it was written");
    assert_eq!((there.version, &there.value[..]), (version, &b"first"[..]));
    assert_eq!(there.fence, 0);
    let reply = write(&two, &at, &value(Expect::Absent, "second")).await;
    assert_eq!(reply, RegisterReply::Conflict(Some(there.clone())));
    assert_eq!(read(&one, &at).await, Some(there));
}

/// So that its author can merge and try again without another read.
pub async fn a_write_at_the_wrong_version_returns_what_is_there(cx: &Context) {
    let one = cx.session().await;
    let at = name("versioned");
    let reply = write(&one, &at, &value(Expect::Version(7), "x")).await;
    assert_eq!(reply, RegisterReply::Conflict(None));
    let first = written(&one, &at, &value(Expect::Absent, "1")).await;
    let second = written(&one, &at, &value(Expect::Version(first), "2")).await;
    assert!(second > first);
    let RegisterReply::Conflict(Some(there)) =
        write(&one, &at, &value(Expect::Version(first), "3")).await
    else {
        panic!("the first version is gone");
    };
    assert_eq!((there.version, &there.value[..]), (second, &b"2"[..]));
}

/// `Any` is absent, present, whatever.
pub async fn an_unconditional_write_always_wins(cx: &Context) {
    let one = cx.session().await;
    let at = name("any");
    let mut last = 0;
    for text in ["1", "2", "3"] {
        let version = written(&one, &at, &value(Expect::Any, text)).await;
        assert!(version > last, "versions rise");
        last = version;
    }
    let there = read(&one, &at).await.expect("it was written");
    assert_eq!((there.version, &there.value[..]), (last, &b"3"[..]));
}

/// The guard of writes made under a lease.
pub async fn an_older_fence_is_refused_and_an_equal_one_accepted(cx: &Context) {
    let one = cx.session().await;
    let at = name("fenced");
    let fenced = |fence, text: &str| RegisterWrite {
        fence: Some(Fence::new(fence)),
        ..value(Expect::Any, text)
    };
    let new = Fence::MAX.get() - 1;
    written(&one, &at, &fenced(new, "new")).await;
    let reply = write(&one, &at, &fenced(new - 1, "old")).await;
    let stored = Fence::new(new);
    assert_eq!(reply, RegisterReply::Fenced { stored });
    // It is told so also when the version would not have fitted either.
    let mut both = fenced(new - 1, "old");
    both.expect = Expect::Absent;
    assert_eq!(
        write(&one, &at, &both).await,
        RegisterReply::Fenced { stored }
    );
    written(&one, &at, &fenced(new, "same")).await;
    // A write without a fence is not held back by it, and does not forget it.
    written(&one, &at, &value(Expect::Any, "unguarded")).await;
    assert_eq!(
        write(&one, &at, &both).await,
        RegisterReply::Fenced { stored }
    );
    written(&one, &at, &fenced(new + 1, "newer")).await;
    let there = read(&one, &at).await.expect("it was written");
    assert_eq!((there.fence, &there.value[..]), (new + 1, &b"newer"[..]));
}

/// Who kept a version from before must not be able to write at it.
pub async fn an_expired_register_is_absent_and_its_version_does_not_come_back(cx: &Context) {
    let one = cx.session().await;
    let at = name("expires");
    let ttl = one.short_ttl();
    let short = RegisterWrite {
        ttl_us: micros(ttl),
        fence: Some(Fence::MAX),
        ..value(Expect::Absent, "old")
    };
    let old = written(&one, &at, &short).await;
    assert!(read(&one, &at).await.is_some());
    cx.env().sleep(ttl + SLACK).await;
    assert_eq!(read(&one, &at).await, None);
    let reply = write(&one, &at, &value(Expect::Version(old), "late")).await;
    assert_eq!(reply, RegisterReply::Conflict(None));
    let new = written(&one, &at, &value(Expect::Absent, "new")).await;
    assert!(new > old, "{new} after {old}");
    let there = read(&one, &at).await.expect("it was written");
    assert_eq!(there.fence, 0, "the old fence went with the value");
}

/// Not text: any bytes, none, and many.
pub async fn values_are_bytes(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = all
        .iter()
        .copied()
        .cycle()
        .step_by(7)
        .take(100_000)
        .collect();
    for (id, bytes) in [
        ("all", all),
        ("none", Vec::new()),
        ("large", large),
        ("zero", vec![0]),
        ("broken text", vec![0xff, 0xc3, 0x28, 0x00, 0x80]),
    ] {
        let at = name(id);
        written(&one, &at, &value(Expect::Absent, bytes.clone())).await;
        let there = read(&two, &at).await.expect("it was written");
        assert!(there.value == bytes, "{id} came back changed");
    }
}

/// Of any buckets, with holes, and the same name twice.
pub async fn a_batch_is_read_in_order(cx: &Context) {
    let one = cx.session().await;
    let names: Vec<_> = (0..40).map(|n| name(&format!("batch-{n}"))).collect();
    for (n, at) in names.iter().enumerate().filter(|(n, _)| n % 3 != 0) {
        written(&one, at, &value(Expect::Any, n.to_string())).await;
    }
    let mut asked: Vec<_> = names.iter().rev().cloned().collect();
    asked.push(names[1].clone());
    let reply = one.handle.registers.read(&asked).await.expect("is read");
    assert_eq!(reply.value.len(), asked.len());
    let expected = (0..40).rev().chain([1_usize]);
    for (n, register) in expected.zip(&reply.value) {
        let wanted = (n % 3 != 0).then(|| n.to_string().into_bytes());
        assert_eq!(register.as_ref().map(|r| r.value.clone()), wanted, "{n}");
    }
    let none = one.handle.registers.read(&[]).await.expect("is read");
    assert_eq!(none.value, []);
}

/// Compare and set is atomic between connections: no increment is lost.
pub async fn one_of_many_writers_at_a_version_wins(cx: &Context) {
    const WRITERS: usize = 4;
    const EACH: u64 = 10;
    let at = name("counter");
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let (session, at) = (cx.session().await, at.clone());
        tasks.push(cx.env().spawn(async move {
            for _ in 0..EACH {
                let mut there = read(&session, &at).await;
                loop {
                    let count = there.as_ref().map_or(0, |r| count(&r.value));
                    let expect =
                        (there.as_ref()).map_or(Expect::Absent, |r| Expect::Version(r.version));
                    let ask = value(expect, (count + 1).to_string());
                    match write(&session, &at, &ask).await {
                        RegisterReply::Written { .. } => break,
                        RegisterReply::Conflict(current) => there = current,
                        RegisterReply::Fenced { .. } => panic!("no fence was used"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("a writer failed");
    }
    let there = read(&cx.session().await, &at)
        .await
        .expect("it was written");
    assert_eq!(count(&there.value), WRITERS as u64 * EACH);
}

fn count(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number");
    text.parse().expect("a number")
}
