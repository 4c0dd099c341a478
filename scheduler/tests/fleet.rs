//! A fleet of schedulers on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Class, Coordinator, Env, Put};
use leasehold_scheduler::{BoxError, Builder, Job, Jobs, Outcome, Scheduler, Spec, history};
use support::{Node, Row, Rows, counting};

fn setup() -> (Env, MemoryStore, Rows) {
    (Env::simulated(1), MemoryStore::new(), Rows::default())
}

fn assert_every_tick_once(rows: &mut [Row]) {
    rows.sort_by_key(|row| row.tick);
    for pair in rows.windows(2) {
        assert_eq!(pair[1].tick, pair[0].tick + 1, "{pair:?}");
        assert!(pair[1].fence > pair[0].fence, "{pair:?}");
        assert!(pair[1].term >= pair[0].term, "{pair:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_tick_runs_once_and_the_work_is_spread() {
    let (env, store, rows) = setup();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(&store, &env, vec![counting("job", "* * * * * *", &rows)]).await);
    }
    env.sleep(Duration::from_secs(600)).await;
    let ids: Vec<_> = nodes.iter().map(|node| node.coord.node()).collect();
    for node in nodes {
        node.drain().await;
    }
    let mut rows = rows.take();
    assert!(rows.len() >= 598, "{}", rows.len());
    assert_every_tick_once(&mut rows);
    assert!(rows[0].term > 0);
    for id in ids {
        let share = rows.iter().filter(|row| row.node == id).count();
        assert!((150..250).contains(&share), "{share} of {}", rows.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_drains_hands_over_without_a_missed_tick() {
    let (env, store, rows) = setup();
    let job = || vec![counting("job", "* * * * * *", &rows)];
    let first = Node::start(&store, &env, job()).await;
    let second = Node::start(&store, &env, job()).await;
    env.sleep(Duration::from_secs(10)).await;
    let leader = Scheduler::leader(&second.coord).await.unwrap().unwrap();
    first.drain().await;
    env.sleep(Duration::from_secs(10)).await;
    let next = Scheduler::leader(&second.coord).await.unwrap().unwrap();
    assert!(next.term > leader.term);
    env.sleep(Duration::from_secs(10)).await;
    second.drain().await;
    let mut rows = rows.take();
    assert!(rows.len() >= 28, "{}", rows.len());
    assert_every_tick_once(&mut rows);
    assert_eq!(rows.first().unwrap().term, leader.term.get());
    assert_eq!(rows.last().unwrap().term, next.term.get());
}

#[tokio::test(start_paused = true)]
async fn what_became_of_each_tick_is_recorded() {
    let (env, store, rows) = setup();
    let failing = Job::new("failing", "* * * * * *", |ctx| async move {
        if ctx.tick_unix_s() % 2 == 0 {
            return Err("out of paper".into());
        }
        panic!("on fire");
    });
    let slow_env = env.clone();
    let slow = Job::new("slow", "* * * * * *", move |_| {
        let env = slow_env.clone();
        async move {
            env.sleep(Duration::from_millis(2500)).await;
            Ok::<(), BoxError>(())
        }
    });
    let jobs = vec![failing, slow, counting("good", "*/2 * * * * *", &rows)];
    let node = Node::start(&store, &env, jobs).await;
    env.sleep(Duration::from_secs(60)).await;
    let coord = node.coord.clone();
    let failing = history(&coord, "failing").await.unwrap();
    assert!(failing.len() >= 58, "{}", failing.len());
    for record in &failing {
        assert_eq!(record.outcome, Outcome::Failed);
        let even = record.end % 2 == 0;
        let text = if even {
            "out of paper"
        } else {
            "panicked: on fire"
        };
        assert_eq!(record.error.as_deref(), Some(text));
    }
    let good = history(&coord, "good").await.unwrap();
    assert!(
        good.iter()
            .all(|r| r.outcome == Outcome::Ran && r.node == Some(coord.node()))
    );
    let ticks: Vec<_> = good.iter().map(|record| record.end).collect();
    assert!(
        ticks.windows(2).all(|pair| pair[1] == pair[0] + 2),
        "{ticks:?}"
    );
    // Every tick of the slow job ended in exactly one record: one run, then two skipped.
    let slow = history(&coord, "slow").await.unwrap();
    let mut ticks: Vec<_> = slow
        .iter()
        .flat_map(|record| record.start..=record.end)
        .collect();
    ticks.sort_unstable();
    // The run under way has no record yet, the ticks it made skip do.
    ticks.truncate(ticks.len() - 3);
    assert!(
        ticks.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{ticks:?}"
    );
    let of = |outcome| {
        let records = slow.iter().filter(move |record| record.outcome == outcome);
        records
            .map(|record| record.end - record.start + 1)
            .sum::<i64>()
    };
    let (ran, skipped) = (of(Outcome::Ran), of(Outcome::SkippedOverlap));
    assert!(
        ran >= 18 && skipped.abs_diff(2 * ran) <= 2,
        "{ran} ran, {skipped} skipped"
    );
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn ticks_that_no_node_was_there_for_are_missed_and_never_run_late() {
    let (env, store, rows) = setup();
    let job = || vec![counting("job", "* * * * * *", &rows)];
    let node = Node::start(&store, &env, job()).await;
    env.sleep(Duration::from_secs(3)).await;
    node.drain().await;
    rows.take();
    env.sleep(Duration::from_secs(100)).await;
    let node = Node::start(&store, &env, job()).await;
    env.sleep(Duration::from_secs(10)).await;
    let records = history(&node.coord, "job").await.unwrap();
    let missed: Vec<_> = records
        .iter()
        .filter(|r| r.outcome == Outcome::Missed)
        .collect();
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert!(
        (90..=100).contains(&(missed[0].end - missed[0].start)),
        "{missed:?}"
    );
    let first = rows.take()[0].tick;
    assert_eq!(first, missed[0].end + 1);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_runs_end_and_cancels_those_that_do_not() {
    let (env, store, rows) = setup();
    let (inner_env, ended) = (env.clone(), rows.clone());
    let slow = Job::new("slow", "0 * * * * *", move |ctx| {
        let (env, rows) = (inner_env.clone(), ended.clone());
        async move {
            env.sleep(Duration::from_secs(15)).await;
            rows.add(&ctx);
            Ok::<(), BoxError>(())
        }
    });
    let cancelled = Rows::default();
    let seen = cancelled.clone();
    let endless = Job::new("endless", "0 * * * * *", move |ctx| {
        let rows = seen.clone();
        async move {
            ctx.cancelled().cancelled().await;
            rows.add(&ctx);
            std::future::pending().await
        }
    });
    let node = Node::start(&store, &env, vec![slow, endless]).await;
    let coord = node.coord.clone();
    let second = coord.store_now().wall_us / 1_000_000 % 60;
    env.sleep(Duration::from_secs(61 - second)).await;
    let start = env.now();
    node.stop.send(true).unwrap();
    node.task.await.unwrap();
    // The default drain time is 20 s, and the endless one has one more to heed its cancellation.
    assert_eq!(env.now().since(start).as_secs(), 21);
    assert_eq!(rows.take().len(), 1);
    assert_eq!(cancelled.take().len(), 1);
    let endless = history(&coord, "endless").await.unwrap();
    assert_eq!(endless[0].outcome, Outcome::Failed);
    assert_eq!(
        history(&coord, "slow").await.unwrap()[0].outcome,
        Outcome::Ran
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_schedule_waits_until_no_live_node_has_the_old_one() {
    let (env, store, rows) = setup();
    let old = Node::start(&store, &env, vec![counting("job", "* * * * * *", &rows)]).await;
    env.sleep(Duration::from_secs(10)).await;
    let new = Node::start(&store, &env, vec![counting("job", "*/10 * * * * *", &rows)]).await;
    env.sleep(Duration::from_secs(20)).await;
    assert_every_tick_once(&mut rows.take());
    old.drain().await;
    env.sleep(Duration::from_secs(20)).await;
    rows.take();
    env.sleep(Duration::from_secs(60)).await;
    let rows = rows.take();
    assert!((5..=7).contains(&rows.len()), "{rows:?}");
    assert!(rows.iter().all(|row| row.tick % 10 == 0), "{rows:?}");
    new.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_rare_jobs_new_schedule_does_not_wait_for_a_tick_of_the_old_one() {
    let (env, store, rows) = setup();
    let old = Node::start(&store, &env, vec![counting("job", "0 0 1 7 *", &rows)]).await;
    env.sleep(Duration::from_secs(20)).await;
    // Beside the old one it has to live for 30 s.
    let new = Node::start(&store, &env, vec![counting("job", "* * * * * *", &rows)]).await;
    env.sleep(Duration::from_secs(25)).await;
    assert_eq!(rows.take(), []);
    env.sleep(Duration::from_secs(25)).await;
    assert!(rows.take().len() > 5);
    // Rolled back: two TTLs after the last new one, and the old one's ticks are a year away.
    new.drain().await;
    env.sleep(Duration::from_secs(40)).await;
    rows.take();
    env.sleep(Duration::from_secs(60)).await;
    assert_eq!(rows.take(), []);
    old.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_rare_jobs_ledger_is_touched_every_day_and_so_never_expires() {
    let (env, store, rows) = setup();
    let node = Node::start(&store, &env, vec![counting("yearly", "0 0 1 7 *", &rows)]).await;
    let ledger = Class::internal("~ledger").resource("yearly").unwrap();
    let ledger = node.coord.register_of(ledger);
    let mut last = 0;
    for _ in 0..3 {
        env.sleep(Duration::from_secs(26 * 3600)).await;
        let register = ledger.get().await.unwrap().unwrap();
        assert!(register.version > last);
        let left = register.expires_us - node.coord.store_now().wall_us;
        assert!(left > 28 * 24 * 3600 * 1_000_000, "{left}");
        last = register.version;
    }
    node.drain().await;
}

/// Nobody writes it meanwhile: a pause, or what a job of the store is, is not forgotten after a month.
#[tokio::test(start_paused = true)]
async fn what_a_job_was_told_outlasts_a_fleet_that_is_away_for_months() {
    let (env, store, rows) = setup();
    let node = Node::start(&store, &env, vec![counting("job", "0 0 1 7 *", &rows)]).await;
    env.sleep(Duration::from_secs(5)).await;
    let coord = Coordinator::builder(store.clone(), "test").env(env.clone());
    let coord = coord.connect().await.unwrap();
    let jobs = Jobs::new(&coord);
    jobs.pause("job", "for a while").await.unwrap();
    let spec = Spec::from_words([("schedule", "0 7 * * *")]).unwrap();
    jobs.define("report", "report", &spec, ()).await.unwrap();
    node.drain().await;
    for job in ["job", "report"] {
        let ledger = Class::internal("~ledger").resource(job).unwrap();
        let register = coord.register_of(ledger).get().await.unwrap().unwrap();
        let left = register.expires_us - coord.store_now().wall_us;
        assert!(left > 366 * 24 * 3600 * 1_000_000, "{job}: {left}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_is_a_failure_with_its_text() {
    let (env, store, _rows) = setup();
    let job = Job::new("job", "* * * * * *", |ctx| {
        assert!(ctx.tick_unix_s() == 0, "no paper");
        async { Ok::<(), BoxError>(()) }
    });
    let node = Node::start(&store, &env, vec![job]).await;
    env.sleep(Duration::from_secs(10)).await;
    let records = history(&node.coord, "job").await.unwrap();
    assert!(records.len() >= 8);
    for record in records {
        assert_eq!(record.outcome, Outcome::Failed);
        assert_eq!(record.error.as_deref(), Some("panicked: no paper"));
    }
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_ledger_does_not_keep_the_leader_from_the_others() {
    let (env, store, rows) = setup();
    let coord = Coordinator::builder(store.clone(), "test").env(env.clone());
    let coord = coord.connect().await.unwrap();
    let name = Class::internal("~ledger").resource("a").unwrap();
    let newer = Put::new(r#"{"format":99}"#);
    coord.register_of(name.clone()).put(&newer).await.unwrap();
    let jobs = vec![
        counting("a", "* * * * * *", &rows),
        counting("b", "*/2 * * * *", &rows),
    ];
    let node = Node::start(&store, &env, jobs).await;
    // The leader moves to history what is in a ledger that is quiet.
    env.sleep(Duration::from_secs(330)).await;
    let ledger = coord.register_of(Class::internal("~ledger").resource("b").unwrap());
    let ledger = ledger.get().await.unwrap().unwrap();
    let ledger: serde_json::Value = serde_json::from_slice(&ledger.value).unwrap();
    assert!(ledger["out"].as_array().unwrap().is_empty(), "{ledger}");
    assert_eq!(rows.take().len(), 2);
    assert_eq!(history(&coord, "b").await.unwrap().len(), 2);
    let kept = coord.register_of(name).get().await.unwrap().unwrap();
    assert_eq!(kept.value, br#"{"format":99}"#);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_word_to_the_fleet_that_is_not_known_here_does_not_keep_the_leader_from_its_chores() {
    let (env, store, rows) = setup();
    let node = Node::start(&store, &env, vec![counting("job", "* * * * *", &rows)]).await;
    env.sleep(Duration::from_secs(61)).await;
    let name = Class::internal("~control").resource("fleet").unwrap();
    let newer = Put::new(r#"{"format":99}"#);
    node.coord.register_of(name).put(&newer).await.unwrap();
    // It moves to history what is in a ledger that is quiet.
    env.sleep(Duration::from_secs(150)).await;
    let ledger = (node.coord).register_of(Class::internal("~ledger").resource("job").unwrap());
    let ledger = ledger.get().await.unwrap().unwrap();
    let ledger: serde_json::Value = serde_json::from_slice(&ledger.value).unwrap();
    assert!(ledger["out"].as_array().unwrap().is_empty(), "{ledger}");
    assert!(!history(&node.coord, "job").await.unwrap().is_empty());
    node.drain().await;
}

/// In real time: a body that never yields cannot be stopped, so nobody else may start while it works.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_yields_keeps_its_lease_beyond_the_drain() {
    let env = Env::system();
    let (store, ended) = (MemoryStore::new(), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&ended);
    let job = Job::new("job", "* * * * * *", move |_| {
        let ended = Arc::clone(&flag);
        async move {
            std::thread::sleep(Duration::from_secs(6));
            ended.store(true, Ordering::SeqCst);
            Ok::<(), BoxError>(())
        }
    });
    let settings = |builder: Builder| builder.jobs([job]).drain(Duration::from_millis(100));
    let node = Node::try_start(&store, &env, settings).await.unwrap();
    let ledger = Class::internal("~ledger").resource("job").unwrap();
    let ledger = node.coord.register_of(ledger);
    let running = async || {
        let register = ledger.get().await.unwrap();
        let register = register.map(|register| register.value).unwrap_or_default();
        String::from_utf8_lossy(&register).contains(r#""running":[{"#)
    };
    while !running().await {
        env.sleep(Duration::from_millis(10)).await;
    }
    node.stop.send(true).unwrap();
    node.task.await.unwrap();
    assert!(!ended.load(Ordering::SeqCst));
    while running().await {
        env.sleep(Duration::from_millis(10)).await;
    }
    assert!(ended.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_was_in_danger_and_recovered_still_heeds_the_drain() {
    let env = Env::simulated(1);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), env.clone(), Faults::none());
    let job = Job::new("job", "* * * * * *", |_| {
        std::future::pending::<Result<(), BoxError>>()
    });
    let node = Node::start(&store, &env, vec![job]).await;
    env.sleep(Duration::from_secs(15)).await;
    // Of the 30 s that a run's lease has, renewed at a third.
    store.outage();
    env.sleep(Duration::from_secs(20)).await;
    store.recover();
    env.sleep(Duration::from_secs(30)).await;
    let coord = node.coord.clone();
    let start = env.now();
    node.stop.send(true).unwrap();
    node.task.await.unwrap();
    assert!(env.now().since(start) <= Duration::from_secs(22));
    let records = history(&coord, "job").await.unwrap();
    let run = records.iter().find(|record| record.attempt == 1).unwrap();
    assert_eq!(run.outcome, Outcome::Failed, "{run:?}");
    assert!(
        run.error.as_ref().unwrap().starts_with("cancelled"),
        "{run:?}"
    );
}
