use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Class, Coordinator, Env, NodeId, Put, Register, RegisterHandle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    env: Env,
    store: MemoryStore,
}

struct Node {
    fleet: Arc<Fleet>,
    stop: CancellationToken,
    following: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let (env, store) = (Env::simulated(1), MemoryStore::new());
        Self { env, store }
    }

    async fn connect(&self) -> Coordinator {
        let coord = Coordinator::builder(self.store.clone(), "test").env(self.env.clone());
        coord.connect().await.unwrap()
    }

    async fn start(&self, manifest: Manifest, labels: &[&str]) -> Node {
        let coord = self.connect().await;
        let labels = labels.iter().map(ToString::to_string);
        let fleet = Arc::new(Fleet::new(&coord, manifest, &labels.collect()));
        let stop = CancellationToken::new();
        let (following, stopped) = (Arc::clone(&fleet), stop.clone());
        let following = async move { following.follow(stopped).await };
        let following = self.env.spawn(following);
        Node {
            fleet,
            stop,
            following,
        }
    }

    /// Two heartbeats: what is announced is known to all.
    async fn settle(&self) {
        self.env.sleep(SECOND * 11).await;
    }
}

impl Node {
    fn id(&self) -> NodeId {
        self.fleet.coord.node()
    }

    /// By hash: `?` where it can't be read.
    fn said_of(&self, job: &str) -> Vec<String> {
        let said = self.fleet.announced(job).into_iter();
        said.map(|said| said.hash.unwrap_or_else(|| "?".into()))
            .collect()
    }
}

fn listed(spec: &str, on: &[&str]) -> Listed {
    Listed {
        spec: spec.into(),
        name: None,
        on: on.iter().map(ToString::to_string).collect(),
    }
}

fn jobs<const N: usize>(jobs: [(&str, Listed); N]) -> Manifest {
    let jobs = jobs.map(|(job, listed)| (job.to_owned(), listed));
    Manifest::new(None, BTreeMap::from(jobs))
}

fn sorted(nodes: &[&Node]) -> Vec<NodeId> {
    let mut ids: Vec<_> = nodes.iter().map(|node| node.id()).collect();
    ids.sort();
    ids
}

async fn written(node: &Node) -> Option<Register> {
    let register = manifest::register(&node.fleet.coord, &node.fleet.hash).unwrap();
    register.get().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn everyone_knows_who_has_a_job_and_its_labels() {
    let world = World::new();
    let mail = || ("mail", listed("1", &[]));
    let train = |spec: &str| ("train", listed(spec, &["gpu"]));
    let one = world.start(jobs([mail(), train("1")]), &["eu"]).await;
    let two = world
        .start(jobs([mail(), train("1")]), &["gpu", "eu"])
        .await;
    let three = world.start(jobs([train("2")]), &["us", "gpu"]).await;
    // It locks, and has no jobs.
    let _other = world.connect().await;
    world.settle().await;
    for node in [&one, &two, &three] {
        assert_eq!(node.fleet.nodes_with("mail"), sorted(&[&one, &two]));
        assert_eq!(node.fleet.nodes_with("train"), sorted(&[&two, &three]));
        assert_eq!(node.fleet.nodes_with("other"), []);
        let mut said = node.said_of("train");
        said.sort();
        assert_eq!(said, ["1", "1", "2"], "also of who lacks the label");
        let lived = node.fleet.announced("train");
        assert!(
            lived
                .iter()
                .all(|said| (5..12).contains(&said.lived.as_secs())),
            "{lived:?}"
        );
    }
    // Who leaves says so at once.
    two.stop.cancel();
    two.following.await.unwrap();
    world.settle().await;
    assert_eq!(one.fleet.nodes_with("train"), [three.id()]);
    assert_eq!(three.fleet.nodes_with("mail"), [one.id()]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_as_small_with_ten_thousand_jobs_as_with_one() {
    let world = World::new();
    let many = (0..10_000).map(|number| (format!("job {number}"), listed("1", &[])));
    let many = Manifest::new(Some(7), many.collect());
    let one = world.start(many, &[]).await;
    let two = world.start(jobs([("job 9", listed("2", &[]))]), &[]).await;
    world.settle().await;
    for member in &one.fleet.coord.members().members {
        let size: usize = member
            .meta
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(size < 100, "{size}");
    }
    assert_eq!(two.fleet.nodes_with("job 9"), sorted(&[&one, &two]));
    let revisions = two
        .fleet
        .announced("job 9")
        .into_iter()
        .map(|said| said.revision);
    assert_eq!(revisions.max().flatten(), Some(7));
    let names = index::job_names(&two.fleet.coord).await.unwrap();
    assert_eq!(names.len(), 10_000);
    assert!(names.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_read_may_have_any_job_and_is_waited_for_by_nobody() {
    let world = World::new();
    let one = world.start(jobs([("mail", listed("1", &[]))]), &[]).await;
    let newer = world.connect().await;
    let register = manifest::register(&newer, "newer").unwrap();
    register.put(&Put::new(r#"{"format":99}"#)).await.unwrap();
    newer.announce(JOBS, "newer");
    // One whose manifest is lost, and one who says what can be no name.
    let (lost, odd) = (world.connect().await, world.connect().await);
    lost.announce(JOBS, "lost");
    odd.announce(JOBS, "\n");
    world.settle().await;
    assert_eq!(one.fleet.nodes_with("mail"), [one.id()]);
    let mut said = one.said_of("mail");
    said.sort();
    assert_eq!(said, ["1", "?", "?", "?"]);
    // Once it is there it is read.
    let manifest = jobs([("mail", listed("2", &[]))]);
    let register = manifest::register(&lost, "lost").unwrap();
    register.put(&Put::new(manifest.encode())).await.unwrap();
    world.settle().await;
    assert!(one.fleet.nodes_with("mail").contains(&lost.node()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_is_told_again_and_daily_touched() {
    let world = World::new();
    let node = world.start(jobs([("mail", listed("1", &[]))]), &[]).await;
    world.settle().await;
    let before = written(&node).await.unwrap();
    world.store.restart();
    world.settle().await;
    let after = written(&node).await.unwrap();
    assert_eq!(after.value, before.value);
    assert_eq!(index::job_names(&node.fleet.coord).await.unwrap(), ["mail"]);
    let mut last = after.version;
    for _ in 0..3 {
        world.env.sleep(Duration::from_secs(25 * 3600)).await;
        let touched = written(&node).await.unwrap();
        assert!(touched.version > last);
        last = touched.version;
    }
}

#[tokio::test(start_paused = true)]
async fn one_tick_stands_for_those_of_all_jobs() {
    let world = World::new();
    let both = || jobs([("mail", listed("1", &[])), ("train", listed("1", &[]))]);
    let one = world.start(both(), &[]).await;
    let two = world.start(both(), &[]).await;
    for tick in [70, 90, 80] {
        one.fleet.saw_tick(tick);
    }
    world.settle().await;
    assert_eq!(two.fleet.known_tick("train"), Some(90));
    // A new job is nobody else's: it has no past.
    assert_eq!(two.fleet.known_tick("new"), None);
    // What this node has seen itself it knows better.
    assert_eq!(one.fleet.known_tick("mail"), None);
    let members = two.fleet.coord.members();
    let said = members
        .members
        .iter()
        .find(|member| member.node == one.id());
    assert_eq!(said.unwrap().meta.len(), 2, "jobs and tick");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_nobody_is_taken_for_gone_before_he_can_have_come_back() {
    let world = World::new();
    let one = world.start(jobs([("mail", listed("1", &[]))]), &[]).await;
    world.settle().await;
    assert_eq!(one.said_of("mail"), ["1"]);
    world.store.stop();
    world.env.sleep(SECOND * 20).await;
    world.store.start();
    world.env.sleep(SECOND * 3).await;
    assert_eq!(one.said_of("mail"), ["1", "?"]);
    world.settle().await;
    assert_eq!(one.said_of("mail"), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn the_index_takes_names_from_many_nodes_at_once_and_forgets_one() {
    let world = World::new();
    let names: Vec<_> = (0..300).map(|number| format!("job {number}")).collect();
    // Answers take their time: the nodes write what others have written meanwhile.
    let delay_after = Duration::from_millis(20);
    let faults = Faults {
        delay_after,
        ..Faults::none()
    };
    let slow = FaultyStore::new(Arc::new(world.store.clone()), world.env.clone(), faults);
    let mut tasks = Vec::new();
    for node in 0..3 {
        let coord = Coordinator::builder(slow.clone(), "test").env(world.env.clone());
        let coord = coord.connect().await.unwrap();
        let own: Vec<_> = names.iter().skip(node * 50).take(200).cloned().collect();
        tasks.push(world.env.spawn(async move {
            index::add(&coord, own.iter().map(String::as_str))
                .await
                .unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let coord = world.connect().await;
    let mut all = names.clone();
    all.sort();
    assert_eq!(index::job_names(&coord).await.unwrap(), all);
    for _ in 0..2 {
        index::remove(&coord, "job 7").await.unwrap();
    }
    all.retain(|name| name != "job 7");
    assert_eq!(index::job_names(&coord).await.unwrap(), all);
    // What is known is not written again before a day has passed.
    let shards = || (0..64).map(|shard| Class::internal("~index").resource(format!("{shard:02x}")));
    let shards: Vec<_> = shards()
        .map(|name| coord.register_of(name.unwrap()))
        .collect();
    let versions = async || {
        let read = RegisterHandle::read(&shards).await.unwrap().value;
        read.into_iter()
            .map(|register| register.map(|register| register.version))
            .collect::<Vec<_>>()
    };
    let before = versions().await;
    index::add(&coord, all.iter().map(String::as_str))
        .await
        .unwrap();
    assert_eq!(versions().await, before);
    world.env.sleep(Duration::from_secs(25 * 3600)).await;
    index::add(&coord, all.iter().map(String::as_str))
        .await
        .unwrap();
    let after = versions().await;
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| after > before || before.is_none())
    );
}
