//! Quotas: calls as the words of `lua/quota.lua`, and its answers.

use async_trait::async_trait;
use leasehold_core::Moment;
use leasehold_core::name::{Bucket, ResourceName};
use leasehold_core::protocol::{
    Acquire, Charge, Charged, Op, Quota, Reply, Rid, Settle, Settled, Standing, Usage,
};
use leasehold_core::store::{LeaseCall, QuotaCall, QuotaReply, Quotas, Stamped, StoreError, Take};
use redis::{Cmd, RedisWrite, Value};

use crate::connection::Connection;
use crate::error::malformed;
use crate::keys::Keys;
use crate::leases::{on_server_clock, put_words, take_reply};
use crate::record::{double, take_double};

pub(crate) const OPERATION: &str = "quota";

#[async_trait]
impl Quotas for Connection {
    async fn quotas(&self, calls: &[QuotaCall]) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        match calls {
            [call] if can_travel(call) => self.send_one(call, self.shared.session.env.now()).await,
            _ => Box::pin(self.send_quotas(calls, self.deadline())).await,
        }
    }
}

/// Whether a call can travel with those of others: a lease has a script of its own, and large calls pay for themselves.
fn can_travel(call: &QuotaCall) -> bool {
    match call {
        QuotaCall::Take(take) => take.lease.is_none() && take.charges.len() <= 4,
        QuotaCall::Settle { .. } | QuotaCall::Peek { .. } => true,
    }
}

impl Connection {
    /// Sends calls as one script call.
    pub(crate) async fn send_quotas(
        &self,
        calls: &[QuotaCall],
        deadline: Moment,
    ) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let batch = Batch::of(calls, &self.shared.keys);
        let script = if batch.has_lease {
            &self.scripts.quota_and_lease
        } else {
            &self.scripts.quota
        };
        let fill = |cmd: &mut Cmd| {
            batch.put_keys(cmd);
            batch.put_words(cmd);
        };
        let answer = self.run_until(deadline, OPERATION, script, calls.len(), fill);
        batch.take_answer(&answer.await?)
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key<'a> {
    Usage(&'a ResourceName),
    Settlement(Bucket, Rid),
    Floor(Bucket),
    Lease(&'a ResourceName),
}

/// Calls as one script call.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    calls: &'a [QuotaCall],
    keys: &'a Keys,
    named: Vec<Key<'a>>,
    quotas: Vec<Quota>,
    words: Vec<Vec<u8>>,
    pub(crate) has_lease: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn of(calls: &'a [QuotaCall], keys: &'a Keys) -> Self {
        let mut batch = Self {
            calls,
            keys,
            named: Vec::new(),
            quotas: Vec::new(),
            words: Vec::with_capacity(calls.len()),
            has_lease: false,
        };
        for call in calls {
            let mut word = Vec::with_capacity(64);
            match call {
                QuotaCall::Take(take) => batch.put_take(&mut word, take),
                QuotaCall::Settle { name, ask } => batch.put_settle(&mut word, name, ask),
                QuotaCall::Peek { name, quota, cost } => {
                    word.push(b'k');
                    batch.put_key(&mut word, Key::Usage(name));
                    batch.put_quota(&mut word, *quota);
                    word.extend(double(*cost));
                }
            }
            batch.words.push(word);
        }
        batch
    }

    fn put_key(&mut self, word: &mut Vec<u8>, key: Key<'a>) {
        let known = self.named.iter().position(|named| *named == key);
        let place = known.unwrap_or(self.named.len());
        if known.is_none() {
            self.named.push(key);
        }
        put_place(word, place);
    }

    fn put_quota(&mut self, word: &mut Vec<u8>, quota: Quota) {
        let known = self.quotas.iter().position(|known| *known == quota);
        let place = known.unwrap_or(self.quotas.len());
        if known.is_none() {
            self.quotas.push(quota);
        }
        put_place(word, place);
    }

    fn put_take(&mut self, word: &mut Vec<u8>, take: &'a Take) {
        word.push(b't');
        word.extend(double(take.not_after_us));
        word.extend(double(take.longest_wait_us));
        // A call is of 128 keys at most.
        let count = u16::try_from(take.charges.len()).unwrap_or(u16::MAX);
        word.extend(count.to_be_bytes());
        word.push(u8::from(take.lease.is_some()));
        if let Some((name, _)) = &take.lease {
            self.has_lease = true;
            self.put_key(word, Key::Floor(name.bucket()));
            self.put_key(word, Key::Lease(name));
        } else {
            word.extend([0; 4]);
        }
        for (name, charge) in &take.charges {
            self.put_key(word, Key::Usage(name));
            self.put_quota(word, charge.quota);
            word.extend(double(charge.cost));
            word.extend(double(charge.least));
        }
    }

    fn put_settle(&mut self, word: &mut Vec<u8>, name: &'a ResourceName, ask: &Settle) {
        word.push(b's');
        self.put_key(word, Key::Usage(name));
        self.put_quota(word, ask.quota);
        self.put_key(word, Key::Settlement(name.bucket(), ask.rid));
        for value in [
            ask.not_after_us,
            ask.charged,
            ask.actual,
            ask.until_us,
            ask.after.full_us,
            ask.after.part,
            ask.after.quota.units(),
            ask.after.given_us,
        ] {
            word.extend(double(value));
        }
        word.push(u8::from(ask.ahead));
    }

    /// The number of keys, and the keys.
    pub(crate) fn put_keys(&self, cmd: &mut Cmd) {
        cmd.arg(self.named.len());
        for key in &self.named {
            cmd.arg(match *key {
                Key::Usage(name) => self.keys.quota(name),
                Key::Settlement(bucket, rid) => self.keys.settlement(bucket, rid),
                Key::Floor(bucket) => self.keys.floor(bucket),
                Key::Lease(name) => self.keys.lease(name),
            });
        }
    }

    /// The words.
    pub(crate) fn put_words(&self, cmd: &mut Cmd) {
        let mut head = Vec::with_capacity(32 * self.quotas.len());
        for quota in &self.quotas {
            put_terms(&mut head, quota);
        }
        cmd.write_arg(&head);
        for (call, word) in self.calls.iter().zip(&self.words) {
            cmd.write_arg(word);
            if let Some(call) = lease_of(call) {
                put_words(cmd, self.keys, &[call]);
            }
        }
    }

    /// A script's answer.
    pub(crate) fn take_answer(
        &self,
        answer: &Value,
    ) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let (text, leases) = match answer {
            Value::BulkString(text) => (text, &[][..]),
            Value::Array(values) => match values.split_first() {
                Some((Value::BulkString(text), leases)) => (text, leases),
                _ => return Err(malformed(OPERATION)),
            },
            _ => return Err(malformed(OPERATION)),
        };
        let leases: Vec<_> = leases.iter().map(take_reply).collect::<Result<_, _>>()?;
        let mut text = Text(text);
        let stamped = self.replies(&mut text, &mut leases.into_iter());
        stamped.ok_or_else(|| malformed(OPERATION))
    }

    fn replies(
        &self,
        text: &mut Text<'_>,
        leases: &mut impl Iterator<Item = Reply>,
    ) -> Option<Stamped<Vec<QuotaReply>>> {
        let now = on_server_clock(text.number()?);
        let mut value = Vec::with_capacity(self.calls.len());
        for call in self.calls {
            value.push(match call {
                QuotaCall::Take(take) => match text.byte()? {
                    0 => QuotaReply::Stale,
                    code => {
                        let charges = take.charges.iter();
                        let charged = charges.map(|(_, charge)| text.charged(charge));
                        let charged = charged.collect::<Option<_>>()?;
                        let lease = if code == 2 {
                            Some(leases.next()?)
                        } else {
                            None
                        };
                        QuotaReply::Taken { charged, lease }
                    }
                },
                QuotaCall::Settle { .. } => match text.byte()? {
                    0 => QuotaReply::Stale,
                    code => QuotaReply::Settled(settled_of(code, text.number()?)?),
                },
                QuotaCall::Peek { quota, .. } => QuotaReply::Standing(text.stood(*quota)?.standing),
            });
        }
        text.0.is_empty().then_some(Stamped { now, value })
    }
}

/// The acquire that a take has with it, as a call of its own.
fn lease_of(call: &QuotaCall) -> Option<LeaseCall> {
    let QuotaCall::Take(Take {
        lease: Some((name, acquire)),
        ..
    }) = call
    else {
        return None;
    };
    let (name, op) = (name.clone(), Op::Acquire(Acquire::clone(acquire)));
    Some(LeaseCall { name, op })
}

fn settled_of(code: u8, units: u64) -> Option<Settled> {
    match code {
        b'b' => Some(Settled::GivenBack(units)),
        b'c' => Some(Settled::Charged(units)),
        b'k' => Some(Settled::Kept),
        _ => None,
    }
}

/// Lua counts from 1.
fn put_place(word: &mut Vec<u8>, place: usize) {
    // A call is of 128 keys at most.
    let place = u16::try_from(place + 1).unwrap_or(u16::MAX);
    word.extend(place.to_be_bytes());
}

fn put_terms(text: &mut Vec<u8>, quota: &Quota) {
    for value in [
        quota.units(),
        quota.period_us(),
        quota.burst(),
        quota.announced(),
    ] {
        text.extend(double(value));
    }
}

/// What is left of an answer.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (value, rest) = take_double(self.0)?;
        self.0 = rest;
        Some(value)
    }

    fn quota(&mut self, asked: Quota) -> Option<Quota> {
        if self.byte()? == 0 {
            return Some(asked);
        }
        let (units, period_us, burst) = (self.number()?, self.number()?, self.number()?);
        let quota = Quota::new(units, period_us, burst).ok()?;
        Some(quota.revision(self.number()?))
    }

    fn charged(&mut self, ask: &Charge) -> Option<Charged> {
        let Stood {
            units,
            wait_us,
            standing,
            usage,
        } = self.stood(ask.quota)?;
        Some(Charged {
            units,
            wait_us,
            standing,
            usage: (units > 0).then_some(usage),
        })
    }

    fn stood(&mut self, asked: Quota) -> Option<Stood> {
        let (units, wait_us) = (self.number()?, self.number()?);
        // -1 stands for none.
        let is_none = self.0.first()? & 0x80 != 0;
        let retry_us = Some(self.number()?).filter(|_| !is_none);
        let (remaining, reset_us) = (self.number()?, self.number()?);
        let (full_us, part, given_us) = (self.number()?, self.number()?, self.number()?);
        let quota = self.quota(asked)?;
        Some(Stood {
            units,
            wait_us,
            standing: Standing {
                remaining,
                retry_us,
                reset_us,
                quota,
            },
            usage: Usage {
                full_us,
                part,
                given_us,
                quota,
            },
        })
    }
}

/// How a key stood after a charge, or a look.
struct Stood {
    units: u64,
    wait_us: u64,
    standing: Standing,
    usage: Usage,
}
