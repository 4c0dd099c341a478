//! What users of other schedulers met, one test a failure, by its number in the list that this project keeps of them.

mod clock;

use clock::{between, instant, schedule, shown, ticks};
use leasehold_cron::Schedule;

/// quartznet, apscheduler: in the hour that is repeated the next fire time was one that was over, so that the job was
/// fired without end. (The `cron` crate, asked at 01:10 EST, says 01:15 EDT: a job each minute ran 2,100 times in 50
/// minutes.)
#[test]
fn s06_the_repeated_hour_is_left_after_as_many_ticks_as_it_has_minutes() {
    let minutely = schedule("* * * * *", "America/New_York");
    let mut now = instant("2026-11-01 01:10:00 -05:00");
    let end = instant("2026-11-01 02:00:00 -05:00");
    let mut runs = 0;
    while let Some(next) = minutely.next_after(now).filter(|next| *next < end) {
        assert_eq!(next, now + 60);
        (now, runs) = (next, runs + 1);
    }
    assert_eq!(runs, 49);

    ticks(
        &schedule("*/15 * * * *", "America/New_York"),
        "2026-11-01 01:10:00 -05:00",
        &["2026-11-01 01:15:00 -05:00", "2026-11-01 01:30:00 -05:00"],
    );
}

/// quartznet, apscheduler: a fire time in the hour that is missing was looked for without end, or shown as one that
/// no clock shows.
#[test]
fn s06_the_missing_hour_is_passed() {
    let berlin = |expression| schedule(expression, "Europe/Berlin");
    ticks(
        &berlin("30 2 * * *"),
        "2026-03-28 02:30:00 +01:00",
        &["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
    );
    ticks(
        &berlin("*/30 2 * * *"),
        "2026-03-28 02:30:00 +01:00",
        &["2026-03-30 02:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
    );
    // The gap at midnight in which the `cron` crate loses a day.
    ticks(
        &schedule("0 0 * * *", "Africa/Cairo"),
        "2026-04-23 00:00:00 +02:00",
        &["2026-04-24 01:00:00 +03:00", "2026-04-25 00:00:00 +03:00"],
    );
}

/// kubernetes: a job at a fixed time ran twice when its hour was repeated.
#[test]
fn s07_a_fixed_time_runs_once_when_its_hour_is_repeated() {
    let nightly = schedule("0 2 * * *", "Europe/Berlin");
    ticks(
        &nightly,
        "2026-10-24 02:00:00 +02:00",
        &["2026-10-25 02:00:00 +02:00", "2026-10-26 02:00:00 +01:00"],
    );
    // Also for one who asks between the passes, and on the second.
    for asked in ["2026-10-25 02:30:00 +02:00", "2026-10-25 02:00:00 +01:00"] {
        ticks(&nightly, asked, &["2026-10-26 02:00:00 +01:00"]);
    }
    ticks(
        &schedule("15,45 1 * * *", "America/New_York"),
        "2026-11-01 00:00:00 -04:00",
        &[
            "2026-11-01 01:15:00 -04:00",
            "2026-11-01 01:45:00 -04:00",
            "2026-11-02 01:15:00 -05:00",
        ],
    );
}

/// The `cron` crate: `1` meant Sunday.
#[test]
fn s12_day_of_week_one_is_monday_in_every_zone() {
    for zone in ["UTC", "Pacific/Auckland", "Pacific/Honolulu"] {
        for expression in ["0 12 * * 1", "0 0 12 * * mon", "0 0 12 * * 1-1 *"] {
            let schedule = schedule(expression, zone);
            let tick = schedule
                .next_after(instant("2026-06-02 00:00:00 +00:00"))
                .expect("a Monday");
            assert_eq!(
                shown(tick, zone)[..10],
                *"2026-06-08",
                "{expression} in {zone}"
            );
        }
    }
    let sunday = Schedule::parse("0 0 * * 0").expect("valid");
    assert_eq!(sunday, Schedule::parse("0 0 * * 7").expect("valid"));
}

/// tokio-cron-scheduler: the offset of the zone was taken when the program started, and used for ever.
#[test]
fn s13_the_offset_is_the_one_of_the_tick_not_the_one_of_now() {
    let daily = schedule("0 9 * * *", "Europe/Berlin");
    ticks(
        &daily,
        "2026-03-27 12:00:00 +01:00",
        &[
            "2026-03-28 09:00:00 +01:00",
            "2026-03-29 09:00:00 +02:00",
            "2026-03-30 09:00:00 +02:00",
        ],
    );
    let yearly = schedule("0 9 1 7 *", "America/New_York");
    ticks(
        &yearly,
        "2026-01-01 00:00:00 -05:00",
        &["2026-07-01 09:00:00 -04:00", "2027-07-01 09:00:00 -04:00"],
    );
}

/// apalis-cron: an iterator of ticks that had come to the repeated hour stayed in it, and failed millions of times.
#[test]
fn s14_an_iterator_of_ticks_passes_every_change() {
    for zone in [
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
    ] {
        for expression in [
            "*/10 * * * *",
            "7,37 * * * *",
            "30 1 * * *",
            "0 0,1,2,3 * * *",
        ] {
            let schedule = schedule(expression, zone);
            let start = instant("2026-01-01 00:00:00 +00:00");
            let end = instant("2028-01-01 00:00:00 +00:00");
            let ticks = between(&schedule, start, end);
            let gaps = ticks.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.max() <= Some(25 * 3_600), "{expression} in {zone}");
            assert!(
                ticks.last() > Some(&(end - 86_400)),
                "{expression} in {zone}"
            );
        }
    }
}

/// The `cron` crate, and others: with both day fields restricted a day had to match both, where POSIX says either.
#[test]
fn s16_both_day_fields_restricted_means_or() {
    ticks(
        &schedule("0 0 13 * 5", "Asia/Tokyo"),
        "2026-03-01 00:00:00 +09:00",
        &[
            "2026-03-06 00:00:00 +09:00",
            "2026-03-13 00:00:00 +09:00",
            "2026-03-20 00:00:00 +09:00",
            "2026-03-27 00:00:00 +09:00",
            "2026-04-03 00:00:00 +09:00",
            "2026-04-10 00:00:00 +09:00",
            "2026-04-13 00:00:00 +09:00",
        ],
    );
}
