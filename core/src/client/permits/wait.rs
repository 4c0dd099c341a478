//! Acquiring permits.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::pool::{Call, Entry, Spot, weight};
use super::{Pools, size};
use crate::client::Inner;
use crate::client::acquire::{Ask, PAUSE, ROUND};
use crate::client::lead::out_of_time;
use crate::client::line::Mode;
use crate::client::turn::{Holding, Seat};
use crate::env::Moment;
use crate::error::{Error, TooHeavy};
use crate::metrics::Outcome;
use crate::name::ResourceName;
use crate::protocol::Capacity;

/// What a caller wants.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) name: ResourceName,
    /// So many permits, at least one.
    pub(crate) units: u32,
    /// How many there are, as the program says.
    pub(crate) capacity: Capacity,
    pub(crate) ttl: Duration,
    /// `None`: not at all.
    pub(crate) wait: Option<Duration>,
    pub(crate) label: Arc<str>,
    pub(crate) seat: Seat,
}

/// Acquires.
///
/// # Cancel safety
/// Dropped at any await, nothing stays held and nothing queued: the background ends what was sent.
pub(crate) async fn acquire(inner: &Arc<Inner>, want: &Want) -> Result<Holding, Error> {
    let core = &inner.core;
    let started = core.env.now();
    let name = &want.name;
    let span = tracing::debug_span!("acquire", class = name.class(), name = %name);
    let acquiring = Box::pin(try_acquire(inner, want, started));
    let result = if span.is_disabled() {
        acquiring.await
    } else {
        acquiring.instrument(span).await
    };
    let took = core.env.now().since(started);
    name.keys(Mode::Permits)
        .acquired(Outcome::of(&result), took);
    result
}

/// As [`acquire`], without limit of time, until `stop` resolves. A store that can't be reached is asked again.
pub(crate) async fn acquire_until(
    inner: &Arc<Inner>,
    want: Want,
    stop: impl Future<Output = ()>,
) -> Result<Holding, Error> {
    let name = want.name.clone();
    let env = &inner.core.env;
    let round = Want {
        wait: Some(ROUND),
        ..want
    };
    let acquiring = async {
        loop {
            match acquire(inner, &round).await {
                Err(Error::Busy(_)) => {}
                Err(error @ Error::Unavailable { .. }) => {
                    tracing::debug!(%error, name = %round.name, "who waits for it waits for the store");
                    env.sleep(env.jittered(PAUSE)).await;
                }
                result => return result,
            }
        }
    };
    tokio::select! {
        biased;
        () = stop => Err(Error::Cancelled { name }),
        granted = acquiring => granted,
    }
}

async fn try_acquire(inner: &Arc<Inner>, want: &Want, started: Moment) -> Result<Holding, Error> {
    let core = &inner.core;
    core.check_ttl(want.ttl, inner.store.leases.capabilities().min_ttl)?;
    if core.is_closing() {
        return Err(Error::ShutDown);
    }
    // Who cannot wait asks once.
    let wait = want.wait.filter(|wait| !wait.is_zero());
    let deadline = started + wait.unwrap_or(core.request_timeout);
    let known = tokio::select! {
        biased;
        known = size::known(inner, &want.name, want.capacity, deadline) => known?,
        () = core.closing.cancelled() => return Err(Error::ShutDown),
    };
    let want = Want {
        capacity: known,
        wait,
        ..want.clone()
    };
    if want.units > known.size {
        return Err(TooHeavy::new(want.name, weight(want.units), known.size).into());
    }
    loop {
        let holding = match Pools::enter(core, &want, deadline) {
            Entry::Served(holding) => return Ok(holding),
            Entry::Full => return Err(out_of_time(core, inner, &ask(&want)).await),
            Entry::TooHeavy(error) => return Err(error.into()),
            Entry::Waiting(spot) => stand(inner, &want, spot, deadline).await?,
        };
        if holding.check().is_ok() || core.env.now() >= deadline {
            return Ok(holding);
        }
        // Taken up too late, it is of no use.
    }
}

async fn stand(
    inner: &Arc<Inner>,
    want: &Want,
    mut spot: Spot,
    deadline: Moment,
) -> Result<Holding, Error> {
    let core = &inner.core;
    let pool = Arc::clone(&spot.pool);
    // What is to be asked for it is asked by this task, if nobody else does just now.
    let asking = async {
        match pool.take_off(core) {
            Some(flight) => pool.fly(core, &inner.store, flight).await,
            None => pool.proceed(core),
        }
        std::future::pending::<()>().await;
    };
    let call = tokio::select! {
        biased;
        call = spot.called() => call,
        () = core.closing.cancelled() => return Err(Error::ShutDown),
        () = core.env.sleep_until(deadline) => spot.called_by_now().or(Some(Call::Full)),
        () = asking => None,
    };
    match call {
        Some(Call::Served(holding)) => Ok(holding),
        Some(Call::Refused(error)) => Err(error),
        Some(Call::Full) => {
            drop(spot);
            Err(Box::pin(out_of_time(core, inner, &ask(want))).await)
        }
        None => Err(Error::ShutDown),
    }
}

/// What the store would be asked, were it asked for this one alone.
fn ask(want: &Want) -> Ask {
    Ask {
        name: want.name.clone(),
        weight: weight(want.units),
        capacity: want.capacity,
        ttl: want.ttl,
        wait: want.wait,
        label: want.label.clone(),
        strict: false,
        seat: want.seat,
        may_relock: true,
    }
}
