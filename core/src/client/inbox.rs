//! Pushes, sorted to the waiters they are for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::protocol::{Handed, Rid};
use crate::store::Event;

/// Who waits for a push.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<BTreeMap<Rid, Arc<Notify>>>);

impl Inbox {
    fn waiters(&self) -> MutexGuard<'_, BTreeMap<Rid, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on pushes for `rid` are kept. Before its request is sent: a push may overtake the reply.
    pub(crate) fn register(self: &Arc<Self>, rid: Rid) -> Mailbox {
        let notify = Arc::new(Notify::new());
        self.waiters().insert(rid, Arc::clone(&notify));
        Mailbox {
            inbox: Arc::clone(self),
            rid,
            notify,
        }
    }

    fn deliver(&self, event: &Event) {
        let waiters = self.waiters();
        match event {
            Event::Granted(Handed { rid, .. }) | Event::Look(rid) => {
                if let Some(notify) = waiters.get(rid) {
                    notify.notify_one();
                }
            }
            Event::Contended(_) | Event::Revoked(_) => {}
            Event::Recheck => waiters.values().for_each(|notify| notify.notify_one()),
        }
    }

    /// Sorts pushes until the stores that send them are gone.
    pub(crate) async fn run(self: Arc<Self>, mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            self.deliver(&event);
        }
    }
}

/// One waiter's pushes.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inbox: Arc<Inbox>,
    rid: Rid,
    notify: Arc<Notify>,
}

impl Mailbox {
    /// A push came (maybe before this call).
    pub(crate) async fn pushed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.inbox.waiters().remove(&self.rid);
    }
}
