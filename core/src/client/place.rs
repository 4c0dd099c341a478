//! A line's place: who waits there, and where it stands at the store.

use std::collections::{BTreeMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::lead::{Lead, Work};
use super::line::{After, Call, Line, Mode};
use super::share::Share;
use super::turn::{Holding, Seat, TaskId, Turn};
use super::visit::{Verdict, Visit};
use super::{Core, Tenure};
use crate::name::ResourceName;
use crate::protocol::Rid;

/// All of a client.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) by_line: BTreeMap<Line, Place>,
    /// Tenures that no line hands on: shares that nobody may join any more, and what was granted beside a line.
    pub(super) apart: Apart,
}

/// By name, and by the number of the request that made them.
pub(super) type Apart = BTreeMap<(ResourceName, u64), Arc<Tenure>>;

/// A line's place.
#[derive(Debug)]
pub(super) struct Place {
    /// In the order they came.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    pub(super) stand: Stand,
}

/// Where the line stands at the store.
#[derive(Debug)]
pub(super) enum Stand {
    /// One of its tasks asks, or waits there.
    Led,
    /// It has a tenure.
    Held(Visit),
    /// It has a tenure that others may join.
    Shared(Share),
    /// Its tenure is being given up: by a caller, whom the others wait for, or by the cleaner, whom they need not.
    Leaving(Rid, Option<Arc<Tenure>>),
}

/// A task that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) to: oneshot::Sender<Call>,
    pub(super) seat: Seat,
    pub(super) may_relock: bool,
}

/// Its key among those apart.
pub(super) fn key(tenure: &Tenure) -> (ResourceName, u64) {
    (tenure.name.clone(), tenure.rid.seq)
}

impl Places {
    /// Of a resource, those that this client has.
    pub(super) fn tenures_of(&self, name: &ResourceName) -> impl Iterator<Item = &Arc<Tenure>> {
        let (name, of) = (name.clone(), name.clone());
        let lines = self.by_line.range(Line::first_of(&name)..);
        let lines = lines.take_while(move |(line, _)| line.name == name);
        let apart = self.apart.range((of.clone(), 0)..);
        let apart = apart.take_while(move |((name, _), _)| *name == of);
        let in_line = lines.filter_map(|(_, place)| place.tenure());
        in_line.chain(apart.map(|(_, tenure)| tenure))
    }

    /// Lets those in the line join its share that may.
    pub(super) fn admit(&mut self, core: &Arc<Core>, line: &Line) -> After {
        let Some(place) = self.by_line.get_mut(line) else {
            return After::Nothing;
        };
        let Some(after) = place.admit(core, line, &mut self.apart) else {
            return After::Nothing;
        };
        self.by_line.remove(line);
        after
    }

    /// Somebody waits for the resource. Who shares it, and stands in a line to share it again, would now wait for itself:
    /// called by nobody, it comes in anew, and is told.
    pub(super) fn contend(&mut self, name: &ResourceName) {
        self.tenures_of(name).for_each(|tenure| tenure.contend());
        let is_shared = |line: &Line| line.name == *name && line.mode == Mode::Shared;
        let lines = self.by_line.range(Line::first_of(name)..);
        let mut lines = lines.take_while(|(line, _)| line.name == *name);
        if !lines.any(|(line, place)| is_shared(line) && !place.waiters.is_empty()) {
            return;
        }
        let sharing: HashSet<_> = self
            .tenures_of(name)
            .flat_map(|tenure| tenure.sharers.tasks())
            .collect();
        let lines = self.by_line.range_mut(Line::first_of(name)..);
        let lines = lines.take_while(|(line, _)| line.name == *name);
        for (_, place) in lines.filter(|(line, _)| is_shared(line)) {
            (place.waiters)
                .retain(|_, waiter| waiter.may_relock || !sharing.contains(&waiter.seat.task));
        }
    }

    /// Where this task holds what its place in the line would wait for: who shares is in nobody's way who would share,
    /// unless somebody else waits.
    pub(super) fn held_up_by(
        &self,
        line: &Line,
        task: TaskId,
    ) -> Option<&'static Location<'static>> {
        let is_in_the_way =
            |tenure: &&Arc<Tenure>| line.mode == Mode::Exclusive || tenure.holds_up_sharers();
        let mut in_the_way = self.tenures_of(&line.name).filter(is_in_the_way);
        let turn = in_the_way.find_map(|tenure| tenure.turn_of(task))?;
        Some(turn.seat.overdue.caller)
    }

    pub(super) fn held_by(
        &self,
        name: &ResourceName,
        task: TaskId,
    ) -> Option<&'static Location<'static>> {
        let turn = self
            .tenures_of(name)
            .find_map(|tenure| tenure.turn_of(task))?;
        Some(turn.seat.overdue.caller)
    }
}

impl Place {
    pub(super) fn has_visit_of(&self, tenure: &Arc<Tenure>) -> bool {
        matches!(&self.stand, Stand::Held(visit) if Arc::ptr_eq(&visit.tenure, tenure))
    }

    pub(super) fn is_shared_by(&self, tenure: &Arc<Tenure>) -> bool {
        matches!(&self.stand, Stand::Shared(share) if Arc::ptr_eq(&share.tenure, tenure))
    }

    pub(super) fn tenure(&self) -> Option<&Arc<Tenure>> {
        match &self.stand {
            Stand::Held(visit) => Some(&visit.tenure),
            Stand::Shared(share) => Some(&share.tenure),
            Stand::Led | Stand::Leaving(..) => None,
        }
    }

    /// Those who may join its share do. The next one that may not leads, beside those who share; if nobody does any more,
    /// the tenure ends. Answers what is to be done if nobody is left here.
    pub(super) fn admit(
        &mut self,
        core: &Arc<Core>,
        line: &Line,
        apart: &mut Apart,
    ) -> Option<After> {
        let Stand::Shared(share) = &mut self.stand else {
            return None;
        };
        while let Some(first) = self.waiters.first_entry() {
            if first.get().to.is_closed() {
                first.remove();
                continue;
            }
            match share.judge(Some(*first.key())) {
                Verdict::Wait => return None,
                Verdict::Over => break,
                Verdict::Next(number) => {
                    let Waiter { to, seat, .. } = first.remove();
                    let holding = share.join(core, number, seat);
                    let turn = Arc::clone(&*holding);
                    match to.send(Call::Serve(holding)) {
                        Ok(()) => share.joined(core, number),
                        Err(_unheard) => turn.withdraw(),
                    }
                }
            }
        }
        if self.waiters.is_empty() && !share.tenure.sharers.is_empty() {
            return None;
        }
        // Who shares it already would now wait for itself: called by nobody, it comes in anew, and is told.
        let sharing = share.tenure.sharers.tasks();
        (self.waiters).retain(|_, waiter| !sharing.contains(&waiter.seat.task));
        let work = self.part(core, apart);
        let work = self.hand_lead(core, line, work)?;
        Some(match work.ending {
            Some(_) => After::Release,
            None => After::Nothing,
        })
    }

    /// Nobody joins its share any more: it is left to those who have it, or ends with what the next one asks.
    pub(super) fn part(&mut self, core: &Arc<Core>, apart: &mut Apart) -> Work {
        let Stand::Shared(share) = std::mem::replace(&mut self.stand, Stand::Led) else {
            return Work::default();
        };
        let tenure = share.tenure;
        if tenure.sharers.is_empty() {
            tenure.end();
            core.renewals.remove(&tenure);
            return Work::ending(Some(tenure));
        }
        apart.insert(key(&tenure), tenure);
        Work::default()
    }

    /// Serves the next one, if the visit may go on; else the next one leads.
    pub(super) fn pass_on(&mut self, core: &Arc<Core>, line: &Line, by_caller: bool) -> After {
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
                    let Waiter { to, seat, .. } = first.remove();
                    let turn = Turn::begin(&visit.tenure, fence, core.env.now(), seat);
                    let holding = Holding::new(core, Arc::clone(&turn));
                    match to.send(Call::Serve(holding)) {
                        Ok(()) => {
                            core.note_fence(&line.name, fence);
                            line.name.keys(line.mode).local_turn();
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
        if !self.waiters.is_empty() {
            let work = Work::ending(Some(Arc::clone(&tenure)));
            if self.hand_lead(core, line, work).is_none() {
                return After::Nothing;
            }
        }
        let cleaner = (!by_caller).then(|| Arc::clone(&tenure));
        self.stand = Stand::Leaving(tenure.rid, cleaner);
        After::Release
    }

    /// The first one that still waits leads from now on; `work` comes back if there is none.
    pub(super) fn hand_lead(
        &mut self,
        core: &Arc<Core>,
        line: &Line,
        mut work: Work,
    ) -> Option<Work> {
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
