//! A share: the turns that the readers of one client take side by side, under one tenure. The store has one entry for all
//! of them, which ends with the last one.
//!
//! Once somebody waits elsewhere nobody joins any more: the share is left to those who have it, and who comes next stands
//! at the store for a new one, behind the one who waits.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::turn::{Holding, Seat, TaskId, Turn};
use super::visit::Verdict;
use super::{Core, Tenure};
use crate::error::LostCause;
use crate::metrics;
use crate::planted::{Bug, planted};

/// A line's share, while others may join.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) tenure: Arc<Tenure>,
    /// The first number that no waiter had when it began.
    began_at: u64,
    next: u64,
}

impl Share {
    /// Begins with its lead's turn, when the line's next waiter will be number `arrivals`.
    pub(super) fn begin(turn: &Turn, arrivals: u64) -> Self {
        Self {
            tenure: Arc::clone(&turn.tenure),
            began_at: arrivals,
            next: turn.grant_id.get() + 1,
        }
    }

    /// Whether another may join: waiter number `arrived`, or one that just comes.
    ///
    /// Those who waited when it began came with its lead, and join whoever else waits. For the others it must be known
    /// that nobody does: a pushed grant does not tell, the answer to its claim will. A strict line's block has one number.
    pub(super) fn judge(&mut self, arrived: Option<u64>) -> Verdict {
        let tenure = &self.tenure;
        let came_along = arrived.is_some_and(|number| number < self.began_at);
        let is_contended = tenure.is_contended() && !planted(Bug::ContendedIsShared);
        let is_over = tenure.check().is_err() || tenure.revocation().is_some();
        if self.next > tenure.end
            || (is_contended && !came_along)
            || (is_over && !planted(Bug::OverIsShared))
        {
            return Verdict::Over;
        }
        let is_short = tenure.deadline().since(tenure.env.now()) < tenure.ttl / 2;
        if (is_short || !came_along) && !tenure.is_claimed() {
            return Verdict::Wait;
        }
        if is_short && !planted(Bug::OverIsShared) {
            return Verdict::Over;
        }
        let number = self.next;
        self.next += 1;
        Verdict::Next(number)
    }

    /// Another joins.
    pub(super) fn join(&self, core: &Arc<Core>, number: u64, seat: Seat) -> Holding {
        let tenure = &self.tenure;
        let turn = Turn::begin(tenure, number, core.env.now(), seat);
        if turn.look_at() < turn.since + tenure.ttl / 3 {
            core.renewals.look_at(tenure.rid, turn.look_at());
        }
        Holding::new(core, turn)
    }

    /// It was heard.
    pub(super) fn joined(&self, core: &Core, number: u64) {
        core.note_fence(&self.tenure.name, number);
        self.tenure.name.keys(self.tenure.mode()).local_turn();
    }
}

/// The turns of a shared tenure that count: who has outstayed its time does not.
#[derive(Debug, Default)]
pub(super) struct Sharers(Mutex<BTreeMap<u64, Weak<Turn>>>);

impl Sharers {
    fn by_number(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, turn: &Arc<Turn>) {
        let number = turn.grant_id.get();
        self.by_number().insert(number, Arc::downgrade(turn));
    }

    /// Whether it counted, and was the last one.
    pub(super) fn remove(&self, turn: &Turn) -> bool {
        let mut turns = self.by_number();
        let counted = turns.remove(&turn.grant_id.get()).is_some();
        if planted(Bug::ShareEndsForAll) {
            turns.clear();
        }
        counted && turns.is_empty() && !planted(Bug::LastShareForgotten)
    }

    /// It outstays its time, and is lost by itself. If it was the last one, all is.
    pub(super) fn outstayed(&self, tenure: &Tenure, turn: &Turn) {
        let mut turns = self.by_number();
        if turns.remove(&turn.grant_id.get()).is_none() {
            return;
        }
        let cause = LostCause::MaxHold;
        if turns.is_empty() {
            tenure.lose(cause);
            return;
        }
        metrics::lost(tenure.name.class(), tenure.mode(), cause.as_str());
        tracing::warn!(name = %tenure.name, grant_id = %turn.grant_id, %cause, "a shared hold is lost");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number().is_empty()
    }

    /// Whose they are.
    pub(super) fn tasks(&self) -> HashSet<TaskId> {
        self.turns().iter().map(|turn| turn.seat.task).collect()
    }

    pub(super) fn turns(&self) -> Vec<Arc<Turn>> {
        self.by_number()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }
}
