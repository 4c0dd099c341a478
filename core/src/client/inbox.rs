//! Pushes, sorted to the waiters and holders they are for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::Core;
use crate::env::Moment;
use crate::protocol::{Handed, Rid};
use crate::store::{Event, Listener};

/// Who waits for a push.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<BTreeMap<Rid, Arc<Slot>>>);

#[derive(Debug, Default)]
struct Slot {
    pushed: Mutex<Option<Pushed>>,
    came: Notify,
}

/// A grant's push.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pushed {
    pub(crate) handed: Handed,
    /// When it came.
    pub(crate) receipt: Moment,
}

impl Inbox {
    fn waiters(&self) -> MutexGuard<'_, BTreeMap<Rid, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no request is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters().is_empty()
    }

    /// From now on pushes for `rid` are kept. Before its request is sent: a push may overtake the reply.
    pub(crate) fn register(self: &Arc<Self>, rid: Rid) -> Mailbox {
        let slot = Arc::new(Slot::default());
        self.waiters().insert(rid, Arc::clone(&slot));
        Mailbox {
            inbox: Arc::clone(self),
            rid,
            slot,
        }
    }

    fn deliver(&self, core: &Core, event: Event) {
        match event {
            Event::Granted(handed) => {
                if let Some(slot) = self.waiters().get(&handed.rid) {
                    let receipt = core.env.now();
                    slot.put(Some(Pushed { handed, receipt }));
                }
            }
            Event::Look(rid) => {
                if let Some(slot) = self.waiters().get(&rid) {
                    slot.put(None);
                }
            }
            Event::Contended(rid) if rid.node == core.node => core.renewals.contended(rid),
            Event::Contended(_) => {}
            // A renewal tells why.
            Event::Revoked(rid) => core.renewals.look_at(rid, core.env.now()),
            Event::Recheck => {
                core.clock.forget_offsets();
                self.waiters().values().for_each(|slot| slot.put(None));
            }
        }
    }
}

/// Sorts the pushes of a client, as they come.
pub(crate) struct Ears(pub(crate) Weak<Core>);

impl Listener for Ears {
    fn hear(&self, event: Event) {
        if let Some(core) = self.0.upgrade() {
            core.inbox.deliver(&core, event);
        }
    }

    fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Slot {
    /// `None` only wakes: an earlier push stays.
    fn put(&self, pushed: Option<Pushed>) {
        let mut kept = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = pushed.or(*kept);
        drop(kept);
        self.came.notify_one();
    }

    async fn pushed(&self) -> Option<Pushed> {
        self.came.notified().await;
        let pushed = self.pushed.lock();
        pushed.unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One waiter's pushes.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inbox: Arc<Inbox>,
    rid: Rid,
    slot: Arc<Slot>,
}

impl Mailbox {
    /// A push came (maybe before this call): a grant, or a hint to ask again.
    pub(crate) async fn pushed(&self) -> Option<Pushed> {
        self.slot.pushed().await
    }

    /// For one who hears while others may end this.
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.slot))
    }
}

/// Hears one waiter's pushes.
#[derive(Debug)]
pub(crate) struct Ear(Arc<Slot>);

impl Ear {
    /// As [`Mailbox::pushed`].
    pub(crate) async fn pushed(&self) -> Option<Pushed> {
        self.0.pushed().await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.inbox.waiters().remove(&self.rid);
    }
}
