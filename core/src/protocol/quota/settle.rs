//! Charges that are corrected.

use super::super::{Now, Rid};
use super::usage::State;
use super::{LARGEST, Quota, Usage};
use crate::planted::{Bug, planted};

/// Corrects a charge, once what it should have been is known, or it is not going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// What it is known by: settled once, whatever is sent again.
    pub rid: Rid,
    /// After this instant of the store's lease clock the store refuses it.
    pub not_after_us: u64,
    /// The quota, as this client takes it.
    pub quota: Quota,
    /// What was charged.
    pub charged: u64,
    /// What it should have been.
    pub actual: u64,
    /// Until when (wall time) less is given back; more is charged also later.
    pub until_us: u64,
    /// How the key stood after the charge: what has come back by itself since is not given back once more.
    pub after: Usage,
    /// Whether it was made ahead, to be used later, and is not going to be. It is given back only if nobody came after it:
    /// whoever did has a later time and keeps it.
    pub ahead: bool,
}

/// What a settlement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// So many whole units were given back.
    GivenBack(u64),
    /// Units were charged beyond those before; the key may have less than nothing now, and others wait for that, though for
    /// no more of it than comes back within the longest wait.
    Charged(u64),
    /// Nothing: it was right, or came too late to give back, or others wait for times that they were told.
    Kept,
}

/// Settles. The second value is to be kept, if there is one.
///
/// A unit that was charged comes back by itself, after a while. Had it not been charged, others could not have used it then
/// as well: so only what has not come back yet is given back. The units of a key come back in the order in which they were
/// charged, so those of a charge are all back at the instant at which the key was full after it, or earlier, by all that
/// was given back since.
pub fn settle(stored: Option<Usage>, ask: &Settle, now: Now) -> (Settled, Option<Usage>) {
    let state = State::of(stored, ask.quota, now);
    let quota = state.quota;
    let (charged, actual) = (ask.charged.min(LARGEST), ask.actual.min(LARGEST));
    if actual >= charged {
        let more = actual - charged;
        if more == 0 {
            return (Settled::Kept, None);
        }
        let level = (state.level).saturating_add(more.saturating_mul(quota.period_us));
        let level = level.min(quota.most());
        let usage = State { level, ..state }.usage();
        return (Settled::Charged(more), Some(usage));
    }
    let is_late = now.wall_us > ask.until_us;
    let may = if ask.ahead {
        let is_last = |usage: Usage| {
            let of = |usage: &Usage| (usage.full_us, usage.part, usage.given_us);
            of(&usage) == of(&ask.after)
        };
        stored.is_some_and(is_last)
    } else {
        // Who was told a time counts on what was charged before.
        state.level <= quota.window()
    };
    let less = (charged - actual).saturating_mul(quota.period_us);
    let back = less.min(state.level).min(not_back(&state, &ask.after, now));
    let given_us = state.given_us.saturating_add(back.div_ceil(quota.units));
    if is_late || !may || back == 0 || given_us > LARGEST {
        return (Settled::Kept, None);
    }
    let level = state.level - back;
    let usage = State {
        level,
        given_us,
        ..state
    }
    .usage();
    (Settled::GivenBack(back / quota.period_us), Some(usage))
}

/// How many parts of a charge have not come back by themselves.
fn not_back(state: &State, after: &Usage, now: Now) -> u64 {
    if planted(Bug::GivenBackTwice) {
        return u64::MAX;
    }
    let units = state.quota.units;
    let since_us = state.given_us.saturating_sub(after.given_us);
    let Some(ahead_us) = after
        .full_us
        .checked_sub(now.wall_us.saturating_add(since_us))
    else {
        return 0;
    };
    let part = if after.quota.units == units {
        after.part
    } else {
        0
    };
    ahead_us.min(state.quota.most() / units) * units + part
}
