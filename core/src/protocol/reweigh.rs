//! A holder's weight changes in place: it grows, shrinks, and takes in another entry of its client.

use super::lease::State;
use super::weight::Taken;
use super::{Entry, Reply, Reweigh, Rid, Weight};
use crate::planted::{Bug, planted};

impl State {
    pub(super) fn reweigh(&mut self, ask: &Reweigh) -> Reply {
        if self.now.lease_us > ask.not_after_us {
            return Reply::Stale;
        }
        let Some(entry) = self.holding(ask.rid) else {
            return Reply::NotHeld;
        };
        let (mut weight, weighed) = (entry.weight, entry.weighed);
        if ask.change > weighed || planted(Bug::ReweighOutOfOrder) {
            weight = self.weigh(weight, ask);
        } else if ask.change == weighed && planted(Bug::ReweighCountsTwice) {
            let less = u32::from(weight).saturating_sub(1).max(1);
            weight = self.weigh(
                weight,
                &Reweigh {
                    weight: less.into(),
                    ..ask.clone()
                },
            );
        }
        Reply::Weighed {
            weight,
            contended: self.is_contended(),
        }
    }

    /// Answers the weight that is in force after it.
    fn weigh(&mut self, had: Weight, ask: &Reweigh) -> Weight {
        let absorbed = self.absorb(ask);
        if let Some(entry) = self.holding(ask.rid) {
            let capacity = entry.announced().or(ask.capacity);
            (entry.capacity, entry.revision) = (capacity.size, capacity.revision);
        }
        // What is its own already passes nobody and needs no room.
        let own = absorbed.map_or(had, |absorbed| had.and(absorbed));
        let waited_for = self.is_contended() && !planted(Bug::GrowthOvertakes);
        let size = self.capacity().map_or(1, |c| c.size);
        let is_had = !own.is_below(ask.weight)
            || (!waited_for && self.taken_beside(ask.rid).leaves(ask.weight, size));
        let weight = if is_had { ask.weight } else { own };
        if let Some(entry) = self.holding(ask.rid) {
            (entry.weight, entry.weighed) = (weight, ask.change);
        }
        self.hand_over();
        weight
    }

    /// Ends the entry that becomes part of the one that is asked for; answers what it had. One that does not hold
    /// has nothing, and stays.
    fn absorb(&mut self, ask: &Reweigh) -> Option<Weight> {
        let absorbed = ask.absorb?;
        let is_it = |e: &Entry| {
            let is_other = e.rid == absorbed.rid && e.rid != ask.rid;
            is_other && e.rid.node == ask.rid.node && e.holds()
        };
        let at = self.record.entries.iter().position(is_it)?;
        let weight = self.record.entries[at].weight;
        if !planted(Bug::AbsorbedStays) {
            self.record.entries.remove(at);
            self.close(absorbed.rid, absorbed.close_until_us);
        }
        Some(weight)
    }

    fn holding(&mut self, rid: Rid) -> Option<&mut Entry> {
        let entries = self.record.entries.iter_mut();
        entries.into_iter().find(|e| e.rid == rid && e.holds())
    }

    fn taken_beside(&self, rid: Rid) -> Taken {
        let mut taken = Taken::default();
        for entry in self.record.entries.iter().filter(|e| e.holds()) {
            if entry.rid != rid {
                taken.add(entry.weight);
            }
        }
        taken
    }
}
