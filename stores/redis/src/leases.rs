//! Leases: a batch of calls is one script.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::Moment;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{self, Capacity, Now, Op, Reply, Revoked, Reweigh, Was, Weight};
use leasehold_core::store::{
    Capabilities, ClockSource, LeaseCall, Leases, ListQuery, Page, Safety, Stamped, StoreError,
};
use redis::{Cmd, Value};

use crate::combine::can_travel;
use crate::connection::Connection;
use crate::error::malformed;
use crate::fast::Batch;
use crate::keys::Keys;
use crate::record;
use crate::script::{
    OP_ACQUIRE, OP_INSPECT, OP_RELEASE, OP_RENEW, OP_REVOKE, OP_REWEIGH, REPLY_BUSY, REPLY_CLOSED,
    REPLY_GRANTED, REPLY_INSPECTED, REPLY_NOT_HELD, REPLY_QUEUED, REPLY_RELEASED, REPLY_RENEWED,
    REPLY_REVOKED, REPLY_STALE, REPLY_TOO_HEAVY, REPLY_WEIGHED, WAS_ABSENT, WAS_HELD, WAS_QUEUED,
    number,
};

pub(crate) const OPERATION: &str = "lease";
const FLOORS: &str = "raise floors";

#[async_trait]
impl Leases for Connection {
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        let now = self.shared.session.env.now();
        match calls {
            [call] if can_travel(&call.op) && !self.unpacked.has(&call.name, now) => {
                self.send_one(call, now).await
            }
            _ => Box::pin(self.alone(calls, now)).await,
        }
    }

    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError> {
        let Some(((bucket, fence), rest)) = floors.split_first() else {
            return Ok(());
        };
        let keys = &self.shared.keys;
        let fill = |cmd: &mut Cmd, bucket: Bucket, fence: u64| {
            cmd.arg(1).arg(keys.floor(bucket)).arg(number(fence));
        };
        // The first one leaves the script there for the others.
        let script = &self.scripts.floor;
        let first = |cmd: &mut Cmd| fill(cmd, *bucket, *fence);
        self.run(FLOORS, script, first).await?;
        if !rest.is_empty() {
            let mut pipeline = redis::pipe();
            for (bucket, fence) in rest {
                let mut cmd = script.by_hash(1);
                fill(&mut cmd, *bucket, *fence);
                pipeline.add_command(cmd);
            }
            self.pipeline(FLOORS, &pipeline).await?;
        }
        Ok(())
    }

    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        self.list_page(query).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            Safety::BestEffort,
            ClockSource::ServerWall,
            Duration::from_millis(20),
        )
    }
}

impl Connection {
    /// Sends the calls of one caller, who asked at `asked`, as a script call of their own.
    pub(crate) async fn alone(
        &self,
        calls: &[LeaseCall],
        asked: Moment,
    ) -> Result<Stamped<Vec<Reply>>, StoreError> {
        let (keys, scripts) = (&self.shared.keys, &self.scripts);
        let deadline = asked + self.shared.session.request_timeout;
        let is_packed = |call: &LeaseCall| !self.unpacked.has(&call.name, asked);
        let batch = Batch::of_one(calls).filter(|_| calls.iter().all(is_packed));
        let stamped = if let Some(batch) = batch {
            let script = if batch.needs_memory() {
                &scripts.alone
            } else {
                &scripts.alone_when_full
            };
            let fill = |cmd: &mut Cmd| {
                batch.put_keys(cmd, keys);
                batch.put_words(cmd);
            };
            let answer = self.run_until(deadline, OPERATION, script, calls.len(), fill);
            let answer = answer.await?;
            if let ([call], Value::Array(_)) = (calls, &answer) {
                self.unpacked.note(&call.name, asked);
            }
            take_replies_alone(&batch, answer)?
        } else {
            let needs_memory = calls.iter().any(|c| matches!(c.op, Op::Acquire(_)));
            let script = if needs_memory {
                &scripts.leases
            } else {
                &scripts.leases_when_full
            };
            let fill = |cmd: &mut Cmd| {
                put_keys(cmd, keys, calls);
                put_words(cmd, keys, calls);
            };
            take_replies(
                self.run_until(deadline, OPERATION, script, calls.len(), fill)
                    .await?,
            )?
        };
        if stamped.value.len() == calls.len() {
            Ok(stamped)
        } else {
            Err(malformed(OPERATION))
        }
    }
}

/// The number of keys, the bucket's floor, then one key a call.
pub(crate) fn put_keys(cmd: &mut Cmd, keys: &Keys, calls: &[LeaseCall]) {
    let bucket = calls.first().map_or(Bucket(0), |call| call.name.bucket());
    cmd.arg(1 + calls.len()).arg(keys.floor(bucket));
    for call in calls {
        cmd.arg(keys.lease(&call.name));
    }
}

/// The prefix of the channels, then each call's words.
pub(crate) fn put_words(cmd: &mut Cmd, keys: &Keys, calls: &[LeaseCall]) {
    let prefix = calls.first().map(|call| keys.channels(call.name.bucket()));
    cmd.arg(prefix.unwrap_or_default());
    for call in calls {
        match &call.op {
            Op::Acquire(ask) => {
                let (weight, capacity) = (u32::from(ask.weight), ask.capacity);
                let (size, revision) = (capacity.size, number(capacity.revision));
                cmd.arg(OP_ACQUIRE)
                    .arg(ask.rid.to_string())
                    .arg(number(ask.not_after_us))
                    .arg(number(ask.ttl_us))
                    .arg(number(ask.want))
                    .arg(number(ask.seen))
                    .arg(u8::from(ask.wait))
                    .arg(format!("{weight} {size} {revision} {}", ask.label))
            }
            Op::Renew(ask) => cmd
                .arg(OP_RENEW)
                .arg(ask.rid.to_string())
                .arg(number(ask.not_after_us))
                .arg(number(ask.renewal)),
            Op::Release(ask) => cmd
                .arg(OP_RELEASE)
                .arg(ask.rid.to_string())
                .arg(number(ask.not_after_us))
                .arg(number(ask.used))
                .arg(number(ask.close_until_us)),
            Op::Reweigh(ask) => cmd
                .arg(OP_REWEIGH)
                .arg(ask.rid.to_string())
                .arg(number(ask.not_after_us))
                .arg(number(ask.change))
                .arg(change_of(ask)),
            Op::Revoke(ask) => cmd
                .arg(OP_REVOKE)
                .arg(ask.rid.to_string())
                .arg(number(ask.not_after_us))
                .arg(number(ask.grace_us))
                .arg(&ask.reason),
            Op::Inspect => cmd.arg(OP_INSPECT),
        };
    }
}

/// A change of weight, but for its number: one word, which the script takes apart only if it applies.
fn change_of(ask: &Reweigh) -> String {
    let (weight, Capacity { size, revision }) = (u32::from(ask.weight), ask.capacity);
    let revision = number(revision);
    match ask.absorb {
        Some(absorbed) => {
            let (rid, until_us) = (absorbed.rid, number(absorbed.close_until_us));
            format!("{weight} {size} {revision} {until_us} {rid}")
        }
        None => format!("{weight} {size} {revision} 0 "),
    }
}

/// The time, then one array a call.
pub(crate) fn take_replies(answer: Value) -> Result<Stamped<Vec<Reply>>, StoreError> {
    let (now, replies) = take_time(OPERATION, answer)?;
    let value = replies
        .map(|reply| take_reply(&reply))
        .collect::<Result<_, _>>()?;
    Ok(Stamped { now, value })
}

/// The fast script's answer, or the full one's if that had to do it.
pub(crate) fn take_replies_alone(
    batch: &Batch<'_>,
    answer: Value,
) -> Result<Stamped<Vec<Reply>>, StoreError> {
    let Value::BulkString(bytes) = &answer else {
        return take_replies(answer);
    };
    let stamped = batch.take_answers(bytes);
    let stamped = stamped.and_then(|Stamped { now, value }| {
        let value = value.into_iter().collect::<Option<_>>()?;
        Some(Stamped { now, value })
    });
    stamped.ok_or_else(|| malformed(OPERATION))
}

/// Every script's answer but the fast ones' begins with its time.
pub(crate) fn take_time(
    operation: &'static str,
    answer: Value,
) -> Result<(Now, impl Iterator<Item = Value>), StoreError> {
    let Value::Array(values) = answer else {
        return Err(malformed(operation));
    };
    let mut values = values.into_iter();
    let time = values.next().as_ref().and_then(integer);
    let time = time.ok_or_else(|| malformed(operation))?;
    Ok((on_server_clock(time), values))
}

/// Redis has one clock, and it outlives its machine.
pub(crate) fn on_server_clock(time_us: u64) -> Now {
    Now {
        lease_us: time_us,
        wall_us: time_us,
        epoch: 0,
    }
}

pub(crate) fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

pub(crate) fn take_reply(reply: &Value) -> Result<Reply, StoreError> {
    let Value::Array(fields) = reply else {
        return Err(malformed(OPERATION));
    };
    if fields.first().and_then(integer) == Some(REPLY_INSPECTED) {
        match &fields[1..] {
            [Value::BulkString(bytes)] => {
                return Ok(Reply::Inspected(Some(protocol::decode(bytes)?)));
            }
            [Value::Int(last), Value::Int(epoch), Value::Array(parts)] => {
                let record = record::gathered(*last, *epoch, parts)?;
                return Ok(Reply::Inspected(Some(record)));
            }
            _ => {}
        }
    }
    reply_of(fields).ok_or_else(|| malformed(OPERATION))
}

fn reply_of(fields: &[Value]) -> Option<Reply> {
    let at = |i: usize| fields.get(i).and_then(integer);
    Some(match at(0)? {
        REPLY_GRANTED => Reply::Granted {
            first: at(1)?,
            end: at(2)?,
            remaining_us: at(3)?,
            claimed: at(4)? == 1,
            contended: at(5)? == 1,
        },
        REPLY_QUEUED => Reply::Queued {
            ahead: u32::try_from(at(1)?).ok()?,
            check_in_us: at(2)?,
        },
        REPLY_BUSY => Reply::Busy {
            holder: text(fields.get(1)?)?,
            held_us: at(2)?,
            remaining_us: at(3)?,
        },
        REPLY_TOO_HEAVY => Reply::TooHeavy {
            capacity: u32::try_from(at(1)?).ok()?,
        },
        REPLY_RENEWED => Reply::Renewed {
            remaining_us: at(1)?,
            contended: at(2)? == 1,
            revoked: match fields.get(4) {
                Some(reason) => Some(Revoked {
                    grace_us: at(3)?,
                    reason: text(reason)?,
                }),
                None => None,
            },
        },
        REPLY_WEIGHED => Reply::Weighed {
            weight: Weight::from(u32::try_from(at(1)?).ok()?),
            contended: at(2)? == 1,
        },
        REPLY_REVOKED => Reply::Revoked,
        REPLY_RELEASED => Reply::Released {
            was: match at(1)? {
                WAS_HELD => Was::Held,
                WAS_QUEUED => Was::Queued,
                WAS_ABSENT => Was::Absent,
                _ => return None,
            },
        },
        REPLY_NOT_HELD => Reply::NotHeld,
        REPLY_CLOSED => Reply::Closed,
        REPLY_STALE => Reply::Stale,
        REPLY_INSPECTED => Reply::Inspected(None),
        _ => return None,
    })
}
