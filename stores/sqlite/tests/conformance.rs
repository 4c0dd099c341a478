//! The `SQLite` store keeps the contracts.

use std::sync::Arc;

use leasehold_core::Env;
use leasehold_core::store::conformance::Context;
use leasehold_sqlite::SqliteStore;

leasehold_core::conformance_tests!({
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::new(folder.path().join("leases.db"));
    Context::new(Arc::new(store), Env::system()).keeping(folder)
});
