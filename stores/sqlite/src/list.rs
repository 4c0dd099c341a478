//! Listing leases, in the order of their names.

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::protocol::{self, TooNew};
use leasehold_core::store::{ListQuery, Page};

use crate::error::Failure;
use crate::schema::integer;
use crate::transaction::Transaction;
use crate::writer::Query;

pub(crate) struct List(pub(crate) ListQuery);

#[async_trait]
impl Query for List {
    type Answer = Page;
    const OPERATION: &'static str = "list";
    const WRITES: bool = false;

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Page, Failure> {
        let Self(query) = self;
        let limit = query.limit.max(1);
        // Not LIKE, which takes letters of either case for the same.
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT name, record FROM leasehold_lease
             WHERE ns = ? AND name >= ? AND name > ? AND substr(name, 1, length(?)) = ?
             ORDER BY name LIMIT ?",
        )
        .bind(tx.scope.namespace.as_str())
        .bind(query.prefix.as_str())
        .bind(query.after.as_deref().unwrap_or_default())
        .bind(query.prefix.as_str())
        .bind(query.prefix.as_str())
        .bind(integer(limit as u64))
        .fetch_all(&mut *tx.sql)
        .await?;
        let next = rows.last().map(|(name, _)| name.clone());
        let next = next.filter(|_| rows.len() >= limit);
        let read = |(name, bytes): (String, Vec<u8>)| {
            Ok((ResourceName::from_store(&name), protocol::decode(&bytes)?))
        };
        let resources = rows.into_iter().map(read).collect::<Result<_, TooNew>>()?;
        Ok(Page { resources, next })
    }
}
