//! What bodies do to themselves and to the scheduler: they fail, panic wherever they can, and take too long.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_scheduler::{BoxError, Job, JobContext, Outcome, TickRecord, history};
use support::{Node, Rows};

type Done = Result<(), BoxError>;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A job with the policies that its words say.
fn job<Fut>(words: &[(&str, &str)], body: impl Fn(JobContext) -> Fut + Send + Sync + 'static) -> Job
where
    Fut: Future<Output = Done> + Send + 'static,
{
    Job::from_macro("job", &[], words, Vec::new(), body)
}

struct World {
    env: Env,
    network: FaultyStore,
}

impl World {
    fn new() -> Self {
        let env = Env::simulated(5);
        let network = FaultyStore::new(Arc::new(MemoryStore::new()), env.clone(), Faults::none());
        Self { env, network }
    }

    async fn node(&self, job: Job) -> Node {
        Node::start(&self.network, &self.env, vec![job]).await
    }

    async fn pass(&self, time: Duration) {
        self.env.sleep(time).await;
    }

    /// Until a minute begins, and a second more.
    async fn next_minute(&self, node: &Node) {
        let us = node.coord.store_now().wall_us % 60_000_000;
        self.pass(Duration::from_micros(61_000_000 - us)).await;
    }
}

/// The attempts that there were, with their outcomes.
async fn attempts(node: &Node) -> Vec<TickRecord> {
    let records = history(&node.coord, "job").await.unwrap();
    records
        .into_iter()
        .filter(|record| record.attempt > 0)
        .collect()
}

/// Runs a job every second whose bodies are all bad in one way: each tick is a failure, and says so.
async fn fails_each_second(what: &str, said: &str, job: Job) {
    let world = World::new();
    let node = world.node(job).await;
    world.pass(seconds(10)).await;
    let records = attempts(&node).await;
    assert!(records.len() >= 8, "{what}: {records:?}");
    for record in records {
        assert_eq!(record.outcome, Outcome::Failed, "{what}: {record:?}");
        let error = record.error.unwrap();
        assert!(error.contains(said), "{what}: {error}");
    }
    node.drain().await;
}

#[derive(Debug)]
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for it")
    }
}

impl std::error::Error for Unprintable {}

struct Uncloneable;

impl Clone for Uncloneable {
    fn clone(&self) -> Self {
        panic!("there is one only")
    }
}

/// Panics when it is dropped.
struct Undroppable;

impl Drop for Undroppable {
    fn drop(&mut self) {
        panic!("kept for ever")
    }
}

const EVERY_SECOND: &[(&str, &str)] = &[("schedule", "* * * * * *")];

#[tokio::test(start_paused = true)]
async fn a_body_may_panic_wherever_it_likes_and_the_scheduler_lives() {
    let after_an_await = job(EVERY_SECOND, |ctx| async move {
        ctx.coordinator().env().sleep(seconds(0)).await;
        panic!("torn paper")
    });
    fails_each_second("after an await", "panicked: torn paper", after_an_await).await;
    let in_a_drop = job(EVERY_SECOND, |_| async {
        let _kept = Undroppable;
        Ok(())
    });
    fails_each_second("in a drop", "panicked: kept for ever", in_a_drop).await;
}

/// Its text is asked for where a panic ends the body, and nothing else.
#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_shown_is_a_failure() {
    let job = job(EVERY_SECOND, |_| async { Err(Unprintable.into()) });
    fails_each_second("in Display", "panicked: no words for it", job).await;
}

#[tokio::test(start_paused = true)]
async fn state_that_panics_when_it_is_cloned_is_a_failure_of_the_run() {
    let world = World::new();
    let job = job(EVERY_SECOND, |ctx| {
        let _cloned = ctx.state::<Uncloneable>();
        async { Ok(()) }
    });
    let node = Node::try_start(&world.network, &world.env, |b| {
        b.state(Uncloneable).jobs([job])
    });
    let node = node.await.unwrap();
    world.pass(seconds(10)).await;
    let records = attempts(&node).await;
    assert!(records.len() >= 8, "{records:?}");
    for record in records {
        let error = record.error.as_deref();
        assert_eq!(error, Some("panicked: there is one only"), "{record:?}");
    }
    node.drain().await;
}

/// A body that panics while it is dropped, after its time: it has timed out.
#[tokio::test(start_paused = true)]
async fn a_body_that_panics_when_it_is_dropped_has_timed_out() {
    let world = World::new();
    let words = [("schedule", "* * * * *"), ("timeout", "10s")];
    let job = job(&words, |_| async {
        let _kept = Undroppable;
        std::future::pending().await
    });
    let node = world.node(job).await;
    world.next_minute(&node).await;
    world.pass(seconds(80)).await;
    let records = attempts(&node).await;
    assert!(records.len() >= 2, "{records:?}");
    for record in records {
        assert_eq!(record.outcome, Outcome::TimedOut, "{record:?}");
    }
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_a_body_that_heeds_it_at_once_and_any_other_a_second_later() {
    let words = [("schedule", "* * * * *"), ("timeout", "10s")];
    for (heeds, took_s) in [(true, 10), (false, 11)] {
        let world = World::new();
        let ended = Rows::default();
        let rows = ended.clone();
        let job = job(&words, move |ctx| {
            let rows = rows.clone();
            async move {
                ctx.cancelled().cancelled().await;
                rows.add(&ctx);
                if heeds {
                    return Ok(());
                }
                std::future::pending().await
            }
        });
        let node = world.node(job).await;
        world.next_minute(&node).await;
        world.pass(seconds(30)).await;
        assert_eq!(ended.take().len(), 1, "it is told");
        let records = attempts(&node).await;
        let [record] = &*records else {
            panic!("{records:?}");
        };
        assert_eq!(record.outcome, Outcome::TimedOut, "{record:?}");
        assert_eq!(record.took_ms.unwrap() / 1000, took_s, "{record:?}");
        let error = record.error.as_deref();
        assert_eq!(error, Some("cancelled: it took longer than 10s"));
        node.drain().await;
    }
}

/// The store is away for so long that a run's lease is in danger, and back before it has ended.
async fn endanger(world: &World) {
    world.pass(seconds(15)).await;
    world.network.outage();
    world.pass(seconds(20)).await;
    world.network.recover();
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_start_also_after_a_lease_was_in_danger() {
    let world = World::new();
    let words = [("schedule", "*/10 * * * *"), ("timeout", "60s")];
    let job = job(&words, |_| std::future::pending());
    let node = world.node(job).await;
    while attempts(&node).await.is_empty() {
        world.next_minute(&node).await;
        if node.coord.store_now().wall_us / 60_000_000 % 10 == 0 {
            endanger(&world).await;
            world.pass(seconds(30)).await;
            break;
        }
    }
    let records = attempts(&node).await;
    let [record] = &*records else {
        panic!("it runs on: {records:?}");
    };
    assert_eq!(record.outcome, Outcome::TimedOut, "{record:?}");
    assert_eq!(record.took_ms.unwrap() / 1000, 61, "{record:?}");
    node.drain().await;
}

/// It was its node that could not go on, not the run: `on_crash` decides.
#[tokio::test(start_paused = true)]
async fn a_run_that_gives_up_since_its_lease_is_in_danger_is_tried_again_as_after_a_crash() {
    let world = World::new();
    let words = [
        ("schedule", "*/10 * * * *"),
        ("on_crash", "retry"),
        ("backoff", "1s"),
    ];
    let job = job(&words, |ctx| async move {
        if ctx.attempt() > 1 {
            return Ok(());
        }
        ctx.cancelled().cancelled().await;
        Err("told to stop".into())
    });
    let node = world.node(job).await;
    loop {
        world.next_minute(&node).await;
        if node.coord.store_now().wall_us / 60_000_000 % 10 == 0 {
            break;
        }
    }
    endanger(&world).await;
    world.pass(seconds(10)).await;
    let records = attempts(&node).await;
    let outcomes: Vec<_> = records.iter().map(|r| (r.attempt, r.outcome)).collect();
    assert_eq!(
        outcomes,
        [(1, Outcome::Failed), (2, Outcome::Ran)],
        "{records:?}"
    );
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn retries_that_end_before_the_next_tick_leave_it_alone() {
    let world = World::new();
    let words = [
        ("schedule", "* * * * *"),
        ("retries", "3"),
        ("backoff", "5s"),
    ];
    let job = job(&words, |ctx| async move {
        // Every other tick fails each time.
        let is_bad = ctx.tick_unix_s() / 60 % 2 == 0;
        if is_bad {
            return Err("broken".into());
        }
        Ok(())
    });
    let node = world.node(job).await;
    world.next_minute(&node).await;
    world.pass(seconds(230)).await;
    let records = attempts(&node).await;
    let mut ticks: Vec<_> = records.iter().map(|record| record.end).collect();
    ticks.dedup();
    assert_eq!(ticks.len(), 4, "{records:?}");
    assert!(
        ticks.windows(2).all(|pair| pair[1] == pair[0] + 60),
        "{ticks:?}"
    );
    for tick in ticks {
        let of_tick: Vec<_> = records.iter().filter(|record| record.end == tick).collect();
        let delays: Vec<_> = of_tick
            .iter()
            .map(|record| record.delay_ms.unwrap() / 1000)
            .collect();
        let last = of_tick.last().unwrap();
        if tick / 60 % 2 == 0 {
            // 5, 10 and 20 s after the one before.
            assert_eq!(delays, [0, 5, 15, 35], "{of_tick:?}");
            assert_eq!((last.outcome, last.retry), (Outcome::Failed, false));
            assert!(of_tick.iter().take(3).all(|record| record.retry));
        } else {
            assert_eq!(delays, [0], "{of_tick:?}");
            assert_eq!(last.outcome, Outcome::Ran);
        }
    }
    let all = history(&node.coord, "job").await.unwrap();
    assert!(
        all.iter().all(|r| r.outcome != Outcome::SkippedOverlap),
        "{all:?}"
    );
    node.drain().await;
}
