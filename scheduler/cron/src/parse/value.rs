//! A single number or name.

use std::ops::Range;

use super::Part;
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;

pub(super) fn parse_value(field: Field, part: Part<'_>) -> Result<u16, Fault> {
    if let Some(value) = field.named(part.text) {
        return Ok(value);
    }
    if is_digits(part.text) {
        return match part.text.parse() {
            Ok(value) if field.allowed().contains(&value) => Ok(value),
            // Digits that do not fit into the type are too many in any field.
            _ => Err(fault(
                ParseErrorKind::OutOfRange,
                field,
                part,
                &format!("is out of range: allowed is {}", field.vocabulary()),
            )),
        };
    }
    if is_known_elsewhere(field, part.text) {
        return Err(fault(
            ParseErrorKind::Unsupported,
            field,
            part,
            &format!(
                "is not supported: `L`, `W`, `#`, `?` and `H` belong to other crons; allowed is {}",
                field.vocabulary()
            ),
        ));
    }
    Err(fault(
        ParseErrorKind::InvalidValue,
        field,
        part,
        &format!(
            "is not understood: allowed is {}, as `*`, a value, a range `a-b`, a step `*/n` or a list `a,b`",
            field.vocabulary()
        ),
    ))
}

/// Something should stand next to a `,`, `-` or `/` and doesn't.
pub(super) fn missing(field: Field, span: Range<usize>, within: Part<'_>) -> Fault {
    Fault {
        kind: ParseErrorKind::MissingValue,
        field: Some(field),
        span,
        message: format!(
            "{field} `{within}` lacks a value: allowed is {}",
            field.vocabulary()
        ),
    }
}

fn fault(kind: ParseErrorKind, field: Field, part: Part<'_>, what: &str) -> Fault {
    Fault {
        kind,
        field: Some(field),
        span: part.span(),
        message: format!("{field} `{part}` {what}"),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `L`, `LW`, `15W`, `5L`, `friL`, `2#1`, `?`, `H`: meaningful to Quartz or Jenkins.
fn is_known_elsewhere(field: Field, text: &str) -> bool {
    let stem = text.trim_end_matches(['L', 'l', 'W', 'w']);
    let has_suffix = stem.len() < text.len();
    text.contains(['?', '#'])
        || text.eq_ignore_ascii_case("h")
        || (has_suffix && (stem.is_empty() || is_digits(stem) || field.named(stem).is_some()))
}
