//! Jobs that are defined in the store while the fleet runs, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Class, Coordinator, Env, Expect, Put};
use leasehold_scheduler::{BoxError, Error, Job, JobContext, Jobs, Outcome, Spec, history};
use support::{Node, Rows, counting};

/// What bodies were given: tick and payload.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Vec<(i64, String)>>>);

impl Given {
    fn kind(&self, name: &str) -> Job {
        let (given, kind) = (self.clone(), name.to_owned());
        Job::builder(name).run(move |ctx: JobContext| {
            let (given, kind) = (given.clone(), kind.clone());
            async move {
                let payload = format!("{kind} {}", ctx.payload::<String>()?);
                given.0.lock().unwrap().push((ctx.tick_unix_s(), payload));
                Ok::<(), BoxError>(())
            }
        })
    }

    fn take(&self) -> Vec<(i64, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct World {
    env: Env,
    store: MemoryStore,
    given: Given,
    coord: Coordinator,
    jobs: Jobs,
}

impl World {
    async fn new() -> Self {
        let (env, store) = (Env::simulated(7), MemoryStore::new());
        let coord = Coordinator::builder(store.clone(), "test").env(env.clone());
        let coord = coord.connect().await.unwrap();
        Self {
            jobs: Jobs::new(&coord),
            given: Given::default(),
            env,
            store,
            coord,
        }
    }

    async fn node(&self, kinds: &[&str]) -> Node {
        let kinds: Vec<Job> = kinds.iter().map(|kind| self.given.kind(kind)).collect();
        let node = Node::try_start(&self.store, &self.env, |builder| builder.kinds(kinds));
        node.await.unwrap()
    }

    async fn sleep(&self, seconds: u64) {
        self.env.sleep(Duration::from_secs(seconds)).await;
    }
}

fn every(expression: &str) -> Spec {
    Spec::from_words([("schedule", expression)]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_defined_while_the_fleet_runs_runs_once_a_tick_with_its_payload() {
    let world = World::new().await;
    let nodes = [world.node(&["report"]).await, world.node(&["report"]).await];
    world.sleep(5).await;
    let every_two = every("*/2 * * * * *");
    let define = || world.jobs.define("acme", "report", &every_two, "for acme");
    assert!(define().await.unwrap());
    assert!(!define().await.unwrap(), "it is so already");
    world.sleep(20).await;
    let given = world.given.take();
    assert!(given.len() >= 8, "{given:?}");
    assert!(
        given.windows(2).all(|pair| pair[1].0 == pair[0].0 + 2),
        "{given:?}"
    );
    assert!(
        given
            .iter()
            .all(|(_, payload)| payload == "report for acme")
    );

    // Changed: the payload and the schedule, together.
    let every_five = every("*/5 * * * * *");
    world
        .jobs
        .define("acme", "report", &every_five, "changed")
        .await
        .unwrap();
    world.sleep(20).await;
    let given = world.given.take();
    let changed: Vec<_> = given
        .iter()
        .filter(|(_, payload)| payload == "report changed")
        .collect();
    assert!(changed.len() >= 3, "{given:?}");
    assert!(changed.iter().all(|(tick, _)| tick % 5 == 0), "{given:?}");

    world.jobs.undefine("acme").await.unwrap();
    world.sleep(3).await;
    world.given.take();
    world.sleep(20).await;
    assert_eq!(world.given.take(), []);
    assert!(world.jobs.defined().await.unwrap().is_empty());

    // And back: what was due while it was not there is not missed.
    world
        .jobs
        .define("acme", "report", &every_two, "back")
        .await
        .unwrap();
    world.sleep(5).await;
    assert!(!world.given.take().is_empty());
    let records = history(&world.coord, "acme").await.unwrap();
    assert!(
        records.iter().all(|record| record.outcome == Outcome::Ran),
        "{records:?}"
    );
    for node in nodes {
        node.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_nodes_that_have_its_kind_run_it_and_a_later_one_finds_it() {
    let world = World::new().await;
    let other = world.node(&["mail"]).await;
    let spec = every("* * * * * *");
    world
        .jobs
        .define("acme", "report", &spec, "x")
        .await
        .unwrap();
    world.sleep(10).await;
    assert_eq!(world.given.take(), []);
    let why = world.jobs.why(
        "acme",
        world.coord.store_now().wall_us.cast_signed() / 1_000_000,
    );
    let why = why.await.unwrap().to_string();
    assert!(why.contains("no live node has the job"), "{why}");
    let node = world.node(&["report"]).await;
    world.sleep(5).await;
    assert!(world.given.take().len() >= 3);

    // Its kind may change, too.
    world.jobs.define("acme", "mail", &spec, "y").await.unwrap();
    world.sleep(3).await;
    world.given.take();
    world.sleep(10).await;
    let given = world.given.take();
    assert!(given.len() >= 9, "{given:?}");
    assert!(
        given.iter().all(|(_, payload)| payload == "mail y"),
        "{given:?}"
    );
    node.drain().await;
    other.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_no_node_has_keeps_no_job_from_being_redefined() {
    let world = World::new().await;
    let every_second = every("* * * * * *");
    let define = |kind: &'static str| world.jobs.define("acme", kind, &every_second, "x");
    let node = world.node(&["mail"]).await;
    world.sleep(3).await;
    // A slip of the pen: what is due by it can never have its due.
    define("mial").await.unwrap();
    world.sleep(10).await;
    define("mail").await.unwrap();
    let shown = world.jobs.show("acme").await.unwrap();
    assert_eq!(
        (shown.kind.as_deref(), shown.nodes.len()),
        (Some("mail"), 1)
    );
    world.sleep(5).await;
    assert!(world.given.take().len() >= 3);
    let records = history(&world.coord, "acme").await.unwrap();
    assert_eq!(records[0].outcome, Outcome::Missed, "{records:?}");
    node.drain().await;

    // And without any node at all.
    define("mail").await.unwrap();
    world.sleep(10).await;
    world.jobs.undefine("acme").await.unwrap();
    let shown = world.jobs.show("acme").await.unwrap();
    assert_eq!(shown.summary.next, None);
    assert!(shown.summary.taken_out);
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_last_node_dies_keeps_no_job_from_being_redefined() {
    let world = World::new().await;
    let every_second = every("* * * * * *");
    let define = |kind: &'static str| world.jobs.define("acme", kind, &every_second, "x");
    let (node, dies) = (world.node(&["mail"]).await, world.node(&["report"]).await);
    world.sleep(3).await;
    define("report").await.unwrap();
    world.sleep(10).await;
    dies.task.abort();
    drop(dies);
    // It is taken for live still.
    define("mail").await.unwrap();
    let shown = world.jobs.show("acme").await.unwrap();
    assert_eq!(shown.kind.as_deref(), Some("report"));
    assert_eq!(shown.coming.unwrap().kind, "mail");
    world.sleep(60).await;
    assert!(
        world
            .given
            .take()
            .iter()
            .any(|(_, given)| given == "mail x")
    );
    assert_eq!(world.jobs.show("acme").await.unwrap().coming, None);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_can_ask_for_a_job_that_was_taken_out_until_it_is_defined_again() {
    let world = World::new().await;
    let node = world.node(&["report"]).await;
    let (jobs, daily) = (&world.jobs, every("@daily"));
    jobs.define("acme", "report", &daily, "x").await.unwrap();
    world.sleep(3).await;
    jobs.undefine("acme").await.unwrap();
    let refused = jobs.trigger("acme").await;
    assert!(
        matches!(refused, Err(Error::TakenOut { .. })),
        "{refused:?}"
    );
    world.sleep(3).await;
    let refused = jobs.trigger("acme").await;
    assert!(
        matches!(refused, Err(Error::TakenOut { .. })),
        "{refused:?}"
    );
    let refused = jobs.backfill("acme", 0..=1).await;
    assert!(
        matches!(refused, Err(Error::TakenOut { .. })),
        "{refused:?}"
    );
    assert!(jobs.list().await.unwrap()[0].taken_out);
    // One that is never due by itself is there all the same.
    jobs.define("acme", "report", &every("-"), "x")
        .await
        .unwrap();
    jobs.trigger("acme").await.unwrap();
    world.sleep(5).await;
    assert_eq!(world.given.take().len(), 1);
    assert!(!jobs.list().await.unwrap()[0].taken_out);
    node.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_programs_define_and_what_cannot_be_given_is_refused() {
    let world = World::new().await;
    let rows = Rows::default();
    let nightly = counting("nightly", "0 2 * * *", &rows);
    let node = Node::start(&world.store, &world.env, vec![nightly]).await;
    world.sleep(3).await;
    let spec = every("@daily");
    let refused = world.jobs.define("nightly", "report", &spec, ()).await;
    assert!(
        matches!(refused, Err(Error::NotDefined { .. })),
        "{refused:?}"
    );
    let refused = world.jobs.undefine("nightly").await;
    assert!(
        matches!(refused, Err(Error::NotDefined { .. })),
        "{refused:?}"
    );
    let refused = world.jobs.undefine("nihgtly").await;
    assert!(
        matches!(refused, Err(Error::NoSuchJob { .. })),
        "{refused:?}"
    );
    node.drain().await;

    // A payload that the handler cannot read: the run fails, and says so.
    let node = world.node(&["report"]).await;
    let spec = every("* * * * * *");
    world.jobs.define("acme", "report", &spec, 5).await.unwrap();
    world.sleep(5).await;
    let records = history(&world.coord, "acme").await.unwrap();
    let error = records[0].error.as_deref().unwrap();
    assert!(
        error.starts_with("the payload of job `acme` is not what its kind takes"),
        "{error}"
    );
    node.drain().await;
}

/// Whoever changed it may be gone before nodes were told; its next tick is months away.
#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_of_comes_into_force_all_the_same() {
    let world = World::new().await;
    let node = world.node(&["report"]).await;
    world.sleep(5).await;
    let yearly = every("0 0 1 7 *");
    let define = world.jobs.define("acme", "report", &yearly, "for acme");
    define.await.unwrap();
    world.sleep(10).await;
    let ledger = Class::internal("~ledger").resource("acme").unwrap();
    let ledger = world.coord.register_of(ledger);
    let found = ledger.get().await.unwrap().unwrap();
    let mut words: serde_json::Value = serde_json::from_slice(&found.value).unwrap();
    words["redefined"] = words["defined"].clone();
    words["redefined"]["spec"]["schedule"] = "* * * * * *".into();
    let put = Put::new(words.to_string()).expect(Expect::Version(found.version));
    ledger.put(&put).await.unwrap();
    world.sleep(15).await;
    assert!(world.given.take().len() >= 5);
    node.drain().await;
}

/// However many jobs come and go: nodes read and write nothing for those that are gone, and look after one that is back.
#[tokio::test(start_paused = true)]
async fn a_job_that_was_taken_out_is_looked_after_no_more_until_it_is_back() {
    let world = World::new().await;
    let node = world.node(&["report"]).await;
    let often = every("*/10 * * * * *");
    world
        .jobs
        .define("acme", "report", &often, "first")
        .await
        .unwrap();
    world.sleep(60).await;
    assert!(!world.given.take().is_empty());
    world.jobs.undefine("acme").await.unwrap();
    world.sleep(60).await;
    world.given.take();
    let ledger = Class::internal("~ledger").resource("acme").unwrap();
    let ledger = world.coord.register_of(ledger);
    let before = ledger.get().await.unwrap().unwrap();
    // It would be tidied up after a minute.
    world.sleep(200).await;
    let after = ledger.get().await.unwrap().unwrap();
    assert_eq!(after.version, before.version);
    world
        .jobs
        .define("acme", "report", &often, "back")
        .await
        .unwrap();
    world.sleep(30).await;
    assert!(world.given.take().len() >= 2);
    node.drain().await;
}
