//! What holds in every zone, at any time, under any policy.

use leasehold_cron::{Dst, Schedule};
use proptest::prelude::*;

use crate::changes::zones;
use crate::generate;

/// Fifty years of every zone, and at times any instant up to the end of 9999.
fn instants() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 1_798_761_600..3_376_684_800_i64,
        2 => 0..1_798_761_600_i64,
        1 => 0..253_402_300_800_i64,
    ]
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let expressions = prop_oneof![
        generate::expressions(),
        generate::frequent(false),
        generate::frequent(true)
    ];
    let policies = prop_oneof![Just(Dst::Once), Just(Dst::Skip), Just(Dst::Both)];
    (expressions, prop::sample::select(zones()), policies).prop_filter_map(
        "it never matches",
        |(expression, zone, dst)| {
            let schedule = Schedule::parse(&expression.text()).ok()?;
            let zone = zone.parse().expect("a known zone");
            Some(schedule.in_zone(zone).dst(dst))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_next_tick_is_later_and_nothing_is_between(
        schedule in schedules(),
        now in instants(),
        between in any::<prop::sample::Index>(),
    ) {
        let Some(next) = schedule.next_after(now) else {
            prop_assert!(schedule.previous_before(i64::MAX).is_none_or(|last| last <= now));
            return Ok(());
        };
        prop_assert!(next > now);
        // Both ways, and from any instant between.
        let last = schedule.previous_before(next);
        prop_assert!(last.is_none_or(|last| last <= now));
        prop_assert_eq!(schedule.previous_before(next + 1), Some(next));
        prop_assert_eq!(schedule.next_after(next - 1), Some(next));
        let seconds = usize::try_from(next - now).expect("it is later");
        let between = now + i64::try_from(between.index(seconds)).expect("as small");
        prop_assert_eq!(schedule.next_after(between), Some(next));
        prop_assert_eq!(schedule.previous_before(between + 1), last.max(schedule.previous_before(now + 1)));
        if let Some(last) = last {
            prop_assert_eq!(schedule.next_after(last), Some(next));
        }
    }

    #[test]
    fn policies_only_ever_add_or_drop_ticks(schedule in schedules(), now in instants()) {
        let ticks = |dst| {
            let schedule = schedule.clone().dst(dst);
            let ticks: Vec<i64> = schedule.next_n(now, 20).collect();
            ticks
        };
        let [skip, once, both] = [Dst::Skip, Dst::Once, Dst::Both].map(ticks);
        // Each has all of the one before it, as far as they go.
        for (fewer, more) in [(&skip, &once), (&once, &both)] {
            let end = more.last().copied().unwrap_or(i64::MAX);
            prop_assert!(fewer.iter().all(|tick| *tick > end || more.contains(tick)));
        }
        let skipping = schedule.clone().dst(Dst::Skip);
        for tick in once.iter().filter(|tick| !skip.contains(tick) && **tick < skip.last().copied().unwrap_or(0)) {
            prop_assert!(schedule.clone().dst(Dst::Once).moved_by_dst(*tick), "{tick}");
            prop_assert!(!skipping.moved_by_dst(*tick));
        }
    }

    #[test]
    fn any_instant_is_fine_in_every_zone(schedule in schedules(), at in any::<i64>()) {
        prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
        prop_assert!(schedule.previous_before(at).is_none_or(|last| last < at));
        let _ = schedule.moved_by_dst(at);
    }
}
