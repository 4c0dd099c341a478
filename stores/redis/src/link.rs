//! One live connection, from its first answer to its loss.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_core::name::Bucket;
use leasehold_core::{Env, Moment};
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

/// A connection, and what is known of it.
pub(crate) struct Link {
    pub(crate) driver: MultiplexedConnection,
    pub(crate) health: Arc<Health>,
    pub(crate) since: Moment,
    listening: Mutex<BTreeSet<Bucket>>,
}

impl Link {
    pub(crate) fn new(driver: MultiplexedConnection, health: Arc<Health>, env: &Env) -> Self {
        Self {
            driver,
            health,
            since: env.now(),
            listening: Mutex::default(),
        }
    }

    /// Whether the server has acknowledged the subscription.
    pub(crate) fn listens(&self, bucket: Bucket) -> bool {
        let listening = self.listening.lock();
        listening
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&bucket)
    }

    pub(crate) fn acknowledged(&self, bucket: Bucket) {
        let listening = self.listening.lock();
        listening
            .unwrap_or_else(PoisonError::into_inner)
            .insert(bucket);
    }
}

/// Whether anything still comes through a connection. Its driver says so, and so do requests.
#[derive(Debug, Default)]
pub(crate) struct Health {
    heard: AtomicU64,
    is_lost: AtomicBool,
    lost: Notify,
}

impl Health {
    /// Something came.
    pub(crate) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times something came.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// It is to be replaced.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.lost.notify_one();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Waits until it is to be replaced. For one waiter: the keeper.
    pub(crate) async fn lost(&self) {
        while !self.is_lost() {
            self.lost.notified().await;
        }
    }
}
