//! What people ask of jobs, and what they are told, with a fleet on the memory store and in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Class, Coordinator, Env, Put, replay};
use leasehold_scheduler::{
    Because, BoxError, Builder, Error, Job, Jobs, Outcome, Resume, TickRecord, Via, Zone,
};
use support::{Node, Rows, counting};

const YEARLY: &str = "0 0 1 7 *";
const EVERY_MINUTE: &str = "* * * * *";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A body: its tick, what it is owed to, and its run's id.
type Body = (i64, Via, String);

/// What bodies there were, in order.
#[derive(Clone, Default)]
struct Bodies(Arc<Mutex<Vec<Body>>>);

impl Bodies {
    fn all(&self) -> Vec<Body> {
        self.0.lock().unwrap().clone()
    }

    fn ticks(&self) -> Vec<i64> {
        self.all().iter().map(|(tick, ..)| *tick).collect()
    }
}

/// A fleet, and somebody who asks it for things.
struct World {
    env: Env,
    store: MemoryStore,
    coord: Coordinator,
    jobs: Jobs,
}

impl World {
    async fn new() -> Self {
        let (env, store) = (Env::simulated(1), MemoryStore::new());
        let coord = Coordinator::builder(store.clone(), "test")
            .env(env.clone())
            .label("ann");
        let coord = coord.connect().await.unwrap();
        let jobs = Jobs::new(&coord);
        Self {
            env,
            store,
            coord,
            jobs,
        }
    }

    /// A job that notes its bodies, each of which takes so long.
    fn job(&self, name: &str, words: &[(&str, &str)], takes: Duration, bodies: &Bodies) -> Job {
        let (env, bodies) = (self.env.clone(), bodies.clone());
        Job::from_macro(name, &[], words, Vec::new(), move |ctx| {
            let body = (ctx.tick_unix_s(), ctx.via(), ctx.run_id());
            bodies.0.lock().unwrap().push(body);
            let env = env.clone();
            async move {
                env.sleep(takes).await;
                Ok::<(), BoxError>(())
            }
        })
    }

    async fn start(&self, jobs: Vec<Job>) -> Node {
        let node = Node::start(&self.store, &self.env, jobs).await;
        self.settle().await;
        node
    }

    /// Until ledgers are there, and each node knows the others.
    async fn settle(&self) {
        self.env.sleep(seconds(7)).await;
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.coord.store_now().wall_us / 1_000_000).unwrap()
    }

    /// Sleeps to `second` of a minute.
    async fn sleep_to(&self, second: u64) {
        let us = self.coord.store_now().wall_us;
        let left = (60_000_000 + second * 1_000_000 - us % 60_000_000) % 60_000_000;
        self.env.sleep(Duration::from_micros(left)).await;
    }

    async fn why(&self, job: &str, at: i64) -> Because {
        self.jobs.why(job, at).await.unwrap().because
    }

    async fn last_word(&self, job: &str, at: i64) -> TickRecord {
        match self.why(job, at).await {
            Because::Recorded { records } => records.last().unwrap().clone(),
            because => panic!("no record of {at}: {because:?}"),
        }
    }

    async fn until_over(&self, job: &str, id: &str) -> Vec<TickRecord> {
        for _ in 0..600 {
            let progress = self.jobs.progress(job, id).await.unwrap();
            if progress.is_over() {
                return progress.ended;
            }
            self.env.sleep(Duration::from_millis(100)).await;
        }
        panic!("{id} is not over after a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_job_runs_no_tick_and_they_are_recorded_as_paused() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = || vec![world.job("job", &[("schedule", EVERY_MINUTE)], seconds(1), &bodies)];
    let nodes = [world.start(job()).await, world.start(job()).await];
    world.sleep_to(10).await;
    assert!(world.jobs.pause("job", "repairs").await.unwrap());
    assert!(!world.jobs.pause("job", "again").await.unwrap());
    let (before, since) = (bodies.ticks(), world.now_s());
    world.env.sleep(seconds(300)).await;
    assert_eq!(bodies.ticks(), before);
    let due = since - since % 60 + 60;
    let why = world.jobs.why("job", due).await.unwrap();
    let Because::Paused { paused } = &why.because else {
        panic!("{why:?}");
    };
    assert_eq!(
        (&*paused.by, &*paused.reason, paused.all),
        ("ann", "repairs", false)
    );
    assert!((since - 1..=since).contains(&paused.since), "{paused:?}");
    assert!(why.to_string().ends_with(" by ann: repairs"), "{why}");
    let listed = world.jobs.list().await.unwrap();
    assert_eq!(listed[0].paused.as_ref(), Some(paused));
    assert_eq!(listed[0].next, Some(world.now_s() / 60 * 60 + 60));

    world.jobs.resume("job", Resume::FromNow).await.unwrap();
    world.env.sleep(seconds(3)).await;
    for tick in (0..5).map(|n| due + 60 * n) {
        let record = world.last_word("job", tick).await;
        assert_eq!(record.outcome, Outcome::Paused, "{tick}");
    }
    assert_eq!(world.jobs.paused("job").await.unwrap(), None);
    world.env.sleep(seconds(60)).await;
    assert_eq!(bodies.ticks().last(), Some(&(due + 300)));
    let error = world.jobs.resume("job", Resume::FromNow).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "job `job` is not paused: there is nothing to resume"
    );
    for node in nodes {
        node.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_resumed_where_it_stopped_runs_each_tick_from_within_two_seconds() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = world.job("job", &[("schedule", EVERY_MINUTE)], seconds(1), &bodies);
    let node = world.start(vec![job]).await;
    for is_all in [false, true] {
        world.sleep_to(10).await;
        if is_all {
            world.jobs.pause_all("").await.unwrap();
        } else {
            world.jobs.pause("job", "").await.unwrap();
        }
        let first = world.now_s() / 60 * 60 + 60;
        bodies.0.lock().unwrap().clear();
        world.env.sleep(seconds(180)).await;
        assert!(bodies.all().is_empty());
        if is_all {
            world.jobs.resume_all(Resume::WhereItStopped).await.unwrap();
        } else {
            let how = Resume::WhereItStopped;
            world.jobs.resume("job", how).await.unwrap();
        }
        world.env.sleep(seconds(2)).await;
        assert_eq!(bodies.ticks().first(), Some(&first));
        world.env.sleep(seconds(5)).await;
        assert_eq!(bodies.ticks(), [first, first + 60, first + 120]);
    }
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_fleet_outlasts_a_deploy() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = |words: &[(&str, &str)]| vec![world.job("job", words, seconds(1), &bodies)];
    let old = &[("schedule", EVERY_MINUTE)];
    let nodes = [world.start(job(old)).await, world.start(job(old)).await];
    world.sleep_to(10).await;
    assert!(world.jobs.pause_all("deploy").await.unwrap());
    assert!(!world.jobs.pause_all("deploy").await.unwrap());
    let (before, first) = (bodies.ticks(), world.now_s() / 60 * 60 + 60);
    for node in nodes {
        node.drain().await;
        world.env.sleep(seconds(60)).await;
    }
    // The new version has another policy, and a job more.
    let mut new = job(&[("schedule", EVERY_MINUTE), ("misfire", "run_once")]);
    new.push(world.job("more", old, seconds(1), &bodies));
    let node = world.start(new).await;
    world.sleep_to(10).await;
    world.env.sleep(seconds(120)).await;
    assert_eq!(bodies.ticks(), before, "nothing ran");
    let now_s = world.now_s();
    let Because::Paused { paused } = world.why("more", now_s / 60 * 60).await else {
        panic!("the new job is not paused");
    };
    assert!(paused.all && paused.reason == "deploy", "{paused:?}");
    assert_eq!(world.jobs.paused_all().await.unwrap(), Some(paused));

    world.jobs.resume_all(Resume::FromNow).await.unwrap();
    world.env.sleep(seconds(120)).await;
    // The version changed meanwhile, which disposed of what was due by the old one: that was paused, like the rest.
    let outcomes: Vec<_> = {
        let mut outcomes = Vec::new();
        for tick in (0..)
            .map(|n| first + 60 * n)
            .take_while(|tick| *tick <= now_s)
        {
            outcomes.push(world.last_word("job", tick).await.outcome);
        }
        outcomes
    };
    let is_paused = |outcome: &Outcome| *outcome == Outcome::Paused;
    assert!(outcomes.iter().all(is_paused), "{outcomes:?}");
    assert_eq!(bodies.ticks().len(), before.len() + 4, "{:?}", bodies.all());
    let error = world.jobs.resume_all(Resume::FromNow).await.unwrap_err();
    assert!(matches!(error, Error::NotPaused { .. }), "{error}");
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_trigger_runs_once_within_two_seconds_also_while_all_is_paused() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = |expression| world.job(expression, &[("schedule", expression)], seconds(1), &bodies);
    let jobs = || vec![job(YEARLY), job("-")];
    let nodes = [
        world.start(jobs()).await,
        world.start(jobs()).await,
        world.start(jobs()).await,
    ];
    world.jobs.pause_all("").await.unwrap();
    world.jobs.pause(YEARLY, "").await.unwrap();
    for (n, job) in [YEARLY, "-", YEARLY, "-"].into_iter().enumerate() {
        world.env.sleep(seconds(17)).await;
        let at = world.now_s();
        let id = world.jobs.trigger(job).await.unwrap();
        world.env.sleep(seconds(2)).await;
        let bodies = bodies.all();
        assert_eq!(bodies.len(), n + 1, "{job}: {bodies:?}");
        let (tick, via, run_id) = bodies.last().unwrap();
        assert_eq!(
            (*via, run_id),
            (Via::Trigger, &format!("{job}@{tick}#{id}"))
        );
        assert!((at - 1..=at).contains(tick), "{at} {tick}");
        let ended = world.until_over(job, &id).await;
        assert_eq!((ended.len(), ended[0].outcome), (1, Outcome::Ran));
        let why = world.jobs.why(job, *tick).await.unwrap().to_string();
        assert!(why.contains(" ran (attempt 1, triggered)"), "{why}");
    }
    for node in nodes {
        node.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_is_sent_twice_runs_once_and_one_during_a_run_afterwards() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = world.job("job", &[("schedule", YEARLY)], seconds(20), &bodies);
    let node = world.start(vec![job]).await;
    assert!(world.jobs.trigger_as("job", "deploy-7").await.unwrap());
    world.env.sleep(seconds(2)).await;
    assert!(!world.jobs.trigger_as("job", "deploy-7").await.unwrap());
    let second = world.jobs.trigger("job").await.unwrap();
    world.env.sleep(seconds(10)).await;
    assert_eq!(bodies.all().len(), 1);
    let waits = world.jobs.progress("job", &second).await.unwrap();
    assert_eq!((waits.pending.len(), waits.running.len()), (1, 0));
    let runs = world
        .jobs
        .progress("job", "deploy-7")
        .await
        .unwrap()
        .running;
    assert_eq!(runs[0].node, node.coord.node());
    world.env.sleep(seconds(12)).await;
    assert_eq!(bodies.all().len(), 2);
    assert!(!world.jobs.trigger_as("job", "deploy-7").await.unwrap());
    assert_eq!(world.until_over("job", &second).await.len(), 1);
    world.env.sleep(seconds(60)).await;
    assert_eq!(bodies.all().len(), 2);
    for id in ["", "a\nb", &"x".repeat(101)] {
        let error = world.jobs.trigger_as("job", id).await.unwrap_err();
        assert!(matches!(error, Error::AskedId), "{error}");
    }
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_of_is_found_all_the_same() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let jobs = ["asked", "paused"]
        .map(|name| world.job(name, &[("schedule", EVERY_MINUTE)], seconds(1), &bodies));
    let node = world.start(jobs.into()).await;
    world.jobs.pause("paused", "").await.unwrap();
    world.jobs.pause("asked", "").await.unwrap();
    world.env.sleep(seconds(150)).await;
    bodies.0.lock().unwrap().clear();
    // As if whoever asked had died before it said so.
    let put_back = async |act: &dyn Fn(&mut serde_json::Value), job: &str| {
        let name = Class::internal("~ledger").resource(job).unwrap();
        let register = world.coord.register_of(name);
        let value = register.get().await.unwrap().unwrap().value;
        let mut ledger: serde_json::Value = serde_json::from_slice(&value).unwrap();
        act(&mut ledger);
        register.put(&Put::new(ledger.to_string())).await.unwrap();
    };
    let now_s = world.now_s();
    let trigger = serde_json::json!([
        { "tick": now_s, "attempt": 1, "via": "trigger", "id": "t", "not_before_ms": now_s * 1000 }
    ]);
    put_back(&|ledger| ledger["pending"] = trigger.clone(), "asked").await;
    world.env.sleep(seconds(7)).await;
    assert_eq!(bodies.ticks(), [now_s]);
    let resumed = |ledger: &mut serde_json::Value| {
        ledger.as_object_mut().unwrap().remove("paused");
        ledger["wanted_until"] = now_s.into();
    };
    put_back(&resumed, "paused").await;
    world.env.sleep(seconds(70)).await;
    assert!(bodies.ticks().len() >= 3, "{:?}", bodies.all());
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_there_is_refused_with_the_nearest_names() {
    let (world, rows) = (World::new().await, Rows::default());
    let error = world.jobs.trigger("job").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "no job `job` is known in this namespace: a job is known once a node has started that has it"
    );
    let jobs = vec![
        counting("billing::nightly", YEARLY, &rows),
        counting("billing::hourly", YEARLY, &rows),
    ];
    let node = world.start(jobs).await;
    for (given, nearest) in [
        ("nightly", &["billing::nightly"][..]),
        ("HOURLY", &["billing::hourly"]),
        ("billing::hourlie", &["billing::hourly"]),
        ("unheard-of", &[]),
    ] {
        let error = world.jobs.show(given).await.unwrap_err();
        let Error::NoSuchJob { nearest: found, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(found, nearest, "{error}");
    }
    let error = world
        .jobs
        .pause("nightly", "")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(": did you mean `billing::nightly`?"),
        "{error}"
    );
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_job_is_found_by_its_new_name_and_its_first() {
    let (world, rows) = (World::new().await, Rows::default());
    let noted = rows.clone();
    let words = [("schedule", YEARLY)];
    let renamed = Job::from_macro("invoices", &["bills"], &words, Vec::new(), move |ctx| {
        noted.add(&ctx);
        async { Ok::<(), BoxError>(()) }
    });
    let node = world.start(vec![renamed]).await;
    for name in ["invoices", "bills"] {
        let shown = world.jobs.show(name).await.unwrap();
        assert_eq!(
            (&*shown.summary.name, &*shown.summary.id),
            ("invoices", "bills")
        );
        assert_eq!(shown.nodes[0].node, node.coord.node());
        let id = world.jobs.trigger(name).await.unwrap();
        world.until_over(name, &id).await;
    }
    assert_eq!(rows.take().len(), 2);
    node.drain().await;
}

/// A job whose node was away for ten minutes: of its ticks then none ran.
async fn with_missed(world: &World, bodies: &Bodies, words: &[(&str, &str)]) -> (Vec<i64>, Node) {
    let job = || vec![world.job("job", words, seconds(2), bodies)];
    let node = world.start(job()).await;
    world.sleep_to(10).await;
    let first = world.now_s() / 60 * 60 + 60;
    node.drain().await;
    world.env.sleep(seconds(600)).await;
    let node = world.start(job()).await;
    bodies.0.lock().unwrap().clear();
    ((0..10).map(|n| first + 60 * n).collect(), node)
}

#[tokio::test(start_paused = true)]
async fn a_backfill_runs_missed_ticks_in_order_while_the_schedule_goes_on() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let (missed, node) = with_missed(&world, &bodies, &[("schedule", EVERY_MINUTE)]).await;
    assert_eq!(
        world.last_word("job", missed[3]).await.outcome,
        Outcome::Missed
    );
    world.sleep_to(50).await;
    let end = world.now_s() + 3600;
    let planned = world
        .jobs
        .plan_backfill("job", missed[0]..=end)
        .await
        .unwrap();
    assert_eq!(planned.accepted, missed);
    assert_eq!(planned.not_over.len(), 60);
    assert!(bodies.all().is_empty());
    let done = world.jobs.backfill("job", missed[0]..=end).await.unwrap();
    assert_eq!(done.accepted, missed);
    let ended = world.until_over("job", &done.id).await;
    assert_eq!(ended.len(), 10);
    let of = |wanted| {
        let bodies = bodies.all().into_iter();
        let bodies = bodies.filter(move |(_, via, _)| *via == wanted);
        bodies.map(|(tick, ..)| tick).collect::<Vec<_>>()
    };
    assert_eq!(of(Via::Backfill), missed);
    assert!(!of(Via::Schedule).is_empty(), "{:?}", bodies.all());
    // The same key as the tick's own, so that what it does is done once.
    let body = bodies
        .all()
        .into_iter()
        .find(|(tick, ..)| *tick == missed[0]);
    assert_eq!(body.unwrap().2, format!("job@{}", missed[0]));
    // The record of the miss stays, and the last word is the run.
    let Because::Recorded { records } = world.why("job", missed[3]).await else {
        panic!("no record");
    };
    let outcomes: Vec<_> = records.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Missed, Outcome::Ran]);
    // Asked again, nothing runs again.
    let again = world
        .jobs
        .backfill("job", missed[0]..=missed[9])
        .await
        .unwrap();
    assert_eq!((again.accepted.len(), again.ran), (0, missed));
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn two_backfills_of_a_range_run_each_tick_once() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let (missed, node) = with_missed(&world, &bodies, &[("schedule", EVERY_MINUTE)]).await;
    let range = missed[0]..=missed[9];
    let (one, other) = tokio::join!(
        world.jobs.backfill("job", range.clone()),
        world.jobs.backfill("job", range.clone())
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.accepted.len() + other.accepted.len(), 10);
    assert_eq!(one.under_way.len() + other.under_way.len(), 10);
    for id in [&one.id, &other.id] {
        world.until_over("job", id).await;
    }
    let mut ticks = bodies.ticks();
    ticks.retain(|tick| missed.contains(tick));
    assert_eq!(ticks, missed);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_across_a_crash_goes_on_and_tries_again_only_if_told_to() {
    for (on_crash, outcome) in [("skip", Outcome::LostLease), ("retry", Outcome::Ran)] {
        let (world, bodies) = (World::new().await, Bodies::default());
        let words = [("schedule", "0 * * * *"), ("on_crash", on_crash)];
        let faulty = FaultyStore::new(
            Arc::new(world.store.clone()),
            world.env.clone(),
            Faults::none(),
        );
        let job = || vec![world.job("job", &words, seconds(10), &bodies)];
        let settings = |builder: Builder| builder.jobs(job()).run_ttl(seconds(10));
        let first = Node::try_start(&faulty, &world.env, settings)
            .await
            .unwrap();
        world.settle().await;
        let now_s = world.now_s();
        let done = world
            .jobs
            .backfill("job", now_s - 3 * 3600..=now_s)
            .await
            .unwrap();
        assert_eq!(done.accepted.len(), 3);
        while bodies.all().len() < 2 {
            world.env.sleep(Duration::from_millis(100)).await;
        }
        faulty.cut(first.coord.node());
        first.task.abort();
        let second = Node::try_start(&world.store, &world.env, settings)
            .await
            .unwrap();
        let ended = world.until_over("job", &done.id).await;
        let last = |tick| {
            ended
                .iter()
                .rfind(|record| record.end == tick)
                .unwrap()
                .outcome
        };
        let ticks = &done.accepted;
        assert_eq!(
            (last(ticks[0]), last(ticks[2])),
            (Outcome::Ran, Outcome::Ran),
            "{ended:?}"
        );
        assert_eq!(last(ticks[1]), outcome, "{on_crash}: {ended:?}");
        second.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_backfill_over_changes_of_the_clocks_runs_each_tick_once() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let words = [("schedule", "30 2 * * *"), ("tz", "Europe/Berlin")];
    let node = world
        .start(vec![world.job("job", &words, seconds(1), &bodies)])
        .await;
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let at = |text: &str| berlin.read(text).unwrap();
    // Clocks skip the tick of the one day, which runs at 03:00, and repeat that of the other.
    for (from, to, ticks) in [
        (
            "2024-03-30",
            "2024-04-01 23:00",
            ["2024-03-30 02:30", "2024-03-31 03:00", "2024-04-01 02:30"],
        ),
        (
            "2024-10-26",
            "2024-10-28 23:00",
            ["2024-10-26 02:30", "2024-10-27 02:30", "2024-10-28 02:30"],
        ),
    ] {
        bodies.0.lock().unwrap().clear();
        let done = world.jobs.backfill("job", at(from)..=at(to)).await.unwrap();
        assert_eq!(done.accepted, ticks.map(at));
        let ended = world.until_over("job", &done.id).await;
        assert_eq!(bodies.ticks(), ticks.map(at));
        let moved: Vec<_> = ended.iter().map(|record| record.moved_by_dst).collect();
        assert_eq!(
            moved,
            ticks.map(|tick| tick == "2024-03-31 03:00"),
            "{ended:?}"
        );
    }
    // A time that people may mean, of the day that has none.
    let why = world.jobs.why("job", at("2024-03-31 02:30")).await.unwrap();
    let text = why.to_string();
    assert!(
        text.starts_with("`job` at 2024-03-31 03:00:00+02:00 ran (attempt 1, backfilled)"),
        "{text}"
    );
    assert!(
        text.ends_with(", moved from a time that clocks skipped"),
        "{text}"
    );
    let text = world
        .jobs
        .why("job", at("2024-10-27 02:30") + 3600)
        .await
        .unwrap()
        .to_string();
    assert!(
        text.contains("2024-10-27 02:30:00+01:00 is not a tick of the schedule"),
        "{text}"
    );
    let listed = world.jobs.list().await.unwrap();
    assert_eq!(listed[0].zone, "Europe/Berlin");
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_range_that_cannot_be_meant_is_refused_with_what_can() {
    let (world, rows) = (World::new().await, Rows::default());
    let jobs = vec![
        counting("job", "* * * * * *", &rows),
        counting("off", "-", &rows),
    ];
    let node = world.start(jobs).await;
    let now_s = world.now_s();
    let too_many = now_s - 5000..=now_s - 1000;
    let error = world.jobs.backfill("job", too_many).await.unwrap_err();
    let Error::TooManyTicks { until, .. } = error else {
        panic!("{error}");
    };
    let done = world
        .jobs
        .plan_backfill("job", now_s - 5000..=until)
        .await
        .unwrap();
    assert_eq!(done.accepted.len(), 1000);
    assert!(
        error.to_string().contains("Z, and ask for the rest"),
        "{error}"
    );
    let reversed = world
        .jobs
        .backfill("job", now_s..=now_s - 1)
        .await
        .unwrap_err();
    assert!(matches!(reversed, Error::ReversedRange), "{reversed}");
    let off = world
        .jobs
        .backfill("off", now_s - 10..=now_s)
        .await
        .unwrap_err();
    assert!(matches!(off, Error::NoSchedule { .. }), "{off}");
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_runs_nothing_whose_record_was_dropped() {
    let (world, rows) = (World::new().await, Rows::default());
    let node = world
        .start(vec![counting("job", "* * * * * *", &rows)])
        .await;
    world.env.sleep(seconds(400)).await;
    let first = rows.take()[0].tick;
    let why = world.jobs.why("job", first).await.unwrap();
    assert!(matches!(why.because, Because::Forgotten { .. }), "{why}");
    let done = world
        .jobs
        .backfill("job", first..=first + 300)
        .await
        .unwrap();
    assert!(
        done.accepted.is_empty() && done.forgotten.contains(&first),
        "{done:?}"
    );
    assert_eq!(done.forgotten.len() + done.ran.len(), 301);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn why_has_an_answer_for_every_time() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let words = [
        ("schedule", EVERY_MINUTE),
        ("retries", "1"),
        ("backoff", "30s"),
    ];
    let (env, noted) = (world.env.clone(), bodies.clone());
    let failing = Job::from_macro("job", &[], &words, Vec::new(), move |ctx| {
        let body = (ctx.tick_unix_s(), ctx.via(), ctx.run_id());
        noted.0.lock().unwrap().push(body);
        let env = env.clone();
        async move {
            env.sleep(seconds(5)).await;
            Err("out of paper".into())
        }
    });
    let off = world.job("off", &[("schedule", "-")], seconds(1), &bodies);
    let pinned_words = [("schedule", EVERY_MINUTE), ("only_on", "gpu")];
    let pinned = world.job("pinned", &pinned_words, seconds(1), &bodies);
    let created = world.now_s();
    let node = world.start(vec![failing, off, pinned]).await;
    let said = async |job: &str, at: i64| world.jobs.why(job, at).await.unwrap().to_string();

    world.sleep_to(58).await;
    let tick = world.now_s() / 60 * 60 + 60;
    let text = said("job", tick).await;
    assert!(text.contains(" is not due yet, but in "), "{text}");
    world.sleep_to(2).await;
    let Because::Running { run, earlier } = world.why("job", tick).await else {
        panic!("{}", said("job", tick).await);
    };
    assert_eq!(
        (run.attempt, run.node, earlier.len()),
        (1, node.coord.node(), 0)
    );
    let Because::NoLabel { labels } = world.why("pinned", tick).await else {
        panic!("{}", said("pinned", tick).await);
    };
    assert_eq!(labels, ["gpu"]);
    world.sleep_to(10).await;
    let Because::Pending { run, earlier } = world.why("job", tick).await else {
        panic!("{}", said("job", tick).await);
    };
    assert_eq!((run.attempt, earlier.len()), (2, 1));
    let text = said("job", tick).await;
    assert!(
        text.contains("out of paper")
            && text.contains("; it is going to run (attempt 2), not before "),
        "{text}"
    );
    world.sleep_to(50).await;
    let record = world.last_word("job", tick).await;
    assert_eq!((record.attempt, record.outcome), (2, Outcome::Failed));
    let text = said("job", tick).await;
    assert!(text.contains("failed (attempt 2): out of paper"), "{text}");

    let text = said("job", tick + 1).await;
    assert!(
        text.contains(" is not a tick of the schedule: the nearest are "),
        "{text}"
    );
    assert!(matches!(world.why("off", tick).await, Because::NoSchedule));
    let before = (created / 60 - 2) * 60;
    assert!(matches!(
        world.why("job", before).await,
        Because::BeforeTheJob { .. }
    ));

    node.drain().await;
    world.env.sleep(seconds(200)).await;
    let due = world.now_s() / 60 * 60;
    assert!(
        matches!(world.why("job", due).await, Because::NoNode),
        "{}",
        said("job", due).await
    );
}

#[tokio::test(start_paused = true)]
async fn why_tells_a_full_node_a_run_in_the_way_and_a_clock_that_is_not_believed() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let late = [("schedule", EVERY_MINUTE), ("misfire", "run_once")];
    let jobs = vec![
        world.job("long", &late, seconds(300), &bodies),
        world.job("short", &late, seconds(1), &bodies),
    ];
    let settings = |builder: Builder| builder.jobs(jobs).concurrency(1);
    let node = Node::try_start(&world.store, &world.env, settings)
        .await
        .unwrap();
    world.settle().await;
    world.sleep_to(50).await;
    world.jobs.trigger("long").await.unwrap();
    world.env.sleep(seconds(15)).await;
    let due = world.now_s() / 60 * 60;
    let Because::Full { nodes } = world.why("short", due).await else {
        panic!("{}", world.jobs.why("short", due).await.unwrap());
    };
    assert_eq!(nodes[0].node, node.coord.node());
    let Because::Behind { run } = world.why("long", due).await else {
        panic!("{}", world.jobs.why("long", due).await.unwrap());
    };
    assert_eq!(run.via, Via::Trigger);
    node.drain().await;

    let node = world
        .start(vec![world.job("other", &late, seconds(1), &bodies)])
        .await;
    world.store.step_wall_clock(90_000_000);
    world.env.sleep(seconds(8)).await;
    let now_s = i64::try_from(world.store_now_us().await / 1_000_000).unwrap();
    let because = world.why("other", now_s / 60 * 60).await;
    assert!(matches!(because, Because::Held { .. }), "{because:?}");
    world.env.sleep(seconds(60)).await;
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn why_knows_an_earlier_schedule_a_node_that_is_about_to_and_a_lost_history() {
    let (world, bodies) = (World::new().await, Bodies::default());
    let job = |expression| vec![world.job("job", &[("schedule", expression)], seconds(1), &bodies)];
    let node = world.start(job("*/10 * * * *")).await;
    world.env.sleep(seconds(700)).await;
    let created = world.jobs.show("job").await.unwrap().created.unwrap();
    node.drain().await;
    // By the old schedule one tick of these was due, and is part of a range that was missed.
    world.env.sleep(seconds(660)).await;
    let faulty = FaultyStore::new(
        Arc::new(world.store.clone()),
        world.env.clone(),
        Faults::none(),
    );
    let settings = |builder: Builder| builder.jobs(job(EVERY_MINUTE));
    let node = Node::try_start(&faulty, &world.env, settings)
        .await
        .unwrap();
    world.env.sleep(seconds(60)).await;
    let since = world.jobs.show("job").await.unwrap().since.unwrap();
    let mut missed = 0;
    for tick in (created / 60 + 1..since / 60).map(|minute| minute * 60) {
        let because = world.why("job", tick).await;
        if tick % 600 == 0 {
            let record = world.last_word("job", tick).await;
            missed += i32::from(record.outcome == Outcome::Missed);
        } else {
            assert_eq!(because, Because::OtherSchedule { since }, "{tick}");
        }
    }
    assert_eq!(missed, 1);

    world.sleep_to(55).await;
    faulty.cut(node.coord.node());
    world.sleep_to(3).await;
    let due = world.now_s() / 60 * 60;
    let Because::Due { nodes } = world.why("job", due).await else {
        panic!("{}", world.jobs.why("job", due).await.unwrap());
    };
    assert_eq!(nodes[0].node, node.coord.node());
    faulty.heal(node.coord.node());
    world.env.sleep(seconds(400)).await;
    node.drain().await;

    // Moved to history, which is then lost.
    let register = |class, id| {
        let name = Class::internal(class).resource(id).unwrap();
        world.coord.register_of(name)
    };
    let ledger = register("~ledger", "job");
    let value = ledger.get().await.unwrap().unwrap().value;
    let mut value: serde_json::Value = serde_json::from_slice(&value).unwrap();
    value["out"] = serde_json::json!([]);
    ledger.put(&Put::new(value.to_string())).await.unwrap();
    let page = Put::new(r#"{"format":1,"records":[]}"#);
    register("~history", "job").put(&page).await.unwrap();
    let tick = since / 60 * 60 + 120;
    assert_eq!(world.why("job", tick).await, Because::Unrecorded);
}

impl World {
    async fn store_now_us(&self) -> u64 {
        let name = Class::internal("~control").resource("none").unwrap();
        let register = self.coord.register_of(name);
        let read = leasehold_core::RegisterHandle::read(&[register])
            .await
            .unwrap();
        read.now.wall_us
    }
}

#[test]
fn what_is_asked_over_a_network_that_loses_answers_happens_once() {
    replay(0..20, async |seed| {
        let (env, behind) = (Env::simulated(seed), MemoryStore::new());
        let faults = Faults {
            lost_requests: 100,
            lost_replies: 200,
            ..Faults::none()
        };
        let faulty = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        let (bodies, noted) = (Bodies::default(), Bodies::default());
        let job = {
            let noted = bodies.clone();
            Job::new("job", YEARLY, move |ctx| {
                let body = (ctx.tick_unix_s(), ctx.via(), ctx.run_id());
                noted.0.lock().unwrap().push(body);
                async { Ok::<(), BoxError>(()) }
            })
        };
        drop(noted);
        let node = Node::start(&behind, &env, vec![job]).await;
        env.sleep(seconds(7)).await;
        let coord = Coordinator::builder(faulty.clone(), "test").env(env.clone());
        let coord = coord.connect().await.unwrap();
        faulty.set_faults(faults);
        let jobs = Jobs::new(&coord);
        let asked = async || loop {
            match jobs.pause("job", "").await {
                Ok(is_new) => return is_new,
                // A read, which is not repeated.
                Err(error) => assert!(matches!(error, Error::Core(_)), "{error}"),
            }
        };
        assert!(asked().await);
        let mut ids = Vec::new();
        for n in 0..5 {
            let id = format!("{n}");
            while jobs.trigger_as("job", &id).await.is_err() {}
            ids.push(id);
            env.sleep(seconds(3)).await;
        }
        let now_s = i64::try_from(coord.store_now().wall_us / 1_000_000).unwrap();
        let done = loop {
            if let Ok(done) = jobs.backfill("job", 0..=now_s).await {
                break done;
            }
        };
        env.sleep(seconds(60)).await;
        let mut runs: Vec<_> = bodies
            .all()
            .into_iter()
            .map(|(.., run_id)| run_id)
            .collect();
        let count = runs.len();
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), count, "{runs:?}");
        // An earlier call that reported failure may have entered them: then this one found them under way.
        let ticks = done.accepted.len() + done.under_way.len() + done.ran.len();
        assert_eq!(count, ids.len() + ticks, "{runs:?} {done:?}");
        faulty.set_faults(Faults::none());
        node.drain().await;
    });
}
