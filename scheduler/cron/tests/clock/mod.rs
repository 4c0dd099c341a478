//! Instants as people write them, by a time zone library that is not the one under test.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use leasehold_cron::Schedule;

pub(crate) fn schedule(expression: &str, zone: &str) -> Schedule {
    let zone = zone.parse().expect("a known zone");
    Schedule::parse(expression)
        .expect("a valid expression")
        .in_zone(zone)
}

/// `2026-03-29 03:00:00 +02:00` as seconds since 1970.
#[track_caller]
pub(crate) fn instant(text: &str) -> i64 {
    let time = Timestamp::strptime("%F %T %:z", text).expect("date, time and offset");
    time.as_second()
}

/// The other way, by the clocks of `zone`.
pub(crate) fn shown(unix_s: i64, zone: &str) -> String {
    let zone = TimeZone::get(zone).expect("a known zone");
    let time = Timestamp::from_second(unix_s)
        .expect("in range")
        .to_zoned_datetime(zone);
    time.strftime("%F %T %:z").to_string()
}

/// All ticks between; fails at one that is no later than the one before it.
#[track_caller]
pub(crate) fn between(schedule: &Schedule, after: i64, end: i64) -> Vec<i64> {
    let mut ticks = Vec::new();
    let mut now = after;
    while let Some(next) = schedule.next_after(now).filter(|next| *next < end) {
        assert!(next > now, "{schedule:?} at {now}: {next}");
        ticks.push(next);
        now = next;
    }
    ticks
}

/// The ticks behind `after` are these, and back from the last of them they are the same.
#[track_caller]
pub(crate) fn ticks(schedule: &Schedule, after: &str, expected: &[&str]) {
    let zone = schedule.zone().name();
    let next: Vec<i64> = schedule.next_n(instant(after), expected.len()).collect();
    let texts: Vec<String> = next.iter().map(|tick| shown(*tick, zone)).collect();
    assert_eq!(texts, expected, "{schedule:?}");
    for pair in next.windows(2) {
        let back = schedule
            .previous_before(pair[1])
            .map(|tick| shown(tick, zone));
        assert_eq!(back, Some(shown(pair[0], zone)), "{schedule:?}");
    }
}
