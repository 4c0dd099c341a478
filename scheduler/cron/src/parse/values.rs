//! One field: a list of items.

use std::sync::Arc;

use super::Part;
use super::range::{Bounds, parse_bounds};
use super::value::missing;
use crate::civil::{FIRST_YEAR, LAST_YEAR};
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;
use crate::sets::Values;

/// The items of a field.
#[derive(Debug)]
pub(super) struct Items {
    field: Field,
    bounds: Vec<Bounds>,
    /// Whether the field starts with `*`, which the rules about day fields and changing clocks ask for.
    pub(super) starred: bool,
}

impl Items {
    /// What they match together, in any field but the year.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        for value in self.numbers() {
            values.insert(self.field.canonical(value));
        }
        values
    }

    /// The years they match together; `None` if that is all of them.
    pub(super) fn years(&self) -> Option<Arc<[u16]>> {
        let mut matched = vec![false; usize::from(LAST_YEAR - FIRST_YEAR) + 1];
        for year in self.numbers() {
            matched[usize::from(year - FIRST_YEAR)] = true;
        }
        let years = (FIRST_YEAR..).zip(&matched);
        let years: Arc<[u16]> = years.filter_map(|(year, on)| on.then_some(year)).collect();
        Some(years).filter(|years| years.len() < matched.len())
    }

    fn numbers(&self) -> impl Iterator<Item = u16> {
        self.bounds
            .iter()
            .flat_map(|bounds| (bounds.start..=bounds.end).step_by(bounds.step.into()))
    }
}

pub(super) fn parse_field(field: Field, word: Part<'_>) -> Result<Items, Fault> {
    let mut bounds = Vec::new();
    for item in word.split(|c| c == ',') {
        if item.text.is_empty() {
            return Err(missing(field, next_to_a_comma(item, word), word));
        }
        bounds.push(parse_item(field, item)?);
    }
    Ok(Items {
        field,
        bounds,
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
                "step `{step}` of the {field} is not a number: allowed is 1-{highest}"
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
                "step `{step}` of the {field} is out of range: allowed is 1-{highest}"
            ),
        }),
    }
}
