//! The fences in a table of their own.

use super::column::FenceColumn;
use super::identifier::SqlError;
use super::statement::{Dialect, Parameter, Statement, Writer};
use crate::fencing::MAX_RESOURCE_BYTES;

/// A table with one row a resource, for rows that can't get a column, and for writes to several rows at once.
///
/// Run [`advance`](Self::advance) FIRST in the transaction that writes, and roll back if
/// [`check_rows`](crate::fencing::check_rows) refuses: the row it locks keeps every other writer of this resource waiting
/// until the commit. On SQLite begin with `BEGIN IMMEDIATE`.
///
/// ```
/// use leasehold_core::fencing::sql::{Dialect, FenceTable};
/// let fences = FenceTable::new(Dialect::Postgres, "fences")?;
/// assert_eq!(
///     fences.advance().sql(),
///     r#"INSERT INTO "fences" AS stored ("fence", "resource") VALUES ($1, $2) ON CONFLICT ("resource") DO UPDATE SET "fence" = excluded."fence" WHERE stored."fence" <= excluded."fence""#
/// );
/// # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FenceTable {
    rows: FenceColumn,
    advance: Statement,
}

impl FenceTable {
    /// The table `table` (or `schema.table`), with the columns `resource` and `fence`.
    ///
    /// # Errors
    /// [`SqlError`] for a name that cannot be used.
    pub fn new(dialect: Dialect, table: &str) -> Result<Self, SqlError> {
        let rows = FenceColumn::new(dialect, table, &["resource"])?;
        let advance = rows.upsert(&[])?;
        Ok(Self { rows, advance })
    }

    /// Makes the table, unless it is there.
    pub fn create(&self) -> String {
        let resource = match self.rows.dialect() {
            Dialect::Postgres | Dialect::Sqlite => "TEXT".into(),
            // Its text compares without regard to case and trailing spaces: two resources would share a row.
            Dialect::MySql => format!("VARBINARY({MAX_RESOURCE_BYTES})"),
        };
        let quote = self.rows.dialect().quote();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({quote}resource{quote} {resource} NOT NULL PRIMARY KEY, \
             {quote}fence{quote} BIGINT NOT NULL)",
            self.rows.table()
        )
    }

    /// Notes the fence ([`Parameter::Fence`]) of a resource ([`Parameter::Key`]), unless a greater one is there. On MySQL
    /// run [`Statement::first`] before it.
    pub fn advance(&self) -> &Statement {
        &self.advance
    }

    /// Forgets the resources whose fence is below the one bound. Fences count the store's µs, so a current one less 30
    /// days of µs names what nobody wrote for 30 days; a writer that was stopped for longer is no longer refused.
    pub fn prune(&self) -> Statement {
        let (mut prune, quote) = (
            Writer::new(self.rows.dialect()),
            self.rows.dialect().quote(),
        );
        prune
            .text(&format!("DELETE FROM {} WHERE ", self.rows.table()))
            .text(&format!("{quote}fence{quote} < "))
            .bind(Parameter::Fence);
        prune.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_made_and_pruned_in_each_dialect() {
        let fences = |dialect| FenceTable::new(dialect, "fences").unwrap();
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            assert_eq!(
                fences(dialect).create(),
                r#"CREATE TABLE IF NOT EXISTS "fences" ("resource" TEXT NOT NULL PRIMARY KEY, "fence" BIGINT NOT NULL)"#
            );
        }
        let mysql = fences(Dialect::MySql);
        assert_eq!(
            mysql.create(),
            "CREATE TABLE IF NOT EXISTS `fences` (`resource` VARBINARY(1025) NOT NULL PRIMARY KEY, `fence` BIGINT NOT NULL)"
        );
        assert_eq!(
            mysql.prune().sql(),
            "DELETE FROM `fences` WHERE `fence` < ?"
        );
        assert_eq!(
            mysql.advance().first().unwrap().sql(),
            "INSERT INTO `fences` (`fence`, `resource`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `fence` = `fence`"
        );
    }
}
