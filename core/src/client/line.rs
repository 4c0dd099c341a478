//! Local lines: the tasks of this client that want the same resource. One of them stands in the store's queue for all;
//! what it is granted *visits* them, each with a fence of its own and without store traffic, and then goes to the next
//! client. Known as lock cohorting (Dice, Marathe, Shavit: "Lock Cohorting", 2012). Readers *share* it instead.
//!
//! A line exists only while somebody stands in it.

use std::collections::{BTreeMap, btree_map};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::acquire::Ask;
use super::lead::{Lead, Work};
use super::place::{Place, Places, Stand, Waiter, key};
use super::share::Share;
use super::turn::{Holding, Seat, TaskId, Turn};
use super::visit::{Verdict, Visit};
use super::{Cleanup, Core, Tenure};
use crate::env::Moment;
use crate::name::{Bucket, ResourceName};
use crate::protocol::{Rid, Weight};

/// Who takes turns with one another, or shares: those that want the same, for the same time, in the same manner.
///
/// A resource's lines stand beside one another in this order. Readers and writers are two of them, and meet at the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Its name's. It comes first, so that few names need to be compared.
    pub(crate) bucket: Bucket,
    pub(crate) name: ResourceName,
    pub(crate) mode: Mode,
    pub(crate) ttl: Duration,
    /// A visit is one turn.
    pub(crate) strict: bool,
}

impl Line {
    /// No line of the resource stands before it.
    pub(super) fn first_of(name: &ResourceName) -> Self {
        Self {
            bucket: name.bucket(),
            name: name.clone(),
            mode: Mode::Exclusive,
            ttl: Duration::ZERO,
            strict: false,
        }
    }
}

/// What a line does with a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// One task after the other has it.
    Exclusive,
    /// Several have it side by side.
    Shared,
    /// Several have some of it each. It is no line's: a pool's.
    Permits,
}

impl Mode {
    pub(crate) fn of(weight: Weight) -> Self {
        match weight {
            Weight::All => Self::Exclusive,
            Weight::Units(_) => Self::Shared,
        }
    }

    /// A bounded word for metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Permits => "permits",
        }
    }
}

/// All lines of a client.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    places: Mutex<Places>,
    arrivals: AtomicU64,
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
    /// Beside others, who share with it.
    Join(Holding),
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
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks wait.
    pub(crate) fn waiting(&self) -> usize {
        let places = self.places();
        places.by_line.values().map(|p| p.waiters.len()).sum()
    }

    /// How many lines there are: at rest, none.
    pub(crate) fn len(&self) -> usize {
        self.places().by_line.len()
    }

    /// How many tasks wait in one line.
    pub(crate) fn waiting_in(&self, line: &Line) -> usize {
        let places = self.places();
        places.by_line.get(line).map_or(0, |p| p.waiters.len())
    }

    /// Where this task holds the resource already, in whatever mode.
    pub(crate) fn held_by(
        &self,
        name: &ResourceName,
        task: TaskId,
    ) -> Option<&'static Location<'static>> {
        self.places().held_by(name, task)
    }

    /// Somebody waits for the resource.
    pub(crate) fn contend(&self, name: &ResourceName) {
        self.places().contend(name);
    }

    /// Takes a place. Who would not wait gets none behind others.
    pub(crate) fn enter(core: &Arc<Core>, line: Line, ask: &Ask) -> Entry {
        let (seat, waits) = (ask.seat, ask.wait.is_some());
        let mut places = core.lines.places();
        let Places { by_line, apart } = &mut *places;
        let place = match by_line.entry(line) {
            btree_map::Entry::Occupied(place) => place,
            btree_map::Entry::Vacant(place) => {
                let line = place.key().clone();
                place.insert(Place {
                    waiters: BTreeMap::new(),
                    stand: Stand::Led,
                });
                return Entry::Lead(Lead::first(core, line));
            }
        };
        let line = place.key().clone();
        let place = place.into_mut();
        match &mut place.stand {
            // Lost, and the renewer has not looked yet: who comes first goes on without it.
            Stand::Held(visit) if place.waiters.is_empty() && visit.tenure.check().is_err() => {
                let ending = Some(Arc::clone(&visit.tenure));
                place.stand = Stand::Led;
                return Entry::Lead(Lead::new(core, Some(line), Work::ending(ending)));
            }
            Stand::Held(visit) if !waits => {
                let turn = visit.turn.as_ref().filter(|turn| !turn.is_ended());
                return Entry::Held {
                    held_for: turn.map_or(Duration::ZERO, |turn| turn.held_for()),
                    remaining: visit.tenure.deadline().since(core.env.now()),
                };
            }
            Stand::Shared(share) if place.waiters.is_empty() => match share.judge(None) {
                Verdict::Next(number) => {
                    let holding = share.join(core, number, seat);
                    share.joined(core, number);
                    return Entry::Join(holding);
                }
                Verdict::Over => {
                    let work = place.part(core, apart);
                    return Entry::Lead(Lead::new(core, Some(line), work));
                }
                Verdict::Wait => {}
            },
            // The cleaner may take long; the same release goes along with what this one asks.
            Stand::Leaving(_, ending @ Some(_)) if place.waiters.is_empty() => {
                let work = Work::ending(ending.take());
                place.stand = Stand::Led;
                return Entry::Lead(Lead::new(core, Some(line), work));
            }
            _ => {}
        }
        if !waits {
            // Beside the line: the store knows who is in the way.
            return Entry::Lead(Lead::new(core, None, Work::default()));
        }
        // Who waits for a claim's answer waits for no task.
        let waits_for_claim = matches!(place.stand, Stand::Shared(_));
        if !ask.may_relock
            && !waits_for_claim
            && let Some(held_at) = places.held_up_by(&line, seat.task)
        {
            return Entry::Relock(held_at);
        }
        let id = core.lines.arrivals.fetch_add(1, Ordering::Relaxed);
        let (to, called) = oneshot::channel();
        if let Some(place) = places.by_line.get_mut(&line) {
            if let Stand::Held(visit) = &place.stand {
                visit.tenure.contend();
            }
            let may_relock = ask.may_relock;
            let waiter = Waiter {
                to,
                seat,
                may_relock,
            };
            place.waiters.insert(id, waiter);
        }
        drop(places);
        line.name.keys(line.mode).waiting(1.0);
        Entry::Behind(Spot {
            core: Arc::clone(core),
            line,
            id,
            called,
        })
    }

    /// The line's lead was granted: a visit or a share begins, and the lead has the first turn.
    pub(crate) fn begin(&self, core: &Arc<Core>, turn: &Arc<Turn>, now: Moment) {
        let tenure = &turn.tenure;
        let mut places = self.places();
        let Some(line) = &tenure.line else {
            places.apart.insert(key(tenure), Arc::clone(tenure));
            return;
        };
        let Some(place) = places.by_line.get_mut(line) else {
            return;
        };
        if line.mode == Mode::Exclusive {
            place.stand = Stand::Held(Visit::begin(turn, place.waiters.len(), now));
            return;
        }
        let arrivals = self.arrivals.load(Ordering::Relaxed);
        place.stand = Stand::Shared(Share::begin(turn, arrivals));
        // The lead's turn counts, and so there is nothing to release.
        places.admit(core, line);
    }

    /// A turn has ended: the next one in the line is served, or the tenure ends. `by_caller` waits for its release.
    pub(crate) fn leave(&self, core: &Arc<Core>, turn: &Arc<Turn>, by_caller: bool) -> After {
        let tenure = &turn.tenure;
        let mut places = self.places();
        if tenure.is_shared() && !tenure.sharers.remove(turn) {
            return After::Nothing;
        }
        if let Some(line) = &tenure.line
            && let Some(place) = places.by_line.get_mut(line)
        {
            if place.has_visit_of(tenure) {
                return place.pass_on(core, line, by_caller);
            }
            if place.is_shared_by(tenure) {
                return places.admit(core, line);
            }
        }
        // Not there, its tenure was lost, and the line went on.
        if places.apart.remove(&key(tenure)).is_none() {
            return After::Nothing;
        }
        tenure.end();
        core.renewals.remove(tenure);
        After::Release
    }

    /// The full TTL is claimed now, by a renewal: those who waited for that go on.
    pub(crate) fn resume(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) {
        let Some(line) = &tenure.line else { return };
        let mut places = self.places();
        let Some(place) = places.by_line.get_mut(line) else {
            return;
        };
        let after = match &place.stand {
            Stand::Held(visit) if visit.turn.is_none() && Arc::ptr_eq(&visit.tenure, tenure) => {
                place.pass_on(core, line, false)
            }
            Stand::Shared(share) if Arc::ptr_eq(&share.tenure, tenure) => places.admit(core, line),
            _ => After::Nothing,
        };
        drop(places);
        if after == After::Release {
            core.clean_up(Cleanup::of(core, tenure));
        }
    }

    /// The tenure is lost: the line goes on without it, also if its guards are still there. The one that leads next ends
    /// it at the store; if there is none, the caller is to.
    pub(crate) fn lose(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) -> After {
        if tenure.is_ended() {
            return After::Nothing;
        }
        let mut places = self.places();
        let Places { by_line, apart } = &mut *places;
        if apart.remove(&key(tenure)).is_some() {
            return After::Release;
        }
        let Some(line) = &tenure.line else {
            return After::Release;
        };
        let Some(place) = by_line.get_mut(line) else {
            return After::Release;
        };
        if place.is_shared_by(tenure) {
            // Its guards are still to leave, and find it ended.
            tenure.end();
        } else if !place.has_visit_of(tenure) {
            return After::Nothing;
        }
        let work = Work::ending(Some(Arc::clone(tenure)));
        place.stand = Stand::Led;
        if place.hand_lead(core, line, work).is_some() {
            by_line.remove(line);
            return After::Release;
        }
        After::Nothing
    }

    /// A tenure's release is done, or given up.
    pub(crate) fn left(&self, core: &Arc<Core>, tenure_of: &Line, rid: Rid) {
        let mut places = self.places();
        let btree_map::Entry::Occupied(mut entry) = places.by_line.entry(tenure_of.clone()) else {
            return;
        };
        let place = entry.get_mut();
        if !matches!(place.stand, Stand::Leaving(leaving, _) if leaving == rid) {
            return;
        }
        place.stand = Stand::Led;
        if place.hand_lead(core, tenure_of, Work::default()).is_some() {
            entry.remove();
        }
    }

    /// A caller did not stay for its release: the cleaner goes on with it, and those who wait need not wait for that.
    pub(crate) fn leave_to_cleaner(&self, core: &Arc<Core>, tenure: &Arc<Tenure>) {
        let Some(line) = &tenure.line else { return };
        let mut places = self.places();
        let by_line = &mut places.by_line;
        let Some(place) = by_line.get_mut(line) else {
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
        let by_line = &mut places.by_line;
        let Some(place) = by_line.get_mut(line) else {
            return Some(work);
        };
        let left = place.hand_lead(core, line, work);
        if left.is_some() {
            by_line.remove(line);
        }
        left
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
        if let Some(place) = places.by_line.get_mut(&self.line) {
            place.waiters.remove(&self.id);
        }
        drop(places);
        self.line.name.keys(self.line.mode).waiting(-1.0);
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
