//! A fleet over a network that loses, delays, repeats and cuts, with nodes that crash, in simulated time. A failing
//! seed is printed; `LEASEHOLD_SEED=n cargo test -p leasehold-scheduler --test faults` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::future_not_send, reason = "a simulation runs on one thread")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Class, Coordinator, Env, Expect, Fence, Moment, Put, RegisterHandle, replay};
use leasehold_scheduler::{BoxError, Builder, Job, JobContext, Outcome, TickRecord, history};
use support::{Node, Rows, counting};

const RUN_TTL: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);
const EVERY_SECOND: &str = "* * * * * *";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A body, from its start to its end, whatever ended it.
#[derive(Debug, Clone, Copy)]
struct Body {
    tick: i64,
    fence: u64,
    /// From the nominal time to the start, on the store's clock.
    late: Duration,
    started: Moment,
    ended: Option<Moment>,
}

/// The bodies of a job.
#[derive(Clone, Default)]
struct Bodies(Arc<Mutex<Vec<Body>>>);

struct Ending(Bodies, usize, Env);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.0.lock().unwrap()[self.1].ended = Some(self.2.now());
    }
}

impl Bodies {
    fn start(&self, ctx: &JobContext, observer: &Coordinator) -> Ending {
        let now_us = observer.store_now().wall_us;
        let due_us = u64::try_from(ctx.tick_unix_s()).unwrap() * 1_000_000;
        let mut bodies = self.0.lock().unwrap();
        bodies.push(Body {
            tick: ctx.tick_unix_s(),
            fence: ctx.fence().get(),
            late: Duration::from_micros(
                now_us.checked_sub(due_us).expect("started before its time"),
            ),
            started: observer.env().now(),
            ended: None,
        });
        Ending(self.clone(), bodies.len() - 1, observer.env().clone())
    }

    fn all(&self) -> Vec<Body> {
        self.0.lock().unwrap().clone()
    }
}

struct World {
    env: Env,
    faulty: FaultyStore,
    behind: MemoryStore,
    /// A client that meets no faults.
    observer: Coordinator,
}

impl World {
    async fn new(seed: u64) -> Self {
        let (env, behind) = (Env::simulated(seed), MemoryStore::new());
        let faulty = FaultyStore::new(Arc::new(behind.clone()), env.clone(), Faults::none());
        let observer = Coordinator::builder(behind.clone(), "test").env(env.clone());
        let observer = observer.connect().await.unwrap();
        Self {
            env,
            faulty,
            behind,
            observer,
        }
    }

    fn job(&self, name: &str, bodies: &Bodies, takes: Duration) -> Job {
        let (bodies, observer) = (bodies.clone(), self.observer.clone());
        Job::new(name, EVERY_SECOND, move |ctx| {
            let ending = bodies.start(&ctx, &observer);
            let env = observer.env().clone();
            async move {
                let _ending = ending;
                env.sleep(takes).await;
                Ok::<(), BoxError>(())
            }
        })
    }

    /// Starts a node, however often the store has to be asked.
    async fn start(&self, settings: impl Fn(Builder) -> Builder) -> Node {
        loop {
            let node =
                Node::try_start(&self.faulty, &self.env, |b| settings(b.run_ttl(RUN_TTL))).await;
            match node {
                Ok(node) => return node,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
        }
    }

    async fn history(&self, job: &str) -> Vec<TickRecord> {
        history(&self.observer, job).await.unwrap()
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.observer.store_now().wall_us / 1_000_000).unwrap()
    }

    fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_millis(self.env.random(u64::try_from(longest.as_millis()).unwrap()))
    }

    fn ledger(&self, job: &str) -> RegisterHandle {
        let name = Class::internal("~ledger").resource(job).unwrap();
        self.observer.register_of(name)
    }

    /// What of a node is left after a crash: nothing that anybody could see.
    fn crash(&self, node: &Node) {
        self.faulty.cut(node.coord.node());
        node.task.abort();
    }
}

fn assert_no_tick_started_twice(bodies: &[Body]) {
    let mut bodies = bodies.to_vec();
    bodies.sort_by_key(|body| body.tick);
    for pair in bodies.windows(2) {
        assert!(pair[0].tick < pair[1].tick, "started twice: {pair:?}");
        assert!(
            pair[0].fence < pair[1].fence,
            "the order of fences: {pair:?}"
        );
    }
}

fn assert_one_body_at_a_time_and_none_too_late(bodies: &[Body]) {
    let mut bodies = bodies.to_vec();
    bodies.sort_by_key(|body| body.started);
    for pair in bodies.windows(2) {
        assert!(
            pair[0].ended <= Some(pair[1].started) && pair[0].ended.is_some(),
            "{pair:?}"
        );
    }
    for body in bodies {
        assert!(body.late < GRACE + seconds(1), "{body:?}");
    }
}

/// Every tick from the first to the last ended in one record, and in no other; runs in that of their body.
fn assert_every_tick_accounted_for(records: &[TickRecord], bodies: &[Body]) {
    let mut ends: BTreeMap<i64, &TickRecord> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.late) {
        for tick in record.start..=record.end {
            let other = ends.insert(tick, record);
            assert_eq!(other, None, "ended twice: {record:?}");
        }
    }
    for late in records.iter().filter(|record| record.late) {
        // What a run became after it had been given up, beside the record that says so; nothing else is noted twice.
        let given_up = ends
            .get(&late.end)
            .map(|record| (record.outcome, record.fence));
        assert_eq!(given_up, Some((Outcome::LostLease, late.fence)), "{late:?}");
    }
    let ticks: Vec<_> = ends.keys().copied().collect();
    let gaps: Vec<_> = ticks
        .windows(2)
        .filter(|pair| pair[0] + 1 != pair[1])
        .collect();
    assert!(gaps.is_empty(), "no record between {gaps:?}");
    for body in bodies {
        let record = ends
            .get(&body.tick)
            .unwrap_or_else(|| panic!("no record of {body:?}"));
        assert_eq!(record.fence, Some(body.fence), "{body:?}");
        assert!(
            matches!(
                record.outcome,
                Outcome::Ran | Outcome::LostLease | Outcome::Failed
            ),
            "{record:?}"
        );
    }
    for (tick, record) in ends {
        let ran = bodies.iter().any(|body| body.tick == tick);
        assert!(
            ran || record.outcome != Outcome::Ran,
            "a run without a body: {record:?}"
        );
    }
}

async fn weather(seed: u64) {
    let world = World::new(seed).await;
    let env = &world.env;
    let (quick, slow) = (Bodies::default(), Bodies::default());
    let jobs = |builder: Builder| {
        builder
            .jobs([world.job("quick", &quick, Duration::ZERO)])
            .jobs([world.job("slow", &slow, Duration::from_millis(2500))])
    };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(world.start(jobs).await);
    }
    let faults = match seed % 3 {
        0 => Faults::mild(),
        1 => Faults::wild(),
        // Above all, claims whose answer is lost, and which come again.
        _ => Faults {
            lost_replies: 400,
            late_copies: 500,
            late_by: seconds(20),
            ..Faults::mild()
        },
    };
    world.faulty.set_faults(faults);
    env.sleep(world.up_to(seconds(20))).await;
    // A node is cut off, claims under way or not, and comes back.
    let node = nodes[0].coord.node();
    world.faulty.cut(node);
    env.sleep(seconds(20)).await;
    world.faulty.heal(node);
    env.sleep(world.up_to(seconds(10))).await;
    // One crashes, and another takes its place.
    world.crash(&nodes.remove(1));
    env.sleep(world.up_to(seconds(3))).await;
    nodes.push(world.start(jobs).await);
    env.sleep(world.up_to(seconds(15))).await;
    world.faulty.outage();
    env.sleep(world.up_to(seconds(8))).await;
    world.faulty.recover();
    env.sleep(seconds(10)).await;
    world.faulty.set_faults(Faults::none());
    let healed = world.now_s();
    env.sleep(seconds(40)).await;
    let until = world.now_s();
    for node in nodes {
        node.drain().await;
    }
    // Late copies, too, have come by now.
    env.sleep(seconds(20)).await;

    for (job, bodies) in [("quick", &quick), ("slow", &slow)] {
        let (records, bodies) = (world.history(job).await, bodies.all());
        assert!(bodies.len() > 10, "{} of {job}", bodies.len());
        assert_no_tick_started_twice(&bodies);
        assert_one_body_at_a_time_and_none_too_late(&bodies);
        assert_every_tick_accounted_for(&records, &bodies);
    }
    // Healed, and the last lost run's lease over: every tick runs, and in time.
    let settled = healed + i64::try_from((RUN_TTL + GRACE).as_secs()).unwrap();
    for tick in settled..until - 1 {
        let body = quick.all().into_iter().find(|body| body.tick == tick);
        let body = body.unwrap_or_else(|| panic!("tick {tick} did not run, healed at {healed}"));
        assert!(body.late < seconds(1), "{body:?}");
    }
}

#[test]
fn no_tick_starts_twice_and_each_is_accounted_for_in_any_weather() {
    replay(0..30, async |seed| weather(seed).await);
}

#[test]
fn a_claim_whose_answer_is_lost_is_made_once() {
    replay(0..10, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, Duration::from_millis(300))]);
        let nodes = [
            world.start(jobs).await,
            world.start(jobs).await,
            world.start(jobs).await,
        ];
        world.faulty.set_faults(Faults {
            lost_replies: 700,
            late_copies: 1000,
            late_by: seconds(10),
            push_delay: Duration::ZERO,
            ..Faults::mild()
        });
        world.env.sleep(seconds(60)).await;
        world.faulty.set_faults(Faults::none());
        world.env.sleep(seconds(12)).await;
        for node in nodes {
            node.drain().await;
        }
        let (records, bodies) = (world.history("job").await, bodies.all());
        assert_no_tick_started_twice(&bodies);
        assert_one_body_at_a_time_and_none_too_late(&bodies);
        assert_every_tick_accounted_for(&records, &bodies);
        assert!(bodies.len() > 5, "{}", bodies.len());
    });
}

#[test]
fn a_tick_whose_claim_took_too_long_is_missed_and_not_started_late() {
    replay(0..20, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let job = |b: Builder| {
            b.run_ttl(seconds(120))
                .jobs([world.job("job", &bodies, Duration::ZERO)])
        };
        let node = world.start(job).await;
        world.faulty.set_faults(Faults {
            delay_before: Duration::from_millis(300),
            ..Faults::none()
        });
        world.env.sleep(seconds(5) + world.up_to(seconds(1))).await;
        world.faulty.outage();
        world.env.sleep(seconds(30)).await;
        world.faulty.recover();
        world.env.sleep(seconds(10)).await;
        node.drain().await;
        let (records, bodies) = (world.history("job").await, bodies.all());
        assert_one_body_at_a_time_and_none_too_late(&bodies);
        assert_every_tick_accounted_for(&records, &bodies);
        assert!(bodies.iter().any(|body| body.tick > world.now_s() - 8));
    });
}

#[test]
fn a_claim_decided_after_the_end_starts_nothing() {
    replay(0..20, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let job = |b: Builder| {
            b.run_ttl(seconds(120)).drain(seconds(1)).jobs([world.job(
                "job",
                &bodies,
                Duration::ZERO,
            )])
        };
        let node = world.start(job).await;
        world.faulty.set_faults(Faults {
            delay_before: Duration::from_millis(300),
            ..Faults::none()
        });
        world.env.sleep(seconds(5) + world.up_to(seconds(1))).await;
        world.faulty.outage();
        node.stop.send(true).unwrap();
        node.task.await.unwrap();
        let ended = world.env.now();
        world.faulty.recover();
        world.env.sleep(seconds(10)).await;
        let after = bodies.all().into_iter().find(|body| body.started >= ended);
        assert!(after.is_none(), "{after:?}");
    });
}

#[test]
fn a_ledger_that_was_rolled_back_or_lost_runs_no_tick_again() {
    replay(0..12, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, Duration::ZERO)]);
        let nodes = [world.start(jobs).await, world.start(jobs).await];
        world.env.sleep(seconds(10)).await;
        let ledger = world.ledger("job");
        let old = ledger.get().await.unwrap().unwrap();
        // Half a second after a tick: what only the node that ran it has seen, and told nobody, nobody can know.
        let ticks = world.env.random(4);
        world
            .env
            .sleep(seconds(ticks) + Duration::from_millis(500))
            .await;
        let put = match seed % 2 {
            0 => Put::new(old.value),
            _ => Put::new("").ttl(Duration::from_micros(1)),
        };
        ledger.put(&put).await.unwrap();
        world.env.sleep(seconds(20)).await;
        for node in nodes {
            node.drain().await;
        }
        let bodies = bodies.all();
        assert!(
            bodies.iter().any(|body| body.tick > world.now_s() - 5),
            "still running"
        );
        assert_no_tick_started_twice(&bodies);
        let unknown = world
            .history("job")
            .await
            .into_iter()
            .filter(|r| r.outcome == Outcome::Unknown);
        assert_eq!(unknown.count(), 1);
    });
}

#[test]
fn a_claim_whose_lease_ended_before_its_answer_starts_nothing() {
    replay(0..20, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let ttl = seconds(1);
        let jobs = |b: Builder| {
            let job = world.job("job", &bodies, Duration::ZERO);
            b.run_ttl(ttl).grace(seconds(30)).jobs([job])
        };
        let node = world.start(jobs).await;
        world.faulty.set_faults(Faults {
            delay_before: Duration::from_millis(300),
            ..Faults::none()
        });
        for _ in 0..5 {
            world.env.sleep(world.up_to(seconds(3))).await;
            world.faulty.outage();
            world.env.sleep(seconds(2)).await;
            world.faulty.recover();
        }
        world.env.sleep(seconds(3)).await;
        node.drain().await;
        let (records, bodies) = (world.history("job").await, bodies.all());
        assert_every_tick_accounted_for(&records, &bodies);
        // These bodies take no time: whichever started under its lease has ended under it.
        for body in &bodies {
            let record = records
                .iter()
                .find(|r| r.fence == Some(body.fence))
                .unwrap();
            assert_ne!(record.outcome, Outcome::LostLease, "{record:?}");
        }
    });
}

#[test]
fn a_run_whose_end_is_slow_to_record_is_not_taken_for_lost() {
    replay(0..10, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, Duration::from_millis(400))]);
        let nodes = [world.start(jobs).await, world.start(jobs).await];
        for _ in 0..5 {
            world.env.sleep(seconds(2) + world.up_to(seconds(1))).await;
            let node = nodes[usize::try_from(world.env.random(2)).unwrap()]
                .coord
                .node();
            world.faulty.cut(node);
            world.env.sleep(RUN_TTL / 3).await;
            world.faulty.heal(node);
        }
        world.env.sleep(seconds(5)).await;
        for node in nodes {
            node.drain().await;
        }
        let (records, bodies) = (world.history("job").await, bodies.all());
        assert_every_tick_accounted_for(&records, &bodies);
        let lost = records.iter().find(|r| r.outcome == Outcome::LostLease);
        // A claim that was not known to be made by then is lost, and has no body.
        let is_known = |fence| bodies.iter().any(|body| Some(body.fence) == fence);
        assert!(lost.is_none_or(|r| !is_known(r.fence)), "{lost:?}");
    });
}

#[test]
fn a_body_that_does_not_end_is_stopped_before_its_lease_passes_on() {
    replay(0..10, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, seconds(3600))]);
        let first = world.start(jobs).await;
        world.env.sleep(seconds(3)).await;
        let second = world.start(jobs).await;
        world.env.sleep(world.up_to(seconds(8))).await;
        world.faulty.cut(first.coord.node());
        world.env.sleep(RUN_TTL * 2).await;
        let bodies = bodies.all();
        let (stopped, next) = (bodies[0].ended, bodies[1].started);
        assert!(stopped.is_some_and(|stopped| stopped <= next), "{bodies:?}");
        world.crash(&first);
        world.crash(&second);
    });
}

#[test]
fn a_claim_that_lost_to_another_write_starts_nothing() {
    replay(0..20, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| {
            let job = world.job("job", &bodies, seconds(3600));
            b.run_ttl(seconds(1)).grace(seconds(30)).jobs([job])
        };
        let node = world.start(jobs).await;
        world.faulty.set_faults(Faults {
            delay_before: Duration::from_millis(100),
            ..Faults::none()
        });
        // Another node's writes, which leave the ledger as it is: the node's own entry, too, whose lease has ended.
        let touching = {
            let (ledger, env) = (world.ledger("job"), world.env.clone());
            world.env.spawn(async move {
                loop {
                    if let Some(found) = ledger.get().await.unwrap() {
                        let same = Put::new(found.value).expect(Expect::Version(found.version));
                        ledger.put(&same).await.unwrap();
                    }
                    env.sleep(Duration::from_millis(150)).await;
                }
            })
        };
        for _ in 0..10 {
            world.env.sleep(world.up_to(seconds(2))).await;
            world.faulty.cut(node.coord.node());
            world.env.sleep(Duration::from_millis(1500)).await;
            world.faulty.heal(node.coord.node());
        }
        world.env.sleep(seconds(3)).await;
        touching.abort();
        let bodies = bodies.all();
        assert!(bodies.len() > 2, "{}", bodies.len());
        assert_no_tick_started_twice(&bodies);
        world.crash(&node);
    });
}

#[test]
fn fences_of_runs_rise_from_node_to_node_whatever_clock_one_of_them_has_seen() {
    replay(0..5, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, Duration::ZERO)]);
        let nodes = [world.start(jobs).await, world.start(jobs).await];
        world.env.sleep(seconds(5)).await;
        // As after a store's clock that ran an hour ahead, and was set right.
        let ahead_us = world.observer.store_now().wall_us + 3_600_000_000;
        nodes[0].coord.saw(Fence::new(ahead_us));
        world.env.sleep(seconds(20)).await;
        for node in nodes {
            node.drain().await;
        }
        let bodies = bodies.all();
        assert!(bodies.last().unwrap().fence > ahead_us);
        assert_no_tick_started_twice(&bodies);
    });
}

#[test]
fn a_crashed_nodes_run_is_recorded_as_lost_and_the_job_goes_on() {
    replay(0..10, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, seconds(3600))]);
        let first = world.start(jobs).await;
        world.env.sleep(seconds(3)).await;
        let second = world.start(jobs).await;
        world.env.sleep(world.up_to(seconds(8))).await;
        let run = bodies.all()[0];
        world.crash(&first);
        let crashed = world.env.now();
        world.env.sleep(RUN_TTL + seconds(7)).await;
        let next = bodies.all()[1];
        assert!(
            next.started.since(crashed) <= RUN_TTL + seconds(1) + GRACE,
            "{next:?}"
        );
        let records = world.history("job").await;
        let lost = records
            .iter()
            .find(|record| record.fence == Some(run.fence))
            .unwrap();
        assert_eq!((lost.outcome, lost.late), (Outcome::LostLease, false));
        world.crash(&second);
    });
}

/// Its writes were not answered while it was cut off: that an earlier copy of its end may be in the ledger does not make
/// the record that gave the run up the one of its end.
#[test]
fn what_a_run_became_while_its_node_was_cut_off_is_noted_beside_its_loss() {
    replay(0..5, async |seed| {
        let world = World::new(seed).await;
        let bodies = Bodies::default();
        let jobs = |b: Builder| b.jobs([world.job("job", &bodies, seconds(4))]);
        let first = world.start(jobs).await;
        world.env.sleep(seconds(3)).await;
        let second = world.start(jobs).await;
        let run = bodies.all()[0];
        let node = first.coord.node();
        world.faulty.cut(node);
        world.env.sleep(RUN_TTL + seconds(7)).await;
        world.faulty.heal(node);
        world.env.sleep(seconds(5)).await;
        let records = world.history("job").await;
        let of_run: Vec<_> = (records.iter())
            .filter(|record| record.fence == Some(run.fence))
            .map(|record| (record.outcome, record.late))
            .collect();
        assert_eq!(of_run, [(Outcome::LostLease, false), (Outcome::Ran, true)]);
        first.drain().await;
        second.drain().await;
    });
}

#[test]
fn a_cut_off_leader_delays_no_tick_of_the_others() {
    replay(0..5, async |seed| {
        let world = World::new(seed).await;
        let rows = Rows::default();
        let jobs = |b: Builder| b.jobs([counting("job", EVERY_SECOND, &rows)]);
        let nodes = [
            world.start(jobs).await,
            world.start(jobs).await,
            world.start(jobs).await,
        ];
        world.env.sleep(world.up_to(seconds(10))).await;
        // The first one leads.
        world.faulty.cut(nodes[0].coord.node());
        world.env.sleep(seconds(20)).await;
        let ran = |rows: &[support::Row]| {
            let mut ticks: Vec<_> = rows.iter().map(|row| row.tick).collect();
            ticks.sort_unstable();
            ticks
        };
        let ticks = ran(&rows.take());
        assert!(
            ticks
                .windows(2)
                .filter(|pair| pair[0] + 1 != pair[1])
                .count()
                <= 1,
            "{ticks:?}"
        );
        world.faulty.heal(nodes[0].coord.node());
        world.env.sleep(seconds(20)).await;
        let ticks = ran(&rows.take());
        assert!(
            ticks.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{ticks:?}"
        );
        for node in nodes {
            node.drain().await;
        }
    });
}

/// What is due by a clock that stepped may be hours away: nothing is claimed by it, until it is back, or steady for long
/// enough to be believed.
#[test]
fn a_store_clock_that_steps_starts_nothing_until_it_is_believed() {
    const HOUR_US: i64 = 3_600_000_000;
    replay(0..5, async |seed| {
        let world = World::new(seed).await;
        let rows = Rows::default();
        let jobs = |b: Builder| b.jobs([counting("job", EVERY_SECOND, &rows)]);
        let nodes = [world.start(jobs).await, world.start(jobs).await];
        world.env.sleep(seconds(5)).await;
        let mut ticks = Vec::new();
        let mut so_far = || {
            ticks.extend(rows.take().into_iter().map(|row| row.tick));
            ticks.sort_unstable();
            ticks.clone()
        };
        // An hour ahead, and back.
        world.behind.step_wall_clock(HOUR_US);
        world.env.sleep(seconds(1)).await;
        let before = so_far();
        world.env.sleep(seconds(19)).await;
        assert_eq!(so_far(), before, "claimed by a clock that stepped");
        assert!(nodes[0].coord.store_clock_departure().is_some());
        world.behind.step_wall_clock(-HOUR_US);
        world.env.sleep(seconds(10)).await;
        assert_eq!(nodes[0].coord.store_clock_departure(), None);
        let after = so_far();
        assert!(after.len() > before.len() + 5, "{after:?}");
        assert!(after.last().unwrap() - before.last().unwrap() < 40);
        // An hour ahead, and it stays there.
        world.behind.step_wall_clock(HOUR_US);
        world.env.sleep(seconds(60)).await;
        let later = so_far();
        assert!(later.last().unwrap() - after.last().unwrap() > 3600);
        assert!(later.windows(2).all(|pair| pair[0] < pair[1]), "{later:?}");
        for node in nodes {
            node.drain().await;
        }
    });
}
