//! From text to [`Sets`]: the fields of an expression and how they go together.

mod alias;
mod never;
mod range;
mod value;
mod values;

use std::fmt::{self, Write};
use std::ops::Range;

use crate::civil::Kinds;
use crate::error::{Fault, ParseErrorKind};
use crate::field::Field;
use crate::sets::{Days, Sets, Values};
use values::parse_field;

const SEVEN: [Field; 7] = [
    Field::Second,
    Field::Minute,
    Field::Hour,
    Field::DayOfMonth,
    Field::Month,
    Field::DayOfWeek,
    Field::Year,
];

/// The longest expression, in bytes: enough for every value of every field but the year. What comes from a store may be
/// anything, and is to cost a bounded time.
const LONGEST: usize = 4_096;

/// How many characters of a part a message shows.
const GLANCE: usize = 60;

/// A part of the expression and where it starts, in bytes.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Part<'a> {
    fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Splits at the first `separator`.
    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let right_at = self.at + left.len() + separator.len_utf8();
        let left = Part {
            text: left,
            at: self.at,
        };
        Some((
            left,
            Part {
                text: right,
                at: right_at,
            },
        ))
    }

    fn split(self, separator: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = Part<'a>> {
        self.text.split(separator).map(move |text| Part {
            text,
            // Both slices are of one string, so this is where the inner one starts.
            at: self.at + (text.as_ptr() as usize - self.text.as_ptr() as usize),
        })
    }
}

/// For messages: on one line, and no more than a glance of it.
impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars().take(GLANCE) {
            f.write_char(if c.is_control() { ' ' } else { c })?;
        }
        let is_longer = self.text.chars().nth(GLANCE).is_some();
        f.write_str(if is_longer { "..." } else { "" })
    }
}

/// Parses an expression of five, six or seven fields, or one of the `@` names.
pub(crate) fn parse(expression: &str) -> Result<Sets, Fault> {
    let given = expression.trim();
    if given.len() > LONGEST {
        return Err(Fault {
            kind: ParseErrorKind::TooLong,
            field: None,
            span: 0..expression.len(),
            message: format!(
                "the expression has {} bytes: allowed are {LONGEST}; draw lists together as ranges and steps",
                given.len()
            ),
        });
    }
    let words: Vec<Part<'_>> = Part {
        text: expression,
        at: 0,
    }
    .split(char::is_whitespace)
    .filter(|word| !word.text.is_empty())
    .collect();

    match words.as_slice() {
        [] => Err(Fault {
            kind: ParseErrorKind::Empty,
            field: None,
            span: 0..0,
            message: "the expression is empty: write five fields, as in `0 3 * * *`".to_owned(),
        }),
        [name] if name.text.starts_with('@') => parse_fields(&alias::fields(*name)?),
        _ => parse_fields(&words),
    }
}

fn parse_fields(words: &[Part<'_>]) -> Result<Sets, Fault> {
    let layout = match words.len() {
        5 => &SEVEN[1..6],
        6 => &SEVEN[..6],
        7 => &SEVEN[..],
        found => return Err(wrong_count(words, found)),
    };

    // Five fields mean second 0 of every year; each of those five is in the layout.
    let mut seconds = Values::one(0);
    let [
        mut minutes,
        mut hours,
        mut of_month,
        mut months,
        mut of_week,
    ] = [Values::default(); 5];
    let mut years = None;
    let (mut walks, mut both_restricted) = (false, true);
    for (field, word) in layout.iter().zip(words) {
        let items = parse_field(*field, *word)?;
        match field {
            Field::Second => seconds = items.values(),
            Field::Minute => minutes = items.values(),
            Field::Hour => hours = items.values(),
            Field::DayOfMonth => of_month = items.values(),
            Field::Month => months = items.values(),
            Field::DayOfWeek => of_week = items.values(),
            Field::Year => years = items.years(),
        }
        match field {
            Field::Second | Field::Minute | Field::Hour => walks |= items.starred,
            Field::DayOfMonth | Field::DayOfWeek => both_restricted &= !items.starred,
            Field::Month | Field::Year => {}
        }
    }
    let mut sets = Sets {
        seconds,
        minutes,
        hours,
        months,
        days: Days::new(of_month, of_week, both_restricted),
        years,
        absent: Kinds::default(),
        walks,
    };
    sets.keep_live_years();
    never::refuse_impossible_dates(&sets, layout, words)?;
    Ok(sets)
}

fn wrong_count(words: &[Part<'_>], found: usize) -> Fault {
    // Too many: point at those behind the seventh. Too few: at all of them.
    let start = words.get(7).or(words.first()).map_or(0, |word| word.at);
    let end = words.last().map_or(0, |word| word.span().end);
    let plural = if found == 1 { "" } else { "s" };
    Fault {
        kind: ParseErrorKind::FieldCount,
        field: None,
        span: start..end,
        message: format!(
            "found {found} field{plural}, expected five (minute, hour, day of month, month, day of week), \
             six (seconds before them) or seven (seconds before, years after)"
        ),
    }
}
