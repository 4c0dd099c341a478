//! The store, its network, and the nodes on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::protocol::{Phase, Record};
use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Error};

use crate::history::{Fault, Id};
use crate::node::Node;
use crate::plan::{Plan, one_of};
use crate::recorder::{Call, Recorder};

pub(crate) const NAMESPACE: &str = "sim";
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// All that a run is made of.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) plan: Plan,
    pub(crate) memory: MemoryStore,
    pub(crate) faulty: FaultyStore,
    pub(crate) recorder: Arc<Recorder>,
    nodes: Mutex<Vec<Node>>,
    births: Mutex<Id>,
}

impl World {
    pub(crate) fn new(env: Env, plan: Plan, shows_steps: bool) -> Arc<Self> {
        let memory = MemoryStore::new();
        let faulty = FaultyStore::new(Arc::new(memory.clone()), env.clone(), Faults::none());
        let recorder = Arc::new(Recorder::new(env.clone(), shows_steps));
        let watch = Arc::clone(&recorder);
        memory.watch(move |step| watch.stepped(step));
        Arc::new(Self {
            env,
            plan,
            memory,
            faulty,
            recorder,
            nodes: Mutex::default(),
            births: Mutex::new(0),
        })
    }

    pub(crate) fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new node, not among the others yet. Asks until the store lets it in.
    pub(crate) async fn new_node(&self) -> Node {
        let id = {
            let mut births = self.births.lock().unwrap_or_else(PoisonError::into_inner);
            *births += 1;
            *births
        };
        // As far apart as they may be: a third of the nodes each way.
        let drift = self.plan.drift_ppm;
        let drift_ppm = one_of(&self.env, &[-drift, 0, drift]).unwrap_or(0);
        let env = self.env.node_with_drift(drift_ppm);
        loop {
            match self.connect(id, &env).await {
                Ok(coord) => {
                    self.recorder.joined(id, coord.node());
                    return Node::new(id, env, coord);
                }
                Err(_) => self.env.sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn connect(&self, id: Id, env: &Env) -> Result<Coordinator, Error> {
        let calling = self.recorder.call(Call {
            node: id,
            resource: "",
            hold: None,
            what: "connect".into(),
            within: CONNECT_TIMEOUT,
            must: false,
        });
        let builder = Coordinator::builder(self.faulty.clone(), NAMESPACE);
        let builder = builder.env(env.clone()).label(format!("node {id}"));
        let builder = builder.connect_timeout(CONNECT_TIMEOUT);
        let connected = builder.request_timeout(REQUEST_TIMEOUT).connect().await;
        calling.end(&connected);
        connected
    }

    /// Nothing goes wrong any more, but what is under way.
    pub(crate) fn calm(&self) {
        self.recorder.other("all is well again");
        self.faulty.set_faults(Faults::none());
        self.faulty.recover();
        self.memory.start();
        for node in self.nodes().iter() {
            self.faulty.heal(node.coord.node());
            self.resume(node);
        }
    }

    /// Notes the records that `is_left` finds left behind. What is over, and only not collected yet, it does not see.
    pub(crate) fn note_left(&self, is_left: impl Fn(&Record) -> bool) {
        let now_us = self.memory.time(&self.env).lease_us;
        for (name, mut record) in self.memory.records(NAMESPACE) {
            record.entries.retain(|entry| {
                let until_us = match entry.phase {
                    Phase::Held => entry.expires_us,
                    _ => entry.not_after_us,
                };
                until_us > now_us
            });
            if is_left(&record) {
                self.recorder.left(format!("{name}: {record:?}"));
            }
        }
    }

    /// Notes all that the store has not collected.
    pub(crate) fn note_all_left(&self) {
        for (name, record) in self.memory.records(NAMESPACE) {
            self.recorder.left(format!("{name}: {record:?}"));
        }
    }

    pub(crate) fn resume(&self, node: &Node) {
        if node.env.is_paused() {
            self.recorder.fault(Fault::Resumed(node.id));
            node.env.resume();
            if self.env.random(2) == 0 {
                self.recorder.look_at_node(node.id);
            }
        }
    }
}
