//! What is wrong with an expression, and where.

use std::ops::Range;

use crate::field::Field;
use crate::snippet::Snippet;

/// Why an expression was refused.
///
/// Shown, it is two parts: one line that names the field, the value and what is allowed, and the expression with a
/// caret line under the part that is wrong.
///
/// ```
/// use leasehold_cron::{Field, ParseErrorKind, Schedule};
///
/// let error = Schedule::parse("0 25 * * *").unwrap_err();
/// assert_eq!(error.kind(), ParseErrorKind::OutOfRange);
/// assert_eq!(error.field(), Some(Field::Hour));
/// assert_eq!(error.value(), "25");
/// assert_eq!(
///     error.to_string(),
///     "hour `25` is out of range: allowed is 0-23\n  0 25 * * *\n    ^^",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n{}", Snippet { text: expression, span })]
pub struct ParseError {
    kind: ParseErrorKind,
    field: Option<Field>,
    expression: String,
    span: Range<usize>,
    message: String,
}

/// The kinds of mistakes, for code that treats them differently.
///
/// ```
/// use leasehold_cron::{ParseErrorKind, Schedule};
///
/// let error = Schedule::parse("0 0 30 2 *").unwrap_err();
/// assert_eq!(error.kind(), ParseErrorKind::NeverMatches);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// There is no field at all.
    Empty,
    /// The expression has more than 4,096 bytes.
    TooLong,
    /// There are not five, six or seven fields.
    FieldCount,
    /// A name with `@` that is none of the known ones.
    UnknownAlias,
    /// A number or name is missing: `1,`, `/5`, `3-`.
    MissingValue,
    /// Something that is neither a number nor a name of the field.
    InvalidValue,
    /// `L`, `W`, `#`, `?` or `H`, which other crons know.
    Unsupported,
    /// A number the field doesn't allow.
    OutOfRange,
    /// A step that is zero or above the highest value of its field.
    StepOutOfRange,
    /// A range whose end is before its start.
    ReversedRange,
    /// Every field is right, but no date of the calendar matches them together.
    NeverMatches,
}

impl ParseError {
    /// What kind of mistake it is.
    ///
    /// ```
    /// # use leasehold_cron::{ParseErrorKind, Schedule};
    /// let error = Schedule::parse("* * * *").unwrap_err();
    /// assert_eq!(error.kind(), ParseErrorKind::FieldCount);
    /// ```
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// The field it is in, or the first of them; `None` if the mistake is in the expression as a whole.
    ///
    /// ```
    /// # use leasehold_cron::{Field, Schedule};
    /// let error = Schedule::parse("* * * * 8").unwrap_err();
    /// assert_eq!(error.field(), Some(Field::DayOfWeek));
    /// ```
    pub fn field(&self) -> Option<Field> {
        self.field
    }

    /// The expression, exactly as it was given.
    ///
    /// ```
    /// # use leasehold_cron::Schedule;
    /// let error = Schedule::parse(" 61 * * * *").unwrap_err();
    /// assert_eq!(error.expression(), " 61 * * * *");
    /// ```
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The wrong part, as bytes of [`expression`](Self::expression). Always on character boundaries.
    ///
    /// ```
    /// # use leasehold_cron::Schedule;
    /// let error = Schedule::parse(" 61 * * * *").unwrap_err();
    /// assert_eq!(error.span(), 1..3);
    /// ```
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text of the wrong part; empty for an empty expression.
    ///
    /// ```
    /// # use leasehold_cron::Schedule;
    /// let error = Schedule::parse("0,61 * * * *").unwrap_err();
    /// assert_eq!(error.value(), "61");
    /// ```
    pub fn value(&self) -> &str {
        self.expression.get(self.span()).unwrap_or_default()
    }

    /// The first line of `Display`, without the expression and the carets.
    ///
    /// ```
    /// # use leasehold_cron::Schedule;
    /// let error = Schedule::parse("*/0 * * * *").unwrap_err();
    /// assert_eq!(error.message(), "step `0` of the minute is out of range: allowed is 1-59");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A [`ParseError`] that doesn't know its expression yet.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ParseErrorKind,
    pub(crate) field: Option<Field>,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn in_expression(self, expression: &str) -> ParseError {
        ParseError {
            kind: self.kind,
            field: self.field,
            expression: expression.to_owned(),
            span: self.span,
            message: self.message,
        }
    }
}
