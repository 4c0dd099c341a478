//! Membership: one heartbeat a client, and what it learns of the others.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Core;
use crate::protocol::{HEARTBEAT_US, LIVENESS_US};
use crate::store::{Beat, Membership, StoreError, StoreHandle};

/// One heartbeat.
pub(super) async fn beat(core: &Core, store: &StoreHandle) -> Result<(), StoreError> {
    let meta = core
        .meta
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let beat = Beat {
        node: core.node,
        label: core.label.to_string(),
        meta,
        ttl_us: LIVENESS_US,
    };
    let request = store.members.beat(&beat);
    let answer = core
        .timed("heartbeat", core.request_timeout, request)
        .await?;
    let before = core.membership.send_replace(Arc::new(answer.value));
    warn_of_data_loss(core, &before);
    Ok(())
}

fn warn_of_data_loss(core: &Core, before: &Membership) {
    let incarnation = &core.members().incarnation;
    if !before.incarnation.is_empty() && before.incarnation != *incarnation {
        tracing::warn!(
            store = %core.address,
            namespace = %core.namespace,
            "the store lost its data: leases held now may be granted again; fences still order their writes"
        );
    }
}

/// Runs until the core is stopped, then leaves.
pub(super) async fn run(core: Arc<Core>, store: StoreHandle) {
    let heartbeat = Duration::from_micros(HEARTBEAT_US);
    let mut pause = core.env.jittered(heartbeat);
    loop {
        tokio::select! {
            biased;
            () = core.stop.cancelled() => break,
            () = core.meta_changed.notified() => {}
            () = core.env.sleep(pause) => {}
        }
        pause = match beat(&core, &store).await {
            Ok(()) => core.env.jittered(heartbeat),
            Err(error) => {
                tracing::debug!(%error, "a heartbeat waits for the store");
                core.env.jittered(Duration::from_millis(500))
            }
        };
    }
    let leave = store.members.leave(core.node);
    // Unacknowledged, the membership ends by itself.
    drop(core.request("leave", core.request_timeout, leave).await);
}

impl Core {
    /// Lets other nodes know `value` under `key`, or takes it back. What keys there are is sent at once, a key's new
    /// value with the next heartbeat.
    pub(crate) fn announce(&self, key: &str, value: Option<String>) {
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match value {
            Some(value) => meta.insert(key.to_owned(), value).is_some(),
            None => meta.remove(key).is_none(),
        };
        if !known {
            self.meta_changed.notify_one();
        }
    }
}
