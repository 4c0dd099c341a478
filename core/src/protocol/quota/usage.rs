//! How full a key's bucket is, and charges of it.

use serde::{Deserialize, Serialize};

use super::super::Now;
use super::{LARGEST, LONGEST_WAIT_US, Quota};
use crate::planted::{Bug, planted};

/// What is kept of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// When all of the burst will be there again (wall time, µs).
    pub full_us: u64,
    /// And so many parts of a µs later.
    pub part: u64,
    /// By how much (µs, rounded up) that is earlier than if nothing had been given back.
    pub given_us: u64,
    /// The quota that it was last charged by: the parts are its.
    pub quota: Quota,
}

impl Usage {
    /// Until when (wall time, µs) it must be kept: what was charged before something was given back is not to be given back
    /// once its time is over, and that may be later than all of the burst is there.
    pub fn keep_until_us(&self) -> u64 {
        let longest_us = self.quota.most() / self.quota.units;
        self.full_us.saturating_add(self.given_us.min(longest_us))
    }

    /// Whether nothing is lost if it is forgotten.
    pub fn is_spent(&self, now: Now) -> bool {
        self.keep_until_us() < now.wall_us
    }
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many units would pass at once.
    pub remaining: u64,
    /// When as many as asked for would pass, from now, in µs; 0 if they have. `None` if never: it is more than the burst.
    pub retry_us: Option<u64>,
    /// When all of the burst is there again, from now, in µs.
    pub reset_us: u64,
    /// The quota in force.
    pub quota: Quota,
}

/// A charge of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Its quota, as this client takes it.
    pub quota: Quota,
    /// How many units.
    pub cost: u64,
    /// With how many of them (at least 1) it can do, if there are no more: then it is charged for as many as there are.
    pub least: u64,
}

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// For how many units; 0 if it was refused.
    pub units: u64,
    /// They may be used after this long, in µs.
    pub wait_us: u64,
    /// The key after, or as it is if the charge was refused.
    pub standing: Standing,
    /// What is to be kept, if it was not refused.
    pub usage: Option<Usage>,
}

/// Charges a key, or refuses and changes nothing. `longest_wait_us` is how far ahead it may be made, in turn behind those
/// made before.
pub fn charge(stored: Option<Usage>, ask: &Charge, longest_wait_us: u64, now: Now) -> Charged {
    let state = State::of(stored, ask.quota, now);
    let quota = state.quota;
    let refused = |retry_us| Charged {
        units: 0,
        wait_us: 0,
        standing: state.standing(retry_us),
        usage: planted(Bug::RefusedIsCharged).then(|| {
            let level = (state.level + quota.period_us).min(quota.most());
            State { level, ..state }.usage()
        }),
    };
    let least = ask.least.min(ask.cost).max(1);
    if least > quota.burst {
        return refused(None);
    }
    let room = quota.window().saturating_sub(state.level) / quota.period_us;
    // A refusal is for what it could have done with.
    let units = ask.cost.min(quota.burst).min(room).max(least);
    let level = state.level + units * quota.period_us;
    let wait_us = level.saturating_sub(quota.window()).div_ceil(quota.units);
    if wait_us > longest_wait_us.min(LONGEST_WAIT_US) {
        return refused(Some(wait_us));
    }
    let level = match wait_us {
        0 => level,
        _ if planted(Bug::WaitIsFree) => state.level,
        // It begins with a whole µs, and so those behind it count from there.
        _ => quota.window() + wait_us * quota.units,
    };
    let state = State { level, ..state };
    Charged {
        units,
        wait_us,
        standing: state.standing(Some(0)),
        usage: Some(state.usage()),
    }
}

/// Charges several keys, or refuses and changes none; `stored` and `asks` go together. Only a single one may be made ahead: of
/// several each would be charged at another time than it is used.
///
/// The answer says whether all passed. If not, each is as it is, with when it would have passed.
pub fn charge_all(
    stored: &[Option<Usage>],
    asks: &[Charge],
    longest_wait_us: u64,
    now: Now,
) -> (bool, Vec<Charged>) {
    let longest_wait_us = if asks.len() == 1 { longest_wait_us } else { 0 };
    let each = stored.iter().zip(asks);
    let charged: Vec<_> = each
        .map(|(stored, ask)| charge(*stored, ask, longest_wait_us, now))
        .collect();
    if charged.iter().all(|charged| charged.units > 0) {
        return (true, charged);
    }
    let each = stored.iter().zip(asks).zip(charged);
    let as_it_is = each.map(|((stored, ask), charged)| match charged.units {
        0 => charged,
        _ => Charged {
            units: 0,
            wait_us: 0,
            standing: peek(*stored, ask.quota, ask.least.min(ask.cost).max(1), now),
            usage: None,
        },
    });
    (false, as_it_is.collect())
}

/// How a key stands for somebody who would ask for `cost` units.
pub fn peek(stored: Option<Usage>, quota: Quota, cost: u64, now: Now) -> Standing {
    let state = State::of(stored, quota, now);
    if cost > state.quota.burst {
        return state.standing(None);
    }
    let over = (state.level + cost * state.quota.period_us).saturating_sub(state.quota.window());
    state.standing(Some(over.div_ceil(state.quota.units)))
}

/// How full the bucket is, in parts of the quota in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) level: u64,
    pub(super) given_us: u64,
    pub(super) quota: Quota,
    pub(super) now_us: u64,
}

impl State {
    pub(super) fn of(stored: Option<Usage>, asked: Quota, now: Now) -> Self {
        let now_us = now.wall_us;
        let Some(usage) = stored.filter(|usage| !usage.is_spent(now)) else {
            let twice = stored.is_some() && planted(Bug::IdleEarnsMore);
            let burst = asked.burst * if twice { 2 } else { 1 };
            return Self {
                level: 0,
                given_us: 0,
                quota: Quota { burst, ..asked },
                now_us,
            };
        };
        let quota = usage.quota.then(asked);
        // Parts of another quota are rounded up to a µs.
        let is_same = usage.quota.units == quota.units;
        let part = if is_same { usage.part } else { 0 };
        let rounded = u64::from(!is_same && usage.part > 0);
        let longest_us = quota.most() / quota.units;
        let ahead_us = usage.full_us.saturating_sub(now_us);
        let given_us = usage.given_us;
        // Nobody is ever told to wait for longer than for a burst and the longest wait: the clock stepped back, or the quota
        // was another. Nothing would bring such a key back but the time, and so what it has is all given back.
        let is_beyond = ahead_us > longest_us && !planted(Bug::StepBackBlocks);
        let ahead_us = if planted(Bug::StepBackBlocks) {
            ahead_us.min(longest_us)
        } else {
            ahead_us
        };
        let (level, given_us) = match usage.full_us.checked_sub(now_us) {
            Some(_) if is_beyond => (0, given_us.saturating_add(ahead_us + 1).min(LARGEST)),
            Some(_) => ((ahead_us + rounded) * quota.units + part, given_us),
            None => (0, given_us),
        };
        Self {
            level,
            given_us,
            quota,
            now_us,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let part = self.level % self.quota.units;
        Usage {
            full_us: self.now_us + self.level / self.quota.units,
            part: if planted(Bug::PartDropped) { 0 } else { part },
            given_us: self.given_us,
            quota: self.quota,
        }
    }

    fn standing(&self, retry_us: Option<u64>) -> Standing {
        let room = self.quota.window().saturating_sub(self.level);
        Standing {
            remaining: room / self.quota.period_us,
            retry_us,
            reset_us: self.level.div_ceil(self.quota.units),
            quota: self.quota,
        }
    }
}
