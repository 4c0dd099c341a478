//! One transaction, shared by the jobs that came together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use leasehold_core::ResourceName;
use leasehold_core::protocol::{Now, Rid};
use sqlx::sqlite::SqliteConnection;

use crate::connection::Scope;
use crate::leases::Slot;
use crate::schema::execute;

/// An open transaction.
pub(crate) struct Transaction<'c> {
    pub(crate) sql: &'c mut SqliteConnection,
    pub(crate) scope: &'c Scope,
    /// The store's time, read once the write lock was held.
    pub(crate) now: Now,
    /// Records that were read, as the jobs so far have left them; written at the end.
    pub(crate) slots: BTreeMap<ResourceName, Slot>,
    pub(crate) effects: Effects,
}

/// What is to be done once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Waiters that were made holders.
    pub(crate) granted: Vec<Rid>,
    /// Where to tell them, with each address's token.
    pub(crate) pushes: Vec<(SocketAddr, String, Rid)>,
    /// Requests of this node that now wait (with the resource), or no longer do.
    pub(crate) waiting: Vec<(Rid, Option<ResourceName>)>,
}

impl<'c> Transaction<'c> {
    pub(crate) fn new(sql: &'c mut SqliteConnection, scope: &'c Scope, now: Now) -> Self {
        Self {
            sql,
            scope,
            now,
            slots: BTreeMap::new(),
            effects: Effects::default(),
        }
    }

    /// Writes what is left to write, and commits.
    pub(crate) async fn commit(mut self) -> Result<Effects, sqlx::Error> {
        self.write_records().await?;
        self.find_listeners().await?;
        execute(self.sql, "COMMIT").await?;
        Ok(self.effects)
    }
}
