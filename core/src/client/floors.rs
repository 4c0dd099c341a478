//! Floors: the highest fence of each bucket, told to the store once a second, so that a record that is gone is not
//! needed to keep the order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Core;
use crate::name::{BUCKETS, Bucket};
use crate::planted::{Bug, planted};
use crate::store::StoreHandle;

/// How often floors are raised at most.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Floors {
    highest: Box<[Floor]>,
    is_dirty: AtomicBool,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Floor {
    noted: AtomicU64,
    raised: AtomicU64,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            highest: (0..BUCKETS).map(|_| Floor::default()).collect(),
            is_dirty: AtomicBool::new(false),
            noted: Notify::new(),
        }
    }
}

impl Floors {
    /// A guard was given this fence.
    pub(crate) fn note(&self, bucket: Bucket, fence: u64) {
        let floor = &self.highest[usize::from(bucket.0)];
        floor.noted.fetch_max(fence, Ordering::AcqRel);
        if !self.is_dirty.swap(true, Ordering::AcqRel) {
            self.noted.notify_one();
        }
    }

    fn to_raise(&self) -> Vec<(Bucket, u64)> {
        self.is_dirty.store(false, Ordering::Release);
        let mut floors = Vec::new();
        for (bucket, floor) in (0..=u8::MAX).zip(self.highest.iter()) {
            let noted = floor.noted.load(Ordering::Acquire);
            if noted > floor.raised.load(Ordering::Acquire) {
                floors.push((Bucket(bucket), noted));
            }
        }
        floors
    }

    fn raised(&self, floors: &[(Bucket, u64)]) {
        for (bucket, fence) in floors {
            let floor = &self.highest[usize::from(bucket.0)];
            floor.raised.fetch_max(*fence, Ordering::AcqRel);
        }
    }
}

/// Raises what was noted, in one request, until the core is stopped. An idle client sends nothing.
pub(super) async fn run(core: Arc<Core>, store: StoreHandle) {
    loop {
        let stopped = tokio::select! {
            biased;
            () = core.floors.noted.notified() => false,
            () = core.stop.cancelled() => true,
        };
        tokio::select! {
            biased;
            // What was noted last is still told, once.
            () = core.stop.cancelled() => {}
            () = core.env.sleep(PAUSE) => {}
        }
        if planted(Bug::FloorNotRaised) {
            return;
        }
        let floors = core.floors.to_raise();
        if floors.is_empty() && stopped {
            return;
        }
        let request = store.leases.raise_floors(&floors);
        let raised = core.request("raise floors", core.request_timeout, request);
        match raised.await {
            Ok(()) => core.floors.raised(&floors),
            Err(error) => {
                tracing::debug!(%error, "floors wait for the store");
                core.floors.is_dirty.store(true, Ordering::Release);
                core.floors.noted.notify_one();
            }
        }
        if core.stop.is_cancelled() {
            return;
        }
    }
}
