//! The SQL texts, on a real file.

use leasehold::Fence;
use leasehold::fencing::check_rows;
use leasehold::fencing::sql::{Dialect, FenceColumn, FenceTable};
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::place::{open, run};

/// A file with the tables of [`Place`](crate::place::Place).
pub(crate) async fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db").display().to_string();
    let mut file = open(&path).await.unwrap();
    for sql in [
        "CREATE TABLE balance (id TEXT PRIMARY KEY, amount TEXT NOT NULL)",
        "CREATE TABLE plain (id TEXT PRIMARY KEY, amount TEXT NOT NULL)",
        &FenceTable::new(Dialect::Sqlite, "fences").unwrap().create(),
        &FenceColumn::new(Dialect::Sqlite, "balance", &["id"])
            .unwrap()
            .add_column(),
    ] {
        execute(&mut file, sql).await;
    }
    (folder, path)
}

/// The amount that all rows of a table have.
pub(crate) async fn amounts(path: &str, table: &str) -> String {
    let sql = format!("SELECT DISTINCT amount FROM {table}");
    let mut file = open(path).await.unwrap();
    let query = sqlx::query_scalar(AssertSqlSafe(sql));
    query.fetch_one(&mut file).await.unwrap()
}

async fn execute(file: &mut SqliteConnection, sql: &str) {
    let query = sqlx::query(AssertSqlSafe(sql));
    query.execute(file).await.unwrap();
}

async fn number(file: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(file).await.unwrap()
}

#[tokio::test]
async fn rows_that_were_there_before_the_column_take_any_fence_and_then_no_smaller_one() {
    let mut file = open(":memory:").await.unwrap();
    // Names that are words of SQL: they are quoted.
    execute(
        &mut file,
        r#"CREATE TABLE "order" ("key" TEXT PRIMARY KEY, "to" TEXT)"#,
    )
    .await;
    execute(&mut file, r#"INSERT INTO "order" VALUES ('7', 'Ada')"#).await;
    let orders = FenceColumn::new(Dialect::Sqlite, "order", &["key"]).unwrap();
    let orders = orders.column("group").unwrap();
    execute(&mut file, &orders.add_column()).await;

    let update = orders.update(&["to"]).unwrap();
    let largest = Fence::MAX.get();
    for (fence, rows) in [
        (1, 1),
        (largest - 1, 1),
        (largest, 1),
        (largest, 1),
        (largest - 1, 0),
    ] {
        let fence = Fence::new(fence);
        let affected = run(&mut file, &update, &["Bob"], fence, "7").await.unwrap();
        assert_eq!(affected, rows, "{fence}");
    }
    let stored = number(&mut file, r#"SELECT "group" FROM "order""#).await;
    assert_eq!(stored, Fence::MAX.as_i64());
    // There is no such row: that is no success either.
    let affected = run(&mut file, &update, &["Bob"], Fence::MAX, "8")
        .await
        .unwrap();
    assert!(check_rows(affected, "order/8", Fence::MAX).is_err());
}

#[tokio::test]
async fn a_statement_of_ones_own_is_guarded_by_the_fragments() {
    let mut file = open(":memory:").await.unwrap();
    execute(
        &mut file,
        "CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER, fence BIGINT)",
    )
    .await;
    execute(&mut file, "INSERT INTO stock VALUES (1, 10, 5)").await;
    let stock = FenceColumn::new(Dialect::Sqlite, "stock", &["id"]).unwrap();
    let (set, guard) = (stock.assignment(2), stock.condition(2));
    let sql = format!("UPDATE stock SET n = n - ?1, {set} WHERE id = 1 AND {guard}");
    for (fence, rows) in [(4, 0), (5, 1), (6, 1), (5, 0)] {
        let query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(2).bind(fence);
        let affected = query.execute(&mut file).await.unwrap().rows_affected();
        assert_eq!(affected, rows, "{fence}");
    }
    assert_eq!(number(&mut file, "SELECT n FROM stock").await, 6);
}

#[tokio::test]
async fn a_fence_table_forgets_what_is_below_the_fence_it_is_given() {
    let (_folder, path) = file().await;
    let mut file = open(&path).await.unwrap();
    let fences = FenceTable::new(Dialect::Sqlite, "fences").unwrap();
    for (resource, fence) in [("a", 1), ("b", 2), ("c", 3)] {
        let fence = Fence::new(fence);
        let affected = run(&mut file, fences.advance(), &[], fence, resource).await;
        assert_eq!(affected.unwrap(), 1);
    }
    let forgotten = run(&mut file, &fences.prune(), &[], Fence::new(3), "").await;
    assert_eq!(forgotten.unwrap(), 2);
    assert_eq!(number(&mut file, "SELECT fence FROM fences").await, 3);
}
