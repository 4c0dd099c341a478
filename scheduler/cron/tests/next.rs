//! Instants at the edges: leap days, centuries, the ends of the calendar and of the number type.

use chrono::DateTime;
use leasehold_cron::Schedule;

#[track_caller]
fn next(expression: &str, after: &str) -> String {
    let after = DateTime::parse_from_rfc3339(after).expect("an RFC 3339 time");
    let schedule = Schedule::parse(expression).expect("a valid expression");
    match schedule.next_after(after.timestamp()) {
        Some(at) => DateTime::from_timestamp(at, 0)
            .expect("in range")
            .format("%FT%TZ")
            .to_string(),
        None => "none".to_owned(),
    }
}

#[test]
fn a_match_is_strictly_later() {
    assert_eq!(
        next("0 12 * * *", "2026-03-01T11:59:59Z"),
        "2026-03-01T12:00:00Z"
    );
    assert_eq!(
        next("0 12 * * *", "2026-03-01T12:00:00Z"),
        "2026-03-02T12:00:00Z"
    );
}

#[test]
fn a_year_rolls_over() {
    assert_eq!(
        next("* * * * *", "2025-12-31T23:59:59Z"),
        "2026-01-01T00:00:00Z"
    );
    assert_eq!(
        next("0 0 1 1 *", "2026-01-01T00:00:00Z"),
        "2027-01-01T00:00:00Z"
    );
    assert_eq!(
        next("59 59 23 31 12 *", "2026-12-31T23:59:59Z"),
        "2027-12-31T23:59:59Z"
    );
}

#[test]
fn leap_days_are_found_over_a_century_without_one() {
    assert_eq!(
        next("0 0 29 2 *", "2096-02-29T00:00:00Z"),
        "2104-02-29T00:00:00Z"
    );
    assert_eq!(
        next("0 0 29 2 *", "2196-12-31T00:00:00Z"),
        "2204-02-29T00:00:00Z"
    );
    assert_eq!(
        next("0 0 29 2 *", "1972-03-01T00:00:00Z"),
        "1976-02-29T00:00:00Z"
    );
}

#[test]
fn a_leap_day_on_one_weekday_is_found_over_forty_years() {
    // `*/7` is Sunday, and starts with a star: both have to match.
    assert_eq!(
        next("0 0 29 2 */7", "2088-02-29T00:00:00Z"),
        "2128-02-29T00:00:00Z"
    );
}

#[test]
fn the_31st_skips_short_months() {
    assert_eq!(
        next("0 0 31 * *", "2026-01-31T00:00:00Z"),
        "2026-03-31T00:00:00Z"
    );
}

#[test]
fn years_after_2100_are_searched_too() {
    assert_eq!(
        next("0 0 1 1 *", "2100-06-01T00:00:00Z"),
        "2101-01-01T00:00:00Z"
    );
    assert_eq!(
        next("0 0 0 1 6 * 2500", "2026-01-01T00:00:00Z"),
        "2500-06-01T00:00:00Z"
    );
}

#[test]
fn the_calendar_ends_with_the_year_9999() {
    assert_eq!(
        next("0 0 * * *", "9999-12-30T12:00:00Z"),
        "9999-12-31T00:00:00Z"
    );
    assert_eq!(next("0 0 * * *", "9999-12-31T00:00:00Z"), "none");
}

#[test]
fn years_run_out() {
    assert_eq!(
        next("0 0 0 1 1 * 2026,2028", "2026-01-01T00:00:00Z"),
        "2028-01-01T00:00:00Z"
    );
    assert_eq!(
        next("0 0 0 1 1 * 2026,2028", "2028-01-01T00:00:00Z"),
        "none"
    );
}

#[test]
fn the_ends_of_the_number_type_are_fine() {
    let schedule = Schedule::parse("* * * * * *").expect("valid");
    assert_eq!(schedule.next_after(i64::MIN), Some(0));
    assert_eq!(schedule.next_after(-2), Some(0));
    assert_eq!(schedule.next_after(-1), Some(0));
    assert_eq!(schedule.next_after(0), Some(1));
    assert_eq!(schedule.next_after(i64::MAX - 1), None);
    assert_eq!(schedule.next_after(i64::MAX), None);
}
