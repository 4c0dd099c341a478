//! The store, its network, and the nodes on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, NodeId};
use leasehold_scheduler::Scheduler;
use tokio::sync::watch;

use super::body;
use super::history::{Fault, Id, What};
use super::node::Node;
use super::plan::Plan;
use super::recorder::Recorder;
use crate::plan::{one_of, up_to};

pub(crate) const NAMESPACE: &str = "sim";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// All that a run is made of.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) plan: Plan,
    pub(crate) memory: MemoryStore,
    pub(crate) faulty: FaultyStore,
    pub(crate) recorder: Arc<Recorder>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    births: Id,
    /// Nothing goes wrong any more.
    is_over: bool,
    /// The release that is deployed.
    release: usize,
    /// How the network is, between outages.
    weather: Faults,
}

/// A network as it should be.
pub(crate) const FAIR: Faults = Faults {
    delay_before: Duration::from_millis(3),
    delay_after: Duration::from_millis(3),
    push_delay: Duration::from_millis(5),
    ..Faults::none()
};

/// A node, as chance chose it.
pub(crate) struct Victim {
    pub(crate) id: Id,
    pub(crate) node: NodeId,
    pub(crate) env: Env,
    pub(crate) release: usize,
}

impl World {
    pub(crate) fn new(env: Env, plan: Plan) -> Arc<Self> {
        let memory = MemoryStore::new();
        let faulty = FaultyStore::new(Arc::new(memory.clone()), env.clone(), Faults::none());
        let jobs = plan.jobs.iter().map(|job| job.name.clone()).collect();
        let recorder = Recorder::new(env.clone(), memory.clone(), jobs);
        let watch = Arc::clone(&recorder);
        memory.watch(move |step| watch.stepped(step));
        Arc::new(Self {
            env,
            plan,
            memory,
            faulty,
            recorder,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process of this release; it joins the others once the store lets it in.
    pub(crate) async fn launch(self: &Arc<Self>, release: usize) -> Id {
        let id = {
            let mut state = self.state();
            state.births += 1;
            state.births
        };
        // As far apart as they may be: a third of the nodes each way.
        let drift = self.plan.drift_ppm;
        let env = (self.env).node_with_drift(one_of(&self.env, &[-drift, 0, drift]).unwrap_or(0));
        let coord = self.connect(id, &env).await;
        self.recorder.knows(coord.node(), id);
        let jobs = self.plan.jobs.iter().enumerate();
        let jobs: Vec<_> = jobs
            .filter_map(|(number, plan)| {
                let words = plan.releases[release].as_ref()?;
                let recorder = &self.recorder;
                Some(body::job(plan, number, words, id, &env, recorder))
            })
            .collect();
        let scheduler = Scheduler::builder(&coord)
            .jobs(jobs)
            .grace(self.plan.grace)
            .run_ttl(self.plan.run_ttl)
            .leader_ttl(self.plan.leader_ttl)
            .drain(self.plan.drain)
            .build();
        let scheduler = match scheduler {
            Ok(scheduler) => scheduler,
            Err(error) => {
                let (rule, text) = ("the jobs can be scheduled", error.to_string());
                self.recorder.note(What::Broke { rule, text });
                return id;
            }
        };
        let (stop, mut stopped) = watch::channel(false);
        let (world, client) = (Arc::clone(self), coord.clone());
        let task = env.spawn(async move {
            let stopped = async {
                drop(stopped.wait_for(|stop| *stop).await);
            };
            if let Err(error) = scheduler.run_until(stopped).await {
                let (rule, text) = ("a scheduler runs until it is stopped", error.to_string());
                world.recorder.note(What::Broke { rule, text });
            }
            client.shutdown(Duration::ZERO).await;
            world.recorder.note(What::Gone { node: id });
        });
        self.recorder.note(What::Joined { node: id, release });
        self.state().nodes.push(Node {
            id,
            release,
            env,
            coord,
            stop,
            task: Some(task),
        });
        id
    }

    pub(crate) async fn connect(&self, id: Id, env: &Env) -> Coordinator {
        loop {
            let builder = Coordinator::builder(self.faulty.clone(), NAMESPACE);
            let builder = builder.env(env.clone()).label(format!("node {id}"));
            let builder = builder.connect_timeout(CONNECT_TIMEOUT);
            match builder.request_timeout(REQUEST_TIMEOUT).connect().await {
                Ok(coord) => return coord,
                Err(_) => self.env.sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// A node, as chance will have it.
    pub(crate) fn victim(&self) -> Option<Victim> {
        let state = self.state();
        let at = one_of(&self.env, &(0..state.nodes.len()).collect::<Vec<_>>())?;
        let node = &state.nodes[at];
        Some(Victim {
            id: node.id,
            node: node.coord.node(),
            env: node.env.clone(),
            release: node.release,
        })
    }

    /// The nodes there are, the oldest first.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let state = self.state();
        let nodes = state.nodes.iter().filter(|node| !node.is_stopping());
        nodes.map(|node| node.id).collect()
    }

    fn take(&self, id: Id) -> Option<Node> {
        let mut state = self.state();
        let at = state.nodes.iter().position(|node| node.id == id)?;
        Some(state.nodes.remove(at))
    }

    /// Whether a node was killed, or has drained.
    pub(crate) fn is_gone(&self, id: Id) -> bool {
        self.state().nodes.iter().all(|node| node.id != id)
    }

    /// The release that is deployed.
    pub(crate) fn release(&self) -> usize {
        self.state().release
    }

    pub(crate) fn set_release(&self, release: usize) {
        self.state().release = release;
    }

    /// Whether the storm is over.
    pub(crate) fn is_over(&self) -> bool {
        self.state().is_over
    }

    pub(crate) fn resume(&self, id: Id, env: &Env) {
        if env.is_paused() {
            self.recorder.fault(Fault::Resumed(id));
            env.resume();
        }
    }

    /// Tells a node to stop, and waits until it has drained.
    pub(crate) async fn drain(&self, id: Id) {
        let task = {
            let mut state = self.state();
            let Some(node) = state.nodes.iter_mut().find(|node| node.id == id) else {
                return;
            };
            let Some(task) = node.task.take() else {
                return;
            };
            self.recorder.note(What::Stopping { node: id });
            // It listens until it has ended.
            let _listens = node.stop.send(true);
            task
        };
        // One that stands still drains when it goes on; one that is killed never does.
        let killed = async {
            while !self.is_gone(id) {
                self.env.sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            biased;
            _ = task => {}
            () = killed => {}
        }
        self.take(id);
    }

    /// Ends a node without a word.
    pub(crate) fn kill(&self, id: Id) {
        let Some(node) = self.take(id) else {
            return;
        };
        self.recorder.fault(Fault::Killed(id));
        // What it sent travels on; nothing of it runs again.
        node.env.pause();
        std::mem::forget((node.coord, node.stop, node.task));
    }

    /// Changes the weather.
    pub(crate) fn set_weather(&self, weather: Faults) {
        self.state().weather = weather;
        self.clear_up();
    }

    /// After an outage the weather is what it was.
    pub(crate) fn clear_up(&self) {
        let weather = self.state().weather;
        self.faulty.set_faults(weather);
        self.recorder.fault(if weather == FAIR {
            Fault::Calm
        } else {
            Fault::Disturbed("requests get lost".into())
        });
    }

    /// Nothing goes wrong any more, but what is under way.
    pub(crate) fn calm(&self) {
        self.faulty.recover();
        self.memory.start();
        self.set_weather(FAIR);
        let mut state = self.state();
        state.is_over = true;
        for node in &state.nodes {
            self.recorder.fault(Fault::Healed(node.id));
            self.faulty.heal(node.coord.node());
            self.resume(node.id, &node.env);
        }
    }

    /// Waits for a time of up to `longest`, or until the storm is over.
    pub(crate) async fn a_while(&self, longest: Duration) {
        self.env.sleep(up_to(&self.env, longest)).await;
    }
}
