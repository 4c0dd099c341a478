//! A node: one client, and the tasks that use it.

use std::sync::Arc;

use leasehold_core::{Coordinator, Env, Moment};
use tokio::task::JoinHandle;

use crate::history::Id;
use crate::task::Task;
use crate::world::World;

/// A node that lives.
pub(crate) struct Node {
    pub(crate) id: Id,
    pub(crate) env: Env,
    pub(crate) coord: Coordinator,
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

impl Node {
    pub(crate) fn new(id: Id, env: Env, coord: Coordinator) -> Self {
        Self {
            id,
            env,
            coord,
            tasks: Vec::new(),
        }
    }

    /// Starts its tasks, which end some time after `until`.
    pub(crate) fn work(&mut self, world: &Arc<World>, until: Moment) {
        for _ in 0..world.plan.tasks {
            let task = Task::new(world, self, until);
            self.tasks.push(self.env.spawn(task.run()));
        }
    }
}
