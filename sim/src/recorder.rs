//! Writes the history down, and looks at the guards when it matters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use leasehold_core::store::{Done, Step};
use leasehold_core::{Env, Error, Moment, NodeId};
use tokio::sync::Notify;

use crate::guard::Guard;
use crate::history::{Event, Fault, History, How, Id, What};
use crate::steps::Steps;

/// One run's history as it grows.
pub(crate) struct Recorder {
    env: Env,
    start: Moment,
    log: Mutex<Log>,
    endless: Notify,
    shows_steps: bool,
}

/// How many events a run may have: one that has more goes round in circles.
const MOST_EVENTS: usize = 200_000;
/// How many steps its store may take.
const MOST_STEPS: u64 = 1_000_000;

#[derive(Default)]
struct Log {
    history: History,
    calls: Id,
    holds: Id,
    guards: BTreeMap<Id, Watched>,
    steps: Steps,
    stepped: u64,
}

/// A guard that a task has, to be looked at from outside.
#[derive(Clone)]
struct Watched {
    node: Id,
    env: Env,
    resource: String,
    guard: Weak<Guard>,
}

impl Watched {
    /// What its node would see if it looked now; nothing while it stands still.
    fn look(&self) -> Option<bool> {
        let guard = self.guard.upgrade()?;
        (!self.env.is_paused()).then(|| guard.is_held())
    }
}

/// A call that is under way; dropped, it was cancelled.
pub(crate) struct Calling<'a> {
    recorder: &'a Recorder,
    call: Id,
    ended: bool,
}

/// What a lease was asked for with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) ttl: Duration,
    pub(crate) max_hold: Option<Duration>,
    /// How much of it, and of how much.
    pub(crate) weight: u32,
    pub(crate) capacity: u32,
    /// Asked for together with others.
    pub(crate) together: bool,
}

/// What is called.
pub(crate) struct Call<'a> {
    pub(crate) node: Id,
    pub(crate) resource: &'a str,
    pub(crate) hold: Option<Id>,
    pub(crate) what: String,
    pub(crate) within: Duration,
    pub(crate) must: bool,
}

impl Recorder {
    pub(crate) fn new(env: Env, shows_steps: bool) -> Self {
        Self {
            start: env.now(),
            env,
            log: Mutex::default(),
            endless: Notify::new(),
            shows_steps,
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: What) {
        let at = self.env.now().since(self.start);
        let mut log = self.log();
        log.history.push(Event { at, what });
        if log.history.len() > MOST_EVENTS {
            self.endless.notify_one();
        }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.note(What::Fault(fault));
    }

    pub(crate) fn other(&self, text: impl Into<String>) {
        self.fault(Fault::Other(text.into()));
    }

    pub(crate) fn joined(&self, node: Id, client: NodeId) {
        let client = client.to_string();
        self.note(What::Joined { node, client });
    }

    pub(crate) fn left(&self, what: String) {
        self.note(What::Left { what });
    }

    pub(crate) fn call(&self, call: Call<'_>) -> Calling<'_> {
        let id = {
            let mut log = self.log();
            log.calls += 1;
            log.calls
        };
        self.note(What::Called {
            call: id,
            node: call.node,
            resource: call.resource.to_owned(),
            hold: call.hold,
            what: call.what,
            within: call.within,
            must: call.must,
        });
        Calling {
            recorder: self,
            call: id,
            ended: false,
        }
    }

    /// A guard came to its caller. Who else says that he holds it?
    pub(crate) fn held(&self, node: Id, env: &Env, guard: &Arc<Guard>, terms: Terms) -> Id {
        let resource = guard.name().as_str().to_owned();
        let hold = self.begin(node, &resource, guard.grant_id().get(), terms);
        let watched = Watched {
            node,
            env: env.clone(),
            resource: resource.clone(),
            guard: Arc::downgrade(guard),
        };
        self.log().guards.insert(hold, watched);
        self.look_at(|other, id| other.resource == resource && id != hold);
        hold
    }

    /// As `held`, for a guard that cannot be looked at from outside.
    pub(crate) fn begin(&self, node: Id, resource: &str, fence: u64, terms: Terms) -> Id {
        let hold = {
            let mut log = self.log();
            log.holds += 1;
            log.holds
        };
        self.note(What::Held {
            hold,
            node,
            resource: resource.to_owned(),
            fence,
            weight: terms.weight,
            capacity: terms.capacity,
            ttl: terms.ttl,
            max_hold: terms.max_hold,
            together: terms.together,
        });
        hold
    }

    /// Looks at the guards of a node, as the first call after a pause would.
    pub(crate) fn look_at_node(&self, node: Id) {
        self.look_at(|watched, _| watched.node == node);
    }

    fn look_at(&self, which: impl Fn(&Watched, Id) -> bool) {
        let watched: Vec<_> = {
            let mut log = self.log();
            log.guards
                .retain(|_, watched| watched.guard.strong_count() > 0);
            let chosen = log
                .guards
                .iter()
                .filter(|(id, watched)| which(watched, **id));
            chosen.map(|(id, watched)| (*id, watched.clone())).collect()
        };
        for (hold, watched) in watched {
            if let Some(held) = watched.look() {
                self.looked(hold, held);
            }
        }
    }

    pub(crate) fn looked(&self, hold: Id, held: bool) {
        self.note(What::Looked { hold, held });
    }

    pub(crate) fn gave_up(&self, hold: Id) {
        self.log().guards.remove(&hold);
        self.note(What::GaveUp { hold });
    }

    /// Takes in what a step of the store did.
    pub(crate) fn stepped(&self, step: &Step<'_>) {
        let noted = {
            let mut log = self.log();
            log.stepped += 1;
            if log.stepped > MOST_STEPS {
                self.endless.notify_one();
            }
            log.steps.take(step)
        };
        if self.shows_steps {
            self.note(shown(step));
        }
        for what in noted {
            let minted = match &what {
                What::Minted { resource, .. } => Some(resource.clone()),
                _ => None,
            };
            self.note(what);
            if let Some(resource) = minted {
                self.look_at(|watched, _| watched.resource == resource);
            }
        }
    }

    /// The store may have forgotten what the rules for its steps rest on.
    pub(crate) fn forgot(&self, fault: Fault) {
        self.log().steps.forget();
        self.fault(fault);
    }

    /// Resolves when the run goes round in circles.
    pub(crate) async fn endless(&self) {
        self.endless.notified().await;
        let (rule, text) = ("a run ends", String::new());
        self.note(What::Broke { rule, text });
    }

    pub(crate) fn has(&self, is_it: impl Fn(&What) -> bool) -> bool {
        self.log().history.iter().any(|event| is_it(&event.what))
    }

    pub(crate) fn take(&self) -> History {
        std::mem::take(&mut self.log().history)
    }
}

impl Calling<'_> {
    pub(crate) fn end<T>(self, result: &Result<T, Error>) {
        let how = match result {
            Ok(_) => How::Done,
            Err(Error::Busy(_)) => How::Busy,
            Err(Error::Unavailable { .. }) => How::Unavailable,
            Err(Error::Lost(_)) => How::Lost,
            Err(Error::Store(_)) => How::Refused,
            Err(Error::ShutDown) => How::ShutDown,
            Err(Error::Cancelled { .. }) => How::Cancelled,
            Err(other) => How::Unexpected(other.to_string()),
        };
        self.end_as(how);
    }

    pub(crate) fn end_as(mut self, how: How) {
        self.ended = true;
        let call = self.call;
        self.recorder.note(What::Ended { call, how });
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let (call, how) = (self.call, How::Cancelled);
            self.recorder.note(What::Ended { call, how });
        }
    }
}

/// A step, for people.
fn shown(step: &Step<'_>) -> What {
    let text = match &step.done {
        Done::Lease {
            op, after, reply, ..
        } => {
            let entries = after.iter().flat_map(|record| &record.entries);
            let entries: Vec<_> = entries
                .map(|entry| format!("{:?} {}", entry.phase, entry.rid))
                .collect();
            format!("{op:?} -> {reply:?}; now {}", entries.join(", "))
        }
        Done::Write { write, reply } => format!("{write:?} -> {reply:?}"),
        Done::Quota { call, reply } => format!("{call:?} -> {reply:?}"),
    };
    let resource = step.name.to_string();
    What::Stepped { resource, text }
}
