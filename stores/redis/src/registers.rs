//! Registers: one key each.

use async_trait::async_trait;
use leasehold_core::protocol::{
    Expect, REGISTER_FORMAT, Register, RegisterReply, RegisterWrite, TooNew,
};
use leasehold_core::store::{Registers, Stamped, StoreError};
use leasehold_core::{Fence, ResourceName};
use redis::{Cmd, Value};

use crate::connection::Connection;
use crate::error::malformed;
use crate::leases::{integer, on_server_clock, take_time};
use crate::script::{
    EXPECT_ABSENT, EXPECT_ANY, REPLY_CONFLICT, REPLY_FENCED, REPLY_WRITTEN, number,
};

const READ: &str = "read";
const WRITE: &str = "write";

#[async_trait]
impl Registers for Connection {
    async fn read(
        &self,
        names: &[ResourceName],
    ) -> Result<Stamped<Vec<Option<Register>>>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        for name in names {
            pipeline.cmd("GET").arg(self.shared.keys.register(name));
        }
        let mut answers = self.pipeline(READ, &pipeline).await?.into_iter();
        let time = answers.next().as_ref().and_then(server_time);
        let now = on_server_clock(time.ok_or_else(|| malformed(READ))?);
        let value = answers
            .map(|answer| {
                let register = stored(READ, &answer)?;
                Ok(register.filter(|register| register.expires_us > now.wall_us))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        if value.len() == names.len() {
            Ok(Stamped { now, value })
        } else {
            Err(malformed(READ))
        }
    }

    async fn write(
        &self,
        name: &ResourceName,
        write: &RegisterWrite,
    ) -> Result<Stamped<RegisterReply>, StoreError> {
        let key = self.shared.keys.register(name);
        let fill = |cmd: &mut Cmd| {
            cmd.arg(1).arg(&key);
            put_write(cmd, write);
        };
        let answer = self.run(WRITE, &self.scripts.register, fill).await?;
        take_write(answer)
    }
}

pub(crate) fn server_time(answer: &Value) -> Option<u64> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let part = |value: &Value| match value {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    match &**parts {
        [seconds, micros] => part(seconds)?
            .checked_mul(1_000_000)?
            .checked_add(part(micros)?),
        _ => None,
    }
}

/// The script's words.
pub(crate) fn put_write(cmd: &mut Cmd, write: &RegisterWrite) {
    match write.expect {
        Expect::Any => cmd.arg(EXPECT_ANY),
        Expect::Absent => cmd.arg(EXPECT_ABSENT),
        Expect::Version(version) => cmd.arg(number(version)),
    };
    match write.fence {
        Some(fence) => cmd.arg(number(fence.get())),
        None => cmd.arg(""),
    };
    cmd.arg(number(write.ttl_us)).arg(&*write.value);
}

/// The time, a code, and what it says.
pub(crate) fn take_write(answer: Value) -> Result<Stamped<RegisterReply>, StoreError> {
    let (now, mut fields) = take_time(WRITE, answer)?;
    let code = fields.next().as_ref().and_then(integer);
    let Some((code, value)) = code.zip(fields.next()) else {
        return Err(malformed(WRITE));
    };
    let value = match (code, integer(&value)) {
        (REPLY_WRITTEN, Some(version)) => RegisterReply::Written { version },
        (REPLY_FENCED, Some(fence)) => RegisterReply::Fenced {
            stored: Fence::new(fence),
        },
        (REPLY_CONFLICT, None) => RegisterReply::Conflict(stored(WRITE, &value)?),
        _ => return Err(malformed(WRITE)),
    };
    Ok(Stamped { now, value })
}

fn stored(operation: &'static str, answer: &Value) -> Result<Option<Register>, StoreError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(decode(bytes)?)),
        _ => Err(malformed(operation)),
    }
}

/// Reads what the script stored.
pub(crate) fn decode(bytes: &[u8]) -> Result<Register, TooNew> {
    match bytes.split_first() {
        Some((&REGISTER_FORMAT, rest)) => {
            // The reason would quote the value.
            rmp_serde::from_slice(rest).map_err(|_| TooNew::Damaged("not a register".into()))
        }
        Some((&other, _)) => Err(TooNew::Version {
            found: char::from(other),
            supported: char::from(REGISTER_FORMAT),
        }),
        None => Err(TooNew::Damaged("no bytes".into())),
    }
}
