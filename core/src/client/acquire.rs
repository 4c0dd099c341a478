//! Acquiring: the way through the local line to the store.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::Inner;
use super::lead::out_of_time;
use super::line::{Call, Entry, Line, Lines, Mode, Spot};
use super::turn::{Holding, Seat, TaskId};
use crate::env::Moment;
use crate::error::{Busy, Error, Relock};
use crate::metrics::{ClassKeys, Outcome};
use crate::name::ResourceName;
use crate::planted::{Bug, planted};
use crate::protocol::{Capacity, Weight};

/// Who waits without limit stands in the queue this long, and then again.
pub(super) const ROUND: Duration = Duration::from_secs(600);
/// How long he pauses when the store can't be reached.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What a caller wants to hold.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) name: ResourceName,
    /// How much of it.
    pub(crate) weight: Weight,
    /// How much there is, as this caller takes it. Who takes all of it says nothing of that: the unbounded one gives way
    /// to every other.
    pub(crate) capacity: Capacity,
    pub(crate) ttl: Duration,
    /// `None`: don't stand in the queue.
    pub(crate) wait: Option<Duration>,
    pub(crate) label: Arc<str>,
    /// Each turn goes through the store's queue.
    pub(crate) strict: bool,
    pub(crate) seat: Seat,
    /// Whether a task that has it already may wait for itself.
    pub(crate) may_relock: bool,
}

impl Ask {
    /// Its class's metrics.
    pub(crate) fn keys(&self) -> &ClassKeys {
        self.name.keys(Mode::of(self.weight))
    }

    /// Asked by the task that polls, whichever made the future.
    pub(crate) fn by_this_task(mut self) -> Self {
        self.seat.task = TaskId::current();
        self
    }

    pub(super) fn line(&self) -> Line {
        Line {
            bucket: self.name.bucket(),
            name: self.name.clone(),
            mode: Mode::of(self.weight),
            ttl: self.ttl,
            strict: self.strict,
        }
    }
}

/// Acquires.
///
/// # Cancel safety
/// Dropped at any await, nothing stays held and nothing queued: the next in the line leads, or the cleaner ends what was
/// sent.
pub(crate) async fn acquire(inner: &Arc<Inner>, ask: &Ask) -> Result<Holding, Error> {
    let core = &inner.core;
    let started = core.env.now();
    let span = tracing::debug_span!("acquire", class = ask.name.class(), name = %ask.name);
    // Pinned where it is made: it is large to move.
    let result = pin!(try_acquire(inner, ask, started));
    let result = if span.is_disabled() {
        result.await
    } else {
        result.instrument(span).await
    };
    let ended = match &result {
        Ok((_, granted)) => *granted,
        Err(_) => core.env.now(),
    };
    let outcome = Outcome::of(&result);
    ask.keys().acquired(outcome, ended.since(started));
    result.map(|(holding, _)| holding)
}

/// As [`acquire`], without limit of time. A store that can't be reached is asked again; every other error ends it.
pub(crate) async fn acquire_in_rounds(inner: &Arc<Inner>, ask: Ask) -> Result<Holding, Error> {
    let env = &inner.core.env;
    loop {
        let round = Ask {
            wait: Some(ROUND),
            ..ask.clone()
        };
        match acquire(inner, &round).await {
            Err(Error::Busy(_)) => {}
            Err(error @ Error::Unavailable { .. }) => {
                tracing::debug!(%error, name = %ask.name, "who waits for it waits for the store");
                env.sleep(env.jittered(PAUSE)).await;
            }
            result => return result,
        }
    }
}

/// As [`acquire_in_rounds`], until `stop` resolves.
pub(crate) async fn acquire_until(
    inner: &Arc<Inner>,
    ask: Ask,
    stop: impl Future<Output = ()>,
) -> Result<Holding, Error> {
    let name = ask.name.clone();
    tokio::select! {
        biased;
        () = stop => Err(Error::Cancelled { name }),
        granted = acquire_in_rounds(inner, ask) => granted,
    }
}

/// Tells when it was granted, too.
async fn try_acquire(
    inner: &Arc<Inner>,
    ask: &Ask,
    started: Moment,
) -> Result<(Holding, Moment), Error> {
    let core = &inner.core;
    core.check_ttl(ask.ttl, inner.store.leases.capabilities().min_ttl)?;
    if core.is_closing() {
        return Err(Error::ShutDown);
    }
    let deadline = started + ask.wait.unwrap_or(core.request_timeout);
    let (lead, now) = match Lines::enter(core, ask.line(), ask) {
        Entry::Lead(lead) => (lead, started),
        entry => match come_in(inner, ask, entry, deadline).await? {
            (Call::Serve(holding), now) => return Ok((joined(inner, holding), now)),
            (Call::Lead(lead), now) => (lead, now),
        },
    };
    let stopped = core.closing.cancelled();
    let granted = pin!(lead.stand(inner, ask, now, deadline));
    tokio::select! {
        biased;
        result = granted => result,
        () = stopped => Err(Error::ShutDown),
    }
}

/// Comes in where others of this client are. Tells when that came to something, too.
async fn come_in(
    inner: &Inner,
    ask: &Ask,
    mut entry: Entry,
    deadline: Moment,
) -> Result<(Call, Moment), Error> {
    let core = &inner.core;
    loop {
        let call = match entry {
            Entry::Lead(lead) => Some(Call::Lead(lead)),
            Entry::Join(holding) => Some(Call::Serve(holding)),
            Entry::Held {
                held_for,
                remaining,
            } => {
                return Err(Busy::local(ask.name.clone(), &core.label, held_for, remaining).into());
            }
            Entry::Relock(held_at) => {
                return Err(Relock::new(ask.name.clone(), held_at, ask.seat.overdue.caller).into());
            }
            Entry::Behind(spot) => wait_in_line(inner, ask, spot, deadline).await?,
        };
        let now = core.env.now();
        match call {
            Some(call @ Call::Lead(_)) => return Ok((call, now)),
            Some(Call::Serve(holding)) => {
                let outlasts = if holding.tenure.is_shared() {
                    planted(Bug::OverIsShared)
                } else {
                    planted(Bug::OverIsHandedOn)
                };
                if holding.check_at(now).is_ok() || outlasts {
                    return Ok((Call::Serve(holding), now));
                }
                // Taken up too late, it is of no use; or its last one outstayed its time just now.
            }
            None => {}
        }
        if core.is_closing() {
            return Err(Error::ShutDown);
        }
        entry = Lines::enter(core, ask.line(), ask);
    }
}

/// From now on it matters when somebody waits elsewhere: a share that others join must hear of it, or they would go on
/// joining until a renewal tells.
fn joined(inner: &Arc<Inner>, holding: Holding) -> Holding {
    let (core, tenure) = (&inner.core, &holding.tenure);
    let bucket = tenure.name.bucket();
    if tenure.is_shared() && !core.is_listening(bucket) && tenure.hears_first() {
        let (inner, rid) = (Arc::clone(inner), tenure.rid);
        core.env.spawn(async move {
            let core = &inner.core;
            if core.listen(&inner.store, bucket).await.is_ok() {
                // Who came before that is told of by a renewal.
                core.renewals.look_at(rid, core.env.now());
            }
        });
    }
    holding
}

async fn wait_in_line(
    inner: &Inner,
    ask: &Ask,
    mut spot: Spot,
    deadline: Moment,
) -> Result<Option<Call>, Error> {
    let core = &inner.core;
    tokio::select! {
        biased;
        call = spot.called() => return Ok(call),
        () = core.closing.cancelled() => return Err(Error::ShutDown),
        () = core.env.sleep_until(deadline) => {}
    }
    if let Some(Call::Serve(holding)) = spot.called_by_now() {
        return Ok(Some(Call::Serve(holding)));
    }
    drop(spot);
    Err(Box::pin(out_of_time(core, inner, ask)).await)
}
