//! Members, and the namespace's incarnation.

use std::collections::BTreeMap;

use async_trait::async_trait;
use leasehold_core::protocol::{NodeId, TooNew};
use leasehold_core::store::{Beat, Member, Members, Membership, Stamped, StoreError};

use crate::connection::Connection;
use crate::error::Failure;
use crate::registers::decode_versioned;
use crate::schema::integer;
use crate::transaction::Transaction;
use crate::writer::Query;

/// The first byte of a stored beat: the version of its layout.
const BEAT_FORMAT: u8 = b'1';

struct BeatOf(Beat);

#[async_trait]
impl Query for BeatOf {
    type Answer = Membership;
    const OPERATION: &'static str = "beat";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Membership, Failure> {
        let Self(beat) = self;
        let (now, namespace) = (tx.now, tx.scope.namespace.as_str());
        // Read first: where a newer node is a member, this one does not become one.
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT node, beat FROM leasehold_member WHERE ns = ? AND epoch = ? AND until_us > ? AND node <> ?",
        )
        .bind(namespace)
        .bind(integer(now.epoch))
        .bind(integer(now.lease_us))
        .bind(beat.node.to_string())
        .fetch_all(&mut *tx.sql)
        .await?;
        let others = rows.iter().map(|(node, beat)| decode(node, beat));
        let mut members = others.collect::<Result<Vec<_>, TooNew>>()?;
        members.push(Member {
            node: beat.node,
            label: beat.label.clone(),
            meta: beat.meta.clone(),
        });
        members.sort_by_key(|member| member.node);
        sqlx::query(
            "INSERT OR REPLACE INTO leasehold_member (ns, node, epoch, until_us, beat) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(namespace)
        .bind(beat.node.to_string())
        .bind(integer(now.epoch))
        .bind(integer(now.lease_us.saturating_add(beat.ttl_us)))
        .bind(encode(beat))
        .execute(&mut *tx.sql)
        .await?;
        let incarnation = tx.incarnation().await?;
        Ok(Membership {
            incarnation,
            members,
        })
    }
}

impl Transaction<'_> {
    async fn incarnation(&mut self) -> Result<String, sqlx::Error> {
        let namespace = self.scope.namespace.as_str();
        let stored: Option<String> = sqlx::query_scalar(
            "SELECT value FROM leasehold_meta WHERE ns = ? AND key = 'incarnation'",
        )
        .bind(namespace)
        .fetch_optional(&mut *self.sql)
        .await?;
        if let Some(stored) = stored {
            return Ok(stored);
        }
        let fresh = self.scope.env.uuid().simple().to_string();
        sqlx::query("INSERT INTO leasehold_meta (ns, key, value) VALUES (?, 'incarnation', ?)")
            .bind(namespace)
            .bind(&fresh)
            .execute(&mut *self.sql)
            .await?;
        Ok(fresh)
    }
}

fn encode(beat: &Beat) -> Vec<u8> {
    let mut bytes = vec![BEAT_FORMAT];
    // Writing strings and a map of them to a Vec cannot fail.
    rmp_serde::encode::write(&mut bytes, &(&beat.label, &beat.meta))
        .expect("a beat has only encodable fields");
    bytes
}

fn decode(node: &str, beat: &[u8]) -> Result<Member, TooNew> {
    let node = node.parse();
    let node = node.map_err(|_| TooNew::Damaged("a member's node id is none".into()))?;
    let (label, meta): (String, BTreeMap<String, String>) = decode_versioned(beat, BEAT_FORMAT)?;
    Ok(Member { node, label, meta })
}

struct Leave(NodeId);

#[async_trait]
impl Query for Leave {
    type Answer = ();
    const OPERATION: &'static str = "leave";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<(), Failure> {
        sqlx::query("DELETE FROM leasehold_member WHERE ns = ? AND node = ?")
            .bind(tx.scope.namespace.as_str())
            .bind(self.0.to_string())
            .execute(&mut *tx.sql)
            .await?;
        Ok(())
    }
}

#[async_trait]
impl Members for Connection {
    async fn beat(&self, beat: &Beat) -> Result<Stamped<Membership>, StoreError> {
        self.ask(BeatOf(beat.clone())).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        self.ask(Leave(node)).await.map(drop)
    }
}
