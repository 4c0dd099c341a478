//! What users of other schedulers met, one test a failure, by its number in the list that this project keeps of them.
//! Those of expressions and zones are tests of `leasehold-cron`.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, NodeId, Put, RegisterReply};
use leasehold_scheduler::{
    BoxError, Builder, Job, JobContext, Outcome, Scheduler, TickRecord, history,
};
use support::{Node, Row, Rows, counting};

const EVERY_SECOND: &str = "* * * * * *";
const RUN_TTL: Duration = seconds(6);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A store, the network before it, and a client that meets no faults.
struct World {
    env: Env,
    store: MemoryStore,
    network: FaultyStore,
    observer: Coordinator,
}

impl World {
    async fn new() -> Self {
        let (env, store) = (Env::simulated(1), MemoryStore::new());
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

    /// A process with clocks of its own.
    async fn node(&self, jobs: Vec<Job>) -> (Node, Env) {
        self.drifting(0, jobs).await
    }

    async fn drifting(&self, drift_ppm: i32, jobs: Vec<Job>) -> (Node, Env) {
        let env = self.env.node_with_drift(drift_ppm);
        let settings = |builder: Builder| {
            let builder = builder.jobs(jobs).run_ttl(RUN_TTL);
            builder.leader_ttl(seconds(6)).drain(seconds(4))
        };
        let node = Node::try_start(&self.network, &env, settings).await;
        (node.unwrap(), env)
    }

    async fn records(&self, job: &str) -> Vec<TickRecord> {
        history(&self.observer, job).await.unwrap()
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.store.time(&self.env).wall_us / 1_000_000).unwrap()
    }

    async fn pass(&self, time: Duration) {
        self.env.sleep(time).await;
    }

    /// A job that notes its start and then takes a while.
    fn taking(&self, name: &str, expression: &str, takes: Duration, rows: &Rows) -> Job {
        let (env, rows) = (self.env.clone(), rows.clone());
        Job::new(name, expression, move |ctx| {
            rows.add(&ctx);
            let env = env.clone();
            async move {
                env.sleep(takes).await;
                Ok::<(), BoxError>(())
            }
        })
    }
}

/// Notes the end of a body, whatever ends it.
struct Stopping(Rows, JobContext);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.add(&self.1);
    }
}

/// A node that is gone without a word.
fn kill((node, env): (Node, Env)) {
    env.pause();
    std::mem::forget(node);
}

/// The ticks, each of which started once, under fences that rise.
fn once(mut rows: Vec<Row>) -> Vec<i64> {
    rows.sort_by_key(|row| row.tick);
    for pair in rows.windows(2) {
        assert!(pair[0].tick < pair[1].tick, "started twice: {pair:?}");
        assert!(pair[0].fence < pair[1].fence, "{pair:?}");
    }
    rows.iter().map(|row| row.tick).collect()
}

fn none_is_missing(ticks: &[i64]) {
    for pair in ticks.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "{ticks:?}");
    }
}

/// ShedLock#231: clocks differed by more than the lock was held at least, and both nodes ran the tick.
#[tokio::test(start_paused = true)]
async fn s01_clocks_that_differ_run_no_tick_twice_and_none_before_its_time() {
    let world = World::new().await;
    let early = Arc::new(Mutex::new(Vec::new()));
    let rows = Rows::default();
    let job = || {
        let (store, env) = (world.store.clone(), world.env.clone());
        let (rows, early) = (rows.clone(), Arc::clone(&early));
        let job = Job::new("job", EVERY_SECOND, move |ctx| {
            rows.add(&ctx);
            let now_us = store.time(&env).wall_us;
            if now_us < u64::try_from(ctx.tick_unix_s()).unwrap() * 1_000_000 {
                early.lock().unwrap().push(ctx.tick_unix_s());
            }
            async { Ok::<(), BoxError>(()) }
        });
        vec![job]
    };
    // After ten minutes more than a second apart.
    let mut nodes = Vec::new();
    for drift_ppm in [-2000, 0, 2000] {
        nodes.push(world.drifting(drift_ppm, job()).await.0);
    }
    world.pass(seconds(600)).await;
    for node in nodes {
        node.drain().await;
    }
    let ticks = once(rows.take());
    none_is_missing(&ticks);
    assert!(ticks.len() >= 598, "{}", ticks.len());
    assert_eq!(*early.lock().unwrap(), [0; 0], "before their time");
}

/// ShedLock#132: a node stood still for longer than its lease lasts, another one took over, and both had their effect.
#[tokio::test(start_paused = true)]
async fn s02_a_run_that_stood_still_for_longer_than_its_lease_has_no_effect() {
    let world = World::new().await;
    // Each run has one effect, at its end: a write that says under which fence it works.
    let effects: Arc<Mutex<Vec<(NodeId, i64, bool)>>> = Arc::default();
    let started = Rows::default();
    let job = |env: &Env| {
        let (effects, rows, env) = (Arc::clone(&effects), started.clone(), env.clone());
        let job = Job::new("job", "*/2 * * * * *", move |ctx| {
            let (effects, env) = (Arc::clone(&effects), env.clone());
            rows.add(&ctx);
            async move {
                env.sleep(seconds(1)).await;
                let coord = ctx.coordinator();
                let put = Put::new(ctx.run_id()).fenced(ctx.fence());
                let reply = coord.register("balance").unwrap().put(&put).await?;
                let is_done = matches!(reply, RegisterReply::Written { .. });
                let effect = (coord.node(), ctx.tick_unix_s(), is_done);
                effects.lock().unwrap().push(effect);
                Ok::<(), BoxError>(())
            }
        });
        vec![job]
    };
    let env = world.env.node();
    let frozen = Node::try_start(&world.network, &env, |b| b.jobs(job(&env)).run_ttl(RUN_TTL));
    let frozen = frozen.await.unwrap();
    while started.take().is_empty() {
        world.pass(Duration::from_millis(10)).await;
    }
    env.pause();
    let stood = world.now_s();
    let other = world.node(job(&world.env)).await.0;
    world.pass(RUN_TTL * 3).await;
    env.resume();
    world.pass(seconds(5)).await;
    frozen.drain().await;
    other.drain().await;
    let effects = effects.lock().unwrap().clone();
    let stale = |(_, tick, is_done): &&(NodeId, i64, bool)| *tick <= stood && *is_done;
    assert_eq!(effects.iter().find(stale), None, "{effects:?}");
    let fresh = effects.iter().filter(|(.., is_done)| *is_done);
    assert!(fresh.count() > 3, "{effects:?}");
    let records = world.records("job").await;
    let lost = records
        .iter()
        .find(|record| record.outcome == Outcome::LostLease);
    assert!(lost.is_some_and(|lost| lost.end <= stood), "{records:?}");
}

/// gocron#841: a job was so quick that it was over, its lock free, before the slower node looked: it ran again.
#[tokio::test(start_paused = true)]
async fn s03_a_tick_that_is_over_is_not_run_again_by_a_node_that_comes_late_to_it() {
    let world = World::new().await;
    let rows = Rows::default();
    let job = || vec![counting("job", EVERY_SECOND, &rows)];
    let (quick, _) = world.node(job()).await;
    let (slow, _) = world.node(job()).await;
    // What it is told is up to two seconds old, which is no misfire yet.
    for _ in 0..20 {
        world.network.cut(slow.coord.node());
        world.pass(seconds(2)).await;
        world.network.heal(slow.coord.node());
        world.pass(seconds(1)).await;
    }
    quick.drain().await;
    slow.drain().await;
    let ticks = once(rows.take());
    none_is_missing(&ticks);
    assert!(ticks.len() > 55, "{}", ticks.len());
}

/// oban#1488, oban-py#32: a stale leader renewed itself by its name, and three processes of one host, all of that name, led.
#[tokio::test(start_paused = true)]
async fn s04_nodes_of_one_name_have_one_leader_and_a_stale_one_leads_no_more() {
    let world = World::new().await;
    let rows = Rows::default();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        // All have this process's name.
        nodes.push(world.node(vec![counting("job", EVERY_SECOND, &rows)]).await);
        world.pass(seconds(1)).await;
    }
    let mut leading = Vec::new();
    for (node, _) in &nodes {
        let election = node.coord.election("any other").unwrap();
        leading.extend(election.try_lead().await);
    }
    assert_eq!(leading.len(), 1, "by name, each leads");
    let leader = async || Scheduler::leader(&world.observer).await.unwrap();
    let first = leader().await.unwrap();
    world.pass(seconds(60)).await;
    assert_eq!(
        leader().await.unwrap().term,
        first.term,
        "who leads goes on"
    );
    // The first one that started leads; it stands still for longer than its term lasts without it.
    nodes[0].1.pause();
    world.pass(seconds(20)).await;
    let second = leader().await.unwrap();
    assert!(second.term > first.term);
    nodes[0].1.resume();
    leading[0].lost().await;
    for _ in 0..30 {
        world.pass(seconds(1)).await;
        assert_eq!(
            leader().await.unwrap().term,
            second.term,
            "a stale one leads"
        );
    }
    for (node, _) in nodes {
        node.drain().await;
    }
    let rows = rows.take();
    let terms: Vec<_> = rows.iter().map(|row| row.term).collect();
    assert!(terms.is_sorted(), "{terms:?}");
    once(rows);
}

/// dkron#1210, #998: ticks were lost, or schedules stopped for good, after another leader was elected.
#[tokio::test(start_paused = true)]
async fn s05_no_tick_is_lost_and_no_schedule_stops_when_leaders_go() {
    let world = World::new().await;
    let rows = Rows::default();
    let job = || vec![counting("job", EVERY_SECOND, &rows)];
    let mut nodes = vec![world.node(job()).await, world.node(job()).await];
    for _ in 0..8 {
        // The oldest one leads, or has just begun to.
        nodes.push(world.node(job()).await);
        world.pass(seconds(7)).await;
        kill(nodes.remove(0));
        world.pass(seconds(7)).await;
    }
    for (node, _) in nodes {
        node.drain().await;
    }
    let ticks = once(rows.take());
    none_is_missing(&ticks);
    assert!(ticks.len() > 110, "{}", ticks.len());
    let terms = world.records("job").await;
    let ran = terms.iter().filter(|record| record.outcome == Outcome::Ran);
    assert_eq!(ran.count(), ticks.len());
}

/// apscheduler#864: the lock of a run was not renewed while it worked, and another node ran it again.
#[tokio::test(start_paused = true)]
async fn s08_a_run_that_takes_many_leases_keeps_its_own_and_runs_once() {
    let world = World::new().await;
    let rows = Rows::default();
    let takes = RUN_TTL * 5;
    let job = || vec![world.taking("job", "0 * * * * *", takes, &rows)];
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(world.node(job()).await.0);
    }
    world.pass(seconds(60 * 5 + 40)).await;
    for node in nodes {
        node.drain().await;
    }
    let ticks = once(rows.take());
    assert!((5..=6).contains(&ticks.len()), "{ticks:?}");
    let records = world.records("job").await;
    assert_eq!(records.len(), ticks.len(), "{records:?}");
    for record in records {
        assert_eq!(record.outcome, Outcome::Ran, "{record:?}");
    }
}

/// redbeat#83, #85: a lock was gone while its holder believed that it held it; another node was stuck, and never got it.
#[tokio::test(start_paused = true)]
async fn s09_a_run_whose_lease_is_deleted_is_told_and_the_next_one_starts() {
    let world = World::new().await;
    let (rows, stopped) = (Rows::default(), Rows::default());
    let job = || {
        let (rows, stopped) = (rows.clone(), stopped.clone());
        let job = Job::new("job", "*/10 * * * * *", move |ctx| {
            rows.add(&ctx);
            let stopping = Stopping(stopped.clone(), ctx);
            async move {
                let _stopping = stopping;
                std::future::pending::<Result<(), BoxError>>().await
            }
        });
        vec![job]
    };
    let nodes = [world.node(job()).await.0, world.node(job()).await.0];
    while rows.take().is_empty() {
        world.pass(Duration::from_millis(100)).await;
    }
    let records = world.store.records("test");
    let run = records.keys().find(|name| name.class() == "~run");
    assert!(world.store.delete_holders("test", run.unwrap()));
    world.pass(seconds(1)).await;
    assert_eq!(stopped.take().len(), 1, "it works on without its lease");
    let records = world.records("job").await;
    assert_eq!(records[0].outcome, Outcome::LostLease, "{records:?}");
    world.pass(seconds(10)).await;
    assert_eq!(rows.take().len(), 1, "the next tick is stuck");
    for node in nodes {
        node.drain().await;
    }
}

/// bullmq#2643: each run made the next one; when that went wrong once, the chain was broken, and the job never ran again.
#[tokio::test(start_paused = true)]
async fn s10_whatever_goes_wrong_with_one_tick_there_is_a_next_one() {
    let world = World::new().await;
    let rows = Rows::default();
    let job = || {
        let rows = rows.clone();
        let job = Job::new("job", EVERY_SECOND, move |ctx| {
            rows.add(&ctx);
            assert!(ctx.tick_unix_s() % 3 > 0, "planned");
            async move {
                let is_bad = ctx.tick_unix_s() % 3 == 1;
                if is_bad {
                    Err(BoxError::from("planned"))
                } else {
                    Ok(())
                }
            }
        });
        vec![job]
    };
    let first = world.node(job()).await;
    let second = world.node(job()).await;
    let goes_on = async |what: &str| {
        world.pass(seconds(12)).await;
        rows.take();
        world.pass(seconds(10)).await;
        let ticks = once(rows.take());
        assert!(ticks.len() >= 10, "after {what}: {ticks:?}");
        none_is_missing(&ticks);
    };
    goes_on("bodies that fail and panic").await;
    world.network.set_faults(Faults {
        lost_requests: 300,
        lost_replies: 600,
        late_copies: 500,
        late_by: seconds(3),
        ..Faults::mild()
    });
    world.pass(seconds(30)).await;
    world.network.set_faults(Faults::none());
    goes_on("answers that were lost").await;
    world.network.outage();
    world.pass(seconds(60)).await;
    world.network.recover();
    goes_on("a store that was away").await;
    kill(first);
    goes_on("a node that died").await;
    world.store.restart();
    goes_on("a store that lost all").await;
    second.0.drain().await;
    world.pass(seconds(60)).await;
    let third = world.node(job()).await.0;
    goes_on("a while without any node").await;
    third.drain().await;
}

/// db-scheduler#365: a node that shut down gave up what it was running, and another one ran it, too.
#[tokio::test(start_paused = true)]
async fn s11_a_node_that_shuts_down_runs_what_it_began_and_nobody_else_does() {
    let world = World::new().await;
    let (long, quick) = (Rows::default(), Rows::default());
    let jobs = || {
        vec![
            world.taking("long", "*/2 * * * * *", Duration::from_millis(2500), &long),
            counting("quick", EVERY_SECOND, &quick),
        ]
    };
    let mut nodes = vec![world.node(jobs()).await.0, world.node(jobs()).await.0];
    for _ in 0..12 {
        nodes.push(world.node(jobs()).await.0);
        world.pass(Duration::from_millis(3300)).await;
        nodes.remove(0).drain().await;
    }
    for node in nodes {
        node.drain().await;
    }
    none_is_missing(&once(quick.take()));
    let ticks = once(long.take());
    let records = world.records("long").await;
    let runs: Vec<_> = records.iter().filter(|record| record.attempt > 0).collect();
    assert!(
        runs.iter().all(|run| run.outcome == Outcome::Ran),
        "{runs:?}"
    );
    assert_eq!(runs.len(), ticks.len());
    assert!(ticks.len() > 10, "{ticks:?}");
}

/// graphile/worker#211: during a rolling deploy old and new nodes each ran their own schedule: the job ran by both.
#[tokio::test(start_paused = true)]
async fn s17_a_rolling_deploy_runs_by_one_schedule_at_a_time() {
    let world = World::new().await;
    let rows = Rows::default();
    let old = || vec![counting("job", "0,20,40 * * * * *", &rows)];
    let new = || vec![counting("job", "10,30,50 * * * * *", &rows)];
    let mut nodes = vec![world.node(old()).await.0, world.node(old()).await.0];
    nodes.push(world.node(old()).await.0);
    world.pass(seconds(60)).await;
    for _ in 0..3 {
        nodes.push(world.node(new()).await.0);
        world.pass(seconds(8)).await;
        nodes.remove(0).drain().await;
        world.pass(seconds(8)).await;
    }
    world.pass(seconds(90)).await;
    for node in nodes {
        node.drain().await;
    }
    let ticks = once(rows.take());
    let is_new = |tick: &i64| tick % 20 == 10;
    let change = ticks
        .iter()
        .position(is_new)
        .expect("the new one is in force");
    assert!(change >= 3, "{ticks:?}");
    assert!(ticks[change..].iter().all(is_new), "both: {ticks:?}");
    for pair in ticks.windows(2) {
        assert!(pair[1] - pair[0] <= 40, "between the two: {ticks:?}");
    }
    let change = ticks[change];
    for record in world.records("job").await {
        let by_both = record.start < change && record.end > change;
        assert!(!by_both, "{record:?}");
    }
}

/// db-scheduler's "unresolved tasks": a node of the older version did not know a job's name, and deleted or failed it.
#[tokio::test(start_paused = true)]
async fn s18_nodes_that_do_not_know_a_job_leave_it_to_those_that_do() {
    let world = World::new().await;
    let (known, newer) = (Rows::default(), Rows::default());
    let old = || vec![counting("known", EVERY_SECOND, &known)];
    let new = || {
        vec![
            counting("known", EVERY_SECOND, &known),
            counting("newer", EVERY_SECOND, &newer),
        ]
    };
    // Two older ones, one of which leads.
    let nodes = [world.node(old()).await.0, world.node(old()).await.0];
    let one = world.node(new()).await.0;
    world.pass(seconds(20)).await;
    let before = once(newer.take());
    none_is_missing(&before);
    assert!(before.len() >= 19, "{before:?}");
    // For a while only the older ones are there.
    one.drain().await;
    world.pass(seconds(100)).await;
    assert_eq!(newer.take(), []);
    let again = world.node(new()).await.0;
    world.pass(seconds(20)).await;
    let after = once(newer.take());
    none_is_missing(&after);
    assert!(after.len() >= 19, "{after:?}");
    again.drain().await;
    for node in nodes {
        node.drain().await;
    }
    none_is_missing(&once(known.take()));
    // Each of its ticks is accounted for, from the first one on.
    let mut next = before[0];
    for record in world.records("newer").await {
        assert_eq!(record.start, next, "{record:?}");
        next = record.end + 1;
        let expected = if record.attempt > 0 {
            Outcome::Ran
        } else {
            Outcome::Missed
        };
        assert_eq!(record.outcome, expected, "{record:?}");
    }
    assert!(next > *after.last().unwrap());
}
