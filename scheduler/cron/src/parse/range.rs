//! `*`, `a`, `a-b`, and what a step makes of each.

use super::Part;
use super::value::{missing, parse_value};
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;

/// Values from `start` to `end`, both included, `step` apart.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) start: u16,
    pub(super) end: u16,
    pub(super) step: u16,
}

pub(super) fn parse_bounds(
    field: Field,
    range: Part<'_>,
    step: Option<u16>,
) -> Result<Bounds, Fault> {
    let (lowest, highest) = field.allowed().into_inner();
    let (start, end) = if range.text == "*" {
        (lowest, highest)
    } else if let Some((from, to)) = range.split_once('-') {
        if from.text.is_empty() || to.text.is_empty() {
            return Err(missing(field, range.span(), range));
        }
        let start = parse_value(field, from)?;
        let end = last_of_range(field, start, to)?;
        if end < start {
            return Err(reversed(field, range, (start, end), step.unwrap_or(1)));
        }
        (start, end)
    } else {
        let value = parse_value(field, range)?;
        // A start with a step goes on to the end of the field; alone it is just itself.
        (value, if step.is_some() { highest } else { value })
    };
    Ok(Bounds {
        start,
        end,
        step: step.unwrap_or(1),
    })
}

/// The end of a range, where `sun` is the Sunday after the start and not the one before it.
fn last_of_range(field: Field, start: u16, to: Part<'_>) -> Result<u16, Fault> {
    let end = parse_value(field, to)?;
    let named_sunday = field == Field::DayOfWeek && to.text.eq_ignore_ascii_case("sun");
    Ok(if named_sunday && start > 0 { 7 } else { end })
}

fn reversed(field: Field, range: Part<'_>, (start, end): (u16, u16), step: u16) -> Fault {
    let instead = if field == Field::Year {
        format!("write `{end}-{start}`")
    } else {
        format!("write `{}`", go_round(field, start, end, step))
    };
    Fault {
        kind: ParseErrorKind::ReversedRange,
        field: Some(field),
        span: range.span(),
        message: format!("{field} `{range}` runs backwards: {instead}"),
    }
}

/// The list that means what a reader of `start-end/step` had in mind: up to the top and on from the bottom.
fn go_round(field: Field, start: u16, end: u16, step: u16) -> String {
    let (lowest, highest) = match field {
        // Sunday is one day here, or it would come twice.
        Field::DayOfWeek => (0, 6),
        _ => field.allowed().into_inner(),
    };
    if start > highest {
        return span_text(lowest, end, step);
    }
    let size = highest - lowest + 1;
    let behind_top = (highest - start) / step * step + start + step;
    let again = behind_top - size;
    let mut parts = vec![span_text(start, highest, step)];
    if again <= end {
        parts.push(span_text(again, end, step));
    }
    parts.join(",")
}

fn span_text(start: u16, end: u16, step: u16) -> String {
    let single = end - start < step;
    match (single, step) {
        (true, _) => start.to_string(),
        (false, 1) => format!("{start}-{end}"),
        (false, _) => format!("{start}-{end}/{step}"),
    }
}

#[cfg(test)]
mod tests {
    use super::go_round;
    use crate::field::Field;

    #[test]
    fn the_hint_for_a_reversed_range_goes_round_in_phase() {
        assert_eq!(go_round(Field::DayOfWeek, 5, 1, 1), "5-6,0-1");
        assert_eq!(go_round(Field::DayOfWeek, 6, 0, 1), "6,0");
        assert_eq!(go_round(Field::DayOfWeek, 7, 2, 1), "0-2");
        assert_eq!(go_round(Field::Hour, 22, 3, 1), "22-23,0-3");
        assert_eq!(go_round(Field::Minute, 50, 10, 7), "50-59/7,4");
        assert_eq!(go_round(Field::Month, 11, 2, 1), "11-12,1-2");
        assert_eq!(go_round(Field::Hour, 22, 3, 20), "22");
    }
}
