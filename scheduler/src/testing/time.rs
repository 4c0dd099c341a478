//! How time passes in a test: played second by second while something happens, and leapt over while nothing does.

use std::time::Duration;

use super::when::us;
use super::{TestScheduler, When};
use crate::scheduler::Entry;

/// So long after the test did something the fleet is played second by second: leases end, leaders are elected, changed
/// schedules take over.
const SETTLED: Duration = Duration::from_secs(60);
/// So long after a run, and before the next start.
const AROUND: Duration = Duration::from_secs(15);
/// A leap that is worth it, and the longest one: jobs are looked at daily.
const LEAP: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

impl TestScheduler {
    /// What the store's clock shows, in seconds since 1970.
    pub fn now(&self) -> i64 {
        i64::try_from(self.now_us() / 1_000_000).unwrap_or(i64::MAX)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.fleet.store().time(self.fleet.env()).wall_us
    }

    /// Steps the store's clock by so many seconds, which no other clock does: as a wrong one that is set right, or the
    /// other way round. Nothing is claimed until it is back or was steady for 30 s.
    pub fn step_clock(&self, by_s: i64) {
        let by_us = by_s.saturating_mul(1_000_000);
        self.fleet.store().step_wall_clock(by_us);
    }

    /// Lets this much time pass, with all that is due in it. What is due at its very end may be under way then:
    /// [`settle`](Self::settle).
    pub async fn advance(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.play(self.now_us().saturating_add(us)).await;
    }

    /// Lets time pass until then; as [`advance`](Self::advance).
    ///
    /// # Panics
    /// If that is over, or no instant.
    pub async fn advance_to(&self, when: impl When) {
        let (until, now) = (us(when), self.now_us());
        assert!(
            until >= now,
            "the instant to advance to is over: it is {} s past it",
            (now - until) / 1_000_000
        );
        self.play(until).await;
    }

    /// Lets time pass until `is_so`, looked at each second while the fleet is busy, for `limit` at most. Says whether
    /// it is so.
    pub async fn advance_until(&self, limit: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let until_us = self.now_us().saturating_add(us);
        self.play_until(until_us, Duration::from_secs(1), &is_so)
            .await;
        is_so(self)
    }

    /// Lets everything happen that is due now: less than a second passes.
    pub async fn settle(&self) {
        self.fleet.advance(Duration::from_millis(900)).await;
    }

    pub(super) async fn play(&self, until_us: u64) {
        self.play_until(until_us, SETTLED, |_| false).await;
    }

    async fn play_until(&self, until_us: u64, each: Duration, is_so: impl Fn(&Self) -> bool) {
        let mut to_play = SETTLED;
        loop {
            let left = Duration::from_micros(until_us.saturating_sub(self.now_us()));
            if left.is_zero() || is_so(self) {
                return;
            }
            let step = left.min(to_play.max(Duration::from_secs(1))).min(each);
            self.fleet.advance(step).await;
            to_play = to_play.saturating_sub(step);
            if to_play.is_zero() && self.setup.leaps {
                to_play = AROUND;
                if let Some(by) = self.idle(until_us) {
                    self.leap(by).await;
                }
            }
        }
    }

    /// How long nothing is going to happen.
    fn idle(&self, until_us: u64) -> Option<Duration> {
        let now_us = self.now_us();
        let mut next_us = until_us;
        for node in self.nodes.iter().filter(|node| node.task.is_some()) {
            let coord = &node.shared.coord;
            if coord.env().is_paused() || coord.store_clock_departure().is_some() {
                return None;
            }
            for entry in &node.shared.entries() {
                let starts_us = self.next_start_us(entry)?;
                next_us = next_us.min(starts_us.saturating_sub(micros(AROUND)));
            }
        }
        let (worth, longest) = LEAP;
        let by = Duration::from_micros(next_us.checked_sub(now_us)?).min(longest);
        (by >= worth).then_some(by)
    }

    /// When something of the job starts next; `None` if something is under way.
    fn next_start_us(&self, entry: &Entry) -> Option<u64> {
        let ledger = self.seen.ledger(entry.id())?;
        // Of a job that is defined in the store the ledger alone says what it is.
        let changes = match entry.kind {
            None => ledger.spec != entry.words,
            Some(_) => ledger.redefined.is_some(),
        };
        if !ledger.running.is_empty() || changes {
            return None;
        }
        let spec = entry.spec_of(&ledger).ok()?;
        let timing = entry.timing(&spec);
        let tick = timing.next(ledger.cursor).map(|tick| timing.start_ms(tick));
        let tick = tick.filter(|_| ledger.paused.is_none());
        let pending = ledger.pending.iter().map(|pending| pending.not_before_ms);
        let next_ms = pending.chain(tick).min();
        Some(next_ms.map_or(u64::MAX, |ms| ms.saturating_mul(1000)))
    }

    async fn leap(&self, by: Duration) {
        if self.fleet.leap(by).await {
            for node in &self.nodes {
                (0..node.shared.entries().len()).for_each(|job| node.shared.wake(job));
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
