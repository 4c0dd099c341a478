//! Failures while the store is in use: typed, bounded, nothing half-done, and over once their cause is.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{LONG, context, fresh, name, raw, sql, wait_until};
use leasehold_core::Env;
use leasehold_core::protocol::{Expect, Op, RegisterReply, RegisterWrite, Reply};
use leasehold_core::store::conformance::Opened;
use leasehold_core::store::{Beat, Event, LeaseCall, StoreError, StoreErrorKind};
use leasehold_sqlite::SqliteStore;

async fn write(session: &Opened, id: &str, bytes: usize) -> Result<(), StoreError> {
    let write = RegisterWrite {
        expect: Expect::Any,
        fence: None,
        ttl_us: 60_000_000,
        value: vec![7; bytes],
    };
    let reply = session.handle.registers.write(&name(id), &write).await?;
    assert!(matches!(reply.value, RegisterReply::Written { .. }));
    Ok(())
}

async fn length(session: &Opened, id: &str) -> Option<usize> {
    let read = session.handle.registers.read(&[name(id)]).await;
    let registers = read.expect("is read").value;
    registers[0].as_ref().map(|register| register.value.len())
}

#[tokio::test]
async fn x21_disk_full_is_typed_and_leaves_nothing_half_done() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path).max_bytes(200_000));
    let one = cx.session().await;
    let lock = name("held");
    let (rid, _) = one.take(&lock, LONG).await;
    let mut written = 0;
    let error = loop {
        match write(&one, &format!("fill-{written}"), 20_000).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "200 kB hold less than that");
    };
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(written > 0);
    for n in 0..written {
        assert_eq!(length(&one, &format!("fill-{n}")).await, Some(20_000));
    }
    assert_eq!(length(&one, &format!("fill-{written}")).await, None);
    // What needs no more room goes on, also beside what does not fit, and in one transaction with it.
    let (renewed, refused, again) = tokio::join!(
        one.renew(&lock, rid, 1),
        write(&one, "large", 100_000),
        one.renew(&lock, rid, 2)
    );
    assert!(matches!(renewed, Reply::Renewed { .. }));
    assert!(matches!(again, Reply::Renewed { .. }));
    let refused = refused.expect_err("it does not fit");
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert_eq!(length(&one, "large").await, None);
    // Once there is room, it works again.
    write(&one, "fill-0", 1).await.expect("it shrinks");
    write(&one, "large", 15_000).await.expect("there is room");
    assert_eq!(length(&one, "large").await, Some(15_000));
}

#[tokio::test]
async fn x21_a_second_writer_bounds_the_wait_and_nothing_is_done() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let one = cx.session().await;
    let lock = name("locked-out");
    let mut other = raw(&path).await;
    sql(&mut other, "BEGIN IMMEDIATE").await;
    let begun = cx.env().now();
    let calls = [LeaseCall {
        name: lock.clone(),
        op: Op::Acquire(one.ask(LONG)),
    }];
    let error = one.batch(&calls).await.expect_err("the file is locked");
    let waited = cx.env().now().since(begun);
    // Asking again helps, so it is not `Refused`.
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    assert!(error.to_string().contains("write lock"), "{error}");
    let bounds = Duration::from_secs(1)..Duration::from_secs(2);
    assert!(bounds.contains(&waited), "{waited:?}");
    // Reading needs no lock.
    assert_eq!(length(&one, "none").await, None);
    sql(&mut other, "ROLLBACK").await;
    assert_eq!(one.inspect(&lock).await, None);
    one.take(&lock, LONG).await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_second_writer_goes_on_when_it_ends() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let one = cx.session().await;
    let mut other = raw(&path).await;
    sql(&mut other, "BEGIN IMMEDIATE").await;
    let release = async {
        cx.env().sleep(Duration::from_millis(300)).await;
        sql(&mut other, "COMMIT").await;
        cx.env().now()
    };
    let lock = name("patient");
    let (ended, granted) = tokio::join!(release, async {
        one.take(&lock, LONG).await;
        cx.env().now()
    });
    assert!(granted.since(ended) < Duration::from_millis(200));
}

#[tokio::test]
async fn a_request_whose_caller_went_away_is_done_whole_or_not_at_all() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let one = cx.session().await;
    for turn in 0..20 {
        let lock = name(&format!("dropped-{turn}"));
        let calls = [
            LeaseCall {
                name: lock.clone(),
                op: Op::Acquire(one.ask(LONG)),
            },
            LeaseCall {
                name: lock.clone(),
                op: Op::Acquire(one.ask(LONG)),
            },
        ];
        let patience = Duration::from_micros(turn * 20);
        let _ = cx.env().timeout(patience, one.batch(&calls)).await;
        // It is behind the dropped one in the writer's queue.
        let entries = one.inspect(&lock).await.map_or(0, |r| r.entries.len());
        assert!(entries == 0 || entries == 2, "{entries}");
    }
}

#[tokio::test]
async fn a_caller_that_blocks_its_runtime_keeps_the_file_from_nobody() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let one = Arc::new(cx.session().await);
    for yields in 0..12 {
        let asking = Arc::clone(&one);
        let lock = name(&format!("blocked-{yields}"));
        let asked = cx
            .env()
            .spawn(async move { asking.take(&lock, LONG).await });
        // Wherever the request is by then, it must not need this runtime to let go of the file.
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let path = path.clone();
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let env = Env::system();
                let begun = env.now();
                let mut other = raw(&path).await;
                sql(&mut other, "BEGIN IMMEDIATE").await;
                sql(&mut other, "COMMIT").await;
                env.now().since(begun)
            })
        });
        let waited = elsewhere.join().expect("it gets the lock");
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        asked.await.expect("granted");
    }
}

#[tokio::test]
async fn a_lost_push_costs_one_look_at_most() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, mut two) = (cx.session().await, cx.session().await);
    let lock = name("lost-push");
    two.listen(&lock).await;
    let mut raw = raw(&path).await;
    let elsewhere = "UPDATE leasehold_listener SET address = '127.0.0.1:9'";
    assert_eq!(sql(&mut raw, elsewhere).await, 1);
    let (rid, _) = one.take(&lock, LONG).await;
    let ask = two.enqueue(&lock, LONG).await;
    // Other commits are no news for a waiter.
    for turn in 0..3 {
        one.renew(&lock, rid, turn + 1).await;
        cx.env().sleep(Duration::from_millis(200)).await;
    }
    assert!(two.events.try_recv().is_err());
    one.release(&lock, rid).await;
    let begun = cx.env().now();
    let event = cx.env().timeout(Duration::from_secs(2), two.events.recv());
    assert_eq!(event.await.expect("in time"), Some(Event::Look(ask.rid)));
    let waited = cx.env().now().since(begun);
    assert!(waited < Duration::from_millis(450), "{waited:?}");
    two.granted(&lock, &ask).await;
}

#[tokio::test]
async fn a_client_may_wait_on_one_session_and_listen_on_another() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, caller) = (cx.session().await, cx.session().await);
    let mut background = cx.session_as(cx.namespace(), caller.node).await;
    let lock = name("lost-push");
    background.listen(&lock).await;
    let mut raw = raw(&path).await;
    sql(&mut raw, "DELETE FROM leasehold_listener").await;
    let (rid, _) = one.take(&lock, LONG).await;
    let ask = caller.enqueue(&lock, LONG).await;
    one.release(&lock, rid).await;
    let event = (cx.env()).timeout(Duration::from_secs(2), background.events.recv());
    assert_eq!(event.await.expect("in time"), Some(Event::Look(ask.rid)));
}

#[tokio::test]
async fn a_session_that_ends_takes_its_address_along() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, two) = (cx.session().await, cx.session().await);
    one.listen(&name("any")).await;
    one.listen(&name("other")).await;
    two.listen(&name("any")).await;
    let listeners = async || {
        let mut raw = raw(&path).await;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM leasehold_listener");
        count.fetch_one(&mut raw).await.expect("a count")
    };
    assert_eq!(listeners().await, 2);
    drop(one);
    wait_until("one address to go", async || listeners().await == 1).await;
    drop(two);
    wait_until("both to go", async || listeners().await == 0).await;
    // The last one out closes the file: its log is gone.
    let wal = path.with_file_name("leases.db-wal");
    wait_until("the file to be closed", async || !wal.exists()).await;
}

#[tokio::test]
async fn a_deleted_file_is_noticed_as_lost_data() {
    let (folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, two) = (cx.session().await, cx.session().await);
    let beat = |session: &Opened| Beat {
        node: session.node,
        label: "host".into(),
        meta: BTreeMap::new(),
        ttl_us: 60_000_000,
    };
    let before = one.handle.members.beat(&beat(&one)).await.expect("beats");
    let lock = name("lost");
    one.take(&lock, LONG).await;
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        std::fs::remove_file(file.expect("an entry").path()).expect("deletes");
    }
    let after = one.handle.members.beat(&beat(&one)).await.expect("beats");
    assert_ne!(before.value.incarnation, after.value.incarnation);
    // Every session goes on with the same new file.
    two.take(&lock, LONG).await;
    let listed = two.handle.members.beat(&beat(&two)).await.expect("beats");
    assert_eq!(listed.value.incarnation, after.value.incarnation);
    assert_eq!(listed.value.members.len(), 2);
}
