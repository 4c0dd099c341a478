//! Garbage: what no request will ever look at again.

use std::time::Duration;

use leasehold_core::{Env, Moment};
use sqlx::sqlite::SqliteConnection;

use crate::clock::Clock;
use crate::schema::{execute, integer};

/// How often a session that writes collects.
const COLLECT_EVERY: Duration = Duration::from_mins(1);

/// When to collect next.
#[derive(Debug)]
pub(crate) struct Garbage {
    due: Moment,
}

impl Garbage {
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            due: env.now() + env.jittered(COLLECT_EVERY),
        }
    }

    /// Whether it is time; if so, the next time is set.
    pub(crate) fn is_due(&mut self, env: &Env) -> bool {
        let now = env.now();
        let due = now >= self.due;
        if due {
            self.due = now + env.jittered(COLLECT_EVERY);
        }
        due
    }

    /// Deletes what has expired, in all namespaces.
    pub(crate) async fn collect(
        &self,
        sql: &mut SqliteConnection,
        clock: Clock,
    ) -> Result<(), sqlx::Error> {
        execute(sql, "BEGIN IMMEDIATE").await?;
        let now = clock.now();
        let (epoch, lease_us, wall_us) = (
            integer(now.epoch),
            integer(now.lease_us),
            integer(now.wall_us),
        );
        // As `Record::is_spent`: a fence ahead of the clock must stay known.
        sqlx::query(
            "DELETE FROM leasehold_lease WHERE (epoch <> ? OR keep_until_us <= ?) AND last_fence < ?",
        )
        .bind(epoch)
        .bind(lease_us)
        .bind(wall_us)
        .execute(&mut *sql)
        .await?;
        sqlx::query("DELETE FROM leasehold_register WHERE expires_us <= ?")
            .bind(wall_us)
            .execute(&mut *sql)
            .await?;
        sqlx::query("DELETE FROM leasehold_member WHERE epoch <> ? OR until_us <= ?")
            .bind(epoch)
            .bind(lease_us)
            .execute(&mut *sql)
            .await?;
        sqlx::query("DELETE FROM leasehold_listener WHERE epoch <> ? OR until_us <= ?")
            .bind(epoch)
            .bind(lease_us)
            .execute(&mut *sql)
            .await?;
        execute(sql, "COMMIT").await
    }
}
