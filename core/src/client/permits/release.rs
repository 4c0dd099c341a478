//! Giving permits back, with the three outcomes of a release: yes, no, unknown.

use std::sync::Arc;

use super::Pool;
use super::pool::Ended;
use crate::client::turn::Holding;
use crate::client::{Inner, membership};
use crate::error::{Error, LostCause};
use crate::store::StoreError;

/// Ends a hold, and tells whether it was still held. If another task of this client has its permits next, that is all that
/// happens. Else the store is told; unknown answers are sent again by the background.
///
/// # Cancel safety
/// Dropped at any await, the background goes on with it.
pub(in crate::client) async fn release(
    inner: &Inner,
    pool: &Arc<Pool>,
    holding: &Holding,
) -> Result<(), Error> {
    let core = &inner.core;
    let now = core.env.now();
    let lost = holding.check_at(now);
    if !holding.end_at(now) {
        return Ok(lost?);
    }
    let name = pool.name();
    let Some(told) = pool.leave(core, holding) else {
        pool.proceed(core);
        return Ok(lost?);
    };
    let deadline = now + core.request_timeout;
    let giving = async {
        match pool.take_off(core) {
            Some(flight) => pool.fly(core, &inner.store, flight).await,
            None => pool.proceed(core),
        }
        std::future::pending::<()>().await;
    };
    let unknown = |text: &str| {
        let error = StoreError::unknown("release", text);
        Error::from_store(name, error)
    };
    let gone = |cause| Err(holding.lost_error(cause).into());
    let told = tokio::select! {
        biased;
        told = told => told.ok(),
        () = core.env.sleep_until(deadline) => None,
        () = giving => None,
    };
    lost?;
    match told {
        Some(Ended::Held) => Ok(()),
        Some(Ended::Failed(error)) => Err(error),
        Some(Ended::Absent {
            first: true,
            in_time: true,
        }) => gone(LostCause::Deleted),
        Some(Ended::Absent {
            first: false,
            in_time: true,
        }) => {
            // Only this release ended it, unless the store lost its data; what is known of that may be a heartbeat old.
            let beat = Box::pin(membership::beat(core, &inner.store));
            let beat = core.env.timeout_at(deadline, beat).await;
            let beat =
                beat.unwrap_or_else(|_| Err(StoreError::unknown("release", "no answer in time")));
            beat.map_err(|error| Error::from_store(name, error))?;
            if holding.tenure.members.incarnation == core.members().incarnation {
                return Ok(());
            }
            Err(unknown(
                "the store lost its data: whether it lasted is unknown",
            ))
        }
        Some(Ended::Absent { in_time: false, .. }) => Err(unknown(
            "the lease was gone when it arrived: whether it lasted is unknown",
        )),
        None => Err(unknown("no answer in time; it goes on in the background")),
    }
}
