//! Names: what users may call things, and that nothing meets what it should not.

use super::Context;
use super::context::{LONG, micros, name};
use crate::name::{Class, MAX_NAME_BYTES, Namespace};
use crate::protocol::{Expect, RegisterReply, RegisterWrite, Was};

/// Characters that mean something to one store or another.
const NAMES: [&str; 14] = [
    "plain",
    " spaces  in it ",
    "ünïcödé 租約 🔑",
    "a\u{301} is not á",
    "{tag}",
    "}{",
    "%41 100% %s %%",
    "a/b//c/",
    "'; DROP TABLE leases; --",
    "\"quoted\" `and` \\escaped\\",
    "a:b#c?d&e=f*[g]|h",
    "_ and % of LIKE",
    "$1 ?1 :name @name",
    "..",
];

/// Leases and registers of such names are told apart and come back.
pub async fn any_name_is_carried_whole(cx: &Context) {
    let (one, two) = (cx.session().await, cx.session().await);
    // Two of the longest that differ in the last byte only.
    let longest = |last: char| format!("{}{last}", "x".repeat(MAX_NAME_BYTES - 1));
    let mut ids: Vec<String> = NAMES.map(str::to_owned).to_vec();
    ids.extend([longest('a'), longest('b'), "é".repeat(MAX_NAME_BYTES / 2)]);
    let mut held = Vec::new();
    for id in &ids {
        let at = name(id);
        let (rid, _) = one.take(&at, LONG).await;
        held.push(rid);
        let write = RegisterWrite {
            expect: Expect::Absent,
            fence: None,
            ttl_us: micros(LONG),
            value: id.clone().into_bytes(),
        };
        let reply = one.handle.registers.write(&at, &write).await;
        let reply = reply.unwrap_or_else(|e| panic!("{id:?} is written: {e}"));
        assert!(
            matches!(reply.value, RegisterReply::Written { .. }),
            "{id:?}"
        );
    }
    let names: Vec<_> = ids.iter().map(|id| name(id)).collect();
    let registers = two.handle.registers.read(&names).await.expect("is read");
    for (id, register) in ids.iter().zip(registers.value) {
        assert_eq!(register.map(|r| r.value), Some(id.clone().into_bytes()));
    }
    for (at, rid) in names.iter().zip(held) {
        let record = two.inspect(at).await.expect("it is held");
        assert_eq!(record.entries[0].rid, rid, "{at}");
        assert_eq!(one.release(at, rid).await, Was::Held, "{at}");
    }
}

/// Also where one's name could be taken for a part of another's key.
pub async fn namespaces_never_meet(cx: &Context) {
    let base = cx.namespace().as_str();
    let lock = name("b/c");
    let mut sessions = Vec::new();
    for suffix in [
        "", "/case", "/", "{b", "}", "{b}", "#1", "%23", ":b", " ", "é", "*", "_",
    ] {
        let namespace = Namespace::new(&format!("{base}{suffix}")).expect("a fine name");
        sessions.push(cx.session_in(&namespace).await);
    }
    let longest = format!("{base}{}", "x".repeat(MAX_NAME_BYTES - base.len()));
    let longest = Namespace::new(&longest).expect("a fine name");
    sessions.push(cx.session_in(&longest).await);
    for (n, session) in sessions.iter().enumerate() {
        session.take(&lock, LONG).await;
        let at = [lock.clone()];
        let register = session.handle.registers.read(&at).await.expect("is read");
        assert_eq!(register.value, [None]);
        let write = RegisterWrite {
            expect: Expect::Absent,
            fence: None,
            ttl_us: micros(LONG),
            value: n.to_string().into_bytes(),
        };
        let reply = session.handle.registers.write(&lock, &write).await;
        let reply = reply.expect("is written").value;
        assert!(matches!(reply, RegisterReply::Written { .. }), "{reply:?}");
    }
    // `a` + `b/c` is not `a/b` + `c`.
    let other = Class::new("b").and_then(|class| class.resource("c"));
    let other = other.expect("a fine name");
    for session in &sessions {
        session.take(&other, LONG).await;
    }
}

/// They are of different kinds.
pub async fn a_lease_and_a_register_of_one_name_do_not_meet(cx: &Context) {
    let one = cx.session().await;
    let at = name("both");
    let (rid, _) = one.take(&at, LONG).await;
    let write = RegisterWrite {
        expect: Expect::Absent,
        fence: None,
        ttl_us: micros(LONG),
        value: b"value".to_vec(),
    };
    let reply = one.handle.registers.write(&at, &write).await;
    let reply = reply.expect("is written").value;
    assert!(matches!(reply, RegisterReply::Written { .. }), "{reply:?}");
    assert_eq!(one.release(&at, rid).await, Was::Held);
    let there = one.handle.registers.read(&[at]).await.expect("is read");
    let value = there.value[0].as_ref().map(|r| &r.value[..]);
    assert_eq!(value, Some(&b"value"[..]));
}
