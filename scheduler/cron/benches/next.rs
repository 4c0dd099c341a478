//! How long the next tick takes: `cargo bench -p leasehold-cron`. The cases are the worst that are known; each is asked
//! at the instants that cost most.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark fails with the error it met"
)]
#![allow(missing_docs, reason = "each says what it measures by its name")]

use divan::{Bencher, black_box};
use leasehold_cron::{Dst, Schedule, Zone};

fn main() {
    divan::main();
}

/// What is asked: an expression, a policy, the zone, and when.
const CASES: [(&str, &str, Dst, &str, i64); 21] = [
    ("each minute", "* * * * *", Dst::Once, "UTC", NOW),
    (
        "each minute in a zone",
        "* * * * *",
        Dst::Once,
        "Europe/Berlin",
        NOW,
    ),
    (
        "each second in a zone",
        "* * * * * *",
        Dst::Once,
        "Africa/Casablanca",
        NOW,
    ),
    (
        "daily in a zone",
        "30 2 * * *",
        Dst::Once,
        "Europe/Berlin",
        NOW,
    ),
    (
        "daily, after a gap",
        "30 2 * * *",
        Dst::Both,
        "Europe/Berlin",
        1_774_746_000,
    ),
    (
        "daily, in a fold",
        "30 1 * * *",
        Dst::Both,
        "America/New_York",
        1_793_512_800,
    ),
    (
        "a leap day",
        "0 0 29 2 *",
        Dst::Once,
        "Europe/Berlin",
        1_709_300_000,
    ),
    (
        "a leap day, walking",
        "* 0 29 2 *",
        Dst::Once,
        "Europe/Berlin",
        1_709_300_000,
    ),
    // 40 years: 2100 is no leap year.
    (
        "a leap day on a Sunday",
        "0 0 29 2 */7",
        Dst::Once,
        "Europe/Berlin",
        3_728_700_000,
    ),
    (
        "a leap day on a Sunday, walking",
        "*/9 0 29 2 */7",
        Dst::Once,
        "Europe/Berlin",
        3_728_700_000,
    ),
    (
        "either day field",
        "0 0 30 2 1",
        Dst::Both,
        "Europe/Berlin",
        1_772_000_000,
    ),
    (
        "12 years to a day and weekday",
        "0 0 31 12 */7",
        Dst::Both,
        "Europe/Berlin",
        1_735_700_000,
    ),
    (
        "the last of many years",
        "0 0 0 1 1 * 1970-2024,9999",
        Dst::Once,
        "Europe/Berlin",
        NOW,
    ),
    (
        "years without end, over",
        "0 0 0 29 2 * 1972-2024",
        Dst::Both,
        "Europe/Berlin",
        NOW,
    ),
    // Always the Sunday on which clocks skip that time: it is never due, for 8,000 years.
    (
        "always skipped",
        "30 2 25-31 3 */7",
        Dst::Skip,
        "Europe/Berlin",
        NOW,
    ),
    (
        "always skipped, in listed years",
        "0 30 2 25-31 3 */7 2001-9999/2",
        Dst::Skip,
        "Europe/Berlin",
        NOW,
    ),
    (
        "always skipped, walking",
        "*/30 2 25-31 3 */7",
        Dst::Once,
        "Europe/Berlin",
        NOW,
    ),
    (
        "always skipped, both ways",
        "30 2 25-31 3 */7",
        Dst::Skip,
        "Europe/Berlin",
        END,
    ),
    (
        "always skipped, not in leap years",
        "0 30 2 25-31 3 */7 2001-9999/4,2002-9999/4,2003-9999/4",
        Dst::Skip,
        "Europe/Berlin",
        NOW,
    ),
    (
        "skipped on leap days only",
        "0 0 1-7,29 2,4,10 */7",
        Dst::Skip,
        "America/Asuncion",
        NOW,
    ),
    (
        "nothing more",
        "0 0 0 1 1 * 1970",
        Dst::Both,
        "Pacific/Apia",
        NOW,
    ),
];

const NOW: i64 = 1_767_225_600;
const END: i64 = 253_402_300_000;

#[divan::bench(args = CASES.map(|case| case.0))]
fn next(bencher: Bencher<'_, '_>, name: &str) {
    let (schedule, at) = case(name);
    bencher.bench_local(|| black_box(&schedule).next_after(black_box(at)));
}

#[divan::bench(args = CASES.map(|case| case.0))]
fn previous(bencher: Bencher<'_, '_>, name: &str) {
    let (schedule, at) = case(name);
    bencher.bench_local(|| black_box(&schedule).previous_before(black_box(at)));
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Schedule::parse(black_box("*/15 9-17 * * mon-fri")));
}

#[divan::bench]
fn parse_a_zone(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box("europe/berlin").parse::<Zone>());
}

fn case(name: &str) -> (Schedule, i64) {
    let (_, expression, dst, zone, at) = *CASES.iter().find(|case| case.0 == name).unwrap();
    let schedule = Schedule::parse(expression).unwrap();
    (schedule.in_zone(zone.parse().unwrap()).dst(dst), at)
}
