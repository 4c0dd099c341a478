//! A fleet's nodes, and what its jobs write down.

#![allow(dead_code, reason = "each test's binary uses its part of this")]

use std::sync::{Arc, Mutex};

use leasehold_core::store::Connector;
use leasehold_core::{Coordinator, Env, Error, NodeId};
use leasehold_scheduler::{BoxError, Builder, Job, JobContext, Scheduler};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A body's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tick: i64,
    pub(crate) node: NodeId,
    pub(crate) fence: u64,
    pub(crate) term: u64,
}

/// The rows of a job.
#[derive(Clone, Default)]
pub(crate) struct Rows(Arc<Mutex<Vec<Row>>>);

impl Rows {
    pub(crate) fn add(&self, ctx: &JobContext) {
        self.0.lock().unwrap().push(Row {
            tick: ctx.tick_unix_s(),
            node: ctx.coordinator().node(),
            fence: ctx.fence().get(),
            term: ctx.leader_term().get(),
        });
    }

    pub(crate) fn take(&self) -> Vec<Row> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A process of the fleet.
pub(crate) struct Node {
    pub(crate) coord: Coordinator,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(
        store: &(impl Connector + Clone + 'static),
        env: &Env,
        jobs: Vec<Job>,
    ) -> Self {
        let node = Self::try_start(store, env, |builder| builder.jobs(jobs)).await;
        node.unwrap()
    }

    /// With other settings than the defaults; fails if the store cannot be reached.
    pub(crate) async fn try_start(
        store: &(impl Connector + Clone + 'static),
        env: &Env,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, Error> {
        let coord = Coordinator::builder(store.clone(), "test").env(env.clone());
        let coord = coord.connect().await?;
        let (stop, mut stopped) = watch::channel(false);
        let scheduler = settings(Scheduler::builder(&coord)).build().unwrap();
        let task = env.spawn(async move {
            let stopped = async {
                drop(stopped.wait_for(|stop| *stop).await);
            };
            scheduler.run_until(stopped).await.unwrap();
        });
        Ok(Self { coord, stop, task })
    }

    pub(crate) async fn drain(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
        self.coord.shutdown(std::time::Duration::ZERO).await;
    }
}

/// A job that does nothing else.
pub(crate) fn counting(name: &str, expression: &str, rows: &Rows) -> Job {
    let rows = rows.clone();
    Job::new(name, expression, move |ctx| {
        rows.add(&ctx);
        async { Ok::<(), BoxError>(()) }
    })
}
