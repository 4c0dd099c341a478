//! What a client waits for: only while there is something, its sessions poll.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::protocol::{LIVENESS_US, Rid};
use leasehold_core::{Moment, ResourceName};
use tokio::sync::watch;

/// The requests in queues that were heard from lately. Shared by the sessions of one client.
#[derive(Debug)]
pub(crate) struct Waiters {
    queued: Mutex<BTreeMap<Rid, Queued>>,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct Queued {
    name: ResourceName,
    heard: Moment,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// How many wait.
    pub(crate) waiting: usize,
    /// How many ever came.
    pub(crate) arrivals: u64,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            queued: Mutex::default(),
            state: watch::Sender::new(State::default()),
        }
    }
}

impl Waiters {
    fn queued(&self) -> MutexGuard<'_, BTreeMap<Rid, Queued>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Takes note of requests that wait (with the resource's name), or no longer do.
    pub(crate) fn update(&self, changes: &[(Rid, Option<ResourceName>)], now: Moment) {
        let mut queued = self.queued();
        let mut arrivals = 0;
        for (rid, name) in changes {
            match name {
                Some(name) => {
                    let waiting = Queued {
                        name: name.clone(),
                        heard: now,
                    };
                    arrivals += u64::from(queued.insert(*rid, waiting).is_none());
                }
                None => drop(queued.remove(rid)),
            }
        }
        self.publish(queued.len(), arrivals);
    }

    /// Forgets one: it is no longer waited for.
    pub(crate) fn forget(&self, rid: Rid) {
        let mut queued = self.queued();
        queued.remove(&rid);
        self.publish(queued.len(), 0);
    }

    /// Those that wait, less those that have not been heard from.
    pub(crate) fn list(&self, now: Moment) -> Vec<(Rid, ResourceName)> {
        let mut queued = self.queued();
        queued.retain(|_, one| now.since(one.heard) <= Duration::from_micros(LIVENESS_US));
        self.publish(queued.len(), 0);
        let list = queued.iter().map(|(rid, one)| (*rid, one.name.clone()));
        list.collect()
    }

    // Called under the lock, so that states are published in order.
    fn publish(&self, waiting: usize, arrivals: u64) {
        self.state.send_if_modified(|state| {
            let before = *state;
            state.waiting = waiting;
            state.arrivals += arrivals;
            *state != before
        });
    }
}
