//! What users test their jobs with: virtual days in milliseconds, on a fleet that meets what fleets meet.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(
    clippy::disallowed_methods,
    reason = "these are users' tests: they sleep and spawn as they please"
)]
#![allow(clippy::unused_async, reason = "a job is async, whatever it does")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_core::testing::in_virtual_time;
use leasehold_scheduler::testing::{TestScheduler, TestSetup, unix};
use leasehold_scheduler::{
    BoxError, Error, Job, JobContext, Jobs, Outcome, Spec, State, TickRecord, Via, jobs,
    singleton_job,
};
use support::{Rows, counting};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Default)]
struct Mailbox(Arc<AtomicU32>);

#[singleton_job("0 2 * * *", name = "nightly", crate = leasehold_scheduler)]
async fn nightly(State(mails): State<Mailbox>) -> Result<(), BoxError> {
    mails.0.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Takes a minute, and fails until the third attempt.
fn reluctant() -> Job {
    let words = [
        ("schedule", "0 2 * * *"),
        ("retries", "3"),
        ("backoff", "1m"),
    ];
    Job::from_macro("reluctant", &[], &words, Vec::new(), |ctx| async move {
        tokio::time::sleep(MINUTE).await;
        if ctx.attempt() < 3 {
            return Err("the mail server is away".into());
        }
        Ok(())
    })
}

fn hourly(rows: &Rows) -> TestSetup {
    TestScheduler::starting_at("2026-03-28T00:00:00Z").jobs([counting("hourly", "0 * * * *", rows)])
}

fn ticks(records: &[TickRecord]) -> Vec<i64> {
    records.iter().map(|record| record.end).collect()
}

#[tokio::test(start_paused = true)]
async fn days_pass_with_all_that_is_due_in_them_from_the_instant_the_test_says() {
    let mails = Mailbox::default();
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00+01:00");
    let setup = setup.state(mails.clone()).jobs(jobs![nightly]);
    let test = setup.jobs([reluctant()]).start().await.unwrap();
    assert_eq!(test.now(), unix("2026-03-27T23:00:00Z"));
    assert_eq!(
        test.next_ticks("nightly", 2),
        [unix("2026-03-28T02:00:00Z"), unix("2026-03-29T02:00:00Z")]
    );
    test.advance(DAY * 2).await;
    assert_eq!(test.now(), unix("2026-03-29T23:00:00Z"));
    let ran = test.ran("nightly");
    assert_eq!(
        ticks(&ran),
        [unix("2026-03-28T02:00:00Z"), unix("2026-03-29T02:00:00Z")]
    );
    assert_eq!(mails.0.load(Ordering::Relaxed), 2);
    // Two failures before each success, a minute and two minutes apart.
    let outcomes: Vec<_> = test
        .history("reluctant")
        .iter()
        .map(|r| (r.attempt, r.outcome, r.retry))
        .collect();
    let tick = [
        (1, Outcome::Failed, true),
        (2, Outcome::Failed, true),
        (3, Outcome::Ran, false),
    ];
    assert_eq!(outcomes, [tick, tick].concat());
    assert_eq!(test.ran("reluctant")[0].took_ms, Some(60_000));
    assert!(
        test.ran("reluctant")[0]
            .delay_ms
            .unwrap()
            .abs_diff(5 * 60_000)
            < 5_000,
        "{:?}",
        test.ran("reluctant")[0]
    );
}

#[tokio::test(start_paused = true)]
async fn instants_are_text_or_ticks_or_times_of_the_system() {
    let rows = Rows::default();
    let start = UNIX_EPOCH + DAY * 20_000;
    let test = TestScheduler::starting_at(start).jobs([counting("hourly", "0 * * * *", &rows)]);
    let test = test.start().await.unwrap();
    assert_eq!(test.now(), 20_000 * 86_400);
    test.advance_to(20_000 * 86_400 + 1800).await;
    test.advance_to(start + HOUR).await;
    test.settle().await;
    assert_eq!(ticks(&test.ran("hourly")), [20_000 * 86_400 + 3600]);
}

#[tokio::test(start_paused = true)]
async fn a_next_tick_and_a_trigger_answer_what_became_of_them() {
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z").nodes(3);
    let test = setup.jobs([reluctant()]).start().await.unwrap();
    let triggered = test.trigger("reluctant").await.unwrap();
    assert_eq!(
        (triggered.via, triggered.outcome, triggered.attempt),
        (Via::Trigger, Outcome::Ran, 3)
    );
    assert!(test.now() < unix("2026-03-28T00:10:00Z"));
    let next = test.next_tick("reluctant").await;
    assert_eq!(
        (next.via, next.outcome, next.end),
        (Via::Schedule, Outcome::Ran, unix("2026-03-28T02:00:00Z"))
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_that_no_node_is_there_for_meet_the_misfire_policy() {
    let rows = Rows::default();
    let setup = hourly(&rows).jobs([Job::from_macro(
        "caught_up",
        &[],
        &[("schedule", "30 * * * *"), ("misfire", "run_all(3h)")],
        Vec::new(),
        |_| async { Ok::<(), BoxError>(()) },
    )]);
    let mut test = setup.nodes(2).start().await.unwrap();
    test.advance(HOUR + MINUTE).await;
    test.lose_node(0);
    test.stop_node(1).await.unwrap();
    test.advance(HOUR * 10).await;
    assert_eq!(test.ran("hourly").len(), 1);
    test.add_node().await.unwrap();
    test.advance(HOUR).await;
    let history = test.history("hourly");
    let outcomes: Vec<_> = history.iter().map(|record| record.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Ran, Outcome::Missed, Outcome::Ran],
        "{history:?}"
    );
    assert_eq!((history[1].end - history[1].start) / 3600, 9);
    // Of those at half past, each of the last three hours.
    let caught_up: Vec<_> = ticks(&test.ran("caught_up"))
        .iter()
        .map(|tick| (tick - unix("2026-03-28T00:30:00Z")) / 3600)
        .collect();
    assert_eq!(caught_up, [0, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_nodes_run_is_tried_again_on_another() {
    let rows = Rows::default();
    let words = [
        ("schedule", "0 * * * *"),
        ("on_crash", "retry"),
        ("backoff", "0s"),
    ];
    let seen = rows.clone();
    let job = Job::from_macro("slow", &[], &words, Vec::new(), move |ctx| {
        seen.add(&ctx);
        async {
            tokio::time::sleep(MINUTE * 5).await;
            Ok::<(), BoxError>(())
        }
    });
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z").jobs([job]);
    let mut test = setup.nodes(2).start().await.unwrap();
    test.advance(HOUR + MINUTE).await;
    let first = rows.take().pop().unwrap().node;
    let lost = (0..2)
        .find(|node| test.node(*node).node() == first)
        .unwrap();
    test.lose_node(lost);
    test.advance(HOUR / 2).await;
    let second = rows.take().pop().unwrap().node;
    assert_eq!(second, test.node(1 - lost).node());
    let outcomes: Vec<_> = test
        .history("slow")
        .iter()
        .map(|r| (r.attempt, r.outcome))
        .collect();
    assert_eq!(outcomes, [(1, Outcome::LostLease), (2, Outcome::Ran)]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_followed_and_nodes_that_are_cut_off_do_nothing() {
    let rows = Rows::default();
    let mut test = hourly(&rows).nodes(3).start().await.unwrap();
    let leader = test.leader().await.unwrap().unwrap();
    test.lose_node(leader);
    test.advance(MINUTE).await;
    let next = test.leader().await.unwrap().unwrap();
    assert_ne!(next, leader);
    let rest = 3 - leader - next;
    test.fleet().partition(&[next]);
    test.advance(HOUR * 4).await;
    let ran = rows.take();
    assert_eq!(ran.len(), 4);
    assert!(
        ran.iter().all(|row| row.node == test.node(rest).node()),
        "{ran:?}"
    );
    test.fleet().heal();
    test.advance(HOUR * 10).await;
    assert!(
        rows.take()
            .iter()
            .any(|row| row.node == test.node(next).node())
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_starts_nothing_until_it_is_believed() {
    let rows = Rows::default();
    let test = hourly(&rows).nodes(2).start().await.unwrap();
    test.advance(MINUTE).await;
    test.step_clock(3600);
    test.advance(SECOND * 20).await;
    assert_eq!(test.ran("hourly").len(), 0);
    test.advance(MINUTE).await;
    // Believed; what was due in the hour that never was is over for good.
    assert_eq!(test.now(), unix("2026-03-28T01:02:20Z"));
    assert_eq!(test.history("hourly")[0].outcome, Outcome::Missed);
    test.advance(HOUR).await;
    assert_eq!(ticks(&test.ran("hourly")), [unix("2026-03-28T02:00:00Z")]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_schedule_takes_over_in_a_deploy() {
    let rows = Rows::default();
    let mut test = hourly(&rows).start().await.unwrap();
    test.advance(HOUR * 2 + MINUTE).await;
    let new = counting("hourly", "30 * * * *", &rows);
    test.add_node_with(|builder| builder.jobs([new]))
        .await
        .unwrap();
    test.advance(HOUR * 2).await;
    assert_eq!(test.ran("hourly").len(), 4);
    test.stop_node(0).await.unwrap();
    test.advance(HOUR * 2).await;
    let late = ticks(&test.ran("hourly")).split_off(4);
    assert_eq!(
        late,
        [unix("2026-03-28T04:30:00Z"), unix("2026-03-28T05:30:00Z")]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    let play = async |seed| {
        let rows = Rows::default();
        let mut test = hourly(&rows).nodes(3).seed(seed).start().await.unwrap();
        test.advance(HOUR * 6).await;
        test.lose_node(0);
        test.advance(HOUR * 6).await;
        let nodes: Vec<_> = (0..3).map(|node| test.node(node).node()).collect();
        let ran = rows.take();
        let order: Vec<_> = ran
            .iter()
            .map(|row| nodes.iter().position(|node| *node == row.node))
            .collect();
        (order, test.history("hourly"))
    };
    assert_eq!(play(7).await, play(7).await);
    assert_ne!(play(7).await.0, play(8).await.0);
}

/// What is leapt over is not to be noticed.
#[tokio::test(start_paused = true)]
async fn leaps_change_nothing_of_what_becomes_of_the_ticks() {
    let play = async |setup: TestSetup| {
        let mut test = setup.nodes(2).start().await.unwrap();
        test.advance(HOUR * 5 + SECOND).await;
        test.stop_node(0).await.unwrap();
        test.advance(HOUR * 5).await;
        test.fleet().stop_store();
        assert!(!test.fleet().leap(HOUR).await);
        test.advance(HOUR).await;
        test.fleet().start_store();
        test.advance(MINUTE * 30).await;
        test.lose_node(1);
        test.advance(HOUR * 2).await;
        test.add_node().await.unwrap();
        test.advance(HOUR * 6).await;
        let about = |record: &TickRecord| (record.start, record.end, record.outcome);
        test.history("hourly").iter().map(about).collect::<Vec<_>>()
    };
    let rows = Rows::default();
    let leapt = play(hourly(&rows)).await;
    let ran = rows.take().len();
    assert_eq!(leapt, play(hourly(&rows).without_leaps()).await);
    assert_eq!(rows.take().len(), ran);
    assert!(ran > 14, "{leapt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_yearly_job_is_not_forgotten_and_years_take_no_time() {
    let rows = Rows::default();
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z");
    let test = setup
        .jobs([counting("yearly", "@yearly", &rows)])
        .start()
        .await
        .unwrap();
    test.advance(DAY * 365 * 3).await;
    let history = test.history("yearly");
    assert!(
        history.iter().all(|record| record.outcome == Outcome::Ran),
        "{history:?}"
    );
    assert_eq!(history.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn days_of_jobs_that_are_defined_in_the_store_are_leapt_over_too() {
    let rows = Rows::default();
    let setup = TestScheduler::starting_at("2026-03-01T00:00:00Z").nodes(2);
    let setup = setup.kinds([counting("report", "-", &rows)]);
    let test = setup.start().await.unwrap();
    let jobs = Jobs::new(test.node(0));
    let daily = Spec::from_words([("schedule", "0 7 * * *")]).unwrap();
    jobs.define("acme", "report", &daily, ()).await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..60 {
        test.advance(Duration::from_secs(86_400)).await;
        // Played second by second, one of them takes as long.
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(test.ran("acme").len(), 60);
    assert_eq!(test.next_ticks("acme", 1), [unix("2026-04-30T07:00:00Z")]);
    // And a definition that changes counts from then on.
    let hourly = Spec::from_words([("schedule", "0 * * * *")]).unwrap();
    jobs.define("acme", "report", &hourly, ()).await.unwrap();
    test.advance(Duration::from_secs(86_400)).await;
    assert_eq!(test.ran("acme").len(), 84);
}

#[tokio::test(start_paused = true)]
async fn all_records_are_there_also_those_that_history_keeps_no_more() {
    let rows = Rows::default();
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z");
    let test = setup
        .jobs([counting("often", "*/10 * * * * *", &rows)])
        .start()
        .await
        .unwrap();
    test.advance(HOUR * 2).await;
    test.settle().await;
    let history = test.history("often");
    assert_eq!(history.len(), 720);
    assert!(
        history
            .windows(2)
            .all(|pair| pair[0].end + 10 == pair[1].end)
    );
    assert_eq!(rows.take().len(), 720);
}

#[tokio::test(start_paused = true)]
async fn what_the_test_itself_sleeps_passes_too() {
    let rows = Rows::default();
    let test = hourly(&rows).start().await.unwrap();
    let nap = tokio::spawn(tokio::time::sleep(HOUR * 23));
    test.advance(DAY).await;
    assert!(nap.is_finished());
}

/// Real work takes no virtual time: the clock would fly by while it waits for another thread.
#[tokio::test(start_paused = true)]
async fn handlers_may_do_real_work() {
    let worker = |_ctx: JobContext| async {
        let (done, is_done) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            done.send(()).unwrap();
        });
        is_done.await.map_err(BoxError::from)
    };
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z").real_io();
    let setup = setup.jobs([Job::new("hourly", "0 * * * *", worker)]);
    let test = setup.nodes(2).start().await.unwrap();
    test.advance(HOUR * 3 + SECOND).await;
    let took: Vec<_> = test
        .ran("hourly")
        .iter()
        .map(|record| record.took_ms)
        .collect();
    assert_eq!(took, [Some(0); 3]);
}

#[tokio::test(start_paused = true)]
async fn what_build_refuses_is_an_error() {
    let setup = TestScheduler::starting_at("2026-03-28T00:00:00Z").jobs(jobs![nightly]);
    let error = setup.start().await.unwrap_err();
    assert!(matches!(error, Error::MissingState { .. }), "{error}");
}

#[test]
fn a_test_without_a_runtime_gets_one() {
    let rows = Rows::default();
    in_virtual_time(async {
        let test = hourly(&rows).start().await.unwrap();
        test.advance(DAY).await;
    });
    assert_eq!(rows.take().len(), 24);
}

#[tokio::test]
#[should_panic(expected = "start_paused = true")]
async fn a_test_without_paused_time_is_told() {
    let _test = hourly(&Rows::default()).start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no job is named `daily`; there are `hourly`")]
async fn a_job_that_does_not_exist_is_told() {
    let test = hourly(&Rows::default()).start().await.unwrap();
    test.ran("daily");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node 0 of 1 is not running")]
async fn a_node_that_is_gone_is_told() {
    let mut test = hourly(&Rows::default()).start().await.unwrap();
    test.lose_node(0);
    test.lose_node(0);
}

#[test]
#[should_panic(expected = "write it like `2026-03-28T00:00:00+01:00`")]
fn an_instant_that_is_none_is_told() {
    let _setup = TestScheduler::starting_at("28 March");
}

#[test]
fn a_systems_time_before_1970_is_told() {
    let before = std::panic::catch_unwind(|| unix(UNIX_EPOCH - SECOND));
    assert!(before.is_err());
    assert!(unix(SystemTime::UNIX_EPOCH) == 0);
}
