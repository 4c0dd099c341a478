//! In UTC: compared with a calendar of our own, and with another cron.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::Cron;
use leasehold_cron::Schedule;
use proptest::prelude::*;

use crate::generate::{self, Expression};
use crate::reference;

/// Seconds from 1970 to about 2112, past the end of what the `cron` crate knows.
fn instants() -> impl Strategy<Value = i64> {
    0..4_500_000_000_i64
}

/// How far the reference searches for an earlier match, in seconds.
const HORIZON: i64 = 10 * 86_400;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_next_instant_is_later_and_matches_and_is_the_first(
        expression in generate::expressions(),
        start in instants(),
    ) {
        let Ok(schedule) = Schedule::parse(&expression.text()) else {
            prop_assert!(!reference::has_date(&expression), "{}", expression.text());
            return Ok(());
        };
        let mut at = start;
        for _ in 0..3 {
            let Some(next) = schedule.next_after(at) else {
                prop_assert!(expression.years.is_some());
                break;
            };
            prop_assert!(next > at);
            prop_assert!(reference::matches(&expression, next), "{next}");
            prop_assert_eq!(
                reference::first_after(&expression, at, HORIZON),
                Some(next).filter(|next| *next <= at + HORIZON)
            );
            at = next;
        }
    }

    #[test]
    fn croner_agrees_on_five_fields(
        expression in generate::five_fields_for_croner(),
        start in instants(),
    ) {
        let text = expression.text();
        let (Ok(schedule), Ok(croner)) = (Schedule::parse(&text), Cron::from_str(&text)) else {
            prop_assert!(!reference::has_date(&expression), "{text}");
            return Ok(());
        };
        let mut at = start;
        for _ in 0..5 {
            let time: DateTime<Utc> = DateTime::from_timestamp(at, 0).expect("in range");
            let theirs = croner.find_next_occurrence(&time, false).expect("a match").timestamp();
            prop_assert_eq!(schedule.next_after(at), Some(theirs), "{} after {}", text, time);
            at = theirs;
        }
    }

    #[test]
    fn the_end_of_the_number_type_never_panics(
        expression in generate::expressions(),
        at in any::<i64>(),
    ) {
        if let Ok(schedule) = Schedule::parse(&expression.text()) {
            prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
        }
    }
}

#[test]
fn the_reference_knows_a_date() {
    // 2026-02-28T23:59:58Z, a Saturday.
    let expression = Expression::from_text_for_test("58 59 23 28 2 6 2026");
    assert!(reference::matches(&expression, 1_772_323_198));
    assert!(!reference::matches(&expression, 1_772_323_199));
}
