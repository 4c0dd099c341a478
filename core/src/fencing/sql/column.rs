//! The fence in a column of the row that is written.

use super::identifier::{Identifier, SqlError, Table, distinct};
use super::statement::{Dialect, Parameter, Statement, Writer};

/// A table whose rows carry the fence of the lease that wrote them last.
///
/// Names are taken as they stand in the database and are written quoted: Postgres keeps `Invoice` as `invoice` unless it
/// was created quoted.
///
/// A row that is deleted takes its fence along: where late writers could bring it back, mark it as deleted instead, or
/// use a [`FenceTable`](super::FenceTable).
///
/// ```
/// use leasehold_core::fencing::sql::{Dialect, FenceColumn, Parameter};
/// let invoices = FenceColumn::new(Dialect::Sqlite, "invoice", &["id"])?;
/// let update = invoices.update(&["amount"])?;
/// assert_eq!(
///     update.sql(),
///     r#"UPDATE "invoice" SET "amount" = ?1, "fence" = ?2 WHERE "id" = ?3 AND "fence" <= ?2"#
/// );
/// assert_eq!(update.parameters(), [Parameter::Value(0), Parameter::Fence, Parameter::Key(0)]);
/// # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FenceColumn {
    dialect: Dialect,
    table: Table,
    key: Vec<Identifier>,
    fence: Identifier,
}

impl FenceColumn {
    /// The column `fence` of `table` (or `schema.table`), whose rows are found by `key`: the columns of its primary key
    /// or of a unique index, since the rows affected are read as one row's answer.
    ///
    /// # Errors
    /// [`SqlError`] for names that cannot be used.
    pub fn new(dialect: Dialect, table: &str, key: &[&str]) -> Result<Self, SqlError> {
        let this = Self {
            dialect,
            table: Table::new(table)?,
            key: Identifier::all(key)?,
            fence: Identifier::new("fence")?,
        };
        if this.key.is_empty() {
            return Err(SqlError::NoKey);
        }
        distinct(this.columns(&[]))?;
        Ok(this)
    }

    /// A column of another name.
    ///
    /// # Errors
    /// [`SqlError`] for a name that cannot be used.
    pub fn column(mut self, name: &str) -> Result<Self, SqlError> {
        self.fence = Identifier::new(name)?;
        distinct(self.columns(&[]))?;
        Ok(self)
    }

    /// Adds the column to the table, once. A row that nobody wrote under a lease has the fence 0. (A column that may be
    /// NULL refuses every write: NULL compares with nothing.)
    ///
    /// ```
    /// # use leasehold_core::fencing::sql::{Dialect, FenceColumn};
    /// let invoices = FenceColumn::new(Dialect::Postgres, "invoice", &["id"])?;
    /// let sql = r#"ALTER TABLE "invoice" ADD COLUMN "fence" BIGINT NOT NULL DEFAULT 0"#;
    /// assert_eq!(invoices.add_column(), sql);
    /// # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
    /// ```
    pub fn add_column(&self) -> String {
        let (table, fence) = (self.table(), self.quoted(&self.fence));
        format!("ALTER TABLE {table} ADD COLUMN {fence} BIGINT NOT NULL DEFAULT 0")
    }

    /// The condition for a statement of your own, with the fence as its `number`th parameter (from 1; MySQL's have no
    /// number). It goes with [`assignment`](Self::assignment): a write that leaves the old fence there guards nothing.
    ///
    /// ```
    /// # use leasehold_core::fencing::sql::{Dialect, FenceColumn};
    /// let invoices = FenceColumn::new(Dialect::Postgres, "invoice", &["id"])?;
    /// let (set, guard) = (invoices.assignment(2), invoices.condition(2));
    /// assert_eq!(
    ///     format!("UPDATE invoice SET amount = amount + $1, {set} WHERE id = $3 AND {guard}"),
    ///     r#"UPDATE invoice SET amount = amount + $1, "fence" = $2 WHERE id = $3 AND "fence" <= $2"#
    /// );
    /// # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
    /// ```
    pub fn condition(&self, number: usize) -> String {
        let fence = self.quoted(&self.fence);
        format!("{fence} <= {}", self.dialect.placeholder(number))
    }

    /// The assignment that goes with [`condition`](Self::condition).
    pub fn assignment(&self, number: usize) -> String {
        let fence = self.quoted(&self.fence);
        format!("{fence} = {}", self.dialect.placeholder(number))
    }

    /// Writes `values` to a row that is there, unless a greater fence has written it.
    ///
    /// # Errors
    /// [`SqlError`] for names that cannot be used.
    pub fn update(&self, values: &[&str]) -> Result<Statement, SqlError> {
        let values = self.values(values)?;
        Ok(self.update_of(&values))
    }

    /// Writes `values` to a row, made if it is not there, unless a greater fence has written it.
    ///
    /// On MySQL run [`Statement::first`] before it, both in one transaction: there an upsert has no condition, and its
    /// count of rows does not tell a refusal from an insert.
    ///
    /// # Errors
    /// [`SqlError`] for names that cannot be used.
    pub fn upsert(&self, values: &[&str]) -> Result<Statement, SqlError> {
        let values = self.values(values)?;
        if self.dialect == Dialect::MySql {
            let mut first = self.insert(&values, "");
            let fence = self.quoted(&self.fence);
            // Changes nothing, and locks the row.
            first.text(&format!(" ON DUPLICATE KEY UPDATE {fence} = {fence}"));
            let update = self.update_of(&values);
            return Ok(update.after(first.finish()));
        }
        let mut upsert = self.insert(&values, " AS stored");
        let key = self.key.iter().map(|column| self.quoted(column));
        let written = values.iter().chain([&self.fence]);
        let fence = self.quoted(&self.fence);
        upsert
            .text(" ON CONFLICT (")
            .list(", ", key, |to, column| {
                to.text(&column);
            })
            .text(") DO UPDATE SET ")
            .list(", ", written, |to, column| {
                let column = self.quoted(column);
                to.text(&format!("{column} = excluded.{column}"));
            })
            .text(&format!(" WHERE stored.{fence} <= excluded.{fence}"));
        Ok(upsert.finish())
    }

    fn update_of(&self, values: &[Identifier]) -> Statement {
        let mut update = Writer::new(self.dialect);
        let equals = |to: &mut Writer, column: &Identifier, parameter| {
            to.text(&self.quoted(column)).text(" = ").bind(parameter);
        };
        update
            .text("UPDATE ")
            .text(&self.table())
            .text(" SET ")
            .list(", ", self.written(values), |to, (column, parameter)| {
                equals(to, column, parameter);
            })
            .text(" WHERE ")
            .list(" AND ", self.found(), |to, (column, parameter)| {
                equals(to, column, parameter);
            })
            .text(" AND ")
            .text(&self.quoted(&self.fence))
            .text(" <= ")
            .bind(Parameter::Fence);
        update.finish()
    }

    fn insert(&self, values: &[Identifier], alias: &str) -> Writer {
        let mut insert = Writer::new(self.dialect);
        let columns = || self.written(values).chain(self.found());
        insert
            .text("INSERT INTO ")
            .text(&self.table())
            .text(alias)
            .text(" (")
            .list(", ", columns(), |to, (column, _)| {
                to.text(&self.quoted(column));
            })
            .text(") VALUES (")
            .list(", ", columns(), |to, (_, parameter)| {
                to.bind(parameter);
            })
            .text(")");
        insert
    }

    fn values(&self, names: &[&str]) -> Result<Vec<Identifier>, SqlError> {
        let values = Identifier::all(names)?;
        distinct(self.columns(&values))?;
        Ok(values)
    }

    /// The values, then the fence.
    fn written<'a>(
        &'a self,
        values: &'a [Identifier],
    ) -> impl Iterator<Item = (&'a Identifier, Parameter)> {
        let numbered = values.iter().enumerate();
        numbered
            .map(|(at, column)| (column, Parameter::Value(at)))
            .chain([(&self.fence, Parameter::Fence)])
    }

    fn found(&self) -> impl Iterator<Item = (&Identifier, Parameter)> {
        let numbered = self.key.iter().enumerate();
        numbered.map(|(at, column)| (column, Parameter::Key(at)))
    }

    fn columns<'a>(&'a self, values: &'a [Identifier]) -> impl Iterator<Item = &'a Identifier> {
        values.iter().chain([&self.fence]).chain(&self.key)
    }

    fn quoted(&self, column: &Identifier) -> String {
        column.quoted(self.dialect)
    }

    pub(super) fn table(&self) -> String {
        self.table.quoted(self.dialect)
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Parameter::{Fence, Key, Value};

    fn seats(dialect: Dialect) -> FenceColumn {
        FenceColumn::new(dialect, "shop.seat", &["show", "seat"]).unwrap()
    }

    #[test]
    fn an_update_names_the_row_and_the_fence_in_each_dialect() {
        for (dialect, sql) in [
            (
                Dialect::Postgres,
                r#"UPDATE "shop"."seat" SET "who" = $1, "paid" = $2, "fence" = $3 WHERE "show" = $4 AND "seat" = $5 AND "fence" <= $3"#,
            ),
            (
                Dialect::Sqlite,
                r#"UPDATE "shop"."seat" SET "who" = ?1, "paid" = ?2, "fence" = ?3 WHERE "show" = ?4 AND "seat" = ?5 AND "fence" <= ?3"#,
            ),
            (
                Dialect::MySql,
                "UPDATE `shop`.`seat` SET `who` = ?, `paid` = ?, `fence` = ? WHERE `show` = ? AND `seat` = ? AND `fence` <= ?",
            ),
        ] {
            let update = seats(dialect).update(&["who", "paid"]).unwrap();
            assert_eq!(update.sql(), sql);
            let mut parameters = vec![Value(0), Value(1), Fence, Key(0), Key(1)];
            if dialect == Dialect::MySql {
                parameters.push(Fence);
            }
            assert_eq!(update.parameters(), parameters);
            assert_eq!(update.first(), None);
        }
    }

    #[test]
    fn an_upsert_has_its_condition_in_each_dialect() {
        let upsert = seats(Dialect::Postgres).upsert(&["who"]).unwrap();
        assert_eq!(
            upsert.sql(),
            r#"INSERT INTO "shop"."seat" AS stored ("who", "fence", "show", "seat") VALUES ($1, $2, $3, $4) ON CONFLICT ("show", "seat") DO UPDATE SET "who" = excluded."who", "fence" = excluded."fence" WHERE stored."fence" <= excluded."fence""#
        );
        assert_eq!(upsert.parameters(), [Value(0), Fence, Key(0), Key(1)]);
        let sqlite = seats(Dialect::Sqlite).upsert(&["who"]).unwrap();
        assert_eq!(sqlite.sql(), upsert.sql().replace('$', "?"));

        let mysql = seats(Dialect::MySql).upsert(&["who"]).unwrap();
        let first = mysql.first().unwrap();
        assert_eq!(
            first.sql(),
            "INSERT INTO `shop`.`seat` (`who`, `fence`, `show`, `seat`) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE `fence` = `fence`"
        );
        assert_eq!(first.parameters(), upsert.parameters());
        let update = seats(Dialect::MySql).update(&["who"]).unwrap();
        assert_eq!(mysql.sql(), update.sql());
    }

    #[test]
    fn a_name_that_is_no_name_goes_into_no_text() {
        let column = |name: &str| seats(Dialect::Sqlite).update(&[name]).map(drop);
        for (name, character) in [
            ("a\"; DROP TABLE seat; --", '"'),
            ("a`b", '`'),
            ("a b", ' '),
            ("naïve", 'ï'),
            ("a.b", '.'),
            ("a\0", '\0'),
            ("1a", '1'),
        ] {
            let name = name.to_owned();
            let refused = SqlError::Character {
                name: name.clone(),
                character,
            };
            assert_eq!(column(&name), Err(refused));
        }
        assert_eq!(column(""), Err(SqlError::Empty));
        let name = "x".repeat(64);
        assert_eq!(column(&name), Err(SqlError::TooLong { name }));
        assert_eq!(column(&"x".repeat(63)), Ok(()));

        let table = |name| FenceColumn::new(Dialect::Sqlite, name, &["id"]).map(drop);
        assert_eq!(table("."), Err(SqlError::Empty));
        for name in ["a.b.c", "a;b", "a\"b"] {
            assert!(matches!(table(name), Err(SqlError::Character { .. })));
        }
        let keyless = FenceColumn::new(Dialect::Sqlite, "seat", &[]).map(drop);
        assert_eq!(keyless, Err(SqlError::NoKey));
    }

    #[test]
    fn a_column_that_is_named_twice_is_refused() {
        for name in ["fence", "FENCE", "show"] {
            let refused = seats(Dialect::Postgres).upsert(&["who", name]).map(drop);
            let name = name.to_owned();
            // Told by the name that came second.
            assert!(
                matches!(&refused, Err(SqlError::Repeated { name: told }) if told.eq_ignore_ascii_case(&name)),
                "{refused:?}"
            );
        }
        let key = FenceColumn::new(Dialect::Postgres, "seat", &["fence"]).map(drop);
        assert!(matches!(key, Err(SqlError::Repeated { .. })));
        let renamed = seats(Dialect::Postgres).column("seat").map(drop);
        assert!(matches!(renamed, Err(SqlError::Repeated { .. })));
    }
}
