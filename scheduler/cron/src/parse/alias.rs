//! The `@` names that stand for a whole expression.

use super::Part;
use crate::error::{Fault, ParseErrorKind};

const ALIASES: [(&str, [&str; 5]); 7] = [
    ("@yearly", ["0", "0", "1", "1", "*"]),
    ("@annually", ["0", "0", "1", "1", "*"]),
    ("@monthly", ["0", "0", "1", "*", "*"]),
    ("@weekly", ["0", "0", "*", "*", "0"]),
    ("@daily", ["0", "0", "*", "*", "*"]),
    ("@midnight", ["0", "0", "*", "*", "*"]),
    ("@hourly", ["0", "*", "*", "*", "*"]),
];

/// The five fields that `name` stands for, all at the place of the name.
pub(super) fn fields(name: Part<'_>) -> Result<[Part<'static>; 5], Fault> {
    ALIASES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name.text))
        .map(|(_, fields)| fields.map(|text| Part { text, at: name.at }))
        .ok_or_else(|| Fault {
            kind: ParseErrorKind::UnknownAlias,
            field: None,
            span: name.span(),
            message: format!(
                "`{name}` is not known: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
            ),
        })
}
