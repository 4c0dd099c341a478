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
        sqlx::query("DELETE FROM leasehold_floor WHERE until_us <= ?")
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
        // As `Usage::is_spent`.
        sqlx::query("DELETE FROM leasehold_quota WHERE keep_until_us < ?")
            .bind(wall_us)
            .execute(&mut *sql)
            .await?;
        sqlx::query("DELETE FROM leasehold_settled WHERE epoch <> ? OR until_us <= ?")
            .bind(epoch)
            .bind(lease_us)
            .execute(&mut *sql)
            .await?;
        execute(sql, "COMMIT").await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::file::DataFile;
    use crate::schema;

    #[tokio::test]
    async fn only_what_nobody_can_need_is_collected() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = DataFile {
            path: folder.path().join("leases.db"),
            max_bytes: None,
        };
        let env = Env::system();
        let mut opened = schema::open(&file, &env).await.expect("opens");
        let sql = &mut opened.sql;
        let clock = Clock::of_this_boot().expect("Linux says");
        let now = clock.now();
        let (epoch, lease, wall) = (now.epoch, now.lease_us, now.wall_us);
        let (past, future) = (lease - 1, lease + 60_000_000);
        let (old, ahead) = (wall - 1, wall + 60_000_000);
        sqlx::raw_sql(AssertSqlSafe(format!(
            "INSERT INTO leasehold_lease (ns, name, record, epoch, keep_until_us, last_fence) VALUES
               ('a', 'kept: held', x'', {epoch}, {future}, {old}),
               ('a', 'kept: its fence is ahead of the clock', x'', {epoch}, {past}, {ahead}),
               ('b', 'expired', x'', {epoch}, {past}, {old}),
               ('b', 'of another boot', x'', {epoch} + 1, {future}, {old});
             INSERT INTO leasehold_register (ns, name, expires_us, register) VALUES
               ('a', 'kept: live', {ahead}, x''), ('b', 'expired', {old}, x'');
             INSERT INTO leasehold_floor (ns, bucket, floor, until_us) VALUES
               ('kept: used lately', 1, 7, {ahead}), ('unused', 1, 7, {old});
             INSERT INTO leasehold_member (ns, node, epoch, until_us, beat) VALUES
               ('a', 'kept: live', {epoch}, {future}, x''), ('b', 'dead', {epoch}, {past}, x'');
             INSERT INTO leasehold_listener (ns, node, token, address, epoch, until_us) VALUES
               ('a', 'kept: live', '', '', {epoch}, {future}), ('b', 'dead', '', '', {epoch}, {past});
             INSERT INTO leasehold_quota (ns, name, keep_until_us, usage) VALUES
               ('a', 'kept: charged', {ahead}, x''), ('b', 'spent', {old}, x'');
             INSERT INTO leasehold_settled (ns, rid, epoch, until_us, kind, units) VALUES
               ('a', 'kept: may be asked again', {epoch}, {future}, 0, 1), ('b', 'over', {epoch}, {past}, 0, 1),
               ('b', 'of another boot', {epoch} + 1, {future}, 0, 1);"
        )))
        .execute(&mut *sql)
        .await
        .expect("rows");
        let garbage = Garbage::new(&env);
        garbage.collect(sql, clock).await.expect("collects");
        let kept: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM leasehold_lease UNION ALL SELECT name FROM leasehold_register
             UNION ALL SELECT ns FROM leasehold_floor
             UNION ALL SELECT node FROM leasehold_member UNION ALL SELECT node FROM leasehold_listener
             UNION ALL SELECT name FROM leasehold_quota UNION ALL SELECT rid FROM leasehold_settled",
        )
        .fetch_all(sql)
        .await
        .expect("names");
        assert_eq!(kept.len(), 8, "{kept:?}");
        assert!(kept.iter().all(|name| name.starts_with("kept")), "{kept:?}");
    }
}
