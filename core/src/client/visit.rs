//! A visit: the turns that a line takes under one tenure.

use std::sync::Arc;
use std::time::Duration;

use super::Tenure;
use super::turn::Turn;
use crate::env::Moment;
use crate::planted::{Bug, planted};

/// A visit lasts no longer than this, but for the turn in hand.
const LONGEST: Duration = Duration::from_secs(1);
/// For so long turns are taken also by those that came after its start, or come again. A hand-over to another client
/// costs many short turns' time.
const SHORT: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Visit {
    pub(super) tenure: Arc<Tenure>,
    /// The one that is being taken; `None` while the tenure's full TTL is being claimed.
    pub(super) turn: Option<Arc<Turn>>,
    began: Moment,
    /// How many of those that waited at its start are left: each is served once at most.
    left: usize,
    next: u64,
}

/// What comes after a turn.
pub(super) enum Verdict {
    /// Another, with this fence.
    Next(u64),
    /// The answer to a renewal that is under way.
    Wait,
    /// The end of the visit.
    Over,
}

impl Visit {
    pub(super) fn begin(turn: &Arc<Turn>, waiting: usize, now: Moment) -> Self {
        Self {
            tenure: Arc::clone(&turn.tenure),
            turn: Some(Arc::clone(turn)),
            began: now,
            left: waiting,
            next: turn.grant_id.get() + 1,
        }
    }

    /// Whether another turn is to be had.
    pub(super) fn judge(&mut self, strict: bool) -> Verdict {
        let tenure = &self.tenure;
        let now = tenure.env.now();
        let took = now.since(self.began);
        let in_time = self.left > 0 || took < SHORT;
        let is_endless = planted(Bug::VisitWithoutEnd);
        let is_over = tenure.check_at(now).is_err() || tenure.revocation().is_some();
        if strict
            || (!in_time && !is_endless)
            || (took >= LONGEST && !is_endless)
            || (self.next > tenure.end && !planted(Bug::BeyondTheBlock))
            || (is_over && !planted(Bug::OverIsHandedOn))
        {
            return Verdict::Over;
        }
        if !planted(Bug::OverIsHandedOn) && tenure.deadline().since(now) < tenure.term() / 2 {
            return if tenure.is_claimed() {
                Verdict::Over
            } else {
                Verdict::Wait
            };
        }
        let fence = self.next;
        self.next += 1;
        self.left = self.left.saturating_sub(1);
        Verdict::Next(fence)
    }
}
