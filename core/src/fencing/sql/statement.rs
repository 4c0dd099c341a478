//! A text and what is bound to it, in the words of a database.

/// Whose SQL a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Postgres: parameters are `$1`, `$2`.
    Postgres,
    /// SQLite, since 3.24: parameters are `?1`, `?2`.
    Sqlite,
    /// MySQL and MariaDB: parameters are `?`, so the fence is bound more than once.
    ///
    /// The connection must count *found* rows (`CLIENT_FOUND_ROWS`), not changed ones: else a write that repeats what is
    /// there counts none, and is taken for refused; an upsert's first one, too. sqlx always does; other drivers have an
    /// option, such as `client_found_rows`.
    MySql,
}

impl Dialect {
    pub(super) fn quote(self) -> char {
        match self {
            Dialect::Postgres | Dialect::Sqlite => '"',
            Dialect::MySql => '`',
        }
    }

    /// The placeholder of the `number`th parameter, counted from 1.
    pub(super) fn placeholder(self, number: usize) -> String {
        match self {
            Dialect::Postgres => format!("${number}"),
            Dialect::Sqlite => format!("?{number}"),
            Dialect::MySql => "?".into(),
        }
    }
}

/// What is bound at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// The value for this one of the value columns, counted from 0.
    Value(usize),
    /// The writer's fence: [`Fence::as_i64`](crate::Fence::as_i64).
    Fence,
    /// The value of this one of the key columns, counted from 0.
    Key(usize),
}

/// A text, and what is to be bound to it.
///
/// ```
/// use leasehold_core::fencing::sql::{Dialect, FenceColumn, Parameter};
/// let upsert = FenceColumn::new(Dialect::MySql, "invoice", &["id"])?.upsert(&["amount"])?;
/// // One transaction: on MySQL two statements, elsewhere one. The rows affected by the last are the answer.
/// for statement in upsert.first().into_iter().chain([&upsert]) {
///     println!("{}", statement.sql());
///     for parameter in statement.parameters() {
///         match parameter {
///             Parameter::Value(0) => println!("bind the amount"),
///             Parameter::Value(_) => unreachable!("there is one value"),
///             Parameter::Fence => println!("bind lease.fence().as_i64()"),
///             Parameter::Key(_) => println!("bind the id"),
///         }
///     }
/// }
/// # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "run it, and give the rows it affected to `check_rows`"]
pub struct Statement {
    first: Option<Box<Statement>>,
    sql: String,
    parameters: Vec<Parameter>,
}

impl Statement {
    /// The text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What to bind, in this order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// What is to be run before it, in the same transaction; its own answer says nothing. Only MySQL's upsert has one.
    pub fn first(&self) -> Option<&Statement> {
        self.first.as_deref()
    }

    pub(super) fn after(mut self, first: Statement) -> Self {
        self.first = Some(Box::new(first));
        self
    }
}

/// Puts a statement together.
#[derive(Debug)]
pub(super) struct Writer {
    dialect: Dialect,
    sql: String,
    parameters: Vec<Parameter>,
}

impl Writer {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            sql: String::new(),
            parameters: Vec::new(),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.sql.push_str(text);
        self
    }

    /// A placeholder: where parameters have numbers, one that was there before keeps its number.
    pub(super) fn bind(&mut self, parameter: Parameter) -> &mut Self {
        let numbered = self.dialect != Dialect::MySql;
        let before = (self.parameters.iter()).position(|&other| numbered && other == parameter);
        let at = before.unwrap_or_else(|| {
            self.parameters.push(parameter);
            self.parameters.len() - 1
        });
        self.sql.push_str(&self.dialect.placeholder(at + 1));
        self
    }

    /// Each item by `write`, with `separator` between them.
    pub(super) fn list<T>(
        &mut self,
        separator: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.text(separator);
            }
            write(self, item);
        }
        self
    }

    pub(super) fn finish(self) -> Statement {
        Statement {
            first: None,
            sql: self.sql,
            parameters: self.parameters,
        }
    }
}
