//! One transaction, shared by the jobs that came together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use leasehold_core::ResourceName;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{Notice, Now, Rid};
use sqlx::sqlite::SqliteConnection;

use crate::connection::Scope;
use crate::leases::Slot;
use crate::{quotas, statements};

/// An open transaction.
pub(crate) struct Transaction<'c> {
    pub(crate) sql: &'c mut SqliteConnection,
    pub(crate) scope: &'c Scope,
    /// The store's time, read once the write lock was held.
    pub(crate) now: Now,
    writes: bool,
    /// Records that were read, as the jobs so far have left them; written at the end.
    pub(crate) slots: BTreeMap<ResourceName, Slot>,
    /// Of the buckets of these records.
    pub(crate) floors: BTreeMap<Bucket, u64>,
    /// Usages of quotas that were read, as the jobs so far have left them; written at the end.
    pub(crate) usages: BTreeMap<ResourceName, quotas::Kept>,
    pub(crate) effects: Effects,
}

/// What is to be done once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Who is to be told of what.
    pub(crate) notices: Vec<Notice>,
    /// Where to tell them, with each address's token.
    pub(crate) pushes: Vec<(SocketAddr, String, Notice)>,
    /// Requests of this node that now wait (with the resource), or no longer do.
    pub(crate) waiting: Vec<(Rid, Option<ResourceName>)>,
}

impl<'c> Transaction<'c> {
    /// Takes the write lock and reads the records of `names`.
    pub(crate) async fn begin(
        sql: &'c mut SqliteConnection,
        scope: &'c Scope,
        names: &BTreeSet<ResourceName>,
    ) -> Result<Self, sqlx::Error> {
        let stored = statements::begin(sql, &scope.namespace, names).await?;
        // Only now: whoever waited for the lock must not act on the time before.
        let mut tx = Self::read_only(sql, scope);
        tx.writes = true;
        tx.fill(names, stored);
        Ok(tx)
    }

    /// For requests that only read, in one statement each: each is its own transaction.
    pub(crate) fn read_only(sql: &'c mut SqliteConnection, scope: &'c Scope) -> Self {
        Self {
            sql,
            scope,
            now: scope.clock.now(),
            writes: false,
            slots: BTreeMap::new(),
            floors: BTreeMap::new(),
            usages: BTreeMap::new(),
            effects: Effects::default(),
        }
    }

    /// Writes what is left to write, and commits.
    pub(crate) async fn commit(mut self) -> Result<Effects, sqlx::Error> {
        if self.writes {
            self.find_listeners().await?;
            let mut changes = self.changes();
            self.changed_usages(&mut changes);
            statements::commit(self.sql, &self.scope.namespace, changes).await?;
        }
        Ok(self.effects)
    }
}
