//! One acquire's request: its id, and what became of the copies that were sent.

use std::time::Duration;

use super::acquire::Ask;
use super::clock::micros;
use super::inbox::Mailbox;
use super::tenure::Term;
use super::{Cleanup, Core};
use crate::env::Moment;
use crate::name::ResourceName;
use crate::planted::{Bug, planted};
use crate::protocol::{Acquire, CLOSED_SLACK_US, Now, Op, Release, Reply, Rid};
use crate::store::LeaseCall;

/// Fences that are asked for if nobody waits already: who comes while the visit lasts.
const SPARE_FENCES: u64 = 32;
/// And if somebody does, since short turns may be many: a block never runs further ahead of the clock than about so many.
const MOST_FENCES: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) rid: Rid,
    /// Where pushes for it come, from its first enqueue on.
    pub(crate) mailbox: Option<Mailbox>,
    name: ResourceName,
    ttl: Duration,
    /// About when the store forgets it, if it waits there.
    until: Moment,
    not_after_us: u64,
    sent: u32,
    answered: u32,
    /// Its end was sent: whatever came of that, nobody may go on with it.
    ending: bool,
}

impl Attempt {
    /// Of who asks from `now` on.
    pub(crate) fn new(core: &Core, ask: &Ask, now: Moment) -> Self {
        let patience = core.patience(ask);
        let rid = core.next_rid();
        Self {
            rid,
            mailbox: None,
            name: ask.name.clone(),
            ttl: ask.ttl,
            until: now + patience,
            not_after_us: core.not_after_us_from(now, patience),
            sent: 0,
            answered: 0,
            ending: false,
        }
    }

    /// A copy, to be sent.
    pub(super) fn call(
        &mut self,
        core: &Core,
        ask: &Ask,
        enqueue: bool,
        behind: usize,
    ) -> LeaseCall {
        let want = match behind {
            _ if ask.strict => 1,
            0 => 1 + SPARE_FENCES,
            _ => MOST_FENCES,
        };
        let op = Op::Acquire(Acquire {
            rid: self.rid,
            not_after_us: if planted(Bug::RetryExtends) {
                core.not_after_us(core.patience(ask))
            } else {
                self.not_after_us
            },
            weight: ask.weight,
            capacity: ask.capacity,
            ttl_us: micros(ask.ttl),
            wait: enqueue,
            want,
            seen: core.seen(),
            label: ask.label.clone(),
        });
        if enqueue && self.mailbox.is_none() {
            // Before it is sent: a push may overtake the reply.
            self.mailbox = Some(core.inbox.register(self.rid));
        }
        self.sent += 1;
        let name = self.name.clone();
        LeaseCall { name, op }
    }

    /// Takes in the answer to a copy, which came behind that to the tenure before if that was ended with it. `None` if that one
    /// has not ended. `stamp` is when it was sent, and the store's time.
    pub(super) fn answered(
        &mut self,
        replies: &mut impl Iterator<Item = Reply>,
        has_ending: bool,
        stamp: (Moment, Now),
    ) -> Option<(Reply, Term)> {
        let ended = !has_ending || matches!(replies.next(), Some(Reply::Released { .. }));
        // One answer a call: the contract.
        let reply = replies.next().unwrap_or(Reply::Stale);
        self.answered += 1;
        let remaining_us = match &reply {
            Reply::Granted { remaining_us, .. } => *remaining_us,
            _ => 0,
        };
        let (sent, now) = stamp;
        let term = Term {
            sent,
            store_us: now.lease_us,
            remaining_us,
        };
        ended.then_some((reply, term))
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.sent > 0
    }

    /// Whether no copy of it can be under way.
    pub(crate) fn is_answered(&self) -> bool {
        self.sent == self.answered
    }

    /// Until when a late copy of this acquire must be refused; 0 if none can be under way, since each was answered.
    pub(crate) fn close_until_us(&self) -> u64 {
        if self.is_answered()
            || planted(Bug::CopiesForgotten)
            || (planted(Bug::OneAnswerIsEnough) && self.answered > 0)
        {
            0
        } else {
            self.not_after_us + CLOSED_SLACK_US
        }
    }

    pub(crate) fn until(&self) -> Moment {
        self.until
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending
    }

    pub(crate) fn release_call(&mut self, core: &Core, ask: &Ask, patience: Duration) -> LeaseCall {
        self.ending = !planted(Bug::EndedIsHandedOn);
        LeaseCall {
            name: ask.name.clone(),
            op: Op::Release(Release {
                rid: self.rid,
                not_after_us: core.not_after_us(patience),
                used: 0,
                close_until_us: self.close_until_us(),
            }),
        }
    }

    pub(crate) fn cleanup(&self) -> Cleanup {
        Cleanup {
            name: self.name.clone(),
            rid: self.rid,
            used: 0,
            close_until_us: self.close_until_us(),
            give_up: self.until + self.ttl,
            line: None,
        }
    }
}
