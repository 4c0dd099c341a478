//! The statements on the hot path. Each costs a round trip to the connection's thread, so a transaction is two: one
//! begins it and reads, one writes and commits.

use std::collections::{BTreeSet, HashMap};

use leasehold_core::{Namespace, ResourceName};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::schema::{execute, integer};

/// At most so many rows a statement: SQLite takes 32,766 parameters.
const ROWS: usize = 512;

const BEGIN_AND_READ: &str =
    "BEGIN IMMEDIATE; SELECT name, record FROM leasehold_lease WHERE ns = ? AND name IN ";
const READ: &str = "SELECT name, record FROM leasehold_lease WHERE ns = ? AND name IN ";
/// In the same statement: a floor comes as a row whose name no resource has, since that has a slash.
const AND_FLOORS: &str = " UNION ALL SELECT CAST(bucket AS TEXT), CAST(CAST(floor AS TEXT) AS BLOB)
     FROM leasehold_floor WHERE ns = ? AND bucket IN ";
const READ_REGISTERS: &str =
    "SELECT name, register FROM leasehold_register WHERE ns = ? AND name IN ";
const READ_USAGES: &str = "SELECT name, usage FROM leasehold_quota WHERE ns = ? AND name IN ";

/// What was read, by name.
pub(crate) type Stored = HashMap<String, Vec<u8>>;

/// Records to write and to delete, and usages of quotas to write.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) kept: Vec<Kept>,
    pub(crate) gone: Vec<ResourceName>,
    pub(crate) usages: Vec<KeptUsage>,
}

/// A usage's row.
#[derive(Debug)]
pub(crate) struct KeptUsage {
    pub(crate) name: ResourceName,
    pub(crate) keep_until_us: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A record's row.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: ResourceName,
    pub(crate) bytes: Vec<u8>,
    pub(crate) epoch: u64,
    pub(crate) keep_until_us: u64,
    pub(crate) last_fence: u64,
}

/// Takes the write lock and reads these records, and the floors of their buckets.
pub(crate) async fn begin(
    sql: &mut SqliteConnection,
    namespace: &Namespace,
    names: &BTreeSet<ResourceName>,
) -> Result<Stored, sqlx::Error> {
    if names.is_empty() {
        execute(sql, "BEGIN IMMEDIATE").await?;
        return Ok(Stored::new());
    }
    let names: Vec<_> = names.iter().collect();
    let mut stored = Stored::with_capacity(names.len());
    for (at, names) in names.chunks(ROWS).enumerate() {
        let select = if at == 0 { BEGIN_AND_READ } else { READ };
        let size = names.len().next_power_of_two();
        let list = list("?", size);
        let text = format!("{select}({list}){AND_FLOORS}({list})");
        let mut query = sqlx::query_as(AssertSqlSafe(text)).bind(namespace.as_str().to_owned());
        for name in filled(names, size) {
            query = query.bind(name.as_str().to_owned());
        }
        query = query.bind(namespace.as_str().to_owned());
        for name in filled(names, size) {
            query = query.bind(i64::from(name.bucket().0));
        }
        stored.extend(query.fetch_all(&mut *sql).await?);
    }
    Ok(stored)
}

/// The names, filled up to `size`: so the statements are few, and stay prepared.
fn filled<'n>(
    names: &'n [&'n ResourceName],
    size: usize,
) -> impl Iterator<Item = &'n ResourceName> {
    let all = names.iter().chain(names.last().into_iter().cycle());
    all.take(size).copied()
}

/// Reads these registers, in one statement if they are not more than a request may ask for.
pub(crate) async fn registers(
    sql: &mut SqliteConnection,
    namespace: &Namespace,
    names: &[ResourceName],
) -> Result<Stored, sqlx::Error> {
    let names: Vec<_> = names.iter().collect();
    read(sql, READ_REGISTERS, namespace, &names).await
}

/// Reads these keys' usages.
pub(crate) async fn usages(
    sql: &mut SqliteConnection,
    namespace: &Namespace,
    names: &[&ResourceName],
) -> Result<Stored, sqlx::Error> {
    read(sql, READ_USAGES, namespace, names).await
}

async fn read(
    sql: &mut SqliteConnection,
    select: &str,
    namespace: &Namespace,
    names: &[&ResourceName],
) -> Result<Stored, sqlx::Error> {
    let mut stored = Stored::with_capacity(names.len());
    for names in names.chunks(ROWS) {
        let size = names.len().next_power_of_two();
        let text = format!("{select}({})", list("?", size));
        let mut query = sqlx::query_as(AssertSqlSafe(text)).bind(namespace.as_str().to_owned());
        for name in filled(names, size) {
            query = query.bind(name.as_str().to_owned());
        }
        stored.extend(query.fetch_all(&mut *sql).await?);
    }
    Ok(stored)
}

/// Writes the changes and commits.
pub(crate) async fn commit(
    sql: &mut SqliteConnection,
    namespace: &Namespace,
    changes: Changes,
) -> Result<(), sqlx::Error> {
    let mut text = String::new();
    for rows in changes.kept.chunks(ROWS) {
        text.push_str(
            "INSERT OR REPLACE INTO leasehold_lease (ns, name, record, epoch, keep_until_us, last_fence) VALUES ",
        );
        text.push_str(&list("(?, ?, ?, ?, ?, ?)", rows.len()));
        text.push_str("; ");
    }
    for rows in changes.gone.chunks(ROWS) {
        text.push_str("DELETE FROM leasehold_lease WHERE ns = ? AND name IN (");
        text.push_str(&list("?", rows.len()));
        text.push_str("); ");
    }
    for rows in changes.usages.chunks(ROWS) {
        text.push_str(
            "INSERT OR REPLACE INTO leasehold_quota (ns, name, keep_until_us, usage) VALUES ",
        );
        text.push_str(&list("(?, ?, ?, ?)", rows.len()));
        text.push_str("; ");
    }
    text.push_str("COMMIT");
    // The shapes of larger ones are too many to keep prepared.
    let lone = changes.kept.len() + changes.gone.len() + changes.usages.len() <= 1;
    let mut query = sqlx::query(AssertSqlSafe(text)).persistent(lone);
    for row in changes.kept {
        query = query
            .bind(namespace.as_str().to_owned())
            .bind(row.name.as_str().to_owned())
            .bind(row.bytes)
            .bind(integer(row.epoch))
            .bind(integer(row.keep_until_us))
            .bind(integer(row.last_fence));
    }
    for rows in changes.gone.chunks(ROWS) {
        query = query.bind(namespace.as_str().to_owned());
        for name in rows {
            query = query.bind(name.as_str().to_owned());
        }
    }
    for row in changes.usages {
        query = query
            .bind(namespace.as_str().to_owned())
            .bind(row.name.as_str().to_owned())
            .bind(integer(row.keep_until_us))
            .bind(row.bytes);
    }
    query.execute(sql).await.map(drop)
}

fn list(item: &str, count: usize) -> String {
    vec![item; count].join(", ")
}
