//! Floors: no resource of a bucket starts below its.

use async_trait::async_trait;
use leasehold_core::name::Bucket;

use crate::error::Failure;
use crate::schema::integer;
use crate::transaction::Transaction;
use crate::writer::Query;

/// A floor is kept for 30 days after its last use.
const KEEP_US: u64 = 30 * 24 * 3600 * 1_000_000;

pub(crate) struct RaiseFloors(pub(crate) Vec<(Bucket, u64)>);

#[async_trait]
impl Query for RaiseFloors {
    type Answer = ();
    const OPERATION: &'static str = "raise floors";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<(), Failure> {
        for (bucket, fence) in &self.0 {
            sqlx::query(
                "INSERT INTO leasehold_floor (ns, bucket, floor, until_us) VALUES (?, ?, ?, ?)
                 ON CONFLICT (ns, bucket) DO UPDATE
                 SET floor = max(floor, excluded.floor), until_us = excluded.until_us",
            )
            .bind(tx.scope.namespace.as_str())
            .bind(i64::from(bucket.0))
            .bind(integer(*fence))
            .bind(integer(tx.now.wall_us.saturating_add(KEEP_US)))
            .execute(&mut *tx.sql)
            .await?;
        }
        Ok(())
    }
}
