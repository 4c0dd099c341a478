//! One field: a list of items.

use super::Part;
use super::range::{Bounds, parse_bounds};
use super::value::missing;
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;
use crate::sets::Values;

/// What a field matches and whether it starts with `*`, which the rule about the two day fields asks for.
#[derive(Debug, Default)]
pub(super) struct FieldValues {
    pub(super) values: Values,
    pub(super) starred: bool,
}

pub(super) fn parse_field(field: Field, word: Part<'_>) -> Result<FieldValues, Fault> {
    let mut values = Values::new();
    for item in word.split(|c| c == ',') {
        if item.text.is_empty() {
            return Err(missing(field, next_to_a_comma(item, word), word));
        }
        let Bounds { start, end, step } = parse_item(field, item)?;
        values.extend(
            (start..=end)
                .step_by(step.into())
                .map(|value| field.canonical(value)),
        );
    }
    Ok(FieldValues {
        values,
        starred: word.text.starts_with('*'),
    })
}

/// Where to point when a list has a hole: at the comma after it, or the one before it at the end of the list.
fn next_to_a_comma(hole: Part<'_>, word: Part<'_>) -> std::ops::Range<usize> {
    if hole.at < word.span().end {
        hole.at..hole.at + 1
    } else {
        hole.at - 1..hole.at
    }
}

fn parse_item(field: Field, item: Part<'_>) -> Result<Bounds, Fault> {
    let Some((range, step)) = item.split_once('/') else {
        return parse_bounds(field, item, None);
    };
    if range.text.is_empty() || step.text.is_empty() {
        return Err(missing(field, item.span(), item));
    }
    parse_bounds(field, range, Some(parse_step(field, step)?))
}

fn parse_step(field: Field, step: Part<'_>) -> Result<u16, Fault> {
    let highest = *field.allowed().end();
    if !step.text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault {
            kind: ParseErrorKind::InvalidValue,
            field: Some(field),
            span: step.span(),
            message: format!(
                "step `{}` of the {field} is not a number: allowed is 1-{highest}",
                step.text
            ),
        });
    }
    match step.text.parse() {
        Ok(number) if (1..=highest).contains(&number) => Ok(number),
        // Digits that do not fit into the type are too many in any field.
        _ => Err(Fault {
            kind: ParseErrorKind::StepOutOfRange,
            field: Some(field),
            span: step.span(),
            message: format!(
                "step `{}` of the {field} is out of range: allowed is 1-{highest}",
                step.text
            ),
        }),
    }
}
