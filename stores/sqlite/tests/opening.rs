//! Opening: what is refused, what it says, and that it leaves nothing behind.

mod common;

use common::{LONG, context, fresh, name, raw, refused, sql, try_open, wait_until};
use leasehold_core::ResourceName;
use leasehold_core::protocol::{self, Op, Quota, Was};
use leasehold_core::store::{Beat, Connector as _, LeaseCall, StoreErrorKind};
use leasehold_sqlite::SqliteStore;

#[tokio::test]
async fn a_missing_folder_is_named_and_not_created() {
    let (folder, _) = fresh();
    let path = folder.path().join("none/leases.db");
    let error = refused(&path).await;
    assert_eq!(error.kind(), StoreErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("none does not exist; create it"), "{text}");
    assert!(!folder.path().join("none").exists());
}

#[tokio::test]
async fn a_path_that_is_no_file_is_refused() {
    let (folder, path) = fresh();
    let error = refused(folder.path()).await;
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("it is a folder"), "{error}");
    std::fs::write(&path, "").expect("a file");
    let error = refused(path.join("leases.db")).await;
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("leases.db"), "{error}");
    for path in ["/", "", "/dev/null"] {
        assert_eq!(
            refused(path).await.kind(),
            StoreErrorKind::Config,
            "{path:?}"
        );
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused() {
    // Not even root can create files there.
    for path in ["/proc/leases.db", "/sys/leases.db"] {
        let error = refused(path).await;
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
        assert!(error.to_string().contains("writable"), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let (folder, path) = fresh();
    let text = "not a database\n".repeat(1000);
    std::fs::write(&path, &text).expect("a file");
    let error = refused(&path).await;
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(
        error.to_string().contains("not a SQLite database"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&path).expect("is there"), text);
    let files = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files, 1, "nothing was created beside it");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (_folder, path) = fresh();
    drop(try_open(&path).await.expect("opens"));
    let mut other = raw(&path).await;
    let bumped = "UPDATE leasehold_meta SET value = 2 WHERE ns = '' AND key = 'format'";
    assert_eq!(sql(&mut other, bumped).await, 1);
    sqlx::Connection::close(other).await.expect("closes");
    // The last connection to close leaves the file alone in its folder.
    let wal = path.with_file_name("leases.db-wal");
    wait_until("the sessions to close", async || !wal.exists()).await;
    let before = std::fs::read(&path).expect("is there");
    let error = refused(&path).await;
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("upgrade leasehold"), "{error}");
    assert!(
        before == std::fs::read(&path).expect("is there"),
        "it was written to"
    );
}

#[tokio::test]
async fn a_newer_record_fails_its_own_request_and_is_left_alone() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let one = cx.session().await;
    let newer = name("newer");
    let mut names = (0..).map(|n| name(&format!("other-{n}")));
    let other = names.find(|other| other.bucket() == newer.bucket());
    let other = other.expect("one in 256");
    one.take(&newer, LONG).await;
    let mut raw = raw(&path).await;
    let bump = "UPDATE leasehold_lease SET record = CAST(x'33' || substr(record, 2) AS BLOB)";
    assert_eq!(sql(&mut raw, bump).await, 1);
    let call = |name: &ResourceName, op| LeaseCall {
        name: name.clone(),
        op,
    };
    // The call before it in the batch is not done either.
    let calls = [
        call(&other, Op::Acquire(one.ask(LONG))),
        call(&newer, Op::Acquire(one.ask(LONG))),
    ];
    let error = one.batch(&calls).await.expect_err("it is newer");
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert_eq!(one.inspect(&other).await, None);
    one.take(&other, LONG).await;
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM leasehold_lease WHERE substr(record, 1, 1) = x'33'",
    )
    .fetch_one(&mut raw)
    .await
    .expect("a count");
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn many_open_a_new_file_at_once() {
    let (_folder, path) = fresh();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        opening.spawn(async move { try_open(&path).await.map(drop) });
    }
    for opened in opening.join_all().await {
        opened.expect("opens");
    }
}

#[tokio::test]
async fn odd_paths_are_plain_files() {
    let folder = tempfile::tempdir().expect("a folder");
    for odd in [":memory:", "file:x?mode=memory", "a b%20ü.db", "q'\"?#.db"] {
        let path = folder.path().join(odd);
        drop(try_open(&path).await.expect("opens"));
        assert!(path.is_file(), "{odd}");
    }
    let relative = SqliteStore::new(":memory:").address();
    assert!(relative.starts_with("sqlite:/"), "{relative}");
}

#[tokio::test]
async fn where_a_newer_node_is_a_member_this_one_does_not_become_one() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, two) = (cx.session().await, cx.session().await);
    let beat = |node| Beat {
        node,
        label: String::new(),
        meta: std::collections::BTreeMap::new(),
        ttl_us: 60_000_000,
    };
    one.handle
        .members
        .beat(&beat(one.node))
        .await
        .expect("alone");
    let mut raw = raw(&path).await;
    let bump = "UPDATE leasehold_member SET beat = CAST(x'33' || substr(beat, 2) AS BLOB)";
    assert_eq!(sql(&mut raw, bump).await, 1);
    let refused = two.handle.members.beat(&beat(two.node)).await;
    let error = refused.expect_err("the other is newer");
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    let members: i64 = sqlx::query_scalar("SELECT count(*) FROM leasehold_member")
        .fetch_one(&mut raw)
        .await
        .expect("a count");
    assert_eq!(members, 1);
}

/// Two versions share a file during a deploy: what the one before wrote, its tables, holders and waiters, is carried on.
#[tokio::test]
async fn a_file_of_the_version_before_is_carried_on() {
    let (_folder, path) = fresh();
    let cx = context(SqliteStore::new(&path));
    let (one, two) = (cx.session().await, cx.session().await);
    let lock = name("of-before");
    let (held, first) = one.take(&lock, LONG).await;
    let waiting = two.enqueue(&lock, LONG).await;
    let mut raw = raw(&path).await;
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT record FROM leasehold_lease")
        .fetch_one(&mut raw)
        .await
        .expect("a record");
    let record = protocol::decode(&bytes).expect("it is this version's");
    sqlx::query("UPDATE leasehold_lease SET record = ?")
        .bind(protocol::encode_before(&record))
        .execute(&mut raw)
        .await
        .expect("is written");
    // Looking leaves it to those of the version before.
    assert!(one.inspect(&lock).await.is_some());
    let format = "SELECT count(*) FROM leasehold_lease WHERE substr(record, 1, 1) = x'31'";
    let kept: i64 = sqlx::query_scalar(format)
        .fetch_one(&mut raw)
        .await
        .expect("a count");
    assert_eq!(kept, 1);
    // It had neither floors nor quotas.
    for table in ["floor", "quota", "settled"] {
        sql(&mut raw, &format!("DROP TABLE leasehold_{table}")).await;
    }
    let opened = context(SqliteStore::new(&path));
    let late = opened.session_in(cx.namespace()).await;
    assert_eq!(late.queued(&lock, &late.ask(LONG)).await, 1);
    assert_eq!(one.release(&lock, held).await, Was::Held);
    let next = two.granted(&lock, &waiting).await;
    assert!(next.first > first.end);
    let floors = [(lock.bucket(), 7)];
    let raised = late.handle.leases.raise_floors(&floors).await;
    raised.expect("the table is there again");
    let quota = Quota::new(1, 1_000_000, 1).expect("a fine quota");
    assert_eq!(late.charge(&lock, quota, 1).await, 1);
}
