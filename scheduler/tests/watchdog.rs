//! Jobs whose last success is older than it should be, and a store that is away, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]
#![allow(
    clippy::float_cmp,
    reason = "a gauge that is set to nothing is nothing"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env};
use leasehold_scheduler::{BoxError, Builder, Error, Job, Jobs, Overdue, Resume, Scheduler, Spec};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::Node;

const OVERDUE: &str = "leasehold_job_overdue_seconds";

const AWAY: &str = "leasehold_scheduler_store_away_seconds";

struct World {
    env: Env,
    store: FaultyStore,
    behind: MemoryStore,
    is_broken: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Overdue>>>,
}

impl World {
    fn new() -> Self {
        let env = Env::simulated(3);
        let behind = MemoryStore::new();
        let store = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        Self {
            env,
            store,
            behind,
            is_broken: Arc::default(),
            told: Arc::default(),
        }
    }

    fn job(&self) -> Job {
        let is_broken = Arc::clone(&self.is_broken);
        Job::new("job", "*/10 * * * * *", move |_| {
            let is_broken = is_broken.load(Ordering::SeqCst);
            async move {
                if is_broken {
                    return Err::<(), BoxError>("broken".into());
                }
                Ok(())
            }
        })
    }

    async fn node(&self, settings: impl FnOnce(Builder) -> Builder) -> Node {
        let job = self.job();
        let told = Arc::clone(&self.told);
        let node = Node::try_start(&self.store, &self.env, |builder| {
            let tell = move |overdue| told.lock().unwrap().push(overdue);
            settings(builder.jobs([job]).on_overdue(tell))
        });
        node.await.unwrap()
    }

    async fn sleep(&self, seconds: u64) {
        self.env.sleep(Duration::from_secs(seconds)).await;
    }

    fn take(&self) -> Vec<Overdue> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn breaks(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_the_fleet_tells_of_an_overdue_job_once_until_it_ends_well_again() {
    let world = World::new();
    let nodes = [
        world.node(|b| b).await,
        world.node(|b| b).await,
        world.node(|b| b).await,
    ];
    world.sleep(60).await;
    assert_eq!(world.take(), []);
    world.breaks(true);
    world.sleep(200).await;
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].job, "job");
    assert!(told[0].last_success.is_some());
    assert!(
        told[0].by < Duration::from_secs(10),
        "the leader looks each 5 s: {told:?}"
    );
    world.breaks(false);
    world.sleep(60).await;
    world.breaks(true);
    world.sleep(200).await;
    assert_eq!(world.take().len(), 1, "it is another time");
    for node in nodes {
        node.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_a_limit_and_a_pause_is_no_failure() {
    let world = World::new();
    let node = world
        .node(|b| b.watch("job", Duration::from_secs(100)))
        .await;
    world.breaks(true);
    world.sleep(95).await;
    assert_eq!(world.take(), []);
    world.sleep(20).await;
    assert_eq!(world.take().len(), 1);
    world.breaks(false);
    world.sleep(20).await;

    let jobs = Jobs::new(&node.coord);
    jobs.pause("job", "").await.unwrap();
    world.sleep(300).await;
    jobs.resume("job", Resume::FromNow).await.unwrap();
    jobs.pause_all("").await.unwrap();
    world.sleep(300).await;
    jobs.resume_all(Resume::FromNow).await.unwrap();
    world.sleep(30).await;
    assert_eq!(world.take(), []);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_to_be_watched_has_to_be_there() {
    let store = MemoryStore::new();
    let coord = Coordinator::builder(store, "test").env(Env::simulated(1));
    let coord = coord.connect().await.unwrap();
    let nightly = || Job::builder("nightly").alias("night").schedule("@daily");
    let build = |watched: &str, limit: u64| {
        Scheduler::builder(&coord)
            .jobs([nightly().run(|_| async {})])
            .watch(watched, Duration::from_secs(limit))
            .build()
    };
    let error = build("nihgtly", 1).unwrap_err();
    assert!(matches!(&error, Error::WatchedJob { job, .. } if job == "nihgtly"));
    let text = "the scheduler has no job `nihgtly` to watch: did you mean `nightly`?";
    assert_eq!(error.to_string(), text);
    let error = build("report", 1).unwrap_err().to_string();
    assert!(
        error
            .ends_with("to watch: list it in `jobs`, or the kind of a job of the store in `kinds`")
    );
    let error = build("night", 0).unwrap_err();
    assert!(
        matches!(&error, Error::WatchLimit { job } if job == "nightly"),
        "{error}"
    );
    build("nightly", 1).unwrap();
    build("night", 1).unwrap();
}

/// A fleet in a deploy: the older nodes know of no callback, and one of the newer ones has one that panics.
#[tokio::test(start_paused = true)]
async fn who_has_no_callback_leaves_it_to_those_who_do_and_one_that_panics_does_no_harm() {
    let world = World::new();
    let env = &world.env;
    let silent = Node::try_start(&world.store, env, |builder| builder.jobs([world.job()]));
    let silent = silent.await.unwrap();
    world.breaks(true);
    world.sleep(60).await;
    // It leads, and looks each 5 s.
    let told = world.node(|b| b).await;
    world.sleep(90).await;
    assert_eq!(world.take().len(), 1);
    silent.drain().await;
    told.drain().await;

    let panics = Node::try_start(&world.store, env, |builder| {
        builder
            .jobs([world.job()])
            .on_overdue(|_| panic!("no network"))
    });
    let panics = panics.await.unwrap();
    world.breaks(false);
    world.sleep(30).await;
    world.breaks(true);
    world.sleep(60).await;
    let leader = Scheduler::leader(&panics.coord).await.unwrap();
    assert!(leader.is_some(), "the house is kept");
    world.breaks(false);
    world.sleep(20).await;
    let nobody = Scheduler::leader(&panics.coord).await.unwrap();
    assert_eq!(
        nobody.map(|leader| leader.term),
        leader.map(|leader| leader.term)
    );
    panics.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_what_was_told_and_begins_anew() {
    let world = World::new();
    let node = world
        .node(|b| b.watch("job", Duration::from_secs(30)))
        .await;
    let jobs = Jobs::new(&node.coord);
    world.breaks(true);
    world.sleep(60).await;
    assert_eq!(world.take().len(), 1);
    jobs.pause("job", "being mended").await.unwrap();
    world.sleep(60).await;
    jobs.resume("job", Resume::FromNow).await.unwrap();
    world.sleep(25).await;
    assert_eq!(world.take(), []);
    world.sleep(20).await;
    assert_eq!(world.take().len(), 1, "it was mended, and is broken");
    jobs.pause_all("being mended").await.unwrap();
    world.sleep(60).await;
    jobs.resume_all(Resume::FromNow).await.unwrap();
    world.sleep(25).await;
    assert_eq!(world.take(), []);
    world.sleep(20).await;
    assert_eq!(world.take().len(), 1);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_makes_nothing_overdue() {
    let world = World::new();
    let node = world
        .node(|b| b.watch("job", Duration::from_secs(600)))
        .await;
    world.sleep(30).await;
    world.behind.step_wall_clock(3_600_000_000);
    world.sleep(20).await;
    world.behind.step_wall_clock(-3_600_000_000);
    world.sleep(60).await;
    assert_eq!(world.take(), []);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_of_the_store_are_watched_until_they_are_taken_out() {
    let world = World::new();
    let kind = Job::builder("report").run(|_| async { Err::<(), _>("broken") });
    let limit = Duration::from_secs(30);
    let settings = |b: Builder| b.kinds([kind]).watch("for acme", limit);
    let node = world.node(settings).await;
    let jobs = Jobs::new(&node.coord);
    let every = Spec::from_words([("schedule", "*/10 * * * * *")]).unwrap();
    jobs.define("for acme", "report", &every, ()).await.unwrap();
    jobs.define("for abel", "report", &every, ()).await.unwrap();
    world.sleep(60).await;
    let mut told: Vec<_> = world.take().into_iter().map(|late| late.job).collect();
    told.sort();
    assert_eq!(told, ["for abel", "for acme"]);
    jobs.define("for ada", "report", &every, ()).await.unwrap();
    world.sleep(3).await;
    for job in ["for acme", "for abel", "for ada"] {
        jobs.undefine(job).await.unwrap();
    }
    world.sleep(300).await;
    assert_eq!(world.take(), []);
    node.drain().await;
}

/// The gauges that were set, by their names; those that were not set since the last call keep their values.
fn gauges(snapshotter: &Snapshotter, known: &mut BTreeMap<String, f64>) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if let DebugValue::Gauge(value) = value {
            known.insert(key.key().name().to_owned(), value.into_inner());
        }
    }
}

/// All of a simulation runs on this thread, and so does its recorder.
#[tokio::test(start_paused = true)]
async fn gauges_say_for_how_long_a_job_is_overdue_and_the_store_away() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let world = World::new();
    let node = world.node(|b| b).await;
    let mut known = BTreeMap::new();
    let mut said = |what: &str| {
        gauges(&snapshotter, &mut known);
        known.get(what).copied().unwrap_or(-1.0)
    };
    world.sleep(60).await;
    assert!(said(OVERDUE) == 0.0 && said(AWAY) == 0.0);

    world.store.outage();
    world.sleep(60).await;
    assert!((50.0..=62.0).contains(&said(AWAY)), "{}", said(AWAY));
    world.store.recover();
    world.sleep(30).await;
    assert!(said(AWAY) == 0.0, "{}", said(AWAY));

    world.breaks(true);
    world.sleep(120).await;
    assert!((60.0..=120.0).contains(&said(OVERDUE)), "{}", said(OVERDUE));
    let jobs = Jobs::new(&node.coord);
    jobs.pause_all("").await.unwrap();
    world.sleep(30).await;
    assert!(
        said(OVERDUE) == 0.0,
        "a pause is no failure: {}",
        said(OVERDUE)
    );
    jobs.resume_all(Resume::FromNow).await.unwrap();
    world.sleep(90).await;
    assert!(said(OVERDUE) > 30.0, "{}", said(OVERDUE));
    world.breaks(false);
    world.sleep(30).await;
    assert!(said(OVERDUE) == 0.0, "{}", said(OVERDUE));
    node.drain().await;
}
