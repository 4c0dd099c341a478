//! Members: who lives, by the server's clock.

use std::collections::BTreeMap;

use async_trait::async_trait;
use leasehold_core::protocol::{NodeId, TooNew};
use leasehold_core::store::{Beat, Member, Members, Membership, Stamped, StoreError};
use redis::{Cmd, Value};

use crate::connection::Connection;
use crate::error::malformed;
use crate::leases::take_time;
use crate::script::number;

const BEAT: &str = "beat";
/// The first byte of what a node says of itself: the version of its layout.
const FORMAT: u8 = b'1';

#[async_trait]
impl Members for Connection {
    async fn beat(&self, beat: &Beat) -> Result<Stamped<Membership>, StoreError> {
        let keys = &self.shared.keys;
        let said = encode(beat);
        let incarnation = self.shared.session.env.uuid().simple().to_string();
        let fill = |cmd: &mut Cmd| {
            cmd.arg(3).arg(keys.expiry()).arg(keys.nodes());
            cmd.arg(keys.meta()).arg(beat.node.to_string());
            cmd.arg(number(beat.ttl_us)).arg(&*said).arg(&incarnation);
        };
        let answer = self.run(BEAT, &self.scripts.beat, fill).await?;
        let (now, mut fields) = take_time(BEAT, answer)?;
        let (Some(Value::BulkString(incarnation)), Some(Value::Array(nodes))) =
            (fields.next(), fields.next())
        else {
            return Err(malformed(BEAT));
        };
        let incarnation = String::from_utf8(incarnation).map_err(|_| malformed(BEAT))?;
        let mut members = nodes.chunks(2).map(member).collect::<Result<Vec<_>, _>>()?;
        members.sort_by_key(|member| member.node);
        let value = Membership {
            incarnation,
            members,
        };
        Ok(Stamped { now, value })
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        let (keys, node) = (&self.shared.keys, node.to_string());
        let mut pipeline = redis::pipe();
        // In this order: a node without a word of its own is not listed.
        pipeline.cmd("HDEL").arg(keys.nodes()).arg(&node);
        pipeline.cmd("ZREM").arg(keys.expiry()).arg(&node);
        self.pipeline("leave", &pipeline).await.map(drop)
    }
}

fn encode(beat: &Beat) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing strings and a map of strings to a Vec cannot fail.
    rmp_serde::encode::write(&mut bytes, &(&beat.label, &beat.meta))
        .expect("a beat has only encodable fields");
    bytes
}

fn member(pair: &[Value]) -> Result<Member, StoreError> {
    let [Value::BulkString(node), Value::BulkString(said)] = pair else {
        return Err(malformed(BEAT));
    };
    let node = std::str::from_utf8(node)
        .ok()
        .and_then(|node| node.parse().ok())
        .ok_or_else(|| malformed(BEAT))?;
    let said = match said.split_first() {
        Some((&FORMAT, rest)) => rest,
        Some((&other, _)) => {
            return Err(StoreError::from(TooNew::Version {
                found: char::from(other),
                supported: char::from(FORMAT),
            }));
        }
        None => return Err(malformed(BEAT)),
    };
    let (label, meta): (String, BTreeMap<String, String>) =
        rmp_serde::from_slice(said).map_err(|_| malformed(BEAT))?;
    Ok(Member { node, label, meta })
}
