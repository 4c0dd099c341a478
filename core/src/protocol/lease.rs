//! The lease: acquire or enqueue, renew, release, expiry and hand-over.

use super::record::Closed;
use super::{
    Acquire, BLOCK_AHEAD_US, CLAIM_WINDOW_US, Entry, HEARTBEAT_US, LIVENESS_US, Now, Op, Phase,
    RANK_STEP_US, Record, Release, Renew, Reply, Rid, Was,
};

/// A mutex's capacity. Weights are counted against it, so that larger ones need no other protocol.
const CAPACITY: u32 = 1;

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub reply: Reply,
    /// Waiters that were made holders by this step, and should be told.
    pub granted: Vec<Rid>,
    /// The state after; `None` if nothing needs to be kept.
    pub record: Option<Record>,
}

/// Applies one operation. Accepts any `now`, also one smaller than before.
pub fn apply(record: Option<Record>, op: &Op, now: Now) -> Outcome {
    let existed = record.is_some();
    let mut state = State {
        record: record.unwrap_or_default(),
        now,
        granted: Vec::new(),
    };
    state.expire();
    state.hand_over();
    let reply = match op {
        Op::Acquire(acquire) => state.acquire(acquire),
        Op::Renew(renew) => state.renew(renew),
        Op::Release(release) => state.release(release),
        Op::Inspect => Reply::Inspected(existed.then(|| state.record.clone())),
    };
    let spent = state.record.is_spent(now);
    Outcome {
        reply,
        granted: state.granted,
        record: (!spent).then_some(state.record),
    }
}

struct State {
    record: Record,
    now: Now,
    granted: Vec<Rid>,
}

impl State {
    /// Lets time take effect. Every call does so before its own operation: an expired lease is not renewed.
    fn expire(&mut self) {
        let now = self.now.lease_us;
        if self.record.epoch != self.now.epoch {
            self.record.entries.clear();
            self.record.closed.clear();
            self.record.epoch = self.now.epoch;
        }
        self.record.closed.retain(|closed| closed.until_us > now);
        self.record.entries.retain_mut(|entry| {
            if entry.phase == Phase::Granted && entry.expires_us <= now {
                // It was given its turn and did not take it: it keeps its place.
                entry.phase = Phase::Dormant;
                (entry.first, entry.end) = (0, 0);
                (entry.granted_us, entry.expires_us) = (0, 0);
            }
            match entry.phase {
                Phase::Held => entry.expires_us > now,
                Phase::Granted => true,
                Phase::Waiting | Phase::Dormant => entry.not_after_us >= now,
            }
        });
    }

    /// Makes the next live waiters holders. The first live one that does not fit blocks those behind it.
    fn hand_over(&mut self) {
        let now = self.now;
        let Record { entries, last, .. } = &mut self.record;
        let mut free = free_of(entries);
        for entry in entries.iter_mut() {
            if entry.phase != Phase::Waiting || !is_live(entry, now) {
                continue;
            }
            if entry.weight > free {
                return;
            }
            free -= entry.weight;
            let (first, end) = mint(last, entry.want, entry.seen, now);
            entry.phase = Phase::Granted;
            (entry.first, entry.end) = (first, end);
            entry.granted_us = now.lease_us;
            entry.expires_us = now.lease_us + CLAIM_WINDOW_US.min(entry.ttl_us);
            self.granted.push(entry.rid);
        }
    }

    fn acquire(&mut self, ask: &Acquire) -> Reply {
        let now = self.now.lease_us;
        if now > ask.not_after_us {
            return Reply::Stale;
        }
        if self.record.closed.iter().any(|c| c.rid == ask.rid) {
            return Reply::Closed;
        }
        if let Some(at) = self.position(ask.rid) {
            let entry = &mut self.record.entries[at];
            if !entry.holds() {
                entry.heard_us = now;
                entry.phase = Phase::Waiting;
                entry.seen = entry.seen.max(ask.seen);
                self.hand_over();
            }
            return self.answer(at);
        }
        let blocked =
            (self.record.entries.iter()).any(|e| e.phase == Phase::Waiting && is_live(e, self.now));
        let fits = ask.weight <= free_of(&self.record.entries);
        if (blocked || !fits) && !ask.wait {
            return self.busy();
        }
        let mut entry = Entry {
            rid: ask.rid,
            phase: Phase::Waiting,
            weight: ask.weight,
            ttl_us: ask.ttl_us,
            want: ask.want,
            seen: ask.seen,
            not_after_us: ask.not_after_us,
            since_us: now,
            heard_us: now,
            first: 0,
            end: 0,
            granted_us: 0,
            expires_us: 0,
            renewal: 0,
            label: ask.label.clone(),
        };
        if !blocked && fits {
            (entry.first, entry.end) = mint(&mut self.record.last, ask.want, ask.seen, self.now);
            entry.phase = Phase::Held;
            entry.granted_us = now;
            entry.expires_us = now.saturating_add(ask.ttl_us);
        }
        self.record.entries.push(entry);
        self.answer(self.record.entries.len() - 1)
    }

    fn renew(&mut self, ask: &Renew) -> Reply {
        let now = self.now.lease_us;
        if now > ask.not_after_us {
            return Reply::Stale;
        }
        let holder = (self.record.entries.iter_mut()).find(|e| e.rid == ask.rid && e.holds());
        let Some(entry) = holder else {
            return Reply::NotHeld;
        };
        if ask.renewal > entry.renewal {
            entry.renewal = ask.renewal;
            entry.phase = Phase::Held;
            entry.expires_us = now.saturating_add(entry.ttl_us);
        }
        Reply::Renewed {
            remaining_us: entry.expires_us.saturating_sub(now),
        }
    }

    fn release(&mut self, ask: &Release) -> Reply {
        if self.now.lease_us > ask.not_after_us {
            return Reply::Stale;
        }
        let was = match self.position(ask.rid) {
            None => Was::Absent,
            Some(at) => {
                let entry = self.record.entries.remove(at);
                if entry.holds() {
                    // Giving back the unused part of the block keeps fences near the clock.
                    let used_of_block = (entry.first..=entry.end).contains(&ask.used);
                    if used_of_block && self.record.last == entry.end {
                        self.record.last = ask.used;
                    }
                    Was::Held
                } else {
                    Was::Queued
                }
            }
        };
        self.close(ask);
        self.hand_over();
        Reply::Released { was }
    }

    fn close(&mut self, ask: &Release) {
        if ask.close_until_us <= self.now.lease_us {
            return;
        }
        match (self.record.closed.iter_mut()).find(|c| c.rid == ask.rid) {
            Some(closed) => closed.until_us = closed.until_us.max(ask.close_until_us),
            None => self.record.closed.push(Closed {
                rid: ask.rid,
                until_us: ask.close_until_us,
            }),
        }
    }

    fn position(&self, rid: Rid) -> Option<usize> {
        self.record.entries.iter().position(|e| e.rid == rid)
    }

    fn answer(&self, at: usize) -> Reply {
        let entry = &self.record.entries[at];
        let now = self.now.lease_us;
        if entry.holds() {
            return Reply::Granted {
                first: entry.first,
                end: entry.end,
                remaining_us: entry.expires_us.saturating_sub(now),
                claimed: entry.phase == Phase::Held,
            };
        }
        let before = &self.record.entries[..at];
        let ahead = before.iter().filter(|e| !e.holds()).count();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        // The first three look soon after the holder's expiry, one after the other; a lost push costs no more.
        let expiry = (self.record.entries.iter())
            .filter(|e| e.holds())
            .map(|e| e.expires_us)
            .min();
        let check_in_us = match expiry {
            Some(expiry) if ahead < 3 => expiry
                .saturating_sub(now)
                .saturating_add(RANK_STEP_US * (u64::from(ahead) + 1))
                .min(HEARTBEAT_US),
            _ => HEARTBEAT_US,
        };
        Reply::Queued { ahead, check_in_us }
    }

    fn busy(&self) -> Reply {
        let now = self.now.lease_us;
        let holder = self.record.entries.iter().find(|e| e.holds());
        // Without a holder it is the queue that is in the way; its first names it.
        let entry = holder.or(self.record.entries.first());
        Reply::Busy {
            holder: entry.map(|e| e.label.clone()).unwrap_or_default(),
            held_us: holder.map_or(0, |e| now.saturating_sub(e.granted_us)),
            remaining_us: holder.map_or(0, |e| e.expires_us.saturating_sub(now)),
        }
    }
}

fn free_of(entries: &[Entry]) -> u32 {
    let taken = entries.iter().filter(|e| e.holds()).map(|e| e.weight);
    CAPACITY.saturating_sub(taken.fold(0, u32::saturating_add))
}

fn is_live(entry: &Entry, now: Now) -> bool {
    now.lease_us.saturating_sub(entry.heard_us) <= LIVENESS_US
}

/// A block of fences: above every earlier one, and above all that this client has seen of the namespace, so that the
/// order survives a store that lost its data or whose clock stepped back.
fn mint(last: &mut u64, want: u64, seen: u64, now: Now) -> (u64, u64) {
    // Saturating: a damaged number must not stop the store that meets it.
    let base = now.wall_us.max(seen.saturating_add(1));
    let first = base.max(last.saturating_add(1));
    let end = first.max(
        first
            .saturating_add(want.saturating_sub(1))
            .min(now.wall_us + BLOCK_AHEAD_US),
    );
    *last = end;
    (first, end)
}
