//! The lease: acquire or enqueue, renew, release, expiry and hand-over.

use super::record::Closed;
use super::weight::{Taken, is_too_heavy};
use super::{
    Acquire, BLOCK_AHEAD_US, CLAIM_WINDOW_US, Capacity, Entry, FRESH_US, HEARTBEAT_US, Handed,
    Notice, Now, Op, Phase, RANK_STEP_US, Record, Release, Renew, Reply, Revoke, Revoked, Rid, Was,
    Weight,
};
use crate::planted::{Bug, planted};

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub reply: Reply,
    /// Who should be told of what.
    pub notices: Vec<Notice>,
    /// The state after; `None` if nothing needs to be kept.
    pub record: Option<Record>,
}

/// Applies one operation. Accepts any `now`, also one smaller than before. Where there is no record, fences start
/// above `floor`, the highest one that its bucket's clients have reported.
pub fn apply(record: Option<Record>, floor: u64, op: &Op, now: Now) -> Outcome {
    if let Op::Inspect = op {
        return Outcome {
            reply: Reply::Inspected(record.clone()),
            notices: Vec::new(),
            record,
        };
    }
    let mut state = State {
        record: record.unwrap_or_else(|| Record {
            last: if planted(Bug::FloorNotRead) { 0 } else { floor },
            ..Record::default()
        }),
        now,
        notices: Vec::new(),
    };
    if !planted(Bug::ExpiredIsRenewed) || !matches!(op, Op::Renew(_)) {
        state.expire();
        state.hand_over();
    }
    let reply = match op {
        Op::Acquire(acquire) => state.acquire(acquire),
        Op::Renew(renew) => state.renew(renew),
        Op::Reweigh(reweigh) => state.reweigh(reweigh),
        Op::Release(release) => state.release(release),
        Op::Revoke(revoke) => state.revoke(revoke),
        Op::Inspect => unreachable!("answered above"),
    };
    let spent = state.record.is_spent(now);
    Outcome {
        reply,
        notices: state.notices,
        record: (!spent).then_some(state.record),
    }
}

/// A resource while an operation is applied to it.
pub(super) struct State {
    pub(super) record: Record,
    pub(super) now: Now,
    notices: Vec<Notice>,
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
                // Who changed its weight took its turn, and no longer asks for what it once asked for.
                if entry.weighed > 0 {
                    return false;
                }
                // It was given its turn and did not take it: it keeps its place.
                entry.phase = Phase::Dormant;
                (entry.first, entry.end) = (0, 0);
                (entry.granted_us, entry.expires_us) = (0, 0);
                (entry.revoked_us, entry.grace_us) = (0, 0);
                entry.reason.clear();
                if planted(Bug::TicketLost) {
                    return false;
                }
                if planted(Bug::SilentIsGranted) {
                    entry.phase = Phase::Waiting;
                }
            }
            match entry.phase {
                Phase::Held => entry.expires_us > now,
                Phase::Granted => true,
                Phase::Waiting | Phase::Dormant => entry.not_after_us >= now,
            }
        });
    }

    /// Makes the next live waiters holders. The first live one that does not fit blocks those behind it, unless it
    /// could never fit: it will be told.
    pub(super) fn hand_over(&mut self) {
        let now = self.now;
        let Some(Capacity { size, .. }) = self.capacity() else {
            return;
        };
        let mut taken = self.taken();
        let Record { entries, last, .. } = &mut self.record;
        for entry in entries.iter_mut() {
            if planted(Bug::DeadWaiterBlocks) && !entry.holds() && !entry.is_live_waiter(now) {
                return;
            }
            if !entry.is_live_waiter(now) || is_too_heavy(entry.weight, size) {
                continue;
            }
            if !taken.leaves(entry.weight, size) {
                return;
            }
            taken.add(entry.weight);
            let (first, end) = mint(last, entry.want, entry.seen, now);
            entry.phase = Phase::Granted;
            (entry.first, entry.end) = (first, end);
            entry.granted_us = now.lease_us;
            entry.expires_us = now.lease_us + CLAIM_WINDOW_US.min(entry.ttl_us);
            if planted(Bug::NoClaimWindow) {
                entry.expires_us = now.lease_us + entry.ttl_us;
            }
            if planted(Bug::ClaimWindowOver) {
                entry.expires_us = now.lease_us;
            }
            self.notices.push(Notice::Granted(Handed {
                rid: entry.rid,
                first,
                end,
                granted_us: entry.granted_us,
                expires_us: entry.expires_us,
            }));
        }
    }

    fn acquire(&mut self, ask: &Acquire) -> Reply {
        let now = self.now.lease_us;
        if now > ask.not_after_us && !planted(Bug::StaleIsTaken) {
            return Reply::Stale;
        }
        if self.record.closed.iter().any(|c| c.rid == ask.rid) {
            return Reply::Closed;
        }
        let capacity = self.capacity().map_or(ask.capacity, |c| c.or(ask.capacity));
        if let Some(at) = self.position(ask.rid)
            && !planted(Bug::RepeatCountsTwice)
        {
            return self.ask_again(at, ask, capacity.size);
        }
        if is_too_heavy(ask.weight, capacity.size) {
            return Reply::TooHeavy {
                capacity: capacity.size,
            };
        }
        let waited_for = self.is_contended();
        let overtakes = planted(Bug::ReaderOvertakes) && ask.weight != Weight::All;
        let free = (!waited_for || overtakes) && self.taken().leaves(ask.weight, capacity.size);
        if !free && !ask.wait {
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
            label: ask.label.to_string(),
            capacity: ask.capacity.size,
            revision: ask.capacity.revision,
            weighed: 0,
            revoked_us: 0,
            grace_us: 0,
            reason: String::new(),
        };
        if free {
            (entry.first, entry.end) = mint(&mut self.record.last, ask.want, ask.seen, self.now);
            entry.phase = Phase::Held;
            entry.granted_us = now;
            entry.expires_us = now.saturating_add(ask.ttl_us);
        } else if !waited_for {
            let holders = self.record.entries.iter().filter(|e| e.holds());
            self.notices
                .extend(holders.map(|e| Notice::Contended(e.rid)));
        }
        self.record.entries.push(entry);
        if waited_for {
            // What it announces may be more than there was for those before it, who may also all be too heavy.
            self.hand_over();
        }
        self.answer(self.record.entries.len() - 1)
    }

    /// An acquire that came before: how it stands. Its waiter lives.
    fn ask_again(&mut self, at: usize, ask: &Acquire, capacity: u32) -> Reply {
        let entry = &mut self.record.entries[at];
        if entry.holds() {
            return self.answer(at);
        }
        entry.heard_us = self.now.lease_us;
        entry.phase = Phase::Waiting;
        entry.seen = entry.seen.max(ask.seen);
        entry.want = entry.want.max(ask.want);
        let too_heavy = is_too_heavy(entry.weight, capacity);
        if too_heavy {
            // The capacity fell while it stood here.
            self.record.entries.remove(at);
        }
        self.hand_over();
        if too_heavy {
            return Reply::TooHeavy { capacity };
        }
        self.answer(at)
    }

    fn renew(&mut self, ask: &Renew) -> Reply {
        let now = self.now.lease_us;
        if now > ask.not_after_us {
            return Reply::Stale;
        }
        let contended = self.is_contended();
        let Some(entry) = self.holder(ask.rid) else {
            return Reply::NotHeld;
        };
        if ask.renewal > entry.renewal || planted(Bug::RenewalOutOfOrder) {
            entry.renewal = ask.renewal;
            entry.phase = Phase::Held;
            if entry.revoked_us == 0 || planted(Bug::RevokedIsRenewed) {
                entry.expires_us = now.saturating_add(entry.ttl_us);
            }
        }
        Reply::Renewed {
            remaining_us: entry.expires_us.saturating_sub(now),
            contended,
            revoked: (entry.revoked_us > 0).then(|| Revoked {
                grace_us: entry.grace_us,
                reason: entry.reason.clone(),
            }),
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
        self.close(ask.rid, ask.close_until_us);
        if !planted(Bug::NoHandOver) {
            self.hand_over();
        }
        Reply::Released { was }
    }

    /// Remembers a request that has ended, until then.
    pub(super) fn close(&mut self, rid: Rid, until_us: u64) {
        if until_us <= self.now.lease_us || planted(Bug::NothingClosed) {
            return;
        }
        match (self.record.closed.iter_mut()).find(|c| c.rid == rid) {
            Some(closed) => closed.until_us = closed.until_us.max(until_us),
            None => self.record.closed.push(Closed { rid, until_us }),
        }
    }

    fn revoke(&mut self, ask: &Revoke) -> Reply {
        let now = self.now.lease_us;
        if now > ask.not_after_us {
            return Reply::Stale;
        }
        let Some(entry) = self.holder(ask.rid) else {
            return Reply::NotHeld;
        };
        if entry.revoked_us == 0 || ask.grace_us < entry.grace_us {
            // Never 0, which means "not revoked".
            entry.revoked_us = now.max(1);
            entry.grace_us = ask.grace_us;
            entry.reason.clone_from(&ask.reason);
            self.notices.push(Notice::Revoked(ask.rid));
        }
        Reply::Revoked
    }

    fn position(&self, rid: Rid) -> Option<usize> {
        self.record.entries.iter().position(|e| e.rid == rid)
    }

    fn holder(&mut self, rid: Rid) -> Option<&mut Entry> {
        (self.record.entries.iter_mut())
            .find(|e| e.rid == rid && (e.holds() || planted(Bug::LateClaimRevives)))
    }

    /// Whether a live waiter stands in the queue.
    pub(super) fn is_contended(&self) -> bool {
        let entries = &self.record.entries;
        entries.iter().any(|e| e.is_live_waiter(self.now))
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for entry in self.record.entries.iter().filter(|e| e.holds()) {
            taken.add(entry.weight);
        }
        taken
    }

    /// How much there is, by what holders and live waiters announce.
    pub(super) fn capacity(&self) -> Option<Capacity> {
        self.record.capacity(self.now)
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
                contended: self.is_contended(),
            };
        }
        let before = &self.record.entries[..at];
        let ahead = before.iter().filter(|e| !e.holds()).count();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        // The first three look soon after the holder's expiry, one after the other; a lost push costs no more. Of those
        // before it only the ones that were heard from lately count: who looks instead of it must be there to look.
        let is_fresh =
            |e: &&Entry| e.phase == Phase::Waiting && now.saturating_sub(e.heard_us) <= FRESH_US;
        let rank = before.iter().filter(is_fresh).count() as u64 + 1;
        let expiry = (self.record.entries.iter())
            .filter(|e| e.holds())
            .map(|e| e.expires_us)
            .min();
        let check_in_us = match expiry {
            Some(expiry) if rank <= 3 => expiry
                .saturating_sub(now)
                .saturating_add(RANK_STEP_US * rank)
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

/// A block of fences: above every earlier one, and above all that this client has seen of the namespace, so that the
/// order survives a store that lost its data or whose clock stepped back.
fn mint(last: &mut u64, want: u64, seen: u64, now: Now) -> (u64, u64) {
    // Saturating: a damaged number must not stop the store that meets it.
    let above = u64::from(!planted(Bug::SeenItself));
    let base = now.wall_us.max(seen.saturating_add(above));
    let first = if planted(Bug::NoFenceBump) {
        base
    } else {
        base.max(last.saturating_add(1))
    };
    let end = if planted(Bug::FixedBlock) {
        first + 1023
    } else {
        let wanted = first.saturating_add(want.saturating_sub(1));
        first.max(wanted.min(now.wall_us + BLOCK_AHEAD_US))
    };
    *last = end;
    (first, end)
}
