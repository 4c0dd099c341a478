//! How long nobody got a lock although somebody wanted it: the hang detector. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::report::Who;

/// Who waits for what and who has it, as the tasks say.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    locks: BTreeMap<String, Lock>,
    /// Workers that are stopped, dead or cut off: their waits count for nothing, nor do their turns.
    away: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Lock {
    waiting: BTreeSet<Who>,
    holder: Option<Who>,
    stalled_since: Option<u64>,
    longest: u64,
    turns: u64,
}

/// A lock that nobody got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) lock: String,
    pub(crate) nanos: u64,
    /// Those that wait for it and could have it.
    pub(crate) waiting: Vec<Who>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting: Vec<_> = self.waiting.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{}: nobody got it for {:.1} s, though these waited: {}",
            self.lock,
            Duration::from_nanos(self.nanos).as_secs_f64(),
            waiting.join(", ")
        )
    }
}

impl Waits {
    pub(crate) fn want(&mut self, now: u64, lock: &str, who: Who) {
        self.change(now, lock, |lock| {
            lock.waiting.insert(who);
        });
    }

    pub(crate) fn got(&mut self, now: u64, lock: &str, who: Who) {
        self.change(now, lock, |lock| {
            lock.waiting.remove(&who);
            lock.holder = Some(who);
            lock.turns += 1;
        });
    }

    /// The wait or the turn is over.
    pub(crate) fn done(&mut self, now: u64, lock: &str, who: Who) {
        self.change(now, lock, |lock| {
            lock.waiting.remove(&who);
            lock.holder = lock.holder.filter(|holder| *holder != who);
        });
    }

    /// The task is gone, and with it all it wanted and had.
    pub(crate) fn gone(&mut self, now: u64, who: Who) {
        let names: Vec<_> = self.locks.keys().cloned().collect();
        for name in names {
            self.done(now, &name, who);
        }
    }

    pub(crate) fn set_away(&mut self, now: u64, worker: usize, is_away: bool) {
        if is_away {
            self.away.insert(worker);
        } else {
            self.away.remove(&worker);
        }
        let names: Vec<_> = self.locks.keys().cloned().collect();
        for name in names {
            self.change(now, &name, |_| {});
        }
    }

    /// The workers that have a lock now and are not away, in order.
    pub(crate) fn holders(&self) -> Vec<usize> {
        let holders = self.locks.values().filter_map(|lock| lock.holder);
        let holders: BTreeSet<_> = holders.map(|who| who.worker).collect();
        holders.difference(&self.away).copied().collect()
    }

    /// The lock that nobody has got for longest, now.
    pub(crate) fn worst(&self, now: u64) -> Option<Stall> {
        let stalls = self.locks.iter().filter_map(|(name, lock)| {
            let nanos = now.saturating_sub(lock.stalled_since?);
            let waiting = lock.waiting.iter().copied();
            let waiting = waiting.filter(|who| !self.away.contains(&who.worker));
            Some(Stall {
                lock: name.clone(),
                nanos,
                waiting: waiting.collect(),
            })
        });
        stalls.max_by_key(|stall| stall.nanos)
    }

    /// By lock: its turns, and the longest time nobody got it although somebody wanted it.
    pub(crate) fn by_lock(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        (self.locks.iter()).map(|(name, lock)| (name.as_str(), lock.turns, lock.longest))
    }

    fn change(&mut self, now: u64, name: &str, change: impl FnOnce(&mut Lock)) {
        if !self.locks.contains_key(name) {
            self.locks.insert(name.to_owned(), Lock::default());
        }
        let lock = self.locks.get_mut(name).expect("it was just put there");
        change(lock);
        let here = |who: &Who| !self.away.contains(&who.worker);
        let is_stalled = lock.waiting.iter().any(here) && !lock.holder.as_ref().is_some_and(here);
        match (is_stalled, lock.stalled_since) {
            (true, None) => lock.stalled_since = Some(now),
            (false, Some(since)) => {
                lock.longest = lock.longest.max(now.saturating_sub(since));
                lock.stalled_since = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(worker: usize) -> Who {
        Who {
            worker,
            life: 1,
            task: 0,
        }
    }

    fn stalled(waits: &Waits, now: u64) -> Option<u64> {
        waits.worst(now).map(|stall| stall.nanos)
    }

    #[test]
    fn a_wait_behind_a_live_holder_is_no_stall() {
        let mut waits = Waits::default();
        waits.got(0, "l", who(0));
        waits.want(5, "l", who(1));
        assert_eq!(stalled(&waits, 100), None);
        waits.done(100, "l", who(0));
        assert_eq!(stalled(&waits, 107), Some(7));
        waits.got(110, "l", who(1));
        assert_eq!(stalled(&waits, 200), None);
        assert_eq!(waits.by_lock().collect::<Vec<_>>(), [("l", 2, 10)]);
    }

    #[test]
    fn a_wait_behind_a_holder_that_is_away_counts_from_there() {
        let mut waits = Waits::default();
        waits.got(0, "l", who(0));
        waits.want(5, "l", who(1));
        assert_eq!(waits.holders(), [0]);
        waits.set_away(50, 0, true);
        assert_eq!(waits.holders(), [0; 0]);
        let stall = waits.worst(60).unwrap();
        assert_eq!((stall.nanos, stall.waiting), (10, vec![who(1)]));
    }

    #[test]
    fn those_who_are_away_wait_for_nothing() {
        let mut waits = Waits::default();
        waits.want(0, "l", who(1));
        waits.set_away(5, 1, true);
        assert_eq!(stalled(&waits, 100), None);
        waits.set_away(100, 1, false);
        assert_eq!(stalled(&waits, 103), Some(3));
        waits.gone(110, who(1));
        assert_eq!(stalled(&waits, 200), None);
    }
}
