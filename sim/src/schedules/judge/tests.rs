//! Histories made by hand, each of which breaks one promise; and some that break none.

use std::time::Duration;

use leasehold_scheduler::{Outcome, Via};

use super::judge;
use crate::schedules::history::{
    Entry, Event, Fault, History, How, Id, JobPlan, Record, Seen, Setting, What, Words,
};

/// The store's wall time at the start, in seconds.
const START: i64 = 1_000_000_000;

fn words() -> Words {
    Words::from([("schedule".into(), "*/10 * * * * *".into())])
}

/// A history, told second by second; ticks are counted from its start.
struct Story {
    history: History,
    now: Duration,
    seen: Seen,
    records: Vec<Record>,
}

impl Story {
    /// Two nodes, and one job that is due each ten seconds.
    fn new() -> Self {
        let job = JobPlan {
            name: "job".into(),
            releases: vec![Some(words())],
            takes: vec![Duration::ZERO],
            fails: 0,
            panics: 0,
        };
        let setting = Setting {
            wall_us: START.unsigned_abs() * 1_000_000,
            grace: Duration::from_secs(5),
            run_ttl: Duration::from_secs(6),
            drift_ppm: 0,
            jobs: vec![job],
        };
        let mut story = Self {
            history: History {
                setting,
                events: Vec::new(),
            },
            now: Duration::ZERO,
            seen: Seen {
                spec: words(),
                order: 1,
                known: vec![(1, words())],
                cursor: START,
                running: Vec::new(),
                pending: Vec::new(),
                paused: false,
            },
            records: Vec::new(),
        };
        story = story.joined(1).joined(2);
        story.write();
        story
    }

    fn at(mut self, seconds: u64) -> Self {
        self.now = Duration::from_secs(seconds);
        self
    }

    fn tell(mut self, what: What) -> Self {
        let at = self.now;
        self.history.events.push(Event { at, what });
        self
    }

    fn write(&mut self) {
        let (at, ledger) = (self.now, self.seen.clone());
        let what = What::Wrote { job: 0, ledger };
        self.history.events.push(Event { at, what });
    }

    fn joined(self, node: Id) -> Self {
        let release = 0;
        self.tell(What::Joined { node, release })
    }

    fn fault(self, fault: Fault) -> Self {
        self.tell(What::Fault(fault))
    }

    /// A tick is claimed.
    fn claims(self, tick: i64, fence: u64) -> Self {
        self.claims_on(None, tick, fence)
    }

    fn claims_on(mut self, node: Option<Id>, tick: i64, fence: u64) -> Self {
        self.seen.cursor = START + tick;
        let (tick, attempt) = (START + tick, 1);
        self.seen.running.push(Entry {
            tick,
            attempt,
            fence,
            node,
            lease: format!("lease {fence}"),
            asked: false,
        });
        self.write();
        self
    }

    fn starts(self, node: Id, tick: i64, fence: u64) -> Self {
        self.starts_with(node, tick, fence, true)
    }

    fn starts_with(self, node: Id, tick: i64, fence: u64, held: bool) -> Self {
        let body = Id::try_from(fence).unwrap_or(0);
        self.tell(What::Started {
            body,
            node,
            job: 0,
            tick: START + tick,
            attempt: 1,
            via: Via::Schedule,
            run: format!("job@{tick}"),
            fence,
            held,
        })
    }

    fn ends(self, fence: u64, how: How) -> Self {
        let body = Id::try_from(fence).unwrap_or(0);
        self.tell(What::Ended { body, how })
    }

    /// The end of a run is in the ledger.
    fn records(mut self, tick: i64, fence: u64, outcome: Outcome) -> Self {
        self.seen.running.retain(|run| run.fence != fence);
        self.write();
        self.record(tick, tick, Some(fence), outcome)
    }

    fn record(mut self, start: i64, end: i64, fence: Option<u64>, outcome: Outcome) -> Self {
        self.records.push(Record {
            start: START + start,
            end: START + end,
            attempt: u32::from(fence.is_some()),
            outcome,
            retry: false,
            via: Via::Schedule,
            asked: None,
            fence,
            late: false,
            error: None,
        });
        self
    }

    /// A tick's whole life.
    fn runs(self, node: Id, tick: i64, fence: u64) -> Self {
        let at = tick.unsigned_abs();
        let story = self.at(at).claims(tick, fence).starts(node, tick, fence);
        let story = story.ends(fence, How::Well);
        story.records(tick, fence, Outcome::Ran)
    }

    fn broken(self) -> Vec<&'static str> {
        let records = self.records.clone();
        let story = self.tell(What::Recorded { job: 0, records });
        let mut rules: Vec<_> = judge(&story.history).into_iter().map(|v| v.rule).collect();
        rules.dedup();
        rules
    }
}

#[test]
fn a_job_that_runs_each_tick_breaks_nothing() {
    let story = Story::new().runs(1, 10, 100).runs(2, 20, 200);
    assert_eq!(story.broken(), [""; 0]);
}

#[test]
fn a_tick_starts_once() {
    let story = Story::new().runs(1, 10, 100);
    let twice = story.starts(2, 10, 101).ends(101, How::Well);
    let rules = twice.broken();
    assert!(rules.contains(&"an attempt starts once"), "{rules:?}");
}

#[test]
fn a_store_that_forgot_may_have_it_start_again_on_a_node_that_did_not_know() {
    let story = || Story::new().runs(1, 10, 100).fault(Fault::DataLost);
    let mut elsewhere = story();
    elsewhere.write();
    let elsewhere = elsewhere.starts(2, 10, 101).ends(101, How::Dropped);
    let once = "an attempt starts once";
    assert!(
        !elsewhere
            .record(10, 10, Some(101), Outcome::LostLease)
            .broken()
            .contains(&once)
    );
    let same = story().starts(1, 10, 101).ends(101, How::Dropped);
    assert!(same.broken().contains(&once));
}

#[test]
fn fences_rise() {
    let story = Story::new().runs(1, 10, 200).runs(2, 20, 100);
    assert_eq!(story.broken(), ["fences rise from run to run"]);
    let forgotten = |fault: Fault| {
        let mut story = Story::new()
            .at(10)
            .claims(10, 200)
            .at(11)
            .fault(fault)
            .at(12);
        story.seen.running.clear();
        let story = story.claims(10, 100);
        story
            .starts_with(1, 10, 200, false)
            .starts_with(2, 10, 100, false)
    };
    let rule = "fences rise from run to run";
    assert!(!forgotten(Fault::DataLost).broken().contains(&rule));
    assert!(forgotten(Fault::Calm).broken().contains(&rule));
}

#[test]
fn nothing_starts_early_also_by_a_clock_that_is_long_right_again() {
    let early = Story::new().at(9).claims(10, 100).starts(1, 10, 100);
    let early = early.ends(100, How::Well).records(10, 100, Outcome::Ran);
    assert_eq!(early.broken(), ["no body starts before its time"]);
    let behind = |after: u64| {
        let story = Story::new().at(10).claims(10, 100);
        let story = story.fault(Fault::WallClock(-5_000_000));
        let story = story.at(10 + after).starts(1, 10, 100);
        story.ends(100, How::Well).records(10, 100, Outcome::Ran)
    };
    assert_eq!(behind(1).broken(), [""; 0]);
}

#[test]
fn a_claim_goes_by_the_time_at_which_its_lease_was_asked_for() {
    let story = |stepped: u64, leased: u64| {
        let step = (stepped, What::Fault(Fault::WallClock(-60_000_000)));
        let lease = "lease 100".into();
        let mut events = [step, (leased, What::Leased { lease })];
        events.sort_by_key(|(at, _)| *at);
        let mut story = Story::new();
        for (at, what) in events {
            story = story.at(at).tell(what);
        }
        let story = story.at(18).claims(10, 100).starts(1, 10, 100);
        story.ends(100, How::Well).records(10, 100, Outcome::Ran)
    };
    // The write had to wait.
    assert_eq!(story(11, 10).broken(), [""; 0]);
    // Its node had not heard of the step yet.
    assert_eq!(story(11, 13).broken(), [""; 0]);
    assert_eq!(story(11, 17).broken(), ["no body starts before its time"]);
}

#[test]
fn what_is_queued_by_a_time_that_was_true_once_starts_when_its_time_has_come() {
    let story = |started: u64| {
        let mut story = Story::new().at(10).fault(Fault::WallClock(-10_000_000));
        story = story.at(15);
        story.seen.cursor = START + 10;
        story.seen.pending = vec![START + 10];
        story.write();
        story.seen.pending.clear();
        let story = story.at(started).claims(10, 100).starts(1, 10, 100);
        story.ends(100, How::Well).records(10, 100, Outcome::Ran)
    };
    assert_eq!(story(20).broken(), [""; 0]);
    assert_eq!(story(19).broken(), ["no body starts before its time"]);
}

#[test]
fn nothing_starts_on_a_lost_lease() {
    let story = |fault: Option<Fault>| {
        let mut story = Story::new().at(10).claims(10, 100);
        if let Some(fault) = fault {
            story = story.fault(fault);
        }
        let story = story.starts_with(1, 10, 100, false);
        story
            .ends(100, How::Dropped)
            .records(10, 100, Outcome::LostLease)
    };
    let rule = ["no body starts on a lost lease"];
    assert_eq!(story(None).broken(), rule);
    assert_eq!(story(Some(Fault::LeaseDeleted(99))).broken(), rule);
    assert_eq!(story(Some(Fault::LeaseDeleted(100))).broken(), [""; 0]);
    assert_eq!(story(Some(Fault::Resumed(1))).broken(), rule);
}

#[test]
fn runs_do_not_overlap_unless_a_node_stood_still() {
    let story = |fault: Option<Fault>| {
        let mut story = Story::new()
            .at(10)
            .claims(10, 100)
            .starts(1, 10, 100)
            .at(15);
        if let Some(fault) = fault {
            story = story.fault(fault);
        }
        let story = story.at(20).records(10, 100, Outcome::LostLease);
        let story = story.claims(20, 200).starts(2, 20, 200).at(21);
        let story = story.ends(100, How::Dropped).ends(200, How::Well);
        story.records(20, 200, Outcome::Ran)
    };
    let rule = ["runs of a job do not overlap"];
    assert_eq!(story(None).broken(), rule);
    assert_eq!(story(Some(Fault::Cut(1))).broken(), rule);
    assert_eq!(story(Some(Fault::Paused(1))).broken(), [""; 0]);
    assert_eq!(story(Some(Fault::Killed(1))).broken(), [""; 0]);
}

#[test]
fn as_many_runs_may_overlap_as_when_they_were_claimed() {
    let story = |allowed: bool| {
        let mut story = Story::new();
        if allowed {
            (story.seen.spec).insert("overlap".into(), "allow(2)".into());
        }
        let mut story = story.at(20).claims(10, 100).claims(20, 200);
        story.seen.spec = words();
        story.write();
        story.starts(1, 10, 100).starts(2, 20, 200)
    };
    let rule = "runs of a job do not overlap";
    assert!(!story(true).broken().contains(&rule));
    assert!(story(false).broken().contains(&rule));
}

#[test]
fn a_record_says_what_became_of_its_body() {
    let story = |how: Option<How>, outcome| {
        let mut story = Story::new().at(10).claims(10, 100);
        if let Some(how) = how {
            story = story.starts(1, 10, 100).ends(100, how);
        }
        story.records(10, 100, outcome).broken()
    };
    let wrong = ["records say what happened"];
    assert_eq!(story(Some(How::Failed), Outcome::Ran), wrong);
    assert_eq!(story(Some(How::Dropped), Outcome::Ran), wrong);
    assert_eq!(story(None, Outcome::Ran), wrong);
    assert_eq!(story(None, Outcome::Failed), wrong);
    assert_eq!(story(Some(How::Failed), Outcome::Failed), [""; 0]);
    assert_eq!(story(Some(How::Panicked), Outcome::Failed), [""; 0]);
    assert_eq!(story(Some(How::Well), Outcome::LostLease), [""; 0]);
    assert_eq!(story(None, Outcome::LostLease), [""; 0]);
    let both = ["records say what happened", "every run is recorded"];
    assert_eq!(story(Some(How::Well), Outcome::Failed), both);
    assert_eq!(story(Some(How::Well), Outcome::Missed), both);
}

#[test]
fn a_run_without_a_record_is_noticed_and_so_is_its_tick() {
    let mut story = Story::new().at(10).claims(10, 100).starts(1, 10, 100);
    story = story.ends(100, How::Well);
    story.seen.running.clear();
    story.write();
    let rules = story.broken();
    assert_eq!(
        rules,
        ["every tick has one outcome", "every run is recorded"]
    );
}

#[test]
fn a_tick_has_one_outcome_and_not_two() {
    let story = || Story::new().runs(1, 10, 100).runs(2, 20, 200);
    let one = ["every tick has one outcome"];
    let again = story().record(10, 10, None, Outcome::Missed);
    assert_eq!(again.broken(), one);
    let range = story().record(5, 15, None, Outcome::Unknown);
    assert_eq!(range.broken(), one);
    let beside = story().record(11, 19, None, Outcome::Unknown);
    assert_eq!(beside.broken(), [""; 0]);
    // Ticks above the cursor have none yet.
    assert_eq!(story().at(35).broken(), [""; 0]);
}

#[test]
fn a_run_is_lost_only_for_a_reason() {
    let story = |fault: Option<Fault>| {
        let mut story = Story::new().at(10).claims_on(Some(1), 10, 100);
        story = story.starts(1, 10, 100).at(12);
        if let Some(fault) = fault {
            story = story.fault(fault);
        }
        let story = story.at(18).records(10, 100, Outcome::LostLease);
        story.ends(100, How::Dropped).broken()
    };
    let rule = "no run is lost without a reason";
    assert!(story(None).contains(&rule));
    assert!(story(Some(Fault::LeaseDeleted(99))).contains(&rule));
    for reason in [
        Fault::Cut(1),
        Fault::Killed(1),
        Fault::LeaseDeleted(100),
        Fault::Disturbed("down".into()),
    ] {
        assert!(!story(Some(reason.clone())).contains(&rule), "{reason}");
    }
}

#[test]
fn a_node_tells_what_became_of_its_runs_if_it_lives() {
    let story = |fault: Fault, late: bool| {
        let story = Story::new().at(10).claims_on(Some(1), 10, 100);
        let mut story = story.starts(1, 10, 100).fault(fault).at(18);
        story = story.records(10, 100, Outcome::LostLease);
        if late {
            story = story.record(10, 10, Some(100), Outcome::LostLease);
            story.records[1].late = true;
        }
        story.ends(100, How::Dropped).broken()
    };
    let rule = ["a node tells what became of its runs"];
    assert_eq!(story(Fault::Cut(1), false), rule);
    assert_eq!(story(Fault::Cut(1), true), [""; 0]);
    assert_eq!(story(Fault::Killed(1), false), [""; 0]);
}

#[test]
fn a_claim_keeps_its_lease_until_its_end_is_recorded() {
    let story = |early: bool| {
        let (fence, lease) = (100, || String::from("lease 100"));
        let mut story = Story::new().at(10).claims_on(Some(1), 10, fence);
        story = story.starts(1, 10, fence).ends(fence, How::Well);
        if early {
            story = story.tell(What::Released { lease: lease() });
        }
        story = story.at(11).records(10, fence, Outcome::Ran);
        story.tell(What::Released { lease: lease() }).broken()
    };
    let rule = ["a claim keeps its lease until its end is recorded"];
    assert_eq!(story(true), rule);
    assert_eq!(story(false), [""; 0]);
}

#[test]
fn a_late_end_stands_beside_the_record_that_gave_the_run_up() {
    let story = |given_up: bool| {
        let mut story = Story::new().at(10).claims(10, 100).starts(1, 10, 100);
        story = story.ends(100, How::Dropped);
        story = story.records(10, 100, Outcome::LostLease);
        story.records[0].late = true;
        if given_up {
            story = story.record(10, 10, Some(100), Outcome::LostLease);
        }
        story.broken()
    };
    assert_eq!(story(true), [""; 0]);
    assert_eq!(story(false), ["every tick has one outcome"]);
}

#[test]
fn a_tick_is_not_missed_while_a_node_could_have_run_it() {
    let story = |fault: Option<(u64, Fault)>| {
        let mut story = Story::new();
        if let Some((at, fault)) = fault {
            story = story.at(at).fault(fault);
        }
        let mut story = story.at(16);
        story.seen.cursor = START + 15;
        story.write();
        story.record(10, 15, None, Outcome::Missed).broken()
    };
    let lost = ["no tick is lost"];
    assert_eq!(story(None), lost);
    assert_eq!(story(Some((5, Fault::Cut(1)))), lost);
    assert_eq!(story(Some((2, Fault::WallClock(-1)))), [""; 0]);
    let down = Fault::Disturbed("down".into());
    assert_eq!(story(Some((12, down))), [""; 0]);
}

#[test]
fn a_healed_fleet_runs_every_tick_at_once() {
    let story = |second: Option<u64>| {
        let story = Story::new().tell(What::Settled).runs(1, 10, 100);
        let story = match second {
            Some(at) => {
                let story = story.at(at).claims(20, 200).starts(2, 20, 200);
                story.ends(200, How::Well).records(20, 200, Outcome::Ran)
            }
            None => story,
        };
        story.at(30).tell(What::Closing).broken()
    };
    assert_eq!(story(Some(20)), [""; 0]);
    assert_eq!(story(Some(24)), ["a healed fleet goes on"]);
    assert_eq!(story(None), ["a healed fleet goes on"]);
}
