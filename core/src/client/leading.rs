//! What this client leads: its own observers know of that without asking the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::Core;
use super::turn::Turn;
use crate::name::ResourceName;

/// Leaderships that this client has guards of; one may be lost already.
#[derive(Debug, Default)]
pub(crate) struct Leading(watch::Sender<Terms>);

pub(crate) type Terms = BTreeMap<ResourceName, Own>;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) turn: Arc<Turn>,
    pub(crate) label: String,
}

impl Leading {
    /// Changes whenever one begins or ends.
    pub(crate) fn watch(&self) -> watch::Receiver<Terms> {
        self.0.subscribe()
    }

    /// One begins. It ends when what is returned is dropped.
    pub(crate) fn begin(core: &Arc<Core>, turn: &Arc<Turn>, label: String) -> Standing {
        let own = Own {
            turn: Arc::clone(turn),
            label,
        };
        core.leading.0.send_modify(|terms| {
            terms.insert(turn.tenure.name.clone(), own);
        });
        Standing {
            core: Arc::clone(core),
            turn: Arc::clone(turn),
        }
    }
}

/// A leadership that has a guard.
#[derive(Debug)]
pub(crate) struct Standing {
    core: Arc<Core>,
    turn: Arc<Turn>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let name = &self.turn.tenure.name;
        self.core.leading.0.send_if_modified(|terms| {
            // A later one may have come in its place, after this one was lost.
            let is_own = (terms.get(name)).is_some_and(|own| Arc::ptr_eq(&own.turn, &self.turn));
            if is_own {
                terms.remove(name);
            }
            is_own
        });
    }
}
