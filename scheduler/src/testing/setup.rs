//! What a test begins with.

use std::fmt;
use std::sync::Arc;

use leasehold_core::testing::TestFleet;

use super::real::holding_time;
use super::seen::Seen;
use super::when::us;
use super::{TestScheduler, When};
use crate::{Builder, Error, Job};

/// Settings of a [`TestScheduler`], before it starts. Made by [`TestScheduler::starting_at`].
#[derive(Clone)]
#[must_use = "call `start`"]
pub struct TestSetup {
    start_us: u64,
    nodes: usize,
    seed: u64,
    real_io: bool,
    pub(super) leaps: bool,
    settings: Vec<Arc<dyn Fn(Builder) -> Builder + Send + Sync>>,
}

impl TestSetup {
    #[track_caller]
    pub(super) fn new(start: impl When) -> Self {
        Self {
            start_us: us(start),
            nodes: 1,
            seed: 0,
            real_io: false,
            leaps: true,
            settings: Vec::new(),
        }
    }

    /// The jobs under test: `jobs![report::nightly]`. May be called again; jobs add up.
    pub fn jobs(self, jobs: impl IntoIterator<Item = Job>) -> Self {
        let jobs = self.held(jobs);
        self.settings(move |builder| builder.jobs(jobs.clone()))
    }

    /// What the nodes can run of jobs that are defined in the store: [`Builder::kinds`]. The test defines them with
    /// [`Jobs`](crate::Jobs) of one of the [`node`](TestScheduler::node)s.
    pub fn kinds(self, kinds: impl IntoIterator<Item = Job>) -> Self {
        let kinds = self.held(kinds);
        self.settings(move |builder| builder.kinds(kinds.clone()))
    }

    fn held(&self, jobs: impl IntoIterator<Item = Job>) -> Vec<Job> {
        let hold = |job| {
            if self.real_io { holding_time(job) } else { job }
        };
        jobs.into_iter().map(hold).collect()
    }

    /// A value for every job that has `State<T>` of its type as an argument. All nodes get a clone of it.
    pub fn state<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        self.settings(move |builder| builder.state(value.clone()))
    }

    /// Whatever else a [`Builder`] can be told. Called once for each node.
    pub fn settings(
        mut self,
        settings: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Self {
        self.settings.push(Arc::new(settings));
        self
    }

    /// How many nodes there are at first (default 1).
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Chance: ids, jitter, which node is first in rank. The same seed gives the same run (default 0).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// For handlers that use files, sockets or databases: virtual time stands still while one of the jobs that are
    /// named **after** this works. It would fly by else, since nothing of the test's runtime is busy then. A handler
    /// that sleeps sleeps for ever.
    pub fn real_io(mut self) -> Self {
        self.real_io = true;
        self
    }

    /// Plays every heartbeat of every idle hour. Without this they are leapt over, which takes a hundredth of the time
    /// and is not to be noticed: unless the test itself holds leases or registers meanwhile, or sleeps on the
    /// [`Env`](leasehold_core::Env) of a node.
    pub fn without_leaps(mut self) -> Self {
        self.leaps = false;
        self
    }

    /// Starts the nodes.
    ///
    /// # Errors
    /// What [`Builder::build`] refuses.
    ///
    /// # Panics
    /// If time is not paused: use `#[tokio::test(start_paused = true)]`, or
    /// [`in_virtual_time`](leasehold_core::testing::in_virtual_time).
    pub async fn start(self) -> Result<TestScheduler, Error> {
        let fleet = TestFleet::with_seed(0, self.seed).await;
        fleet.store().set_wall_clock(fleet.env(), self.start_us);
        let seen = Seen::default();
        let watch = seen.clone();
        fleet.store().watch(move |step| watch.step(step));
        let nodes = self.nodes;
        let mut test = TestScheduler::new(fleet, seen, self);
        for _ in 0..nodes {
            test.add_node().await?;
        }
        // They have seen their jobs before the first second is over.
        test.fleet().settle().await;
        Ok(test)
    }

    pub(super) fn apply(&self, mut builder: Builder) -> Builder {
        for settings in &self.settings {
            builder = settings(builder);
        }
        builder
    }
}

impl fmt::Debug for TestSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSetup")
            .field("nodes", &self.nodes)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
