//! Random expressions that know what they should match.

use std::collections::BTreeSet;

use proptest::prelude::*;

/// A field: its text, and the numbers it means.
#[derive(Clone, Debug)]
pub(crate) struct FieldText {
    pub(crate) text: String,
    pub(crate) values: BTreeSet<u16>,
}

#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) seconds: Option<FieldText>,
    pub(crate) minutes: FieldText,
    pub(crate) hours: FieldText,
    pub(crate) of_month: FieldText,
    pub(crate) months: FieldText,
    pub(crate) of_week: FieldText,
    pub(crate) years: Option<FieldText>,
}

impl Expression {
    /// Whether it walks time when clocks change.
    pub(crate) fn walks(&self) -> bool {
        let fields = [&self.minutes, &self.hours]
            .into_iter()
            .chain(&self.seconds);
        fields.into_iter().any(|field| field.text.starts_with('*'))
    }

    pub(crate) fn text(&self) -> String {
        let five = [
            &self.minutes,
            &self.hours,
            &self.of_month,
            &self.months,
            &self.of_week,
        ];
        let fields = self.seconds.iter().chain(five).chain(&self.years);
        let words: Vec<&str> = fields.map(|field| field.text.as_str()).collect();
        words.join(" ")
    }

    /// Seven plain numbers.
    pub(crate) fn from_text_for_test(text: &str) -> Self {
        let mut fields = text.split(' ').map(|word| FieldText {
            text: word.to_owned(),
            values: BTreeSet::from([word.parse().expect("a number")]),
        });
        let mut next = || fields.next().expect("seven fields");
        Self {
            seconds: Some(next()),
            minutes: next(),
            hours: next(),
            of_month: next(),
            months: next(),
            of_week: next(),
            years: Some(next()),
        }
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "FEB", "mar", "Apr", "may", "JUN", "jul", "aug", "sep", "oct", "nov", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "Mon", "tue", "WED", "thu", "fri", "Sat"];

fn word(names: &'static [&'static str], min: u16, value: u16, by_name: bool) -> String {
    match names.get(usize::from(value - min)) {
        Some(name) if by_name => (*name).to_owned(),
        _ => value.to_string(),
    }
}

/// One item of a list.
fn item(
    min: u16,
    max: u16,
    names: &'static [&'static str],
    open_steps: bool,
) -> impl Strategy<Value = FieldText> {
    let value = (min..=max, any::<bool>()).prop_map(move |(value, named)| FieldText {
        text: word(names, min, value, named),
        values: BTreeSet::from([value]),
    });
    let range = (
        min..=max,
        min..=max,
        prop::option::of(1..=max.min(60)),
        any::<bool>(),
    )
        .prop_map(move |(a, b, step, named)| {
            let (a, b) = (a.min(b), a.max(b));
            let (from, to) = (word(names, min, a, named), word(names, min, b, named));
            FieldText {
                text: match step {
                    Some(step) => format!("{from}-{to}/{step}"),
                    None => format!("{from}-{to}"),
                },
                values: (a..=b).step_by(step.unwrap_or(1).into()).collect(),
            }
        });
    let open = (min..=max, 1..=max.min(60)).prop_map(move |(a, step)| {
        if open_steps {
            FieldText {
                text: format!("{a}/{step}"),
                values: (a..=max).step_by(step.into()).collect(),
            }
        } else {
            FieldText {
                text: format!("{a}-{max}/{step}"),
                values: (a..=max).step_by(step.into()).collect(),
            }
        }
    });
    prop_oneof![3 => value, 2 => range, 1 => open]
}

fn star(min: u16, max: u16) -> FieldText {
    FieldText {
        text: "*".to_owned(),
        values: (min..=max).collect(),
    }
}

fn field(
    min: u16,
    max: u16,
    names: &'static [&'static str],
    open_steps: bool,
) -> impl Strategy<Value = FieldText> {
    let list = prop::collection::vec(item(min, max, names, open_steps), 1..4).prop_map(|items| {
        FieldText {
            text: items
                .iter()
                .map(|item| item.text.as_str())
                .collect::<Vec<_>>()
                .join(","),
            values: items.into_iter().flat_map(|item| item.values).collect(),
        }
    });
    let steps = (1..=max.min(60)).prop_map(move |step| FieldText {
        text: format!("*/{step}"),
        values: (min..=max).step_by(step.into()).collect(),
    });
    prop_oneof![2 => Just(star(min, max)), 1 => steps, 4 => list]
}

fn of_week(open_steps: bool) -> impl Strategy<Value = FieldText> {
    field(0, 7, &WEEKDAYS, open_steps).prop_map(|field| FieldText {
        values: field.values.iter().map(|day| day % 7).collect(),
        ..field
    })
}

fn five(open_steps: bool) -> impl Strategy<Value = Expression> {
    (
        field(0, 59, &[], open_steps),
        field(0, 23, &[], open_steps),
        field(1, 31, &[], open_steps),
        field(1, 12, &MONTHS, open_steps),
        of_week(open_steps),
    )
        .prop_map(|(minutes, hours, of_month, months, of_week)| Expression {
            seconds: None,
            minutes,
            hours,
            of_month,
            months,
            of_week,
            years: None,
        })
}

/// Five, six and seven fields with everything the syntax has.
pub(crate) fn expressions() -> impl Strategy<Value = Expression> {
    let years = field(1970, 2115, &[], false).prop_map(|field| {
        // The top of the field is 9999 and not what the generator was told, so an open step has to be closed.
        match field.text.strip_prefix('*') {
            Some(steps) => FieldText {
                text: format!("1970-2115{steps}"),
                ..field
            },
            None => field,
        }
    });
    (
        five(true),
        prop::option::of(field(0, 59, &[], true)),
        prop::option::of(years),
    )
        .prop_map(|(five, seconds, years)| Expression {
            years: years.filter(|_| seconds.is_some()),
            seconds,
            ..five
        })
}

/// Five fields, or six, that are due on most days, so that there is something to see around a change of clocks.
pub(crate) fn frequent(with_seconds: bool) -> impl Strategy<Value = Expression> {
    let of_month = prop_oneof![4 => Just(star(1, 31)), 1 => field(1, 31, &[], true)];
    let weekdays = prop_oneof![4 => Just(star(0, 6)), 1 => of_week(true)];
    let seconds = field(0, 59, &[], true);
    (five(true), of_month, weekdays, seconds).prop_map(move |(five, of_month, of_week, seconds)| {
        Expression {
            of_month,
            of_week,
            months: star(1, 12),
            seconds: with_seconds.then_some(seconds),
            ..five
        }
    })
}

/// Five fields in the dialect that croner shares: no `a/n`, and no `*/n` in one day field with the other restricted
/// (croner counts that as restricted, the crons of old do not), and no `sun-sun` (the whole week to croner).
pub(crate) fn five_fields_for_croner() -> impl Strategy<Value = Expression> {
    five(false).prop_map(|mut expression| {
        if expression.of_month.text.starts_with("*/") {
            expression.of_week = star(0, 6);
        } else if expression.of_week.text.starts_with("*/") {
            expression.of_month = star(1, 31);
        }
        expression.of_week.text = expression.of_week.text.replace("SUN-SUN", "0-0");
        expression
    })
}
