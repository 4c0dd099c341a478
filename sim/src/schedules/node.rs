//! A node: a process with a client and a scheduler.

use leasehold_core::{Coordinator, Env};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::history::Id;

/// A node that lives.
pub(crate) struct Node {
    pub(crate) id: Id,
    pub(crate) release: usize,
    pub(crate) env: Env,
    pub(crate) coord: Coordinator,
    pub(crate) stop: watch::Sender<bool>,
    /// Its scheduler; `None` once somebody waits for its end.
    pub(crate) task: Option<JoinHandle<()>>,
}

impl Node {
    /// Whether it was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.task.is_none()
    }
}
