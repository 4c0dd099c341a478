//! Every kind of mistake: where it is, and the words.

use leasehold_cron::{Field, ParseError, ParseErrorKind, Schedule};

#[track_caller]
fn refused(expression: &str) -> ParseError {
    match Schedule::parse(expression) {
        Ok(_) => panic!("`{expression}` was accepted"),
        Err(error) => error,
    }
}

#[track_caller]
fn check(expression: &str, kind: ParseErrorKind, field: impl Into<Option<Field>>, shown: &str) {
    let error = refused(expression);
    assert_eq!(error.to_string(), shown);
    assert_eq!(error.kind(), kind);
    assert_eq!(error.field(), field.into());
    assert_eq!(error.expression(), expression);
    assert_eq!(&expression[error.span()], error.value());
}

#[test]
fn nothing_at_all() {
    for blank in ["", "   ", "\t\n"] {
        check(
            blank,
            ParseErrorKind::Empty,
            None,
            "the expression is empty: write five fields, as in `0 3 * * *`\n  \n  ^",
        );
    }
}

#[test]
fn too_few_fields() {
    check(
        "* * * *",
        ParseErrorKind::FieldCount,
        None,
        "found 4 fields, expected five (minute, hour, day of month, month, day of week), \
         six (seconds before them) or seven (seconds before, years after)\n  \
         * * * *\n  ^^^^^^^",
    );
}

#[test]
fn stars_without_blanks_are_one_field() {
    check(
        "******",
        ParseErrorKind::FieldCount,
        None,
        "found 1 field, expected five (minute, hour, day of month, month, day of week), \
         six (seconds before them) or seven (seconds before, years after)\n  \
         ******\n  ^^^^^^",
    );
}

#[test]
fn too_many_fields_point_behind_the_seventh() {
    let error = refused("* * * * * * * 8 9");
    assert_eq!(error.kind(), ParseErrorKind::FieldCount);
    assert_eq!(error.value(), "8 9");
}

#[test]
fn unknown_at_names() {
    check(
        "@reboot",
        ParseErrorKind::UnknownAlias,
        None,
        "`@reboot` is not known: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and \
         @hourly\n  @reboot\n  ^^^^^^^",
    );
    assert_eq!(
        refused("@every 5m").kind(),
        ParseErrorKind::FieldCount,
        "an `@` name stands alone"
    );
}

#[test]
fn numbers_out_of_range_in_every_field() {
    check(
        "61 * * * *",
        ParseErrorKind::OutOfRange,
        Field::Minute,
        "minute `61` is out of range: allowed is 0-59\n  61 * * * *\n  ^^",
    );
    check(
        "0 0-24 * * *",
        ParseErrorKind::OutOfRange,
        Field::Hour,
        "hour `24` is out of range: allowed is 0-23\n  0 0-24 * * *\n      ^^",
    );
    check(
        "0 0 1,0 * *",
        ParseErrorKind::OutOfRange,
        Field::DayOfMonth,
        "day of month `0` is out of range: allowed is 1-31\n  0 0 1,0 * *\n        ^",
    );
    check(
        "0 0 1 13/2 *",
        ParseErrorKind::OutOfRange,
        Field::Month,
        "month `13` is out of range: allowed is 1-12 or jan-dec\n  0 0 1 13/2 *\n        ^^",
    );
    check(
        "0 0 * * 8",
        ParseErrorKind::OutOfRange,
        Field::DayOfWeek,
        "day of week `8` is out of range: allowed is 0-7 or sun-sat\n  0 0 * * 8\n          ^",
    );
    check(
        "60 * * * * *",
        ParseErrorKind::OutOfRange,
        Field::Second,
        "second `60` is out of range: allowed is 0-59\n  60 * * * * *\n  ^^",
    );
    check(
        "0 0 0 1 1 * 1969",
        ParseErrorKind::OutOfRange,
        Field::Year,
        "year `1969` is out of range: allowed is 1970-9999\n  0 0 0 1 1 * 1969\n              ^^^^",
    );
}

#[test]
fn numbers_too_big_for_any_type_are_out_of_range() {
    let error = refused("* 99999999999999999999999999 * * *");
    assert_eq!(error.kind(), ParseErrorKind::OutOfRange);
    let error = refused("*/99999999999999999999999999 * * * *");
    assert_eq!(error.kind(), ParseErrorKind::StepOutOfRange);
}

#[test]
fn steps_out_of_range() {
    check(
        "*/0 * * * *",
        ParseErrorKind::StepOutOfRange,
        Field::Minute,
        "step `0` of the minute is out of range: allowed is 1-59\n  */0 * * * *\n    ^",
    );
    check(
        "*/90 * * * *",
        ParseErrorKind::StepOutOfRange,
        Field::Minute,
        "step `90` of the minute is out of range: allowed is 1-59\n  */90 * * * *\n    ^^",
    );
    check(
        "0 1-5/x * * *",
        ParseErrorKind::InvalidValue,
        Field::Hour,
        "step `x` of the hour is not a number: allowed is 1-23\n  0 1-5/x * * *\n        ^",
    );
    assert_eq!(refused("1/2/3 * * * *").value(), "2/3");
}

#[test]
fn reversed_ranges_say_what_to_write() {
    check(
        "0 0 * * fri-mon",
        ParseErrorKind::ReversedRange,
        Field::DayOfWeek,
        "day of week `fri-mon` runs backwards: write `5-6,0-1`\n  0 0 * * fri-mon\n          ^^^^^^^",
    );
    check(
        "0 22-3 * * *",
        ParseErrorKind::ReversedRange,
        Field::Hour,
        "hour `22-3` runs backwards: write `22-23,0-3`\n  0 22-3 * * *\n    ^^^^",
    );
    check(
        "0 0 0 1 1 * 2030-2026",
        ParseErrorKind::ReversedRange,
        Field::Year,
        "year `2030-2026` runs backwards: write `2026-2030`\n  0 0 0 1 1 * 2030-2026\n              ^^^^^^^^^",
    );
    for (reversed, instead) in [("fri-mon", "5-6,0-1"), ("6-2/3", "6,2")] {
        let hint = format!("write `{instead}`");
        let error = refused(&format!("0 0 * * {reversed}"));
        assert!(error.message().ends_with(&hint), "{error}");
        assert!(Schedule::parse(&format!("0 0 * * {instead}")).is_ok());
    }
}

#[test]
fn missing_values_point_at_the_gap() {
    for (expression, value, at) in [
        ("1, * * * *", ",", 1),
        (",1 * * * *", ",", 0),
        ("1,,2 * * * *", ",", 2),
        (", * * * *", ",", 0),
        ("/5 * * * *", "/5", 0),
        ("*/ * * * *", "*/", 0),
        ("1,3- * * * *", "3-", 2),
        ("-5 * * * *", "-5", 0),
        ("1-/2 * * * *", "1-", 0),
    ] {
        let error = refused(expression);
        assert_eq!(error.kind(), ParseErrorKind::MissingValue, "{expression}");
        assert_eq!(error.value(), value, "{expression}");
        assert_eq!(error.span().start, at, "{expression}");
        assert_eq!(error.field(), Some(Field::Minute), "{expression}");
    }
    check(
        "1,,2 * * * *",
        ParseErrorKind::MissingValue,
        Field::Minute,
        "minute `1,,2` lacks a value: allowed is 0-59\n  1,,2 * * * *\n    ^",
    );
}

#[test]
fn stray_characters() {
    for (expression, value) in [
        ("5x * * * *", "5x"),
        ("** * * * *", "**"),
        ("*5 * * * *", "*5"),
        ("*-5 * * * *", "*"),
        ("1-2-3 * * * *", "2-3"),
        ("+5 * * * *", "+5"),
        ("1.5 * * * *", "1.5"),
        ("٣ * * * *", "٣"),
        ("mon * * * *", "mon"),
        ("1 2 3 mon *", "mon"),
        ("1 2 3 4 monday", "monday"),
        ("1 2 3 4 jan", "jan"),
        ("0 0 0 1 1 * 20x6", "20x6"),
        ("0 \0 * * *", "\0"),
    ] {
        let error = refused(expression);
        assert_eq!(error.kind(), ParseErrorKind::InvalidValue, "{expression}");
        assert_eq!(error.value(), value, "{expression}");
    }
    check(
        "0 0 1 foo *",
        ParseErrorKind::InvalidValue,
        Field::Month,
        "month `foo` is not understood: allowed is 1-12 or jan-dec, as `*`, a value, a range `a-b`, a step \
         `*/n` or a list `a,b`\n  0 0 1 foo *\n        ^^^",
    );
}

#[test]
fn syntax_of_other_crons_is_named_as_such() {
    for (expression, value) in [
        ("0 0 L * *", "L"),
        ("0 0 l * *", "l"),
        ("0 0 LW * *", "LW"),
        ("0 0 15W * *", "15W"),
        ("0 0 L-3 * *", "L"),
        ("0 0 ? * 1", "?"),
        ("0 0 * * 5L", "5L"),
        ("0 0 * * friL", "friL"),
        ("0 0 * * 2#1", "2#1"),
        ("H * * * *", "H"),
        ("H/5 * * * *", "H"),
    ] {
        let error = refused(expression);
        assert_eq!(error.kind(), ParseErrorKind::Unsupported, "{expression}");
        assert_eq!(error.value(), value, "{expression}");
    }
    check(
        "0 0 L * *",
        ParseErrorKind::Unsupported,
        Field::DayOfMonth,
        "day of month `L` is not supported: `L`, `W`, `#`, `?` and `H` belong to other crons; allowed is \
         1-31\n  0 0 L * *\n      ^",
    );
}

#[test]
fn days_that_no_month_has_never_match() {
    check(
        "0 0 30 2 *",
        ParseErrorKind::NeverMatches,
        Field::DayOfMonth,
        "the expression never matches: day of month `30` does not exist in month `2`\n  \
         0 0 30 2 *\n      ^^^^",
    );
    check(
        "0 0 31 2,4 *",
        ParseErrorKind::NeverMatches,
        Field::DayOfMonth,
        "the expression never matches: day of month `31` does not exist in month `2,4`\n  \
         0 0 31 2,4 *\n      ^^^^^^",
    );
    assert_eq!(
        refused("0 0 30 2 */2").kind(),
        ParseErrorKind::NeverMatches,
        "a weekday field that starts with a star doesn't add days"
    );
}

#[test]
fn leap_days_in_years_without_one_never_match() {
    check(
        "0 0 0 29 2 * 2023",
        ParseErrorKind::NeverMatches,
        Field::Year,
        "the expression never matches: no date in year `2023` has this day and month\n  \
         0 0 0 29 2 * 2023\n        ^^^^^^^^^^^",
    );
    assert_eq!(
        refused("0 0 0 29 2 * 2100,2200,2300").kind(),
        ParseErrorKind::NeverMatches
    );
    // February 29, 2024 was a Thursday, and `*/7` is Sunday.
    assert_eq!(
        refused("0 0 0 29 2 */7 2024").kind(),
        ParseErrorKind::NeverMatches
    );
}

#[test]
fn rare_is_not_never() {
    for expression in [
        "0 0 29 2 *",
        "0 0 29 2 */7",
        "0 0 0 29 2 * 2000,2023",
        "0 0 0 29 2 * 2400",
        // Both restricted: the Mondays of February.
        "0 0 30 2 1",
        "0 0 31 2,3 *",
        "0 0 0 1 1 * 1970",
    ] {
        assert!(Schedule::parse(expression).is_ok(), "{expression}");
    }
}

#[test]
fn expressions_without_end_are_refused_by_their_length() {
    let years: Vec<String> = (1970..=9999).map(|year| year.to_string()).collect();
    let error = refused(&format!("0 0 0 1 1 * {}", years.join(",")));
    assert_eq!(error.kind(), ParseErrorKind::TooLong);
    assert_eq!(
        error.message(),
        "the expression has 40161 bytes: allowed are 4096; draw lists together as ranges and steps"
    );
    // Every value of every other field fits.
    let list = |from: u32, to: u32| {
        let values: Vec<String> = (from..=to).map(|value| value.to_string()).collect();
        values.join(",")
    };
    let all = [
        list(0, 59),
        list(0, 59),
        list(0, 23),
        list(1, 31),
        list(1, 12),
        list(0, 7),
    ];
    assert!(Schedule::parse(&all.join(" ")).is_ok());
    // Blanks around it don't count.
    assert!(Schedule::parse(&format!("{0}@daily{0}", " ".repeat(5_000))).is_ok());
}

#[test]
fn a_message_shows_no_more_than_a_glance_of_what_is_wrong() {
    for long in [
        "x".repeat(4_000),
        "1,".repeat(1_900) + "61",
        "*/".to_owned() + &"9".repeat(4_000),
    ] {
        let error = refused(&format!("{long} * * * *"));
        assert!(error.to_string().chars().count() < 600, "{error}");
        assert_eq!(error.field(), Some(Field::Minute));
    }
}
