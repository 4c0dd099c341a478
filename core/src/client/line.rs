//! Local lines: the tasks of this client that want the same resource. One of them stands in the store's queue for all;
//! what it is granted *visits* them, each with a fence of its own and without store traffic, and then goes to the next
//! client. Known as lock cohorting (Dice, Marathe, Shavit: "Lock Cohorting", 2012).
//!
//! A line exists only while somebody stands in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::acquire::Ask;
use super::lead::{Lead, Work};
use super::turn::{Holding, Seat, TaskId, Turn};
use super::visit::{Verdict, Visit};
use super::{Cleanup, Core, Tenure};
use crate::env::Moment;
use crate::name::ResourceName;
use crate::protocol::Rid;

/// Who takes turns with one another: those that want the same, for the same time, in the same manner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) name: ResourceName,
    pub(crate) ttl: Duration,
    /// A visit is one turn.
    pub(crate) strict: bool,
}

/// All lines of a client.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    places: Mutex<BTreeMap<Line, Place>>,
    arrivals: AtomicU64,
}

#[derive(Debug)]
struct Place {
    /// In the order they came.
    waiters: BTreeMap<u64, Waiter>,
    stand: Stand,
}

/// Where the line stands at the store.
#[derive(Debug)]
enum Stand {
    /// One of its tasks asks, or waits there.
    Led,
    /// It has a tenure.
    Held(Visit),
    /// Its tenure is being given up: by a caller, whom the others wait for, or by the cleaner, whom they need not.
    Leaving(Rid, Option<Arc<Tenure>>),
}

#[derive(Debug)]
struct Waiter {
    to: oneshot::Sender<Call>,
    seat: Seat,
}

/// What a waiter is called for.
#[derive(Debug)]
pub(crate) enum Call {
    /// It is its turn.
    Serve(Holding),
    /// It is to stand at the store for all.
    Lead(Lead),
}

/// How a task comes in.
#[derive(Debug)]
pub(crate) enum Entry {
    /// First of its line.
    Lead(Lead),
    /// Behind others.
    Behind(Spot),
    /// Someone of this client has it, and the caller would not wait.
    Held {
        held_for: Duration,
        remaining: Duration,
    },
    /// The caller's own task has it: it would wait for itself.
    Relock(&'static std::panic::Location<'static>),
}

/// What is to be done when a turn has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing: the next has it, or someone else ends it.
    Nothing,
    /// The tenure is to be released.
    Release,
}

impl Lines {
    fn places(&self) -> MutexGuard<'_, BTreeMap<Line, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks wait.
    pub(crate) fn waiting(&self) -> usize {
        self.places().values().map(|p| p.waiters.len()).sum()
    }

    /// How many lines there are: at rest, none.
    pub(crate) fn len(&self) -> usize {
        self.places().len()
    }

    /// How many tasks wait in one line.
    pub(crate) fn waiting_in(&self, line: &Line) -> usize {
        self.places().get(line).map_or(0, |p| p.waiters.len())
    }

    /// Takes a place. Who would not wait gets none behind others.
    pub(crate) fn enter(core: &Arc<Core>, line: Line, ask: &Ask) -> Entry {
        let (seat, waits) = (ask.seat, ask.wait.is_some());
        let mut places = core.lines.places();
        let Some(place) = places.get_mut(&line) else {
            let place = Place {
                waiters: BTreeMap::new(),
                stand: Stand::Led,
            };
            places.insert(line.clone(), place);
            return Entry::Lead(Lead::new(core, Some(line), Work::default()));
        };
        match &mut place.stand {
            // Lost, and the renewer has not looked yet: who comes first goes on without it.
            Stand::Held(visit) if place.waiters.is_empty() && visit.tenure.check().is_err() => {
                let ending = Some(Arc::clone(&visit.tenure));
                place.stand = Stand::Led;
                return Entry::Lead(Lead::new(core, Some(line), Work::ending(ending)));
            }
            Stand::Held(visit) => {
                let turn = visit.turn.as_ref().filter(|turn| !turn.is_ended());
                if let Some(turn) = turn
                    && waits
                    && !ask.may_relock
                    && turn.seat.task == seat.task
                    && turn.check().is_ok()
                {
                    return Entry::Relock(turn.seat.overdue.caller);
                }
                if !waits {
                    return Entry::Held {
                        held_for: turn.map_or(Duration::ZERO, |turn| turn.held_for()),
                        remaining: visit.tenure.deadline().since(core.env.now()),
                    };
                }
                visit.tenure.contend();
            }
            // The cleaner may take long; the same release goes along with what this one asks.
            Stand::Leaving(_, ending @ Some(_)) if place.waiters.is_empty() => {
                let work = Work::ending(ending.take());
                place.stand = Stand::Led;
                return Entry::Lead(Lead::new(core, Some(line), work));
            }
            // Beside the line: the store knows who is in the way.
            _ if !waits => return Entry::Lead(Lead::new(core, None, Work::default())),
            _ => {}
        }
        let id = core.lines.arrivals.fetch_add(1, Ordering::Relaxed);
        let (to, called) = oneshot::channel();
        place.waiters.insert(id, Waiter { to, seat });
        drop(places);
        line.name.keys().waiting(1.0);
        Entry::Behind(Spot {
            core: Arc::clone(core),
            line,
            id,
            called,
        })
    }

    /// The line's lead was granted: a visit begins, and the lead has the first turn.
    pub(crate) fn begin_visit(&self, turn: &Arc<Turn>, now: Moment) {
        let Some(line) = &turn.tenure.line else {
            return;
        };
        if let Some(place) = self.places().get_mut(line) {
            place.stand = Stand::Held(Visit::begin(turn, place.waiters.len(), now));
        }
    }

    /// A turn has ended: the next one in the line is served, or the visit ends. `by_caller` waits for its release.
    pub(crate) fn leave(&self, core: &Arc<Core>, turn: &Arc<Turn>, by_caller: bool) -> After {
        let Some(line) = &turn.tenure.line else {
            turn.tenure.end();
            core.renewals.remove(&turn.tenure);
            return After::Release;
        };
        let mut places = self.places();
        match places.get_mut(line) {
            Some(place) if place.has_visit_of(&turn.tenure) => place.pass_on(core, line, by_caller),
            // Its tenure was lost, and the line went on.
            _ => After::Nothing,
        }
    }

    /// The full TTL is claimed now, by a renewal: a visit that waited for that goes on.
    pub(crate) fn resume(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) {
        let Some(line) = &tenure.line else { return };
        let mut places = self.places();
        let Some(place) = places.get_mut(line) else {
            return;
        };
        let Stand::Held(visit) = &place.stand else {
            return;
        };
        let waits_for_it = visit.turn.is_none() && Arc::ptr_eq(&visit.tenure, tenure);
        if waits_for_it && place.pass_on(core, line, false) == After::Release {
            drop(places);
            core.clean_up(Cleanup::of(core, tenure));
        }
    }

    /// The tenure is lost: the line goes on without it, also if its guard is still there. The one that leads next ends
    /// it at the store; if there is none, the caller is to.
    pub(crate) fn lose(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) -> After {
        if tenure.is_ended() {
            return After::Nothing;
        }
        let Some(line) = &tenure.line else {
            return After::Release;
        };
        let mut places = self.places();
        let Some(place) = places.get_mut(line) else {
            return After::Release;
        };
        if !place.has_visit_of(tenure) {
            return After::Nothing;
        }
        let work = Work::ending(Some(Arc::clone(tenure)));
        place.stand = Stand::Led;
        if place.hand_lead(core, line, work).is_some() {
            places.remove(line);
            return After::Release;
        }
        After::Nothing
    }

    /// A tenure's release is done, or given up.
    pub(crate) fn left(&self, core: &Arc<Core>, tenure_of: &Line, rid: Rid) {
        let mut places = self.places();
        let Some(place) = places.get_mut(tenure_of) else {
            return;
        };
        if !matches!(place.stand, Stand::Leaving(leaving, _) if leaving == rid) {
            return;
        }
        place.stand = Stand::Led;
        if place.hand_lead(core, tenure_of, Work::default()).is_some() {
            places.remove(tenure_of);
        }
    }

    /// A caller did not stay for its release: the cleaner goes on with it, and those who wait need not wait for that.
    pub(crate) fn leave_to_cleaner(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) {
        let Some(line) = &tenure.line else { return };
        let mut places = self.places();
        let Some(place) = places.get_mut(line) else {
            return;
        };
        if !matches!(place.stand, Stand::Leaving(rid, _) if rid == tenure.rid) {
            return;
        }
        place.stand = Stand::Led;
        let work = Work::ending(Some(Arc::clone(tenure)));
        if let Some(work) = place.hand_lead(core, line, work) {
            place.stand = Stand::Leaving(tenure.rid, work.ending);
        }
    }

    /// Its lead goes away: the next one stands for the line, with the same place at the store.
    pub(super) fn give_lead_up(&self, core: &Arc<Core>, line: &Line, work: Work) -> Option<Work> {
        let mut places = self.places();
        let Some(place) = places.get_mut(line) else {
            return Some(work);
        };
        let left = place.hand_lead(core, line, work);
        if left.is_some() {
            places.remove(line);
        }
        left
    }
}

impl Place {
    fn has_visit_of(&self, tenure: &Arc<Tenure>) -> bool {
        matches!(&self.stand, Stand::Held(visit) if Arc::ptr_eq(&visit.tenure, tenure))
    }

    /// Serves the next one, if the visit may go on; else the next one leads.
    fn pass_on(&mut self, core: &Arc<Core>, line: &Line, by_caller: bool) -> After {
        let Stand::Held(visit) = &mut self.stand else {
            return After::Nothing;
        };
        visit.turn = None;
        while let Some(first) = self.waiters.first_entry() {
            if first.get().to.is_closed() {
                first.remove();
                continue;
            }
            match visit.judge(line.strict) {
                Verdict::Wait => return After::Nothing,
                Verdict::Over => break,
                Verdict::Next(fence) => {
                    let Waiter { to, seat } = first.remove();
                    let turn = Turn::begin(&visit.tenure, fence, core.env.now(), seat);
                    let holding = Holding::new(core, Arc::clone(&turn));
                    match to.send(Call::Serve(holding)) {
                        Ok(()) => {
                            core.note_fence(&line.name, fence);
                            line.name.keys().local_turn();
                            if turn.look_at() < turn.since + line.ttl / 3 {
                                core.renewals.look_at(visit.tenure.rid, turn.look_at());
                            }
                            visit.turn = Some(turn);
                            return After::Nothing;
                        }
                        Err(_unheard) => turn.withdraw(),
                    }
                }
            }
        }
        let tenure = Arc::clone(&visit.tenure);
        // No turn and no renewal from here on: its block of fences dies with its release.
        tenure.end();
        core.renewals.remove(&tenure);
        self.stand = Stand::Led;
        let work = Work::ending(Some(Arc::clone(&tenure)));
        if self.hand_lead(core, line, work).is_none() {
            return After::Nothing;
        }
        let cleaner = (!by_caller).then(|| Arc::clone(&tenure));
        self.stand = Stand::Leaving(tenure.rid, cleaner);
        After::Release
    }

    /// The first one that still waits leads from now on; `work` comes back if there is none.
    fn hand_lead(&mut self, core: &Arc<Core>, line: &Line, mut work: Work) -> Option<Work> {
        while let Some((_, waiter)) = self.waiters.pop_first() {
            let lead = Lead::new(core, Some(line.clone()), work);
            match waiter.to.send(Call::Lead(lead)) {
                Err(Call::Lead(unheard)) => work = unheard.take_back(),
                // Heard: what comes back is what was sent.
                _ => return None,
            }
        }
        Some(work)
    }
}

/// A place behind others.
#[derive(Debug)]
pub(crate) struct Spot {
    core: Arc<Core>,
    line: Line,
    id: u64,
    called: oneshot::Receiver<Call>,
}

impl Spot {
    /// Waits to be called. `None` if nobody is left to call: then come in anew.
    pub(crate) async fn called(&mut self) -> Option<Call> {
        (&mut self.called).await.ok()
    }

    /// The call that came at the last moment.
    pub(crate) fn called_by_now(&mut self) -> Option<Call> {
        self.called.try_recv().ok()
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut places = self.core.lines.places();
        if let Some(place) = places.get_mut(&self.line) {
            place.waiters.remove(&self.id);
        }
        drop(places);
        self.line.name.keys().waiting(-1.0);
        // A call that came unheard ends with the channel: its turn passes on, or its lead.
    }
}

impl Seat {
    pub(crate) fn new(max_hold: Option<Duration>, overdue: super::Overdue) -> Self {
        Self {
            max_hold,
            overdue,
            task: TaskId::current(),
        }
    }
}
