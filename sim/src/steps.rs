//! What the store's steps gave out, and the rules that each step must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_core::protocol::{
    CLAIM_WINDOW_US, Entry, LIVENESS_US, Now, Op, Phase, Record, Reply, Rid, Weight,
};
use leasehold_core::store::{Done, Step};

use crate::history::What;

/// What is known of the steps before.
#[derive(Default)]
pub(crate) struct Steps {
    /// Requests that were ended: none of them may come back.
    ended: BTreeSet<Rid>,
    /// The `not_after` of each acquire.
    not_after_us: BTreeMap<Rid, u64>,
    /// Whether the store lost its data or its lease clock stepped: what was ended may then come back.
    forgot: bool,
}

impl Steps {
    pub(crate) fn forget(&mut self) {
        self.forgot = true;
    }

    pub(crate) fn take(&mut self, step: &Step<'_>) -> Vec<What> {
        let mut noted = Vec::new();
        match &step.done {
            Done::Lease {
                op,
                before,
                floor,
                after,
                reply,
            } => {
                let lease = Lease {
                    op,
                    before: *before,
                    floor: *floor,
                    after: *after,
                    reply,
                    now: step.now,
                };
                for what in self.broken(&lease) {
                    let text = format!("{}: {}", step.name, what.1);
                    noted.push(What::Broke { rule: what.0, text });
                }
                noted.extend(lease.minted(step.name.as_str()));
                noted.extend(lease.waits(step.name.as_str()));
                noted.extend(lease.told_to_go(step.name.as_str()));
            }
            Done::Quota { .. } => {}
            Done::Write { write, reply } => {
                use leasehold_core::RegisterReply::Written;
                if let (Some(fence), Written { .. }) = (write.fence, reply) {
                    noted.push(What::Wrote {
                        register: step.name.to_string(),
                        fence: fence.get(),
                    });
                }
            }
        }
        noted
    }

    fn broken(&mut self, lease: &Lease<'_>) -> Vec<(&'static str, String)> {
        let mut broken = lease.broken();
        match lease.op {
            Op::Acquire(ask) => {
                let fixed = *self.not_after_us.entry(ask.rid).or_insert(ask.not_after_us);
                if fixed != ask.not_after_us {
                    let text = format!("{}: {fixed}, then {}", ask.rid, ask.not_after_us);
                    broken.push(("a retry does not extend its not_after", text));
                }
            }
            Op::Release(ask) if *lease.reply != Reply::Stale => {
                self.ended.insert(ask.rid);
            }
            _ => {}
        }
        if !self.forgot {
            let ghosts = lease.after().iter().filter(|e| self.ended.contains(&e.rid));
            broken.extend(ghosts.map(|ghost| {
                let text = format!("{} is back", ghost.rid);
                ("what was ended is granted to nobody", text)
            }));
        }
        broken
    }
}

/// A step on a lease's record.
struct Lease<'a> {
    op: &'a Op,
    before: Option<&'a Record>,
    floor: u64,
    after: Option<&'a Record>,
    reply: &'a Reply,
    now: Now,
}

impl Lease<'_> {
    fn before(&self) -> &[Entry] {
        self.before.map_or(&[], |record| &record.entries)
    }

    fn after(&self) -> &[Entry] {
        self.after.map_or(&[], |record| &record.entries)
    }

    fn was(&self, rid: Rid) -> Option<&Entry> {
        self.before().iter().find(|entry| entry.rid == rid)
    }

    /// Whether an entry's lease or window is over.
    fn is_over(&self, entry: &Entry) -> bool {
        entry.holds() && entry.expires_us <= self.now.lease_us
    }

    /// What this step made holders.
    fn minted(&self, resource: &str) -> Vec<What> {
        let is_new = |entry: &&Entry| {
            let was = self.was(entry.rid).filter(|was| was.holds());
            entry.holds() && was.is_none_or(|was| was.first != entry.first)
        };
        // In the order in which they were made, which is that of their fences.
        let mut new: Vec<_> = self.after().iter().filter(is_new).collect();
        new.sort_by_key(|entry| entry.first);
        let below = self.before.map_or(self.floor, |_| 0);
        let minted = new.into_iter().map(|entry| What::Minted {
            resource: resource.to_owned(),
            client: entry.rid.node.to_string(),
            seq: entry.rid.seq,
            first: entry.first,
            end: entry.end,
            weight: u32::from(entry.weight),
            seen: entry.seen,
            wall: self.now.wall_us,
            base: (self.now.wall_us).max(entry.seen.max(below).saturating_add(1)),
            last: self.before.map_or(self.floor, |record| record.last),
        });
        minted.collect()
    }

    /// Who was heard to wait, and who waits no more.
    fn waits(&self, resource: &str) -> Vec<What> {
        let waits = |entry: &Entry| entry.phase == Phase::Waiting;
        let own = match self.op {
            Op::Acquire(ask) => self.after().iter().find(|entry| entry.rid == ask.rid),
            _ => None,
        };
        let mut noted: Vec<_> = (own.into_iter().filter(|entry| waits(entry)))
            .map(|entry| What::Waits {
                resource: resource.to_owned(),
                client: entry.rid.node.to_string(),
                seq: entry.rid.seq,
            })
            .collect();
        for was in self.before().iter().filter(|entry| waits(entry)) {
            let is = self.after().iter().find(|entry| entry.rid == was.rid);
            if !is.is_some_and(waits) {
                noted.push(What::WaitsNot {
                    resource: resource.to_owned(),
                    client: was.rid.node.to_string(),
                    seq: was.rid.seq,
                });
            }
        }
        noted
    }

    /// The holder that this step was the first to revoke.
    fn told_to_go(&self, resource: &str) -> Option<What> {
        let Op::Revoke(ask) = self.op else {
            return None;
        };
        let entry = self.after().iter().find(|entry| entry.rid == ask.rid)?;
        let is_first = self.was(ask.rid).is_some_and(|was| was.revoked_us == 0);
        (is_first && entry.revoked_us > 0).then(|| What::Revoked {
            resource: resource.to_owned(),
            first: entry.first,
            grace: Duration::from_micros(entry.grace_us),
        })
    }

    /// The rules that this step breaks by itself.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let mut broken = Vec::new();
        self.queue(&mut broken);
        self.capacity(&mut broken);
        self.late(&mut broken);
        self.repeated(&mut broken);
        self.turn(&mut broken);
        self.revoked(&mut broken);
        broken
    }

    /// The most that anyone who stands there takes the resource to have.
    fn size(&self) -> u32 {
        let sizes = self.after().iter().map(|entry| entry.capacity);
        sizes.max().unwrap_or(1)
    }

    fn is_new(&self, entry: &Entry) -> bool {
        entry.holds() && self.was(entry.rid).is_none_or(|was| !was.holds())
    }

    /// Whom a step makes a holder fits beside the others.
    fn capacity(&self, broken: &mut Vec<(&'static str, String)>) {
        let holders: Vec<_> = self.after().iter().filter(|e| e.holds()).collect();
        if !holders.iter().any(|entry| self.is_new(entry)) {
            return;
        }
        let takes_all = holders.iter().any(|entry| entry.weight == Weight::All);
        let units: u64 = (holders.iter())
            .map(|entry| u64::from(u32::from(entry.weight)))
            .sum();
        if (takes_all && holders.len() > 1) || units > u64::from(self.size()) {
            let holders: Vec<_> = holders.iter().map(|e| e.rid.to_string()).collect();
            broken.push(("the store keeps to the capacity", holders.join(", ")));
        }
    }

    /// Who stands there keeps its place, and is served in its turn.
    fn queue(&self, broken: &mut Vec<(&'static str, String)>) {
        let now_us = self.now.lease_us;
        for entry in self.before() {
            if self.after().iter().any(|after| after.rid == entry.rid) {
                continue;
            }
            let own = self.op.rid() == Some(entry.rid);
            let is_end = matches!(self.op, Op::Release(_));
            let ended = own && (is_end || matches!(self.reply, Reply::TooHeavy { .. }));
            let absorbed = match self.op {
                Op::Reweigh(ask) => ask.absorb.is_some_and(|other| other.rid == entry.rid),
                _ => false,
            };
            let ended = ended || (absorbed && entry.holds());
            let over = match entry.phase {
                Phase::Held => self.is_over(entry),
                // Who changed its weight took its turn.
                Phase::Granted if entry.weighed > 0 => self.is_over(entry),
                _ => entry.not_after_us < now_us,
            };
            if !ended && !over {
                let text = format!("{} is gone", entry.rid);
                broken.push(("who stands there keeps its place", text));
            }
        }
        let Some(last) = self.after().iter().rposition(|entry| self.is_new(entry)) else {
            return;
        };
        // Who asks again was passed over while it was not heard from: that is as it should be.
        let waits = |entry: &&Entry| {
            entry.phase == Phase::Waiting
                && u32::from(entry.weight) <= self.size()
                && self.was(entry.rid).is_some_and(|was| {
                    was.phase == Phase::Waiting
                        && now_us.saturating_sub(was.heard_us) <= LIVENESS_US
                })
        };
        if let Some(passed) = self.after()[..last].iter().find(waits) {
            let text = format!("{} is passed over", passed.rid);
            broken.push(("waiters are served in their order", text));
        }
    }

    /// What comes too late does nothing.
    fn late(&self, broken: &mut Vec<(&'static str, String)>) {
        let not_after_us = match self.op {
            Op::Acquire(ask) => ask.not_after_us,
            Op::Renew(ask) => ask.not_after_us,
            Op::Reweigh(ask) => ask.not_after_us,
            Op::Release(ask) => ask.not_after_us,
            Op::Revoke(ask) => ask.not_after_us,
            Op::Inspect => return,
        };
        if self.now.lease_us > not_after_us && *self.reply != Reply::Stale {
            broken.push((
                "what comes too late is refused",
                format!("{:?}", self.reply),
            ));
        }
        let over = self
            .op
            .rid()
            .and_then(|rid| self.was(rid))
            .is_some_and(|was| was.phase == Phase::Held && self.is_over(was));
        if over && matches!(self.reply, Reply::Renewed { .. }) {
            broken.push((
                "an expired lease is not renewed",
                format!("{:?}", self.op.rid()),
            ));
        }
    }

    /// A repeated request changes nothing.
    fn repeated(&self, broken: &mut Vec<(&'static str, String)>) {
        let Some(was) = self.op.rid().and_then(|rid| self.was(rid)) else {
            return;
        };
        let is_repeated = match self.op {
            Op::Acquire(_) => was.holds(),
            Op::Renew(ask) => was.holds() && ask.renewal <= was.renewal,
            Op::Reweigh(ask) => was.holds() && ask.change <= was.weighed,
            _ => false,
        };
        let is = self.after().iter().find(|entry| entry.rid == was.rid);
        if is_repeated
            && !self.is_over(was)
            && is.is_none_or(|is| {
                (is.expires_us, is.first, is.weight) != (was.expires_us, was.first, was.weight)
            })
        {
            let text = format!("{}: {was:?} became {is:?}", was.rid);
            broken.push(("a repeated request changes nothing", text));
        }
    }
    /// What is free goes to who waits, for a claim window, and to nobody who was silent at his last turn.
    fn turn(&self, broken: &mut Vec<(&'static str, String)>) {
        let after = self.after();
        let first = after.iter().find(|entry| entry.is_live_waiter(self.now));
        if !matches!(self.op, Op::Inspect)
            && let Some(first) = first
            && !after.iter().any(Entry::holds)
        {
            let text = format!("{} waits, and nobody holds", first.rid);
            broken.push(("a hand-over takes no other call", text));
        }
        for entry in after.iter().filter(|entry| entry.phase == Phase::Granted) {
            if entry.expires_us > entry.granted_us + CLAIM_WINDOW_US {
                let text = format!("{} has until {}", entry.rid, entry.expires_us);
                broken.push(("an unclaimed grant passes on", text));
            }
            let was_silent = self.was(entry.rid).is_some_and(|was| {
                let is_over = was.phase == Phase::Granted && self.is_over(was);
                is_over || was.phase == Phase::Dormant
            });
            if was_silent
                && entry.granted_us == self.now.lease_us
                && self.op.rid() != Some(entry.rid)
            {
                let text = format!("{} was not heard from", entry.rid);
                broken.push(("who was silent is passed over", text));
            }
        }
    }

    /// Who was told to go is not extended.
    fn revoked(&self, broken: &mut Vec<(&'static str, String)>) {
        let revoked = self.before().iter().filter(|was| was.revoked_us > 0);
        for was in revoked.filter(|was| !self.is_over(was)) {
            let is = self.after().iter().find(|entry| entry.rid == was.rid);
            if is.is_some_and(|is| is.expires_us > was.expires_us) {
                let text = format!("{}: {was:?} became {is:?}", was.rid);
                broken.push(("a revoked lease is not extended", text));
            }
        }
    }
}
