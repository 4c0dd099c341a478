//! Telling holders to go.

use std::time::Duration;

use super::cleaner::BATCH;
use super::{Inner, RETRY, look, micros};
use crate::env::Moment;
use crate::error::Error;
use crate::name::ResourceName;
use crate::protocol::{Op, Reply, Revoke};
use crate::store::{LeaseCall, StoreError, StoreErrorKind};

/// No holder is given longer than this to go.
const LONGEST_GRACE: Duration = Duration::from_secs(366 * 24 * 3600);

/// Tells all present holders to go; answers how many there are.
pub(crate) async fn revoke(
    inner: &Inner,
    name: &ResourceName,
    reason: &str,
    grace: Duration,
) -> Result<usize, Error> {
    let core = &inner.core;
    let found = look(inner, name).await?;
    let record = found.value.unwrap_or_default();
    let holders = record.entries.iter().filter(|e| e.holds());
    let calls: Vec<_> = holders
        .map(|entry| LeaseCall {
            name: name.clone(),
            op: Op::Revoke(Revoke {
                rid: entry.rid,
                not_after_us: core.not_after_us(core.request_timeout),
                grace_us: micros(grace.min(LONGEST_GRACE)),
                reason: reason.to_owned(),
            }),
        })
        .collect();
    let deadline = core.env.now() + core.request_timeout;
    let mut told = 0;
    for calls in calls.chunks(BATCH) {
        told += tell(inner, name, calls, deadline).await?;
    }
    Ok(told)
}

/// Tells some; answers how many of them were still there.
async fn tell(
    inner: &Inner,
    name: &ResourceName,
    calls: &[LeaseCall],
    deadline: Moment,
) -> Result<usize, Error> {
    let core = &inner.core;
    loop {
        let left = deadline.since(core.env.now());
        let error = match core.send(&inner.store, calls, left).await {
            Ok(answer) => {
                let replies = &answer.value;
                if !replies.contains(&Reply::Stale) {
                    return Ok(replies.iter().filter(|r| **r == Reply::Revoked).count());
                }
                StoreError::unknown("revoke", "the store's clock moved on")
            }
            Err(error) => error,
        };
        // The same again: it names the holders, and so hits nobody else.
        let next = core.env.now() + core.env.jittered(RETRY);
        if next >= deadline || error.kind() != StoreErrorKind::Unknown {
            return Err(Error::from_store(name, error));
        }
        core.env.sleep_until(next).await;
    }
}
