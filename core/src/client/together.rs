//! Acquiring several: in one order for everybody, so that whoever waits for one holds only smaller ones, and no circle of
//! waiters can be; and in one request where they live together.

use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Ask, ROUND, acquire, acquire_in_rounds};
use super::lead::Lead;
use super::line::{Entry, Lines};
use super::turn::Holding;
use super::{Inner, RETRY, several};
use crate::env::Moment;
use crate::error::{Busy, Error};
use crate::metrics::Outcome;
use crate::planted::{Bug, planted};
use crate::protocol::Reply;
use crate::store::{StoreError, StoreErrorKind};

/// Each may bring the end of a tenure along, and a request carries 128 calls.
const MOST: usize = 64;

/// How long to wait for all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    Until(Moment),
    /// For ever: also a store that can't be reached is asked again.
    Endless,
}

impl Patience {
    /// When nothing more is begun. Also who does not wait gives the store the time of a request.
    fn deadline(self, started: Moment, request: Duration) -> Moment {
        let least = started + request;
        match self {
            Patience::None => least,
            Patience::Until(deadline) => deadline.max(least),
            Patience::Endless => Moment::NEVER,
        }
    }

    /// The ask, with the wait that is left.
    fn of(self, inner: &Inner, ask: &Ask) -> Ask {
        let wait = match self {
            Patience::None => None,
            Patience::Until(deadline) => Some(deadline.since(inner.core.env.now())),
            Patience::Endless => Some(ROUND),
        };
        Ask {
            wait,
            ..ask.clone()
        }
    }
}

/// What of the rest was acquired in a step, and where the next one stands already.
#[derive(Default)]
struct Step {
    held: Vec<Holding>,
    next: Option<Lead>,
}

/// Acquires all of them, in the order they are given in, or none.
///
/// # Cancel safety
/// Dropped at any await, nothing stays held and nothing queued.
pub(crate) async fn acquire_all(
    inner: &Arc<Inner>,
    asks: &[Ask],
    patience: Patience,
) -> Result<Vec<Holding>, Error> {
    let core = &inner.core;
    for ask in asks {
        core.check_ttl(ask.ttl, inner.store.leases.capabilities().min_ttl)?;
    }
    let deadline = patience.deadline(core.env.now(), core.request_timeout);
    let mut held = Vec::with_capacity(asks.len());
    let mut next = None;
    while held.len() < asks.len() {
        let rest = &asks[held.len()..];
        if core.env.now() >= deadline {
            let late = "the wait was over before the store had answered for all of them";
            let error = StoreError::unknown("acquire", late);
            return Err(Error::from_store(&rest[0].name, error));
        }
        let step = tokio::select! {
            biased;
            lost = first_lost(&held) => Err(lost),
            () = core.closing.cancelled() => Err(Error::ShutDown),
            step = Box::pin(step(inner, rest, next.take(), patience, deadline)) => step,
        };
        match step {
            Ok(step) => {
                held.extend(step.held);
                next = step.next;
            }
            Err(error) => {
                if planted(Bug::FailedKeepsSome) {
                    held.into_iter().for_each(std::mem::forget);
                }
                return Err(error);
            }
        }
    }
    Ok(held)
}

/// Why the first of them is lost, once one is.
async fn first_lost(held: &[Holding]) -> Error {
    let lost = |holding: &Holding| {
        let turn = Arc::clone(holding);
        async move {
            let cause = turn.lost().await;
            turn.lost_error(cause).into()
        }
    };
    several::first(held.iter().map(lost)).await
}

/// Acquires the first of `rest`, or finds it refused and stands for it; and those after it that live in its bucket, if nobody
/// is in the way.
async fn step(
    inner: &Arc<Inner>,
    rest: &[Ask],
    next: Option<Lead>,
    patience: Patience,
    deadline: Moment,
) -> Result<Step, Error> {
    let core = &inner.core;
    if let Some(lead) = next {
        return alone(inner, Some(lead), &rest[0], patience).await;
    }
    let bucket = rest[0].name.bucket();
    let together = rest.iter().take_while(|ask| ask.name.bucket() == bucket);
    let asks: Vec<_> = (together.take(MOST))
        .map(|ask| patience.of(inner, ask))
        .collect();
    let mut leads = Vec::new();
    if asks.len() > 1 {
        for ask in &asks {
            match Lines::enter(core, ask.line(), ask) {
                Entry::Lead(lead) => leads.push(lead),
                // Others of this client stand there: with those before it first.
                _ => break,
            }
        }
    }
    if leads.len() < 2 {
        // Its place in the line was empty, and still is.
        drop(leads);
        return alone(inner, None, &rest[0], patience).await;
    }
    in_one_request(inner, &asks, leads, patience, deadline).await
}

/// One of them, as any other is acquired.
async fn alone(
    inner: &Arc<Inner>,
    lead: Option<Lead>,
    ask: &Ask,
    patience: Patience,
) -> Result<Step, Error> {
    let env = &inner.core.env;
    let started = env.now();
    let ask = patience.of(inner, ask);
    let granted = match (lead, patience) {
        (Some(lead), _) => {
            let round = ask.wait.unwrap_or(inner.core.request_timeout);
            let stood = lead.stand(inner, &ask, started, started + round).await;
            let stood = stood.map(|(holding, _)| holding);
            let outcome = Outcome::of(&stood);
            ask.keys().acquired(outcome, env.now().since(started));
            match (stood, patience) {
                (Err(Error::Busy(_) | Error::Unavailable { .. }), Patience::Endless) => {
                    acquire_in_rounds(inner, ask).await
                }
                (stood, _) => stood,
            }
        }
        (None, Patience::Endless) => acquire_in_rounds(inner, ask).await,
        (None, _) => acquire(inner, &ask).await,
    };
    Ok(Step {
        held: vec![granted?],
        next: None,
    })
}

/// Asks for several of one bucket. Those before the first one that is refused are held; what was granted beyond it goes back
/// at once: to wait for one, and hold a greater one, is how circles begin.
async fn in_one_request(
    inner: &Arc<Inner>,
    asks: &[Ask],
    mut leads: Vec<Lead>,
    patience: Patience,
    deadline: Moment,
) -> Result<Step, Error> {
    let core = &inner.core;
    let started = core.env.now();
    let answer = loop {
        let mut calls = Vec::with_capacity(leads.len());
        for (lead, ask) in leads.iter_mut().zip(asks) {
            lead.calls(ask, &mut calls);
        }
        let error = match core.send(&inner.store, &calls, core.request_timeout).await {
            Ok(answer) => break answer,
            Err(error) => error,
        };
        let next = core.env.now() + core.env.jittered(RETRY);
        if next >= deadline || error.kind() != StoreErrorKind::Unknown {
            return Err(Error::from_store(&asks[0].name, error));
        }
        // Unknown: the same again, so that whatever the first one did stays the only thing done.
        core.env.sleep_until(next).await;
    };
    let (stamp, now) = ((answer.sent, answer.now), answer.received);
    let took = now.since(started);
    let mut replies = answer.value.into_iter();
    let mut step = Step::default();
    let (mut beyond, mut refused) = (Vec::new(), None);
    for (mut lead, ask) in leads.into_iter().zip(asks) {
        match lead.answered(&mut replies, stamp) {
            Some((
                Reply::Granted {
                    first,
                    end,
                    claimed,
                    contended,
                    ..
                },
                term,
            )) if !term.is_over(now) => {
                let holding = lead.begin(ask, (first, end), claimed, contended, &term, now);
                if refused.is_none() {
                    ask.keys().acquired(Outcome::Acquired, took);
                    step.held.push(holding);
                } else {
                    beyond.push(holding);
                }
            }
            answered => {
                let busy = match answered {
                    Some((
                        Reply::Busy {
                            holder,
                            held_us,
                            remaining_us,
                        },
                        _,
                    )) => Some(Busy::new(ask.name.clone(), holder, held_us, remaining_us)),
                    _ => None,
                };
                if refused.is_none() {
                    refused = Some((lead, busy));
                } else if busy.is_some() {
                    // Dropped, it leaves the line, and has nothing to end at the store.
                    lead.forget();
                }
            }
        }
    }
    let Some((mut lead, busy)) = refused else {
        return Ok(step);
    };
    // Without a word to anybody: the cleaner sees to it, while the refused one is waited for.
    drop(beyond);
    let waits = match patience {
        Patience::None => false,
        Patience::Until(deadline) => now < deadline,
        Patience::Endless => true,
    };
    match busy {
        Some(busy) if !waits => {
            lead.forget();
            Err(busy.into())
        }
        _ => {
            step.next = Some(lead);
            Ok(step)
        }
    }
}
