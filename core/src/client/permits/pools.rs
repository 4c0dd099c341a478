//! All pools of a client. One exists while this client has permits of its resource, waits for some, or gives some back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::pool::{Entry, Key, Pool};
use super::size::Sizes;
use super::wait::Want;
use crate::client::Core;
use crate::env::Moment;
use crate::name::ResourceName;

/// The pools of a client.
#[derive(Debug)]
pub(crate) struct Pools {
    by_key: Mutex<BTreeMap<Key, Arc<Pool>>>,
    pub(super) sizes: Sizes,
    /// Those that something is to be done for, by the background.
    drives: mpsc::UnboundedSender<Arc<Pool>>,
    is_closed: AtomicBool,
}

impl Pools {
    pub(in crate::client) fn new(drives: mpsc::UnboundedSender<Arc<Pool>>) -> Self {
        Self {
            by_key: Mutex::default(),
            sizes: Sizes::default(),
            drives,
            is_closed: AtomicBool::new(false),
        }
    }

    fn by_key(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Pool>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are: at rest, none.
    pub(in crate::client) fn len(&self) -> usize {
        self.by_key().len()
    }

    /// How many tasks wait.
    pub(in crate::client) fn waiting(&self) -> usize {
        let pools: Vec<_> = self.by_key().values().cloned().collect();
        pools.iter().map(|pool| pool.state().waiters.len()).sum()
    }

    /// Of a resource.
    pub(super) fn of(&self, name: &ResourceName) -> Vec<Arc<Pool>> {
        let pools = self.by_key();
        let of = |(key, _): &(&Key, _)| key.0 == *name;
        let pools = pools.iter().filter(of);
        pools.map(|(_, pool)| Arc::clone(pool)).collect()
    }

    /// Takes permits, or a place in the line.
    pub(super) fn enter(core: &Arc<Core>, want: &Want, until: Moment) -> Entry {
        loop {
            let key = (want.name.clone(), want.ttl);
            let pool = {
                let mut pools = core.pools.by_key();
                let new = || Pool::new(core, key.clone(), want);
                Arc::clone(pools.entry(key.clone()).or_insert_with(new))
            };
            if let Some(entry) = pool.enter(core, want, until) {
                return entry;
            }
        }
    }

    /// Takes it out if nothing is left of it.
    pub(super) fn tidy(&self, pool: &Arc<Pool>) {
        let mut pools = self.by_key();
        let is_it = pools
            .get(&pool.key)
            .is_some_and(|there| Arc::ptr_eq(there, pool));
        let mut state = pool.state();
        if is_it && state.is_idle() {
            state.is_over = true;
            drop(state);
            pools.remove(&pool.key);
        }
    }

    /// Has the background go on with it.
    pub(super) fn drive(&self, core: &Arc<Core>, pool: &Arc<Pool>) {
        if self.is_closed.load(Ordering::Acquire) || self.drives.send(Arc::clone(pool)).is_err() {
            pool.abandon(core);
            self.by_key().remove(&pool.key);
        }
    }

    /// The client stops: what is left of them is the cleaner's.
    pub(super) fn close(&self, core: &Arc<Core>) {
        self.is_closed.store(true, Ordering::Release);
        let pools = std::mem::take(&mut *self.by_key());
        for pool in pools.into_values() {
            pool.abandon(core);
        }
    }
}
