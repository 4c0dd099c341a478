//! A fleet of schedulers on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::MemoryStore;
use leasehold_scheduler::{BoxError, Job, Outcome, Scheduler, history};
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
    let mut ticks: Vec<_> = slow.iter().map(|record| record.end).collect();
    ticks.sort_unstable();
    // The run under way has no record yet, the ticks it made skip do.
    ticks.truncate(ticks.len() - 3);
    assert!(
        ticks.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{ticks:?}"
    );
    let ran = slow.iter().filter(|r| r.outcome == Outcome::Ran).count();
    let skipped = slow
        .iter()
        .filter(|r| r.outcome == Outcome::SkippedOverlap)
        .count();
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
