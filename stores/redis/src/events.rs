//! Pushes: a shard channel for each bucket and node.

use async_trait::async_trait;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{Handed, NodeId, Rid};
use leasehold_core::store::{Event, Events, StoreError, StoreErrorKind};
use redis::{Cmd, PushInfo, PushKind, Value};

use crate::connection::Connection;
use crate::script::{NOTICE_CONTENDED, NOTICE_GRANTED, NOTICE_REVOKED, PUSH_FORMAT};

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

/// What a push says. It is a text that anyone with the right to the channel may send: what is not ours is ignored.
pub(crate) fn take_push(push: &PushInfo, node: NodeId) -> Option<Event> {
    let (PushKind::SMessage, [_, Value::BulkString(payload)]) = (&push.kind, &*push.data) else {
        return None;
    };
    let mut words = std::str::from_utf8(payload).ok()?.split(' ');
    let first = words.next()?;
    let (kind, rid): (_, Rid) = if first == PUSH_FORMAT {
        (words.next()?, words.next()?.parse().ok()?)
    } else {
        // The layout before: a waiter's id, and no more.
        ("", first.parse().ok()?)
    };
    if rid.node != node {
        return None;
    }
    let mut number = || words.next()?.parse().ok();
    let event = match kind {
        NOTICE_GRANTED => Event::Granted(Handed {
            rid,
            first: number()?,
            end: number()?,
            granted_us: number()?,
            expires_us: number()?,
        }),
        NOTICE_CONTENDED => Event::Contended(rid),
        NOTICE_REVOKED => Event::Revoked(rid),
        _ => Event::Look(rid),
    };
    Some(event)
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
        let say = |text: &str| take(push(PushKind::SMessage, text.as_bytes()));
        assert_eq!(say(&ours), Some(Event::Look(rid)));
        assert_eq!(say(&format!("2 c {ours}")), Some(Event::Contended(rid)));
        assert_eq!(say(&format!("2 k {ours}")), Some(Event::Revoked(rid)));
        let handed = Handed {
            rid,
            first: 9_007_199_254_740_990,
            end: 9_007_199_254_740_991,
            granted_us: 3,
            expires_us: 4,
        };
        let text = format!("2 g {ours} 9007199254740990 9007199254740991 3 4");
        assert_eq!(say(&text), Some(Event::Granted(handed)));
        assert_eq!(say(&format!("2 g {ours} 1 2 3")), None);
        assert_eq!(say(&format!("3 g {ours}")), None);
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
