//! The fleet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Coordinator;
use crate::env::Env;
use crate::name::ResourceName;
use crate::protocol::Entry;
use crate::store::{Faults, FaultyStore, MemoryStore};

const NAMESPACE: &str = "test";

/// Several nodes on one store in memory, in simulated time, and all that can go wrong between them.
///
/// Use it in a test with paused time: `#[tokio::test(start_paused = true)]`. Whenever every task waits, time jumps to
/// the next timer, so that waiting costs nothing; [`advance`](Self::advance) lets a while pass. The same seed gives the
/// same run.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use leasehold_core::testing::TestFleet;
///
/// let fleet = TestFleet::new(3).await;
/// let invoices = fleet.node(0).mutexes("invoice").unwrap();
/// // Your own code, which works under a lease.
/// let task = tokio::spawn(async move { invoices.with(7, async |_| std::future::pending::<()>().await).await });
/// fleet.settle().await;
/// fleet.lose("invoice/7");
/// assert!(task.await.unwrap().unwrap_err().is_lost());
/// # });
/// ```
pub struct TestFleet {
    env: Env,
    memory: MemoryStore,
    network: FaultyStore,
    nodes: Vec<Node>,
}

struct Node {
    env: Env,
    coord: Coordinator,
}

impl TestFleet {
    /// This many nodes, connected.
    ///
    /// # Panics
    /// If time is not paused.
    pub async fn new(nodes: usize) -> Self {
        Self::with_seed(nodes, 0).await
    }

    /// As [`new`](Self::new), with chance from a seed: ids, jitter, and which requests meet a fault. With
    /// [`replay`](crate::replay) a test is run from many.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub async fn with_seed(nodes: usize, seed: u64) -> Self {
        let env = Env::simulated(seed);
        assert!(
            time_is_paused(&env),
            "a fleet under test needs paused time: #[tokio::test(start_paused = true)], or testing::in_virtual_time(..)"
        );
        let memory = MemoryStore::new();
        let network = FaultyStore::new(Arc::new(memory.clone()), env.clone(), Faults::none());
        let mut fleet = Self {
            env,
            memory,
            network,
            nodes: Vec::new(),
        };
        for _ in 0..nodes {
            fleet.add_node().await;
        }
        fleet
    }

    /// Connects one more node, and says its number.
    ///
    /// # Panics
    /// If the store cannot be reached.
    pub async fn add_node(&mut self) -> usize {
        let number = self.nodes.len();
        let node = self.connect(number).await;
        self.nodes.push(node);
        number
    }

    async fn connect(&self, number: usize) -> Node {
        let env = self.env.node();
        let builder = Coordinator::builder(self.network.clone(), NAMESPACE);
        let builder = builder.env(env.clone()).label(format!("node {number}"));
        let coord = builder.connect().await;
        let coord = coord.unwrap_or_else(|error| panic!("node {number} cannot connect: {error}"));
        Node { env, coord }
    }

    fn at(&self, node: usize) -> &Node {
        let count = self.nodes.len();
        (self.nodes.get(node)).unwrap_or_else(|| panic!("there is no node {node} of {count}"))
    }

    /// A node's client, to be given to the code under test.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn node(&self, node: usize) -> &Coordinator {
        &self.at(node).coord
    }

    /// The fleet's time and chance, which no pause stops.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// A node's time: what is spawned on it stands still while the node is paused.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn node_env(&self, node: usize) -> &Env {
        &self.at(node).env
    }

    /// Lets this much time pass, with all that is due in it.
    pub async fn advance(&self, duration: Duration) {
        self.env.sleep(duration).await;
    }

    /// Lets everything happen that is due now.
    pub async fn settle(&self) {
        self.advance(Duration::from_millis(1)).await;
    }

    /// Takes a held lease away, as an operator who deletes its key does: its holder is told, and the next one in the
    /// queue has it. `name` is `class/id`.
    ///
    /// # Panics
    /// If nobody holds it; the message says what is held.
    pub fn lose(&self, name: &str) {
        let resource = ResourceName::from_store(name);
        if self.memory.delete_holders(NAMESPACE, &resource) {
            return;
        }
        let records = self.memory.records(NAMESPACE);
        let held: Vec<_> = (records.iter())
            .filter(|(_, record)| record.entries.iter().any(Entry::holds))
            .map(|(name, _)| name.as_str())
            .collect();
        panic!("nobody holds `{name}`; held are: {}", held.join(", "));
    }

    /// Stops a node, as SIGSTOP does: its client stands still, also in calls of tasks that are spawned elsewhere, and
    /// its leases end meanwhile.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn pause(&self, node: usize) {
        self.at(node).env.pause();
    }

    /// Lets a paused node go on.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn resume(&self, node: usize) {
        self.at(node).env.resume();
    }

    /// Cuts nodes off the store, until [`heal`](Self::heal).
    ///
    /// # Panics
    /// If there is no such node.
    pub fn partition(&self, nodes: &[usize]) {
        for node in nodes {
            self.network.cut(self.node(*node).node());
        }
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        for node in &self.nodes {
            self.network.heal(node.coord.node());
        }
    }

    /// Kills a node without a word: what it held stands until its TTL.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn kill(&self, node: usize) {
        // Nothing of it runs again; its place in memory goes with the test's runtime.
        self.pause(node);
    }

    /// Kills a node without a word and starts another one in its place.
    ///
    /// # Panics
    /// If there is no such node, or the store cannot be reached.
    pub async fn restart(&mut self, node: usize) {
        self.kill(node);
        let new = self.connect(node).await;
        self.nodes[node] = new;
    }

    /// Restarts the store without its data. Held leases are lost with it, and their holders learn of that when they
    /// renew. Fences go on rising, from a millisecond after the last one on.
    pub fn restart_store(&self) {
        self.memory.restart();
    }

    /// Stops the store from answering, until [`start_store`](Self::start_store).
    pub fn stop_store(&self) {
        self.memory.stop();
    }

    /// Lets the store answer again.
    pub fn start_store(&self) {
        self.memory.start();
    }

    /// From now on the network between nodes and store fails like this.
    pub fn set_faults(&self, faults: Faults) {
        self.network.set_faults(faults);
    }

    /// Sets the store's clock ahead, and tokio's, while nothing else of the fleet grows older: leases and memberships
    /// last as long as before. So idle hours need not be played. Does nothing while the network or the store fails.
    /// Returns whether it did.
    ///
    /// What sleeps on tokio's clock wakes, what sleeps on the fleet's [`env`](Self::env) goes on sleeping.
    pub async fn leap(&self, by: Duration) -> bool {
        let by_us = i64::try_from(by.as_micros());
        let (Ok(by_us), true) = (by_us, self.network.is_calm() && !self.memory.is_stopped()) else {
            return false;
        };
        let leapt = || {
            self.memory.step_wall_clock(by_us);
            for node in &self.nodes {
                node.coord.leapt(by);
            }
        };
        self.env.leap(by, leapt).await;
        true
    }

    /// The store itself, to be looked at or broken in other ways.
    pub fn store(&self) -> &MemoryStore {
        &self.memory
    }
}

impl fmt::Debug for TestFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestFleet({} nodes)", self.nodes.len())
    }
}

/// tokio does not tell; but time that is not paused goes on.
#[allow(
    clippy::disallowed_methods,
    reason = "real time is what is compared with"
)]
fn time_is_paused(env: &Env) -> bool {
    let (started, simulated) = (std::time::Instant::now(), env.now());
    while started.elapsed() < Duration::from_micros(50) {
        std::hint::spin_loop();
    }
    env.now() == simulated
}
