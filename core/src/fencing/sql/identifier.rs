//! Names of tables and columns: checked, then quoted. Nothing else of the caller's goes into a text.

use super::statement::Dialect;

/// The longest identifier: Postgres cuts longer ones without a word, and two names could become one.
const MAX_BYTES: usize = 63;

/// Why no statement can be made of the names given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// A name has no characters.
    #[error("a table's or column's name is empty: give it as it stands in the database")]
    Empty,
    /// A name is longer than every database here keeps.
    #[error("`{name}` has {} bytes: at most 63 are kept by every database; use a shorter name or a view", .name.len())]
    TooLong {
        /// The name.
        name: String,
    },
    /// A name has a character that is not taken.
    #[error(
        "{name:?} has {character:?}: names here have ASCII letters, digits and `_`, and begin with no digit (a table's \
         may be `schema.table`); values are bound, never named"
    )]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// A column is named twice.
    #[error(
        "the column `{name}` is named twice: a column is a value, part of the key or the fence"
    )]
    Repeated {
        /// The column.
        name: String,
    },
    /// There is no key to find the row by.
    #[error("no key column is named: give the columns of the primary key or of a unique index")]
    NoKey,
}

/// A table or column that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identifier(String);

impl Identifier {
    /// A column, or one part of a table's name.
    pub(super) fn new(name: &str) -> Result<Self, SqlError> {
        let name = name.to_owned();
        let Some(first) = name.chars().next() else {
            return Err(SqlError::Empty);
        };
        let stranger = |c: &char| !(c.is_ascii_alphanumeric() || *c == '_');
        let strange = name.chars().find(stranger);
        if let Some(character) = strange.or(first.is_ascii_digit().then_some(first)) {
            return Err(SqlError::Character { name, character });
        }
        if name.len() > MAX_BYTES {
            return Err(SqlError::TooLong { name });
        }
        Ok(Self(name))
    }

    pub(super) fn all(names: &[&str]) -> Result<Vec<Self>, SqlError> {
        names.iter().map(|name| Self::new(name)).collect()
    }

    /// Quoted, so that a reserved word is a name.
    pub(super) fn quoted(&self, dialect: Dialect) -> String {
        let quote = dialect.quote();
        format!("{quote}{}{quote}", self.0)
    }
}

/// Refuses a name that comes again.
pub(super) fn distinct<'a>(
    names: impl IntoIterator<Item = &'a Identifier>,
) -> Result<(), SqlError> {
    let mut seen: Vec<&Identifier> = Vec::new();
    for name in names {
        // `ID` and `id` are one column in most databases.
        if seen
            .iter()
            .any(|other| other.0.eq_ignore_ascii_case(&name.0))
        {
            return Err(SqlError::Repeated {
                name: name.0.clone(),
            });
        }
        seen.push(name);
    }
    Ok(())
}

/// `table` or `schema.table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table(Vec<Identifier>);

impl Table {
    pub(super) fn new(name: &str) -> Result<Self, SqlError> {
        let parts = match name.split_once('.') {
            Some((schema, table)) => vec![Identifier::new(schema)?, Identifier::new(table)?],
            None => vec![Identifier::new(name)?],
        };
        Ok(Self(parts))
    }

    pub(super) fn quoted(&self, dialect: Dialect) -> String {
        let parts: Vec<_> = self.0.iter().map(|part| part.quoted(dialect)).collect();
        parts.join(".")
    }
}
