//! The calls that uncontended resources need, as the words of the fast scripts: see `lua/fast.lua`.

use leasehold_core::name::ResourceName;
use leasehold_core::protocol::{Acquire, Op, Release, Renew, Reply, Was, Weight};
use leasehold_core::store::{LeaseCall, Stamped};
use redis::{Cmd, RedisWrite};

use crate::keys::Keys;
use crate::leases::on_server_clock;
use crate::record::{double, put_own, put_rid, take_double};
use crate::script::{SLACK_MS, number, put_digits};

/// In ms since 1970: in 2001.
const LEAST_OF_13_DIGITS: u64 = 1_000_000_000_000;

/// What all acquires of one script call have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    ttl_us: u64,
    want: u64,
}

/// An acquire of all of a resource.
pub(crate) fn shape_of(ask: &Acquire) -> Option<Shape> {
    (ask.weight == Weight::All).then_some(Shape {
        ttl_us: ask.ttl_us,
        want: ask.want,
    })
}

/// A release after which nothing needs to be remembered.
pub(crate) fn is_plain(ask: &Release) -> bool {
    ask.close_until_us == 0
}

/// Calls as one script call: all of resources of their own.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    acquires: Vec<(&'a ResourceName, &'a Acquire)>,
    releases: Vec<(&'a ResourceName, &'a Release)>,
    renewals: Vec<(&'a ResourceName, &'a Renew)>,
}

impl<'a> Batch<'a> {
    /// The calls of one caller, if the script for these can do them: one acquire, one release, or renewals.
    pub(crate) fn of_one(calls: &'a [LeaseCall]) -> Option<Self> {
        let mut batch = Self::default();
        match calls {
            [LeaseCall { name, op }] if matches!(op, Op::Acquire(_) | Op::Release(_)) => {
                batch.add(name, op).then_some(batch)
            }
            [
                LeaseCall {
                    op: Op::Renew(first),
                    ..
                },
                ..,
            ] => {
                for LeaseCall { name, op } in calls {
                    let Op::Renew(ask) = op else { return None };
                    if ask.not_after_us != first.not_after_us {
                        return None;
                    }
                    batch.renewals.push((name, ask));
                }
                let mut names: Vec<_> = calls.iter().map(|call| &call.name).collect();
                names.sort_unstable();
                names.dedup();
                (names.len() == calls.len()).then_some(batch)
            }
            _ => None,
        }
    }

    /// Takes in an acquire or a release, unless another kind of script is for it. That its resource is not in yet, and
    /// that acquires are of one [`Shape`], is the caller's to see to.
    pub(crate) fn add(&mut self, name: &'a ResourceName, op: &'a Op) -> bool {
        match op {
            Op::Acquire(ask) if shape_of(ask).is_some() => self.acquires.push((name, ask)),
            Op::Release(ask) if is_plain(ask) => self.releases.push((name, ask)),
            _ => return false,
        }
        true
    }

    /// Whether it can need new memory.
    pub(crate) fn needs_memory(&self) -> bool {
        !self.acquires.is_empty()
    }

    fn len(&self) -> usize {
        self.acquires.len() + self.releases.len() + self.renewals.len()
    }

    /// The number of keys, and the keys.
    pub(crate) fn put_keys(&self, cmd: &mut Cmd, keys: &Keys) {
        let mut key = Vec::with_capacity(128);
        put_digits(&mut key, (self.len() + self.acquires.len()) as u64);
        cmd.write_arg(&key);
        for (name, _) in &self.acquires {
            key.clear();
            keys.put_floor(&mut key, name.bucket());
            cmd.write_arg(&key);
        }
        let ended = self.releases.iter().map(|(name, _)| *name);
        let renewed = self.renewals.iter().map(|(name, _)| *name);
        let acquired = self.acquires.iter().map(|(name, _)| *name);
        for name in ended.chain(renewed).chain(acquired) {
            key.clear();
            keys.put_lease(&mut key, name);
            cmd.write_arg(&key);
        }
    }

    /// The words.
    pub(crate) fn put_words(&self, cmd: &mut Cmd) {
        let seen = self.acquires.iter().map(|(_, ask)| ask.seen).max();
        let seen = seen.unwrap_or(0);
        let mut word = Vec::with_capacity(256);
        self.put_head(&mut word, seen);
        cmd.write_arg(&word);
        for (_, ask) in &self.acquires {
            word.clear();
            put_own(&mut word, ask, seen);
            cmd.write_arg(&word);
        }
        let ended = self.releases.iter().map(|(_, ask)| ask.rid);
        for rid in ended.chain(self.renewals.iter().map(|(_, ask)| ask.rid)) {
            word.clear();
            put_rid(&mut word, rid);
            cmd.write_arg(&word);
        }
    }

    fn put_head(&self, word: &mut Vec<u8>, seen: u64) {
        let (acquires, releases) = (&self.acquires, &self.releases);
        for count in [acquires.len(), releases.len(), self.renewals.len()] {
            // A batch is of 128 calls at most.
            word.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        }
        word.push(u8::from(acquires.iter().any(|(_, ask)| ask.wait)));
        let not_after = (acquires.iter().map(|(_, ask)| ask.not_after_us))
            .chain(releases.iter().map(|(_, ask)| ask.not_after_us))
            .chain(self.renewals.iter().map(|(_, ask)| ask.not_after_us));
        let shape = acquires.first().and_then(|(_, ask)| shape_of(ask));
        let (ttl_us, want) = shape.map_or((0, 0), |shape| (shape.ttl_us, shape.want));
        for value in [not_after.min().unwrap_or(0), seen, ttl_us, want] {
            word.extend(double(value));
        }
        // An acquire that comes after its not_after writes nothing: the last grant is at the last not_after.
        let last = acquires.iter().map(|(_, ask)| number(ask.not_after_us));
        if let Some(last) = last.max() {
            let until_ms = last.saturating_add(ttl_us) / 1000 + 1 + SLACK_MS;
            let until_ms = until_ms.clamp(LEAST_OF_13_DIGITS, 10 * LEAST_OF_13_DIGITS - 1);
            put_digits(word, until_ms);
        }
        let used = releases.iter().map(|(_, ask)| ask.used);
        for value in used.chain(self.renewals.iter().map(|(_, ask)| ask.renewal)) {
            word.extend(double(value));
        }
    }

    /// A fast script's answer: each call's, acquires first, then releases, then renewals. `None` for one that asks for more.
    pub(crate) fn take_answers(&self, bytes: &[u8]) -> Option<Stamped<Vec<Option<Reply>>>> {
        let mut answers = Vec::with_capacity(self.len());
        let (now, mut rest) = take_double(bytes)?;
        let mut next = || {
            let (value, after) = take_double(rest)?;
            rest = after;
            Some(value)
        };
        if !self.acquires.is_empty() {
            let (first, end) = (next(), next());
            for (_, ask) in &self.acquires {
                answers.push(Some(Reply::Granted {
                    first: first?,
                    end: end?,
                    remaining_us: ask.ttl_us,
                    claimed: true,
                    contended: false,
                }));
            }
        }
        let was = Was::Held;
        answers.extend(self.releases.iter().map(|_| Some(Reply::Released { was })));
        for _ in &self.renewals {
            answers.push(Some(Reply::Renewed {
                remaining_us: next()?,
                contended: false,
                revoked: None,
            }));
        }
        for failed in rest {
            *answers.get_mut(usize::from(*failed).checked_sub(1)?)? = None;
        }
        Some(Stamped {
            now: on_server_clock(now),
            value: answers,
        })
    }
}
