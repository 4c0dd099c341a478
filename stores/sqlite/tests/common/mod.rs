//! What the `SQLite` tests share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::conformance::Context;
use leasehold_core::store::{StoreError, StoreHandle};
use leasehold_core::{Class, Env, ResourceName};
use leasehold_sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A file in a folder that goes away.
pub(crate) fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.db");
    (folder, path)
}

pub(crate) fn context(store: SqliteStore) -> Context {
    Context::new(Arc::new(store), Env::system())
}

pub(crate) fn name(id: &str) -> ResourceName {
    let class = Class::new("case").expect("a fine class");
    class.resource(id).expect("a fine name")
}

/// Opens a session that must be refused.
pub(crate) async fn refused(path: impl AsRef<Path>) -> StoreError {
    match try_open(path).await {
        Ok(_) => panic!("the file must be refused"),
        Err(error) => error,
    }
}

pub(crate) async fn try_open(path: impl AsRef<Path>) -> Result<StoreHandle, StoreError> {
    let store = SqliteStore::new(path.as_ref());
    let cx = context(store.clone());
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let session = leasehold_core::store::Session {
        namespace: cx.namespace().clone(),
        node: leasehold_core::protocol::NodeId::new(cx.env().uuid()),
        env: cx.env().clone(),
        events: leasehold_core::store::EventSender::new(events),
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(2),
    };
    leasehold_core::store::Connector::open(&store, &session).await
}

/// A connection of someone else's.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.expect("the file opens")
}

pub(crate) async fn sql(connection: &mut SqliteConnection, statement: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await;
    done.unwrap_or_else(|e| panic!("{statement}: {e}"))
        .rows_affected()
}

/// Looks until it is so, for two seconds.
pub(crate) async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) {
    let env = Env::system();
    let deadline = env.now() + Duration::from_secs(2);
    while !condition().await {
        assert!(env.now() < deadline, "waited in vain for {what}");
        env.sleep(Duration::from_millis(5)).await;
    }
}
