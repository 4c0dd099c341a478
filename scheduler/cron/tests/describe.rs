//! Schedules in English.

use leasehold_cron::{Dst, Schedule};

fn described(expression: &str) -> String {
    let schedule = Schedule::parse(expression).expect("a valid expression");
    let text = schedule.describe();
    let text = text.strip_suffix(", UTC").expect("the zone at the end");
    text.to_owned()
}

#[track_caller]
fn check(said: &[(&str, &str)]) {
    for (expression, text) in said {
        assert_eq!(described(expression), *text, "{expression}");
    }
}

#[test]
fn times_are_listed_if_they_are_few() {
    check(&[
        ("30 2 * * *", "at 02:30 every day"),
        ("@daily", "at 00:00 every day"),
        ("0 8,20 * * *", "at 08:00 and 20:00 every day"),
        (
            "0,30 2,3 * * *",
            "at 02:00, 02:30, 03:00 and 03:30 every day",
        ),
        ("*/30 2 * * *", "at 02:00 and 02:30 every day"),
        ("15 30 2 * * *", "at 02:30:15 every day"),
        (
            "0 1,2,4,8,16 * * *",
            "at 01:00, 02:00, 04:00, 08:00 and 16:00 every day",
        ),
    ]);
}

#[test]
fn one_distance_all_day_is_said_as_such() {
    check(&[
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("@hourly", "every hour"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("0 */5 * * * *", "every 5 minutes"),
    ]);
}

#[test]
fn one_distance_for_a_part_of_the_day_has_a_start_and_an_end() {
    check(&[
        (
            "*/15 9-17 * * *",
            "every 15 minutes from 09:00 to 17:45 every day",
        ),
        ("* 9-17 * * *", "every minute from 09:00 to 17:59 every day"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00 every day"),
        (
            "30 */2 * * *",
            "every 2 hours from 00:30 to 22:30 every day",
        ),
        (
            "0 0 */4 * * *",
            "every 4 hours from 00:00 to 20:00 every day",
        ),
        (
            "5-40/7 3 * * *",
            "every 7 minutes from 03:05 to 03:40 every day",
        ),
        (
            "*/10 30 2 * * *",
            "every 10 seconds from 02:30:00 to 02:30:50 every day",
        ),
        (
            "*/10 30-40 2 * * *",
            "every 10 seconds from 02:30:00 to 02:40:50 every day",
        ),
        (
            "* * 9-17 * * *",
            "every second from 09:00:00 to 17:59:59 every day",
        ),
    ]);
}

#[test]
fn whatever_else_is_said_field_by_field() {
    check(&[
        ("30 * * * *", "at minute 30 of every hour"),
        (
            "5,20,35,50 * * * *",
            "at minutes 5, 20, 35 and 50 of every hour",
        ),
        ("*/7 * * * *", "every 7th minute from 0 to 56 of every hour"),
        (
            "*/7 9-17 * * *",
            "every 7th minute from 0 to 56 of hours 9 to 17 every day",
        ),
        (
            "*/10 1,3,10-12 * * *",
            "every 10th minute from 0 to 50 of hours 1, 3 and 10 to 12 every day",
        ),
        ("15 * * * * *", "at second 15 of every minute of every hour"),
        (
            "*/20 1,5 * * * *",
            "at seconds 0, 20 and 40 of minutes 1 and 5 of every hour",
        ),
    ]);
}

#[test]
fn days_of_week_and_month() {
    check(&[
        ("30 2 * * mon-fri", "at 02:30 on Monday to Friday"),
        ("30 2 * * 0,6", "at 02:30 on Saturday and Sunday"),
        ("30 2 * * 1,3,5", "at 02:30 on Monday, Wednesday and Friday"),
        ("*/15 * * * sun", "every 15 minutes on Sunday"),
        ("0 0 13 * *", "at 00:00 on day 13 of the month"),
        ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "at 00:00 on days 1 to 7 of the month"),
        (
            "0 0 */2 * *",
            "at 00:00 on every 2nd day from 1 to 31 of the month",
        ),
        ("0 0 25 12 *", "at 00:00 on day 25 of December"),
        (
            "0 0 1 1-3,7 *",
            "at 00:00 on day 1 of January to March and July",
        ),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"),
        (
            "0 0 13 3 5",
            "at 00:00 on day 13 of the month or on Friday in March",
        ),
        (
            "0 0 1 * */2",
            "at 00:00 on day 1 of the month if that is a Tuesday, Thursday, Saturday or Sunday",
        ),
        ("0 0 * 7 *", "at 00:00 every day in July"),
        ("0 * * 7 *", "every hour in July"),
        ("0 9 * 6-8 sat", "at 09:00 on Saturday in June to August"),
    ]);
}

#[test]
fn years() {
    check(&[
        ("0 0 0 1 1 * 2026", "at 00:00 on day 1 of January in 2026"),
        (
            "0 0 0 1 1 * 2026-2030",
            "at 00:00 on day 1 of January in 2026 to 2030",
        ),
        (
            "0 0 0 1 1 * 2026-2036/2",
            "at 00:00 on day 1 of January in every 2nd year from 2026 to 2036",
        ),
        (
            "0 0 0 29 2 * 2020-2030",
            "at 00:00 on day 29 of February in 2020, 2024 and 2028",
        ),
        ("0 0 0 * * * 2026", "at 00:00 every day in 2026"),
    ]);
}

#[test]
fn the_zone_and_the_policy_are_said_too() {
    let schedule = Schedule::parse("30 2 * * 1-5").expect("valid");
    let schedule = schedule.in_zone("europe/berlin".parse().expect("a zone"));
    let said = |schedule: Schedule| schedule.describe();
    assert_eq!(
        said(schedule.clone()),
        "at 02:30 on Monday to Friday, Europe/Berlin"
    );
    assert_eq!(
        said(schedule.clone().dst(Dst::Skip)),
        "at 02:30 on Monday to Friday, Europe/Berlin; not on days when clocks skip that time"
    );
    assert_eq!(
        said(schedule.dst(Dst::Both)),
        "at 02:30 on Monday to Friday, Europe/Berlin; twice on days when clocks repeat that time"
    );
}
