//! Acquire and release, with their three outcomes: yes, no, unknown.

use std::sync::Arc;
use std::time::Duration;

use super::clock::micros;
use super::held::{Grant, Held, Term};
use super::inbox::Mailbox;
use super::{Cleanup, Core, Inner, Overdue, membership};
use crate::env::Moment;
use crate::error::{Busy, Error, LostCause};
use crate::fence::Fence;
use crate::metrics;
use crate::name::ResourceName;
use crate::protocol::{
    Acquire, CLOSED_SLACK_US, Capacity, Entry, Op, Release, Reply, Rid, Was, Weight,
};
use crate::store::{LeaseCall, StoreError, StoreErrorKind};

/// How long between two attempts when the store does not answer.
const RETRY: Duration = Duration::from_millis(50);
/// How long a caller whose wait is over may be kept to learn who has it.
const FAREWELL: Duration = Duration::from_millis(250);

/// What a caller wants to hold.
pub(crate) struct Ask {
    pub(crate) name: ResourceName,
    pub(crate) ttl: Duration,
    /// `None`: don't stand in the queue.
    pub(crate) wait: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) label: String,
    pub(crate) overdue: Overdue,
}

/// One acquire's request: dropped before it is settled, it leaves what it may have left to the cleaner.
struct Attempt<'a> {
    core: &'a Core,
    ask: &'a Ask,
    rid: Rid,
    mailbox: Mailbox,
    not_after_us: u64,
    sent: u32,
    answered: u32,
    settled: bool,
}

/// Acquires.
///
/// # Cancel safety
/// Dropped at any await, nothing stays held and nothing queued: the cleaner ends what was sent.
pub(crate) async fn acquire(inner: &Arc<Inner>, ask: Ask) -> Result<Arc<Held>, Error> {
    let core = &inner.core;
    let started = core.env.now();
    let result = try_acquire(inner, &ask, started).await;
    let outcome = match &result {
        Ok(_) => "acquired",
        Err(Error::Busy(_)) => "busy",
        Err(Error::Unavailable { .. }) => "unavailable",
        Err(_) => "refused",
    };
    metrics::acquired(ask.name.class(), outcome, core.env.now().since(started));
    result
}

async fn try_acquire(inner: &Arc<Inner>, ask: &Ask, started: Moment) -> Result<Arc<Held>, Error> {
    let core = &*inner.core;
    if core.stop.is_cancelled() {
        return Err(Error::ShutDown);
    }
    core.check_ttl(ask.ttl, inner.store.leases.capabilities().min_ttl)?;
    let mut attempt = Attempt::new(core, ask);
    let deadline = started + ask.wait.unwrap_or(core.request_timeout);
    loop {
        // Pushes must be on before the first enqueue; a free resource costs no subscription.
        let bucket = ask.name.bucket();
        let enqueue = ask.wait.is_some() && core.is_listening(bucket);
        let reply = attempt.send(inner, enqueue).await;
        let now = core.env.now();
        match reply {
            Ok((Reply::Granted { .. }, term)) if term.is_over(core, ask.ttl) => {
                // Answered too late to be of use.
                attempt.end(inner, deadline).await?;
                attempt = Attempt::new(core, ask);
            }
            Ok((
                Reply::Granted {
                    first,
                    end,
                    claimed,
                    ..
                },
                term,
            )) => {
                core.saw(end);
                return Ok(attempt.settle(inner, Fence::new(first), claimed, &term));
            }
            Ok((Reply::Queued { check_in_us, .. }, _)) => {
                let check = now + Duration::from_micros(check_in_us);
                wait_for_push(core, &attempt.mailbox, check.min(deadline)).await;
                if core.env.now() >= deadline {
                    return Err(attempt.give_up(inner).await);
                }
            }
            Ok((
                Reply::Busy {
                    holder,
                    held_us,
                    remaining_us,
                },
                _,
            )) => {
                if ask.wait.is_none() || now >= deadline {
                    attempt.forget();
                    return Err(Busy::new(ask.name.clone(), holder, held_us, remaining_us).into());
                }
                match core.listen(&inner.store, bucket).await {
                    Err(error) if error.kind() == StoreErrorKind::Unknown => {
                        core.env.sleep(core.env.jittered(RETRY)).await;
                    }
                    listening => listening.map_err(|e| Error::from_store(&ask.name, e))?,
                }
                if core.env.now() >= deadline {
                    attempt.forget();
                    return Err(Busy::new(ask.name.clone(), holder, held_us, remaining_us).into());
                }
            }
            // Its time is over at the store, or it was ended: it cannot be granted any more.
            Ok(_) => {
                attempt.end(inner, deadline).await?;
                attempt = Attempt::new(core, ask);
            }
            Err(error) if error.kind() != StoreErrorKind::Unknown => {
                return Err(Error::from_store(&ask.name, error));
            }
            Err(error) => {
                let next = now + core.env.jittered(RETRY);
                if next >= deadline {
                    return Err(Error::from_store(&ask.name, error));
                }
                // Unknown: the same request again, so that whatever the first one did stays the only thing done.
                core.env.sleep_until(next).await;
            }
        }
    }
}

async fn wait_for_push(core: &Core, mailbox: &Mailbox, until: Moment) {
    tokio::select! {
        biased;
        () = mailbox.pushed() => {}
        () = core.env.sleep_until(until) => {}
    }
}

impl Term {
    /// Whether nothing beyond the margin is left of it.
    fn is_over(&self, core: &Core, ttl: Duration) -> bool {
        let deadline = self.sent + Duration::from_micros(self.remaining_us);
        core.env.now() >= deadline.minus(super::drift_margin(ttl))
    }
}

impl<'a> Attempt<'a> {
    fn new(core: &'a Core, ask: &'a Ask) -> Self {
        let patience = core.patience(ask);
        let rid = core.next_rid();
        Self {
            core,
            ask,
            rid,
            mailbox: core.inbox.register(rid),
            not_after_us: core.not_after_us(patience),
            sent: 0,
            answered: 0,
            settled: false,
        }
    }

    async fn send(&mut self, inner: &Inner, wait: bool) -> Result<(Reply, Term), StoreError> {
        let op = Op::Acquire(Acquire {
            rid: self.rid,
            not_after_us: self.not_after_us,
            weight: Weight::All,
            capacity: Capacity::ONE,
            ttl_us: micros(self.ask.ttl),
            wait,
            want: 1,
            seen: self.core.seen(),
            label: self.ask.label.clone(),
        });
        let call = LeaseCall {
            name: self.ask.name.clone(),
            op,
        };
        self.sent += 1;
        let within = self.core.request_timeout;
        let answer = self.core.send(&inner.store, &[call], within).await?;
        self.answered += 1;
        let store_us = answer.replies.now.lease_us;
        // One call, one reply: the contract.
        let reply = answer.replies.value.into_iter().next();
        let reply = reply.unwrap_or(Reply::Stale);
        let remaining_us = match &reply {
            Reply::Granted { remaining_us, .. } => *remaining_us,
            _ => 0,
        };
        Ok((
            reply,
            Term {
                sent: answer.sent,
                store_us,
                remaining_us,
            },
        ))
    }

    /// Until when a late copy of this acquire must be refused; 0 if none can be under way, since each was answered.
    fn close_until_us(&self) -> u64 {
        if self.sent == self.answered {
            0
        } else {
            self.not_after_us + CLOSED_SLACK_US
        }
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup {
            name: self.ask.name.clone(),
            rid: self.rid,
            used: 0,
            close_until_us: self.close_until_us(),
            give_up: self.core.env.now() + self.core.patience(self.ask) + self.ask.ttl,
        }
    }

    fn settle(mut self, inner: &Inner, fence: Fence, claimed: bool, term: &Term) -> Arc<Held> {
        self.settled = true;
        let hold_until = match self.ask.max_hold {
            Some(hold) => term.sent + hold,
            None => Moment::NEVER,
        };
        let grant = Grant {
            name: self.ask.name.clone(),
            rid: self.rid,
            fence,
            ttl: self.ask.ttl,
            close_until_us: self.close_until_us(),
            hold_until,
            incarnation: self.core.incarnation(),
            unclaimed: !claimed,
            since: term.sent,
            overdue: self.ask.overdue,
        };
        let held = Held::new(self.core.env.clone(), grant, term);
        // The renewer is gone only after a shutdown; then the lease simply ends with its TTL, loudly.
        drop(inner.core.renewals.send(Arc::clone(&held)));
        held
    }

    /// The store holds nothing of this request: every copy was answered, the last one with "busy".
    fn forget(&mut self) {
        self.settled = self.sent == self.answered;
    }

    /// Ends a request that is of no use any more, so that the next one does not find it in its way.
    ///
    /// Once the deadline has passed that is left to the cleaner. Nobody is known to have it, so that is not "busy".
    async fn end(&mut self, inner: &Inner, deadline: Moment) -> Result<(), Error> {
        let mut error = StoreError::unknown("acquire", "the store answered too late to be of use");
        loop {
            let next = self.core.env.now() + self.core.env.jittered(RETRY);
            if next >= deadline {
                return Err(Error::from_store(&self.ask.name, error));
            }
            let within = self.core.request_timeout;
            let release = self.release(within);
            match self.core.send(&inner.store, &[release], within).await {
                Ok(answer) => {
                    let reply = answer.replies.value.first();
                    self.settled = matches!(reply, Some(Reply::Released { .. }));
                }
                Err(e) if e.kind() == StoreErrorKind::Unknown => error = e,
                Err(e) => return Err(Error::from_store(&self.ask.name, e)),
            }
            if self.settled {
                return Ok(());
            }
            self.core.env.sleep_until(next).await;
        }
    }

    fn release(&self, patience: Duration) -> LeaseCall {
        LeaseCall {
            name: self.ask.name.clone(),
            op: Op::Release(Release {
                rid: self.rid,
                not_after_us: self.core.not_after_us(patience),
                used: 0,
                close_until_us: self.close_until_us(),
            }),
        }
    }

    fn out_of_time(&self) -> Error {
        Busy::new(self.ask.name.clone(), String::new(), 0, 0).into()
    }

    /// Leaves the queue and learns who was in the way, in one request.
    async fn give_up(mut self, inner: &Inner) -> Error {
        let look = LeaseCall {
            name: self.ask.name.clone(),
            op: Op::Inspect,
        };
        let calls = [self.release(FAREWELL), look];
        match self.core.send(&inner.store, &calls, FAREWELL).await {
            Ok(answer) => {
                let mut replies = answer.replies.value.into_iter();
                if matches!(replies.next(), Some(Reply::Released { .. })) {
                    self.settled = true;
                }
                let now = answer.replies.now.lease_us;
                let Some(Reply::Inspected(Some(record))) = replies.next() else {
                    return self.out_of_time();
                };
                let Some(holder) = record.entries.into_iter().find(Entry::holds) else {
                    return self.out_of_time();
                };
                let held_us = now.saturating_sub(holder.granted_us);
                let remaining_us = holder.expires_us.saturating_sub(now);
                Busy::new(self.ask.name.clone(), holder.label, held_us, remaining_us).into()
            }
            Err(_) => self.out_of_time(),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.settled && self.sent > 0 {
            drop(self.core.cleanups.send(self.cleanup()));
        }
    }
}

/// Ends a hold, and tells whether it was still held.
///
/// Unknown answers are sent again within the request timeout; after that the cleaner goes on.
pub(crate) async fn release(inner: &Inner, held: &Held) -> Result<(), Error> {
    let core = &*inner.core;
    let lost = held.check();
    held.end();
    let mut cleanup = Unreleased {
        core,
        held,
        settled: false,
    };
    let deadline = core.env.now() + core.request_timeout;
    let mut first = true;
    loop {
        let call = LeaseCall {
            name: held.name.clone(),
            op: Op::Release(Release {
                rid: held.rid,
                not_after_us: core.not_after_us(core.request_timeout),
                used: held.fence.get(),
                close_until_us: held.close_until_us,
            }),
        };
        let left = deadline.since(core.env.now());
        let error = match core.send(&inner.store, &[call], left).await {
            Ok(answer) => match answer.replies.value.first() {
                Some(Reply::Released { was: Was::Held }) => {
                    cleanup.settled = true;
                    return Ok(lost?);
                }
                Some(Reply::Released { .. }) => {
                    cleanup.settled = true;
                    lost?;
                    // While its time was not over, only this release ends it, or someone who deletes it. After that
                    // it may have lasted to the end; who asks has held it until the call, so that is no loss.
                    let in_time = answer.replies.now.lease_us < held.expires_us();
                    if in_time && !first {
                        // What is known of the store's incarnation may be a heartbeat old.
                        let beat = membership::beat(core, &inner.store);
                        let beat = core.env.timeout_at(deadline, beat).await;
                        let beat = beat.unwrap_or_else(|_| {
                            Err(StoreError::unknown("release", "no answer in time"))
                        });
                        beat.map_err(|error| Error::from_store(&held.name, error))?;
                    }
                    let lasted = in_time && held.incarnation == core.incarnation();
                    return match (lasted, first) {
                        (true, false) => Ok(()),
                        (true, true) => Err(held.lost_error(LostCause::Deleted).into()),
                        (false, _) => {
                            let gone =
                                "the lease was gone when it arrived: whether it lasted is unknown";
                            let error = StoreError::unknown("release", gone);
                            Err(Error::from_store(&held.name, error))
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
            return Err(Error::from_store(&held.name, error));
        }
        core.env.sleep_until(next).await;
    }
}

/// Hands a release that was not acknowledged to the cleaner, also when its future is dropped.
struct Unreleased<'a> {
    core: &'a Core,
    held: &'a Held,
    settled: bool,
}

impl Drop for Unreleased<'_> {
    fn drop(&mut self) {
        if !self.settled {
            drop(self.core.cleanups.send(Cleanup::of(self.core, self.held)));
        }
    }
}
