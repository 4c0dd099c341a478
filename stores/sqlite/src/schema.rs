//! The tables, and opening a connection to them.

use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::{StoreError, StoreErrorKind};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::error::Verdict;
use crate::file::{DataFile, Identity};

/// The layout of the tables. A newer one is refused; every record carries its own format besides.
const FORMAT: i64 = 1;

/// For how long SQLite itself waits for a lock. Longer waits are rounds of these, so that deadlines are kept exactly and
/// waiters do not fall back to SQLite's slow pace of one look each 100 ms.
const LOCK_ROUND: Duration = Duration::from_millis(10);

// `epoch` and the times of leases, members, listeners and settlements are the lease clock's, those of registers, floors and
// quotas the wall clock's.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS leasehold_meta (
    ns TEXT NOT NULL, key TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (ns, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_lease (
    ns TEXT NOT NULL, name TEXT NOT NULL, record BLOB NOT NULL,
    epoch INTEGER NOT NULL, keep_until_us INTEGER NOT NULL, last_fence INTEGER NOT NULL,
    PRIMARY KEY (ns, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_register (
    ns TEXT NOT NULL, name TEXT NOT NULL, expires_us INTEGER NOT NULL, register BLOB NOT NULL,
    PRIMARY KEY (ns, name));
CREATE TABLE IF NOT EXISTS leasehold_member (
    ns TEXT NOT NULL, node TEXT NOT NULL, epoch INTEGER NOT NULL, until_us INTEGER NOT NULL, beat BLOB NOT NULL,
    PRIMARY KEY (ns, node)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_listener (
    ns TEXT NOT NULL, node TEXT NOT NULL, token TEXT NOT NULL, address TEXT NOT NULL,
    epoch INTEGER NOT NULL, until_us INTEGER NOT NULL,
    PRIMARY KEY (ns, node, token)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_floor (
    ns TEXT NOT NULL, bucket INTEGER NOT NULL, floor INTEGER NOT NULL, until_us INTEGER NOT NULL,
    PRIMARY KEY (ns, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_quota (
    ns TEXT NOT NULL, name TEXT NOT NULL, keep_until_us INTEGER NOT NULL, usage BLOB NOT NULL,
    PRIMARY KEY (ns, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leasehold_settled (
    ns TEXT NOT NULL, rid TEXT NOT NULL, epoch INTEGER NOT NULL, until_us INTEGER NOT NULL,
    kind INTEGER NOT NULL, units INTEGER NOT NULL,
    PRIMARY KEY (ns, rid)) WITHOUT ROWID;
INSERT OR IGNORE INTO leasehold_meta (ns, key, value) VALUES ('', 'format', 1);
";

/// A connection, and which file it is to.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) sql: SqliteConnection,
    pub(crate) identity: Option<Identity>,
}

/// Opens the file, creating it and its tables if they are not there. While another process does the same it waits, for
/// as long as the caller does.
pub(crate) async fn open(file: &DataFile, env: &Env) -> Result<Opened, StoreError> {
    loop {
        file.check()?;
        match attempt(file).await {
            Ok(opened) => return opened,
            Err(error) => {
                let verdict = Verdict::of(&error, &file.path);
                if !verdict.is_busy() {
                    return Err(verdict.to_error("open"));
                }
            }
        }
        env.sleep(env.jittered(LOCK_ROUND)).await;
    }
}

async fn attempt(file: &DataFile) -> Result<Result<Opened, StoreError>, sqlx::Error> {
    let mut sql = SqliteConnectOptions::new()
        .filename(&file.path)
        .create_if_missing(true)
        .busy_timeout(LOCK_ROUND)
        .disable_statement_logging()
        .connect()
        .await?;
    // The file is not touched before it is known to be ours.
    if let Some(format) = stored_format(&mut sql).await?
        && format > FORMAT
    {
        sql.close().await?;
        return Ok(Err(too_new(file, format)));
    }
    let ready = is_complete(&mut sql).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut sql)
        .await?;
    if !mode.eq_ignore_ascii_case("wal") {
        let context = format!(
            "{}: SQLite cannot keep a write-ahead log here; use a local disk",
            file.path.display()
        );
        return Ok(Err(StoreError::new(
            StoreErrorKind::Config,
            "open",
            context,
        )));
    }
    execute(&mut sql, "PRAGMA synchronous = NORMAL").await?;
    if let Some(bytes) = file.max_bytes {
        let page: i64 = sqlx::query_scalar("PRAGMA page_size")
            .fetch_one(&mut sql)
            .await?;
        let pages = bytes / page.cast_unsigned().max(1);
        let limit = format!("PRAGMA max_page_count = {}", pages.max(1));
        sqlx::query(AssertSqlSafe(limit)).execute(&mut sql).await?;
    }
    if !ready {
        execute(&mut sql, "BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(TABLES).execute(&mut sql).await?;
        execute(&mut sql, "COMMIT").await?;
        // Another process, maybe a newer one, may have been first.
        if let Some(format) = stored_format(&mut sql).await?.filter(|f| *f > FORMAT) {
            return Ok(Err(too_new(file, format)));
        }
    }
    let identity = file.identity();
    Ok(Ok(Opened { sql, identity }))
}

async fn stored_format(sql: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let table: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM sqlite_master WHERE name = 'leasehold_meta'")
            .fetch_optional(&mut *sql)
            .await?;
    if table.is_none() {
        return Ok(None);
    }
    sqlx::query_scalar(
        "SELECT CAST(value AS INTEGER) FROM leasehold_meta WHERE ns = '' AND key = 'format'",
    )
    .fetch_optional(sql)
    .await
}

/// Whether all tables are there. The versions before this one had no floors, then no quotas; they do without them in the
/// same file.
async fn is_complete(sql: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master
         WHERE name IN ('leasehold_meta', 'leasehold_floor', 'leasehold_quota', 'leasehold_settled')",
    )
    .fetch_one(sql)
    .await?;
    Ok(tables == 4)
}

fn too_new(file: &DataFile, found: i64) -> StoreError {
    let context = format!(
        "{}: its format {found} is newer than {FORMAT}: upgrade leasehold here, or use another file",
        file.path.display()
    );
    StoreError::new(StoreErrorKind::TooNew, "open", context)
}

/// Runs a statement without parameters.
pub(crate) async fn execute(
    sql: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(sql).await.map(drop)
}

/// A number as SQLite keeps it. None of leasehold's reaches 2^63; a TTL of "for ever" stops there.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
