//! Quotas: calls of any keys, in the order they came. Many of one key cost the server little more than one.

use std::collections::VecDeque;

use leasehold_core::Moment;
use leasehold_core::name::{Bucket, ResourceName};
use leasehold_core::store::{QuotaCall, QuotaReply, Stamped, StoreError};

use super::{Answers, Cargo, Combiner, SEATS, Together, Waiting};
use crate::connection::Connection;
use crate::quotas::OPERATION;

impl Cargo for QuotaCall {
    type Reply = QuotaReply;
    const OPERATION: &'static str = OPERATION;

    fn callers(connection: &Connection) -> &Combiner<Self> {
        &connection.quota_combiner
    }

    fn bucket(&self) -> Bucket {
        self.name().map_or(Bucket(0), ResourceName::bucket)
    }

    fn pick_up(waiting: &mut VecDeque<Waiting<Self>>, together: Together) -> Vec<Waiting<Self>> {
        let mut group: Vec<Waiting<Self>> = Vec::new();
        let mut left = VecDeque::new();
        while group.len() < SEATS
            && let Some(next) = waiting.pop_front()
        {
            let within_reach = match together {
                Together::AnyBuckets => true,
                Together::OneBucket => group.first().is_none_or(|one| one.bucket == next.bucket),
            };
            if next.caller.outcome.is_closed() {
                // Its caller went away before anything was sent.
            } else if within_reach {
                group.push(next);
            } else {
                left.push_back(next);
            }
        }
        left.append(waiting);
        *waiting = left;
        group
    }

    async fn send(
        connection: &Connection,
        calls: &[Self],
        deadline: Moment,
    ) -> Result<Option<Answers<Self>>, StoreError> {
        let Stamped { now, value } = connection.send_quotas(calls, deadline).await?;
        let value = value.into_iter().map(Some).collect();
        Ok(Some(Stamped { now, value }))
    }

    async fn send_alone(
        connection: &Connection,
        call: &Self,
        asked: Moment,
    ) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let deadline = asked + connection.shared.session.request_timeout;
        connection
            .send_quotas(std::slice::from_ref(call), deadline)
            .await
    }
}
