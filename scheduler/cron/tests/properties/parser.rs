//! Any text at all: it is an expression, or an error that points at what is wrong.

use std::iter::repeat_n;

use leasehold_cron::{ParseErrorKind, Schedule, Zone};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::generate;

/// What a slip of the keyboard, or somebody who tries, puts into an expression.
const ODD: [&str; 32] = [
    "",
    " ",
    "\t",
    "\n",
    "\u{a0}",
    "\0",
    "\u{1b}",
    "*",
    "**",
    "/",
    "-",
    ",",
    "0",
    "00",
    "60",
    "65536",
    "-1",
    "+1",
    "18446744073709551616",
    "1e3",
    "?",
    "L",
    "#",
    "@",
    "@daily",
    "jan",
    "MON",
    "é",
    "٣",
    "\u{202e}",
    "\u{1F600}",
    "99999999999999999999",
];

/// A valid expression in which a few things were replaced, put in or left out.
fn near_misses() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<Index>(), 0..4_usize, select(&ODD[..])), 1..4);
    (generate::expressions(), edits).prop_map(|(expression, edits)| {
        let mut text: Vec<char> = expression.text().chars().collect();
        for (at, taken, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + taken).min(text.len());
            text.splice(at..end, put.chars());
        }
        text.into_iter().collect()
    })
}

/// The same thing over and over.
fn huge() -> impl Strategy<Value = String> {
    let unit = prop_oneof![
        select(&ODD[..]).prop_map(str::to_owned),
        Just("1970-9999,".to_owned()),
        Just("0-59/1,".to_owned()),
        Just("* ".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    let lead = select(vec!["", "0 0 0 1 1 * ", "* * * * ", " "]);
    (lead, unit, 1..200_000_usize).prop_map(|(lead, unit, times)| {
        let units = repeat_n(unit.as_str(), times);
        let text: String = units.collect();
        format!("{lead}{text}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_an_expression_or_an_error(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_text_of_cron_characters_is(text in "[ \t*/,0-9A-Za-z@#?é-]{0,40}") {
        check(&text)?;
    }

    #[test]
    fn any_fields_of_cron_characters_are(
        fields in prop::collection::vec("[*/,0-9-]{1,5}|[*]|[A-Za-z]{3}", 5..=7),
    ) {
        check(&fields.join(" "))?;
    }

    #[test]
    fn near_misses_are(text in near_misses()) {
        check(&text)?;
    }

    #[test]
    fn any_name_is_a_zone_or_an_error(name in "[A-Za-z_/+ é-]{0,20}|[a-z]+/[a-z_]+|\\PC{0,70}") {
        match name.parse::<Zone>() {
            Ok(zone) => prop_assert!(zone.name().eq_ignore_ascii_case(&name)),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("unknown time zone `"));
                prop_assert_eq!(text.lines().count(), 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn huge_texts_are_too_and_soon(text in huge()) {
        check(&text)?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match Schedule::parse(text) {
        Ok(schedule) => {
            prop_assert_eq!(schedule.expression(), text.trim());
            prop_assert_eq!(&Schedule::parse(&schedule.to_string())?, &schedule);
            prop_assert!(schedule.next_after(0).is_none_or(|next| next > 0));
            prop_assert!(schedule.describe().ends_with(", UTC"));
            prop_assert_eq!(schedule.describe().lines().count(), 1);
        }
        Err(error) => {
            // Slicing panics where no character begins.
            prop_assert_eq!(&text[error.span()], error.value());
            prop_assert_eq!(error.expression(), text);
            let shown = error.to_string();
            let lines: Vec<&str> = shown.lines().collect();
            prop_assert_eq!(lines.len(), 3, "{}", shown);
            let carets = lines[2].trim_start();
            prop_assert!(carets.chars().all(|c| c == '^') && !carets.is_empty());
            // The carets stand under the expression, or behind it if it lacks something.
            let width = lines[1].chars().count().max(3);
            prop_assert!(lines[2].chars().count() <= width, "{}", shown);
            prop_assert!(shown.chars().count() < 800, "{}", shown);
            prop_assert!(error.kind() != ParseErrorKind::TooLong || text.len() > 4_096);
        }
    }
    Ok(())
}
