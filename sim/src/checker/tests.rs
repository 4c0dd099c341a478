//! Histories made by hand, each of which breaks one promise; and some that break none.

use std::time::Duration;

use super::check;
use crate::history::{Event, Fault, How, Id, What};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One event a millisecond.
fn history(whats: impl IntoIterator<Item = What>) -> Vec<Event> {
    let timed = (0..).zip(whats);
    timed.map(|(at, what)| Event { at: ms(at), what }).collect()
}

fn rules(events: &[Event]) -> Vec<&'static str> {
    check(events).into_iter().map(|v| v.rule).collect()
}

fn minted(first: u64, base: u64, last: u64) -> What {
    What::Minted {
        resource: "m/1".into(),
        client: "c".into(),
        seq: 1,
        first,
        end: first,
        weight: 0,
        seen: 0,
        wall: base,
        base,
        last,
    }
}

fn held(hold: Id, fence: u64) -> What {
    What::Held {
        hold,
        node: hold,
        resource: "m/1".into(),
        fence,
        weight: 1,
        capacity: 1,
        ttl: ms(100),
        max_hold: None,
        together: false,
    }
}

fn looked(hold: Id, held: bool) -> What {
    What::Looked { hold, held }
}

fn grant(hold: Id, fence: u64) -> [What; 2] {
    [minted(fence, fence, fence - 1), held(hold, fence)]
}

fn called(call: Id, within: Duration) -> What {
    What::Called {
        call,
        node: 1,
        resource: "m/1".into(),
        hold: None,
        what: "lock".into(),
        within,
        must: false,
    }
}

fn release(call: Id, hold: Id) -> What {
    What::Called {
        call,
        node: 1,
        resource: "m/1".into(),
        hold: Some(hold),
        what: "release".into(),
        within: ms(100),
        must: false,
    }
}

fn ended(call: Id, how: How) -> What {
    What::Ended { call, how }
}

const LOST_DATA: What = What::Fault(Fault::DataLost);
const CUT: fn() -> What = || What::Fault(Fault::Other("cut".into()));

#[test]
fn a_hand_over_breaks_nothing() {
    let mut whats = vec![called(1, ms(100))];
    whats.extend(grant(1, 10));
    whats.extend([
        ended(1, How::Done),
        looked(1, true),
        What::GaveUp { hold: 1 },
    ]);
    whats.extend([release(2, 1), ended(2, How::Done)]);
    whats.extend(grant(2, 11));
    whats.extend([looked(1, false), looked(2, true)]);
    assert_eq!(rules(&history(whats)), [""; 0]);
}

#[test]
fn two_valid_holders_are_seen() {
    let whats = grant(1, 10).into_iter().chain([CUT()]);
    let whats = whats.chain([held(2, 10), looked(1, true)]);
    let rules = rules(&history(whats));
    assert!(rules.contains(&"one valid holder"), "{rules:?}");
}

#[test]
fn a_holder_who_does_not_know_that_its_lease_passed_on_is_seen() {
    let whats = grant(1, 10).into_iter().chain([CUT(), minted(11, 11, 10)]);
    let whats = whats.chain([looked(1, true)]);
    assert_eq!(rules(&history(whats)), ["the holder knows first"]);
}

#[test]
fn several_may_hold_up_to_the_capacity() {
    let share = |hold: Id, weight| What::Held {
        hold,
        node: 1,
        resource: "p/1".into(),
        fence: 10 + u64::from(hold),
        weight,
        capacity: 3,
        ttl: ms(100),
        max_hold: None,
        together: false,
    };
    let whats = [granted(10, 1), share(1, 1), share(2, 2)];
    let whats = whats.into_iter().chain([looked(1, true), looked(2, true)]);
    assert_eq!(rules(&history(whats.clone())), [""; 0]);
    let whats = whats.chain([share(3, 1), looked(1, true), looked(2, true)]);
    assert_eq!(rules(&history(whats)), ["one valid holder"]);
}

#[test]
fn after_a_data_loss_only_fences_are_promised() {
    let whats = grant(1, 10).into_iter().chain([LOST_DATA]);
    let whats = whats.chain([minted(11, 11, 0), held(2, 11), looked(1, true)]);
    assert_eq!(rules(&history(whats)), [""; 0]);
}

#[test]
fn fences_that_fall_or_repeat_are_seen() {
    for second in [9, 10] {
        let whats = grant(1, 10).into_iter().chain([minted(second, 5, 10)]);
        assert_eq!(rules(&history(whats)), ["fences rise"], "{second}");
    }
    let whats = grant(1, 10)
        .into_iter()
        .chain([What::GaveUp { hold: 1 }, held(2, 10)]);
    assert_eq!(rules(&history(whats)), ["no fence is given twice"]);
    let whats = [held(1, 10)];
    assert_eq!(rules(&history(whats)), ["fences come from the store"]);
}

#[test]
fn after_a_data_loss_the_base_alone_keeps_the_order() {
    let after = |first, base| {
        let whats = grant(1, 10)
            .into_iter()
            .chain([What::GaveUp { hold: 1 }, LOST_DATA]);
        rules(&history(whats.chain([minted(first, base, 0)])))
    };
    assert_eq!(after(9, 9), [""; 0]);
    assert_eq!(after(11, 11), [""; 0]);
    // The base is greater than all before, and yet the fence is not.
    assert_eq!(after(10, 11), ["fences rise", "fences keep to the clock"]);
}

#[test]
fn a_clock_that_stepped_back_excuses_only_what_the_store_forgot() {
    let after = |last| {
        let step = What::Fault(Fault::WallClock(-5));
        let whats = grant(1, 10)
            .into_iter()
            .chain([What::GaveUp { hold: 1 }, step]);
        rules(&history(whats.chain([minted(9, 9, last)])))
    };
    assert_eq!(after(9), [""; 0]);
    assert_eq!(after(10), ["fences rise"]);
}

#[test]
fn a_client_that_does_not_tell_what_it_has_seen_is_noticed() {
    let told = |said: u64| {
        let joined = What::Joined {
            node: 1,
            client: "c".into(),
        };
        let whats = [joined].into_iter().chain(grant(1, 10));
        let whats = whats.chain([What::GaveUp { hold: 1 }, minted(11, 11, 10)]);
        let mut events = history(whats);
        let What::Minted { seen, .. } = &mut events[4].what else {
            panic!("the last one is the grant");
        };
        *seen = said;
        events[4].at = ms(60_000);
        rules(&events)
    };
    assert_eq!(told(10), [""; 0]);
    assert_eq!(told(9), ["a client tells what it has seen"]);
}

#[test]
fn a_block_that_runs_ahead_of_the_clock_is_seen() {
    let mut events = history([minted(10, 10, 0)]);
    let What::Minted { end, .. } = &mut events[0].what else {
        panic!("it is the grant");
    };
    *end = 1010;
    assert_eq!(rules(&events), [""; 0]);
    let What::Minted { end, .. } = &mut events[0].what else {
        panic!("it is the grant");
    };
    *end = 1011;
    assert_eq!(rules(&events), ["blocks keep to the clock"]);
}

#[test]
fn what_was_given_out_long_before_a_clock_steps_back_is_known_by_its_floor() {
    let after = |given: u64, before: Option<What>| {
        let step = What::Fault(Fault::WallClock(-5));
        let whats = before.into_iter().chain(grant(1, 10));
        let whats = whats.chain([What::GaveUp { hold: 1 }, step, minted(9, 9, 0)]);
        let mut events = history(whats);
        let last = events.len() - 1;
        (events[last - 1].at, events[last].at) = (ms(given), ms(given));
        rules(&events)
    };
    assert_eq!(after(3000, None), ["fences rise"]);
    assert_eq!(after(500, None), [""; 0]);
    // Who is cut off cannot tell the store.
    assert_eq!(after(3000, Some(CUT())), [""; 0]);
}

#[test]
fn a_guard_that_comes_lost_is_seen() {
    let mut events = history(grant(1, 10).into_iter().chain([looked(1, false)]));
    events.insert(0, history([CUT()]).remove(0));
    events[3].at = events[2].at;
    assert_eq!(rules(&events), ["a guard comes valid"]);
    events[3].at = ms(900);
    assert_eq!(rules(&events), [""; 0]);
}

#[test]
fn a_revoked_holder_that_stays_is_seen() {
    let revoked = What::Revoked {
        resource: "m/1".into(),
        first: 10,
        grace: ms(100),
    };
    let whats = grant(1, 10).into_iter().chain([revoked, looked(1, true)]);
    let mut events = history(whats);
    assert_eq!(rules(&events), [""; 0]);
    events[3].at = ms(500);
    assert_eq!(rules(&events), ["who is revoked goes"]);
    let What::Looked { held, .. } = &mut events[3].what else {
        panic!("the last one is the look");
    };
    *held = false;
    assert_eq!(rules(&events), [""; 0]);
}

#[test]
fn a_visit_without_end_is_seen() {
    let mut minted = minted(10, 10, 0);
    let What::Minted { end, .. } = &mut minted else {
        panic!("it is a grant");
    };
    *end = 20;
    let whats = [minted, held(1, 10), What::GaveUp { hold: 1 }, held(2, 11)];
    let mut events = history(whats);
    assert_eq!(rules(&events), [""; 0]);
    events[3].at = ms(1500);
    assert_eq!(rules(&events), ["a visit ends"]);
}

/// A reader of `p/1`, under number `fence` of a block that the store made a holder.
fn reads(hold: Id, fence: u64) -> What {
    What::Held {
        hold,
        node: 1,
        resource: "p/1".into(),
        fence,
        weight: 1,
        capacity: u32::MAX,
        ttl: ms(1000),
        max_hold: None,
        together: false,
    }
}

/// The store grants a block of `p/1`, of this weight (0 for all).
fn granted(first: u64, weight: u32) -> What {
    What::Minted {
        resource: "p/1".into(),
        client: "c".into(),
        seq: 1,
        first,
        end: first + 9,
        weight,
        seen: 0,
        wall: first,
        base: first,
        last: first - 1,
    }
}

#[test]
fn a_grant_to_a_writer_ends_all_that_readers_have_and_one_to_a_reader_what_a_writer_has() {
    let after = |weight| {
        let whats = [granted(10, 1), reads(1, 10), reads(2, 11), CUT()];
        let whats = whats.into_iter().chain([granted(20, weight)]);
        rules(&history(whats.chain([looked(1, true), looked(2, true)])))
    };
    assert_eq!(after(1), [""; 0]);
    assert_eq!(after(0), ["the holder knows first"]);
    let mut writes = reads(1, 10);
    let What::Held { weight, .. } = &mut writes else {
        panic!("it is a hold");
    };
    *weight = u32::MAX;
    let whats = [granted(10, 0), writes, CUT(), granted(20, 1)];
    let whats = whats.into_iter().chain([looked(1, true)]);
    assert_eq!(rules(&history(whats)), ["the holder knows first"]);
}

#[test]
fn all_who_share_what_was_revoked_are_to_go() {
    let revoked = What::Revoked {
        resource: "p/1".into(),
        first: 10,
        grace: ms(100),
    };
    let whats = [granted(10, 1), reads(1, 10), reads(2, 11), revoked];
    let whats = whats.into_iter().chain([looked(1, true), looked(2, false)]);
    let mut events = history(whats);
    assert_eq!(rules(&events), [""; 0]);
    events[4].at = ms(1500);
    events[5].at = ms(1500);
    assert_eq!(rules(&events), ["who is revoked goes"]);
}

#[test]
fn who_joins_others_while_another_waits_is_seen() {
    let waits = || What::Waits {
        resource: "p/1".into(),
        client: "w".into(),
        seq: 1,
    };
    let waits_not = || What::WaitsNot {
        resource: "p/1".into(),
        client: "w".into(),
        seq: 1,
    };
    // One that waits from 500 ms on, and one that joins at `joins`; `between` happens at 600 ms.
    let joined = |joins: u64, between: What| {
        let whats = [granted(10, 1), reads(1, 10), waits(), between, reads(2, 11)];
        let mut events = history(whats);
        events[2].at = ms(500);
        events[3].at = ms(600);
        events[4].at = ms(joins);
        rules(&events)
    };
    let rule = "nobody joins while another waits";
    // It may not have been told yet; then it must have been, by the answer to its claim or a renewal.
    assert_eq!(joined(1000, waits()), [""; 0]);
    assert_eq!(joined(1100, waits()), [rule]);
    assert_eq!(joined(1100, waits_not()), [""; 0]);
    assert_eq!(joined(1100, What::Fault(Fault::Paused(1))), [""; 0]);
    // One that is not heard from any more does not count.
    assert_eq!(joined(12_000, waits()), [rule]);
    assert_eq!(joined(14_000, waits()), [""; 0]);
}

#[test]
fn a_loss_that_does_not_stay_one_is_seen() {
    let whats = grant(1, 10).into_iter().chain([CUT()]);
    let whats = whats.chain([looked(1, false), looked(1, true)]);
    assert_eq!(rules(&history(whats)), ["a loss stays a loss"]);
}

#[test]
fn a_loss_without_a_cause_is_seen() {
    let lost = |before: Option<What>| {
        let whats = before.into_iter().chain(grant(1, 10));
        rules(&history(whats.chain([looked(1, false)])))
    };
    assert_eq!(lost(None), ["no loss without a cause"]);
    assert_eq!(lost(Some(CUT())), [""; 0]);
}

#[test]
fn a_guard_that_outlives_its_release_or_its_max_hold_is_seen() {
    let whats = grant(1, 10).into_iter();
    let whats = whats.chain([What::GaveUp { hold: 1 }, looked(1, true)]);
    assert_eq!(rules(&history(whats)), ["what is released is not held"]);
    let mut events = history([minted(10, 10, 0), held(1, 10), looked(1, true)]);
    let What::Held { max_hold, .. } = &mut events[1].what else {
        panic!("the second one is the hold");
    };
    *max_hold = Some(ms(1000));
    events[2].at = ms(1500);
    assert_eq!(rules(&events), ["max_hold ends a hold"]);
}

#[test]
fn a_call_that_never_ends_or_ends_late_is_seen() {
    assert_eq!(rules(&history([called(1, ms(100))])), ["every call ends"]);
    let mut late = history([called(1, ms(100)), ended(1, How::Busy)]);
    late[1].at = ms(200);
    assert_eq!(rules(&late), ["every call ends in time"]);
    late[1].at = ms(104);
    assert_eq!(rules(&late), [""; 0]);
}

#[test]
fn time_in_which_a_node_stood_still_does_not_count_and_a_dead_one_owes_nothing() {
    let pause = [
        What::Fault(Fault::Paused(1)),
        What::Fault(Fault::Resumed(1)),
    ];
    let whats = [called(1, ms(100))].into_iter().chain(pause);
    let mut paused = history(whats.chain([ended(1, How::Busy)]));
    (paused[2].at, paused[3].at) = (ms(5000), ms(5050));
    assert_eq!(rules(&paused), [""; 0]);
    paused[3].at = ms(5200);
    assert_eq!(rules(&paused), ["every call ends in time"]);
    let killed = [called(1, ms(100)), What::Fault(Fault::Killed(1))];
    assert_eq!(rules(&history(killed)), [""; 0]);
}

#[test]
fn a_waiter_that_is_not_served_is_seen() {
    let mut events = history([called(1, ms(100)), ended(1, How::Busy)]);
    let What::Called { must, .. } = &mut events[0].what else {
        panic!("the first one is the call");
    };
    *must = true;
    assert_eq!(rules(&events), ["every waiter is served"]);
}

#[test]
fn a_release_that_tells_the_wrong_story_is_seen() {
    let released = |before: What, said, how| {
        let whats = [before].into_iter().chain(grant(1, 10));
        let whats = whats.chain([looked(1, said), What::GaveUp { hold: 1 }]);
        rules(&history(whats.chain([release(1, 1), ended(1, how)])))
    };
    let wrong = ["a release tells whether it was held"];
    assert_eq!(released(CUT(), false, How::Done), wrong);
    assert_eq!(released(CUT(), true, How::Lost), wrong);
    assert_eq!(released(CUT(), true, How::Unavailable), [""; 0]);
    assert_eq!(released(LOST_DATA, true, How::Lost), [""; 0]);
}

#[test]
fn an_end_that_nobody_can_have_meant_is_seen() {
    for how in [How::Unexpected("what?".into()), How::ShutDown] {
        let whats = [called(1, ms(100)), ended(1, how)];
        assert_eq!(rules(&history(whats)), ["calls end as they may"]);
    }
}

#[test]
fn a_late_holders_write_is_seen() {
    let wrote = |fence| What::Wrote {
        register: "r".into(),
        fence,
    };
    assert_eq!(rules(&history([wrote(10), wrote(10), wrote(11)])), [""; 0]);
    assert_eq!(
        rules(&history([wrote(11), wrote(10)])),
        ["a late holder cannot write"]
    );
    assert_eq!(rules(&history([wrote(11), LOST_DATA, wrote(10)])), [""; 0]);
}

#[test]
fn what_is_left_behind_and_what_the_store_broke_is_told() {
    let left = What::Left { what: "m/1".into() };
    assert_eq!(rules(&history([left])), ["nothing is left behind"]);
    let (rule, text) = ("a rule", String::new());
    assert_eq!(rules(&history([What::Broke { rule, text }])), ["a rule"]);
}
