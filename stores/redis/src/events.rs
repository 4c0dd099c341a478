//! Pushes: a shard channel for each bucket and node.

use async_trait::async_trait;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{NodeId, Rid};
use leasehold_core::store::{Events, StoreError, StoreErrorKind};
use redis::{Cmd, PushInfo, PushKind, Value};

use crate::connection::Connection;

pub(crate) fn subscribe(channel: &str) -> Cmd {
    let mut cmd = redis::cmd("SSUBSCRIBE");
    cmd.arg(channel);
    cmd
}

pub(crate) fn is_acknowledgement(answer: &Value) -> bool {
    matches!(
        answer,
        Value::Push {
            kind: PushKind::SSubscribe,
            ..
        }
    )
}

/// The waiter that a push is about. A push is a text that anyone may send: what is not ours is ignored.
pub(crate) fn take_push(push: &PushInfo, node: NodeId) -> Option<Rid> {
    let (PushKind::SMessage, [_, Value::BulkString(payload)]) = (&push.kind, &*push.data) else {
        return None;
    };
    let rid: Rid = std::str::from_utf8(payload).ok()?.parse().ok()?;
    (rid.node == node).then_some(rid)
}

#[async_trait]
impl Events for Connection {
    async fn listen(&self, bucket: Bucket) -> Result<(), StoreError> {
        const OPERATION: &str = "listen";
        let deadline = self.deadline();
        // First, so that a connection that is being made now listens too.
        let is_new = self.shared.want(bucket);
        let link = self.shared.link(OPERATION, deadline).await?;
        if link.listens(bucket) {
            return Ok(());
        }
        let channel = self.shared.keys.channel(bucket, self.shared.session.node);
        let cmd = subscribe(&channel);
        let answer = self.command(OPERATION, &link, &cmd, deadline).await;
        if let Err(error) = &answer
            && error.kind() == StoreErrorKind::Refused
            && is_new
        {
            // Asked again at each reconnect, what is refused here would keep the store from ever coming back.
            self.shared.want_no_more(bucket);
        }
        let answer = answer?;
        if !is_acknowledgement(&answer) {
            let text = format!("{}: not acknowledged", self.shared.address);
            return Err(StoreError::unknown(OPERATION, text));
        }
        link.acknowledged(bucket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_that_are_not_ours_are_ignored() {
        let rid: Rid = "0123456789abcdef0123456789abcdef.7".parse().unwrap();
        let push = |kind: PushKind, payload: &[u8]| PushInfo {
            kind,
            data: vec![
                Value::BulkString(b"{ns#1}:e:x".to_vec()),
                Value::BulkString(payload.to_vec()),
            ],
        };
        let ours = rid.to_string();
        let take = |push| take_push(&push, rid.node);
        assert_eq!(take(push(PushKind::SMessage, ours.as_bytes())), Some(rid));
        assert_eq!(take(push(PushKind::Message, ours.as_bytes())), None);
        assert_eq!(take(push(PushKind::SMessage, b"")), None);
        assert_eq!(take(push(PushKind::SMessage, b"\xff\xfe.1")), None);
        let others = "1123456789abcdef0123456789abcdef.7";
        assert_eq!(take(push(PushKind::SMessage, others.as_bytes())), None);
        let empty = PushInfo {
            kind: PushKind::SMessage,
            data: vec![],
        };
        assert_eq!(take(empty), None);
    }
}
