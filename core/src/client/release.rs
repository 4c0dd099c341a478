//! Releasing, with its three outcomes: yes, no, unknown.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use tracing::Instrument;

use super::cleaner::BATCH;
use super::core::Departing;
use super::line::After;
use super::turn::Holding;
use super::{Cleanup, Core, Inner, RETRY, Tenure, membership, permits, several};
use crate::env::Moment;
use crate::error::{Error, LostCause};
use crate::name::Bucket;
use crate::protocol::{Reply, Was};
use crate::store::{StoreError, StoreErrorKind};

/// Ends a hold, and tells whether it was still held.
///
/// If another task of this client takes the next turn, that is all that happens. Else the store is told; unknown answers
/// are sent again within the request timeout, and after that the cleaner goes on.
pub(crate) async fn release(inner: &Inner, holding: Holding) -> Result<(), Error> {
    let core = &inner.core;
    if let Some(pool) = holding.tenure.pool() {
        return Box::pin(permits::release(inner, &pool, &holding)).await;
    }
    let now = core.env.now();
    let lost = holding.check_at(now);
    if !holding.end_at(now) {
        return Ok(lost?);
    }
    // Before it leaves: a cleaner that finds nobody there would end.
    let departing = core.depart();
    if core.lines.leave(core, &holding, true) == After::Nothing {
        return Ok(lost?);
    }
    let tenure = Arc::clone(&holding.tenure);
    let mut parting = Parting {
        _departing: departing,
        core,
        tenure: &tenure,
        settled: false,
    };
    let span = tracing::debug_span!("release", class = tenure.name.class(), name = %tenure.name);
    let told = {
        let told = pin!(tell_store(inner, &mut parting, now, true));
        if span.is_disabled() {
            told.await
        } else {
            told.instrument(span).await
        }
    };
    drop(parting);
    let gone = |cause| Err(holding.lost_error(cause).into());
    match told {
        Ok(Ended::Held) => Ok(lost?),
        Ok(Ended::Deleted) => {
            lost?;
            gone(LostCause::Deleted)
        }
        Err(error) => {
            lost?;
            Err(error)
        }
    }
}

enum Ended {
    Held,
    Deleted,
}

/// Ends several holds, with one request for those of a bucket. Answers what became of each, in their order.
pub(crate) async fn release_all(inner: &Inner, holdings: Vec<Holding>) -> Vec<Result<(), Error>> {
    let core = &inner.core;
    let now = core.env.now();
    let lost: Vec<_> = holdings
        .iter()
        .map(|holding| holding.check_at(now))
        .collect();
    // All of them leave before any is waited for: dropped meanwhile, none stays.
    let mut buckets: BTreeMap<Bucket, Vec<(usize, Parting<'_>)>> = BTreeMap::new();
    for (at, holding) in holdings.iter().enumerate() {
        if !holding.end_at(now) {
            continue;
        }
        let departing = core.depart();
        if core.lines.leave(core, holding, true) == After::Release {
            let parting = Parting {
                _departing: departing,
                core,
                tenure: &holding.tenure,
                settled: false,
            };
            let bucket = buckets.entry(holding.tenure.name.bucket()).or_default();
            bucket.push((at, parting));
        }
    }
    let partings = buckets.into_values();
    let told = several::all(partings.map(|partings| tell_bucket(inner, partings, now))).await;
    let mut told: BTreeMap<_, _> = told.into_iter().flatten().collect();
    let results = lost.into_iter().enumerate().map(|(at, lost)| {
        let told = told.remove(&at).unwrap_or(Ok(Ended::Held));
        lost?;
        match told? {
            Ended::Held => Ok(()),
            Ended::Deleted => Err(holdings[at].lost_error(LostCause::Deleted).into()),
        }
    });
    results.collect()
}

/// Tells the store of several that live together; one by one of those that this does not settle.
async fn tell_bucket(
    inner: &Inner,
    mut partings: Vec<(usize, Parting<'_>)>,
    now: Moment,
) -> Vec<(usize, Result<Ended, Error>)> {
    let core = &inner.core;
    let mut told = Vec::with_capacity(partings.len());
    let mut left = Vec::new();
    while !partings.is_empty() {
        let rest = partings.split_off(partings.len().min(BATCH));
        let calls: Vec<_> = (partings.iter())
            .map(|(_, parting)| core.release_call(parting.tenure, now))
            .collect();
        let answer = core.send(&inner.store, &calls, core.request_timeout).await;
        let is_answered = answer.is_ok();
        let replies = answer.map(|answer| answer.value).unwrap_or_default();
        let mut replies = replies.into_iter();
        for (at, mut parting) in std::mem::replace(&mut partings, rest) {
            if let Some(Reply::Released { was: Was::Held }) = replies.next() {
                parting.settled = true;
                told.push((at, Ok(Ended::Held)));
            } else {
                // Answered, it was not held, and is not by the next.
                left.push((at, parting, is_answered));
            }
        }
    }
    let again = left.into_iter().map(|(at, mut parting, first)| async move {
        let told = tell_store(inner, &mut parting, core.env.now(), first).await;
        (at, told)
    });
    told.extend(several::all(again).await);
    told
}

/// `first`: no copy of its release can have taken effect before.
async fn tell_store(
    inner: &Inner,
    parting: &mut Parting<'_>,
    mut now: Moment,
    mut first: bool,
) -> Result<Ended, Error> {
    let (core, tenure) = (parting.core, parting.tenure);
    let deadline = now + core.request_timeout;
    loop {
        let call = core.release_call(tenure, now);
        let left = deadline.since(now);
        let error = match core.send_at(now, &inner.store, &[call], left).await {
            Ok(answer) => match answer.value.first() {
                Some(Reply::Released { was: Was::Held }) => {
                    parting.settled = true;
                    return Ok(Ended::Held);
                }
                Some(Reply::Released { .. }) => {
                    parting.settled = true;
                    // While its time was not over, only this release ends it, or someone who deletes it. After that
                    // it may have lasted to the end; who asks has held it until the call, so that is no loss.
                    let in_time = answer.now.lease_us < tenure.expires_us();
                    if in_time && !first {
                        // What is known of the store's incarnation may be a heartbeat old.
                        let beat = Box::pin(membership::beat(core, &inner.store));
                        let beat = core.env.timeout_at(deadline, beat).await;
                        let beat = beat.unwrap_or_else(|_| {
                            Err(StoreError::unknown("release", "no answer in time"))
                        });
                        beat.map_err(|error| Error::from_store(&tenure.name, error))?;
                    }
                    let lasted =
                        in_time && tenure.members.incarnation == core.members().incarnation;
                    return match (lasted, first) {
                        (true, false) => Ok(Ended::Held),
                        (true, true) => Ok(Ended::Deleted),
                        (false, _) => {
                            let gone =
                                "the lease was gone when it arrived: whether it lasted is unknown";
                            let error = StoreError::unknown("release", gone);
                            Err(Error::from_store(&tenure.name, error))
                        }
                    };
                }
                _ => StoreError::unknown("release", "the store's clock moved on"),
            },
            Err(error) => error,
        };
        first = false;
        let next = core.env.now() + core.env.jittered(RETRY);
        if next >= deadline || error.kind() != StoreErrorKind::Unknown {
            return Err(Error::from_store(&tenure.name, error));
        }
        core.env.sleep_until(next).await;
        now = core.env.now();
    }
}

/// Lets the line go on once the store has answered; hands a release that was not acknowledged to the cleaner, also when
/// its future is dropped.
struct Parting<'a> {
    // Dropped last of all: after what the drop below hands to the cleaner.
    _departing: Departing<'a>,
    core: &'a Arc<Core>,
    tenure: &'a Arc<Tenure>,
    settled: bool,
}

impl Drop for Parting<'_> {
    fn drop(&mut self) {
        let Self { core, tenure, .. } = self;
        if !self.settled {
            core.clean_up(Cleanup::of(core, tenure));
            core.lines.leave_to_cleaner(core, tenure);
        } else if let Some(line) = &tenure.line {
            core.lines.left(core, line, tenure.rid);
        }
    }
}
