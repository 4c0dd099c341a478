//! What a job's words say, held to by several nodes: catching up, overlap, crashes, bounds, labels.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Moment};
use leasehold_scheduler::{BoxError, Builder, Job, JobContext, Jobs, Outcome, TickRecord, history};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{Node, Row, Rows};

const RUN_TTL: Duration = seconds(6);
const AWAY: &str = "leasehold_scheduler_store_away_seconds";
const DEPARTURE: &str = "leasehold_store_clock_departure_seconds";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct World {
    env: Env,
    store: MemoryStore,
    network: FaultyStore,
    observer: Coordinator,
}

impl World {
    async fn new() -> Self {
        let (env, store) = (Env::simulated(7), MemoryStore::new());
        let network = FaultyStore::new(Arc::new(store.clone()), env.clone(), Faults::none());
        let observer = Coordinator::builder(store.clone(), "test").env(env.clone());
        let observer = observer.connect().await.unwrap();
        Self {
            env,
            store,
            network,
            observer,
        }
    }

    async fn node(&self, settings: impl FnOnce(Builder) -> Builder) -> Node {
        let settings = |b: Builder| settings(b.run_ttl(RUN_TTL).drain(seconds(4)));
        let node = Node::try_start(&self.network, &self.env, settings).await;
        node.unwrap()
    }

    async fn pass(&self, time: Duration) {
        self.env.sleep(time).await;
    }

    async fn records(&self, job: &str) -> Vec<TickRecord> {
        history(&self.observer, job).await.unwrap()
    }

    /// Waits for what a job's bodies note.
    async fn next_row(&self, rows: &Rows) -> Row {
        for _ in 0..20_000 {
            if let Some(row) = rows.take().pop() {
                return row;
            }
            self.pass(Duration::from_millis(10)).await;
        }
        panic!("nothing started within 200 s");
    }

    /// A node that is gone without a word.
    fn crash(&self, node: &Node) {
        self.network.cut(node.coord.node());
        node.task.abort();
    }
}

/// A job whose bodies note their start, and take so long.
fn taking(name: &str, words: &[(&str, &str)], takes: Duration, rows: &Rows) -> Job {
    let rows = rows.clone();
    Job::from_macro(name, &[], words, Vec::new(), move |ctx: JobContext| {
        rows.add(&ctx);
        async move {
            ctx.coordinator().env().sleep(takes).await;
            Ok::<(), BoxError>(())
        }
    })
}

fn ticks(rows: &Rows) -> Vec<i64> {
    rows.take().iter().map(|row| row.tick).collect()
}

/// A gauge, if it was set since the last call.
fn gauge(snapshotter: &Snapshotter, name: &str) -> Option<f64> {
    let all = snapshotter.snapshot().into_vec();
    all.into_iter()
        .filter(|(key, ..)| key.key().name() == name)
        .find_map(|(.., value)| match value {
            DebugValue::Gauge(value) => Some(value.into_inner()),
            _ => None,
        })
}

/// A store's clock that jumps a minute ahead starts nothing until it has been steady for half a minute; the gauge says by
/// how much it left its course. Then the ticks of the minute that never was are over, and the others run.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_minute_ahead_holds_claims_and_raises_an_alarm() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (world, rows) = (World::new().await, Rows::default());
    let words = [("schedule", "* * * * * *")];
    let job = || [taking("job", &words, Duration::ZERO, &rows)];
    let nodes = [
        world.node(|b| b.jobs(job())).await,
        world.node(|b| b.jobs(job())).await,
    ];
    world.pass(seconds(10)).await;
    world.store.step_wall_clock(60_000_000);
    world.pass(seconds(2)).await;
    let before = ticks(&rows);
    world.pass(seconds(20)).await;
    assert_eq!(ticks(&rows), [0; 0], "started by a clock that jumped");
    let departure = gauge(&snapshotter, DEPARTURE).unwrap();
    assert!((59.0..61.0).contains(&departure), "{departure}");
    world.pass(seconds(30)).await;
    let after = ticks(&rows);
    assert!(after.len() > 10, "{after:?}");
    let last = before.last().unwrap();
    assert!((80..110).contains(&(after[0] - last)), "{after:?}");
    for node in nodes {
        node.drain().await;
    }
    let records = world.records("job").await;
    let missed = |record: &&TickRecord| record.outcome == Outcome::Missed;
    let missed: Vec<_> = records.iter().filter(missed).collect();
    assert_eq!(missed.len(), 1, "{records:?}");
    assert_eq!((missed[0].start, missed[0].end), (last + 1, after[0] - 1));
}

/// A store that is away for a minute costs no tick of the window: each runs once, in its order, and the metric says for
/// how long nothing could.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_minute_costs_no_tick_of_the_window() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let away = || gauge(&snapshotter, AWAY);
    let (world, rows) = (World::new().await, Rows::default());
    let words = [
        ("schedule", "*/2 * * * * *"),
        ("misfire", "run_all(5m, 100)"),
    ];
    let job = || [taking("job", &words, Duration::from_millis(100), &rows)];
    let nodes = [
        world.node(|b| b.jobs(job())).await,
        world.node(|b| b.jobs(job())).await,
    ];
    world.pass(seconds(10)).await;
    world.network.outage();
    world.pass(seconds(60)).await;
    assert!(away().unwrap() > 50.0);
    world.network.recover();
    world.pass(seconds(30)).await;
    assert!(away().unwrap() < 0.1);
    for node in nodes {
        node.drain().await;
    }
    let ticks = ticks(&rows);
    assert!(ticks.len() >= 48, "{ticks:?}");
    assert!(
        ticks.windows(2).all(|pair| pair[1] == pair[0] + 2),
        "{ticks:?}"
    );
    let records = world.records("job").await;
    let ran = |record: &TickRecord| record.outcome == Outcome::Ran;
    assert!(records.iter().all(ran), "{records:?}");
}

/// Its node hears of it by the ledger, and stops the body. Who ended a run is quick to start the next one, so most are on
/// one node; but for each tick any of the three is first in rank, and asks for the end of the run.
#[tokio::test(start_paused = true)]
async fn the_next_tick_ends_a_run_that_is_on_another_node() {
    let (world, rows) = (World::new().await, Rows::default());
    let ended: Arc<Mutex<Vec<(i64, Moment)>>> = Arc::default();
    let words = [
        ("schedule", "*/10 * * * * *"),
        ("overlap", "cancel_running"),
    ];
    let job = || {
        let (rows, ended) = (rows.clone(), Arc::clone(&ended));
        let job = Job::from_macro("job", &[], &words, Vec::new(), move |ctx: JobContext| {
            rows.add(&ctx);
            let ended = Arc::clone(&ended);
            async move {
                ctx.cancelled().cancelled().await;
                let now = ctx.coordinator().env().now();
                ended.lock().unwrap().push((ctx.tick_unix_s(), now));
                Err::<(), BoxError>("told to stop".into())
            }
        });
        [job]
    };
    let nodes = [
        world.node(|b| b.jobs(job())).await,
        world.node(|b| b.jobs(job())).await,
        world.node(|b| b.jobs(job())).await,
    ];
    world.pass(seconds(305)).await;
    let rows = rows.take();
    assert!(rows.len() >= 29, "{rows:?}");
    for pair in rows.windows(2) {
        assert_eq!(pair[1].tick, pair[0].tick + 10, "{pair:?}");
    }
    let now = world.env.now();
    let now_us = world.store.time(&world.env).wall_us;
    for (tick, at) in &*ended.lock().unwrap() {
        let due = u64::try_from(tick + 10).unwrap() * 1_000_000;
        let at_us = now_us - u64::try_from(now.since(*at).as_micros()).unwrap();
        let after = Duration::from_micros(at_us.checked_sub(due).expect("ended too early"));
        assert!(after < seconds(2), "{tick}: {after:?}");
    }
    let records = world.records("job").await;
    let failed = |record: &TickRecord| (record.outcome, record.retry) == (Outcome::Failed, false);
    assert!(records.iter().all(failed), "{records:?}");
    for node in nodes {
        node.drain().await;
    }
}

/// With `on_crash = "retry"` a killed node's run is running again within a lease and a second.
#[tokio::test(start_paused = true)]
async fn a_killed_nodes_run_is_running_again_within_a_lease_and_a_second() {
    for at_ms in [10, 900, 2500, 7300, 13_900] {
        let (world, rows) = (World::new().await, Rows::default());
        let words = [("schedule", "*/2 * * * *"), ("on_crash", "retry")];
        let job = || [taking("job", &words, seconds(50), &rows)];
        let nodes = [
            world.node(|b| b.jobs(job())).await,
            world.node(|b| b.jobs(job())).await,
            world.node(|b| b.jobs(job())).await,
        ];
        let first = world.next_row(&rows).await;
        world.pass(Duration::from_millis(at_ms)).await;
        let killed = nodes.iter().find(|node| node.coord.node() == first.node);
        world.crash(killed.unwrap());
        let at = world.env.now();
        let again = world.next_row(&rows).await;
        let after = world.env.now().since(at);
        assert!(after <= RUN_TTL + seconds(1), "{at_ms}: {after:?}");
        assert_eq!(again.tick, first.tick);
        assert!(again.fence > first.fence && again.node != first.node);
        let lost = &world.records("job").await[0];
        let lost = (lost.outcome, lost.attempt, lost.retry, lost.fence);
        assert_eq!(lost, (Outcome::LostLease, 1, true, Some(first.fence)));
        for node in nodes.iter().filter(|node| node.coord.node() != first.node) {
            world.crash(node);
        }
    }
}

/// A node that drains has no time to try again: the others do, within a sweep.
#[tokio::test(start_paused = true)]
async fn what_a_drained_node_left_to_be_tried_again_others_take_up() {
    let (world, rows) = (World::new().await, Rows::default());
    let words = [
        ("schedule", "*/2 * * * *"),
        ("on_crash", "retry"),
        ("backoff", "0s"),
    ];
    let job = |b: Builder| {
        // A lease so long that nobody looks after it.
        let b = b.run_ttl(seconds(100)).drain(seconds(1));
        b.jobs([taking("job", &words, seconds(50), &rows)])
    };
    let mut nodes = vec![world.node(job).await, world.node(job).await];
    let first = world.next_row(&rows).await;
    let at = nodes
        .iter()
        .position(|node| node.coord.node() == first.node);
    nodes.remove(at.unwrap()).drain().await;
    let drained = world.env.now();
    let again = world.next_row(&rows).await;
    assert_eq!(again.tick, first.tick);
    let after = world.env.now().since(drained);
    assert!(after < seconds(15), "{after:?}");
    nodes.remove(0).drain().await;
}

/// How many bodies there are at a time, at most.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

impl Crowd {
    fn job(&self, name: &str, words: &[(&str, &str)], takes: Duration) -> Job {
        let crowd = self.clone();
        Job::from_macro(name, &[], words, Vec::new(), move |ctx: JobContext| {
            let crowd = crowd.clone();
            async move {
                let now = crowd.0.0.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.0.1.fetch_max(now, Ordering::SeqCst);
                ctx.coordinator().env().sleep(takes).await;
                crowd.0.0.fetch_sub(1, Ordering::SeqCst);
                Ok::<(), BoxError>(())
            }
        })
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_runs_as_many_jobs_at_a_time_as_it_may_and_all_have_their_turn() {
    let world = World::new().await;
    let crowds = [Crowd::default(), Crowd::default()];
    let words = [("schedule", "* * * * *"), ("misfire", "run_all(10m, 20)")];
    let mut nodes = Vec::new();
    for crowd in &crowds {
        let jobs = (0..20).map(|n| crowd.job(&format!("job {n}"), &words, seconds(2)));
        nodes.push(world.node(|b| b.concurrency(3).jobs(jobs)).await);
    }
    world.pass(seconds(250)).await;
    for crowd in &crowds {
        assert_eq!(crowd.most(), 3);
    }
    for n in 0..20 {
        let records = world.records(&format!("job {n}")).await;
        assert!(records.len() >= 3, "{n}: {records:?}");
        let ran = |record: &TickRecord| record.outcome == Outcome::Ran;
        assert!(records.iter().all(ran), "{n}: {records:?}");
    }
    for node in nodes {
        node.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_as_often_at_a_time_as_it_may_in_the_whole_fleet() {
    let (world, crowd) = (World::new().await, Crowd::default());
    let words = [("schedule", "* * * * * *"), ("overlap", "allow(3)")];
    let job = || [crowd.job("job", &words, Duration::from_millis(4500))];
    let nodes = [
        world.node(|b| b.jobs(job())).await,
        world.node(|b| b.jobs(job())).await,
    ];
    world.pass(seconds(60)).await;
    assert_eq!(crowd.most(), 3);
    for node in nodes {
        node.drain().await;
    }
    let records = world.records("job").await;
    let skipped = |record: &&TickRecord| record.outcome == Outcome::SkippedOverlap;
    assert!(records.iter().filter(skipped).count() > 5, "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_only_where_its_labels_are() {
    let (world, rows, all) = (World::new().await, Rows::default(), Rows::default());
    let pinned = [("schedule", "* * * * * *"), ("only_on", "gpu, eu")];
    let any = [("schedule", "* * * * * *")];
    let jobs = || {
        let none = Duration::ZERO;
        [
            taking("pinned", &pinned, none, &rows),
            taking("any", &any, none, &all),
        ]
    };
    let able = world
        .node(|b| b.jobs(jobs()).label("gpu").label("eu").label("big"))
        .await;
    let half = world.node(|b| b.jobs(jobs()).label("gpu")).await;
    let none = world.node(|b| b.jobs(jobs())).await;
    world.pass(seconds(7)).await;
    drop((rows.take(), all.take()));
    world.pass(seconds(30)).await;
    let (rows, all) = (rows.take(), all.take());
    assert!(rows.len() >= 29, "{}", rows.len());
    let is_able = |row: &Row| row.node == able.coord.node();
    assert!(rows.iter().all(is_able), "{rows:?}");
    assert!(!all.iter().all(is_able));
    for node in [able, half, none] {
        node.drain().await;
    }
}

/// Ticks that wait to be caught up on a kind of node that is no more do not keep the job from what it is to be.
#[tokio::test(start_paused = true)]
async fn a_job_whose_labels_nobody_has_any_more_can_be_given_others() {
    for misfire in ["skip", "run_once", "run_all(1h, 20)"] {
        let (world, rows) = (World::new().await, Rows::default());
        let old = [
            ("schedule", "* * * * *"),
            ("misfire", misfire),
            ("only_on", "gpu"),
        ];
        let gpu = [taking("job", &old, Duration::ZERO, &rows)];
        let gpu = world.node(|b| b.jobs(gpu).label("gpu")).await;
        world.next_row(&rows).await;
        gpu.drain().await;
        world.pass(seconds(120)).await;
        let new = [("schedule", "* * * * *"), ("misfire", misfire)];
        let job = [taking("job", &new, Duration::ZERO, &rows)];
        let other = world.node(|b| b.jobs(job)).await;
        world.pass(seconds(150)).await;
        let ran = rows.take();
        assert!(ran.len() >= 2, "{misfire}: {ran:?}");
        other.drain().await;
    }
}

/// A store that was rolled back remembers ticks that waited then, and have run since.
#[tokio::test(start_paused = true)]
async fn what_waited_when_a_store_was_saved_does_not_run_again_after_it_was_restored() {
    let (world, rows) = (World::new().await, Rows::default());
    let words = [("schedule", "*/5 * * * * *"), ("overlap", "queue_all(20)")];
    let job = || [taking("job", &words, Duration::from_millis(7500), &rows)];
    let node = world.node(|b| b.jobs(job())).await;
    world.pass(seconds(32)).await;
    let saved = world.store.snapshot();
    world.pass(seconds(60)).await;
    world.store.restore(&saved);
    world.pass(seconds(60)).await;
    let mut ran: Vec<_> = rows.take();
    node.drain().await;
    ran.sort_by_key(|row| row.tick);
    let twice: Vec<_> = ran
        .windows(2)
        .filter(|pair| pair[0].tick == pair[1].tick)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// Runs of several jobs that begin at one instant may have the same fence: each is known by its lease.
#[tokio::test(start_paused = true)]
async fn the_next_tick_ends_its_jobs_run_and_no_other_of_that_instant() {
    let world = World::new().await;
    let ended: Arc<Mutex<Vec<(String, i64)>>> = Arc::default();
    let job = |name: &str, words: &[(&str, &str)]| {
        let ended = Arc::clone(&ended);
        Job::from_macro(name, &[], words, Vec::new(), move |ctx: JobContext| {
            let ended = Arc::clone(&ended);
            async move {
                ctx.cancelled().cancelled().await;
                let end = (ctx.job().to_owned(), ctx.tick_unix_s());
                ended.lock().unwrap().push(end);
                Err::<(), BoxError>("told to stop".into())
            }
        })
    };
    let gives_way = [
        ("schedule", "*/10 * * * * *"),
        ("overlap", "cancel_running"),
    ];
    let stays = [("schedule", "*/10 * * * * *")];
    let jobs = [
        job("a stays", &stays),
        job("gives way", &gives_way),
        job("z stays", &stays),
    ];
    let node = world.node(|b| b.jobs(jobs)).await;
    world.pass(seconds(105)).await;
    let fences = |records: &[TickRecord]| -> Vec<_> { records.iter().map(|r| r.fence).collect() };
    {
        let ended = ended.lock().unwrap();
        let is_it = |(job, _): &(String, i64)| job == "gives way";
        assert!(ended.iter().all(is_it), "{ended:?}");
        assert!(ended.len() >= 9, "{ended:?}");
    }
    node.drain().await;
    let mut first = Vec::new();
    for job in ["a stays", "gives way", "z stays"] {
        first.push(fences(&world.records(job).await)[0].unwrap());
    }
    assert!(first.iter().all(|fence| *fence == first[0]), "{first:?}");
}

/// A store's clock ran ahead, was believed, and was set right again: claims of that time are in the future.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_lost_under_a_clock_that_was_ahead_is_reaped_all_the_same() {
    const HOUR_US: i64 = 3_600_000_000;
    let (world, rows) = (World::new().await, Rows::default());
    let words = [("schedule", "-"), ("on_crash", "retry")];
    let job = || [taking("job", &words, seconds(100), &rows)];
    let first = world.node(|b| b.jobs(job())).await;
    world.pass(seconds(10)).await;
    world.store.step_wall_clock(HOUR_US);
    world.pass(seconds(60)).await;
    let jobs = Jobs::new(&world.observer);
    jobs.trigger("job").await.unwrap();
    world.next_row(&rows).await;
    let second = world.node(|b| b.jobs(job())).await;
    world.pass(seconds(10)).await;
    world.crash(&first);
    world.store.step_wall_clock(-HOUR_US);
    let again = world.next_row(&rows).await;
    assert_eq!(again.node, second.coord.node());
    world.crash(&second);
}
