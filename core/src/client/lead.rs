//! The lead of a line: it asks the store, and waits there, for all who stand behind it.

use std::sync::Arc;
use std::time::Duration;

use super::acquire::Ask;
use super::attempt::Attempt;
use super::line::Line;
use super::tenure::{Grant, Term};
use super::turn::{Holding, Turn};
use super::{Cleanup, Core, FAREWELL, Inner, RETRY, Tenure};
use crate::env::Moment;
use crate::error::{Busy, Error, Relock, TooHeavy};
use crate::planted::{Bug, planted};
use crate::protocol::{Entry, Now, Op, Reply};
use crate::store::{LeaseCall, StoreError, StoreErrorKind};

/// What a lead has begun at the store, and hands to the next one if it goes away.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) attempt: Option<Attempt>,
    /// The tenure before, which ends in the step that asks for the next: between the two, others come first.
    pub(crate) ending: Option<Arc<Tenure>>,
}

impl Work {
    /// Nothing but the end of a tenure.
    pub(crate) fn ending(tenure: Option<Arc<Tenure>>) -> Self {
        Self {
            attempt: None,
            ending: tenure,
        }
    }
}

/// Being the lead. Dropped, the next in the line is; if there is none, the cleaner ends what was begun.
#[derive(Debug)]
pub(crate) struct Lead {
    core: Arc<Core>,
    /// `None` beside the line.
    line: Option<Line>,
    work: Option<Work>,
    /// Its line began with it, and it has not asked yet.
    is_first: bool,
}

impl Lead {
    pub(crate) fn new(core: &Arc<Core>, line: Option<Line>, work: Work) -> Self {
        core.may_depart();
        Self {
            core: Arc::clone(core),
            line,
            work: Some(work),
            is_first: false,
        }
    }

    /// Of a line that begins with it.
    pub(crate) fn first(core: &Arc<Core>, line: Line) -> Self {
        let mut lead = Self::new(core, Some(line), Work::default());
        lead.is_first = true;
        lead
    }

    /// How many wait behind it, or did just now.
    fn behind(&mut self) -> usize {
        match &self.line {
            Some(line) if !std::mem::take(&mut self.is_first) => self.core.lines.waiting_in(line),
            _ => 0,
        }
    }

    /// Nobody heard that it was to lead.
    pub(crate) fn take_back(mut self) -> Work {
        self.work.take().unwrap_or_default()
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Asks, from `now` on, until it is granted or `deadline` has passed. Tells when it was granted, too.
    pub(crate) async fn stand(
        mut self,
        inner: &Inner,
        ask: &Ask,
        now: Moment,
        deadline: Moment,
    ) -> Result<(Holding, Moment), Error> {
        match self.ask(inner, ask, now).await {
            // All there is to it, for who is alone.
            Ok((
                Reply::Granted {
                    first,
                    end,
                    claimed,
                    contended,
                    ..
                },
                term,
                received,
            )) if !term.is_over(received) => {
                let block = (first, end);
                let holding = self.begin(ask, block, claimed, contended, &term, received);
                Ok((holding, received))
            }
            // Boxed, as all is that is rarely done: futures are moved, in whole.
            answer => Box::pin(self.stand_on(inner, ask, answer, deadline)).await,
        }
    }

    /// Goes on with what was answered.
    async fn stand_on(
        mut self,
        inner: &Inner,
        ask: &Ask,
        mut answer: Result<(Reply, Term, Moment), StoreError>,
        deadline: Moment,
    ) -> Result<(Holding, Moment), Error> {
        let core = Arc::clone(&self.core);
        let bucket = ask.name.bucket();
        loop {
            let (reply, now) = match answer {
                Ok((reply, term, received)) => (Ok((reply, term)), received),
                Err(error) => (Err(error), core.env.now()),
            };
            match reply {
                Ok((Reply::Granted { .. }, term)) if term.is_over(now) => {
                    // Answered too late to be of use.
                    Box::pin(self.end_attempt(inner, ask, deadline)).await?;
                }
                Ok((
                    Reply::Granted {
                        first,
                        end,
                        claimed,
                        contended,
                        ..
                    },
                    term,
                )) => {
                    let block = (first, end);
                    let holding = self.begin(ask, block, claimed, contended, &term, now);
                    return Ok((holding, now));
                }
                Ok((Reply::Queued { check_in_us, .. }, _)) => {
                    self.must_wait(ask)?;
                    let check = if planted(Bug::PushIsAwaited) {
                        deadline
                    } else {
                        now + Duration::from_micros(check_in_us)
                    };
                    let pushed = self.wait_for_push(check.min(deadline)).await;
                    if let Some((block, term)) = pushed {
                        let now = core.env.now();
                        let holding = self.begin(ask, block, false, false, &term, now);
                        return Ok((holding, now));
                    }
                    if core.env.now() >= deadline {
                        return Err(Box::pin(self.give_up(inner, ask)).await);
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
                    let busy = || Busy::new(ask.name.clone(), holder, held_us, remaining_us).into();
                    if ask.wait.is_none() || now >= deadline {
                        self.forget();
                        return Err(busy());
                    }
                    self.must_wait(ask)?;
                    match Box::pin(core.listen(&inner.store, bucket)).await {
                        Err(error) if error.kind() == StoreErrorKind::Unknown => {
                            core.env.sleep(core.env.jittered(RETRY)).await;
                        }
                        listening => listening.map_err(|e| Error::from_store(&ask.name, e))?,
                    }
                    if core.env.now() >= deadline {
                        self.forget();
                        return Err(busy());
                    }
                }
                Ok((Reply::TooHeavy { capacity }, _)) => {
                    // Ended there, if it stood in the queue.
                    self.forget();
                    return Err(TooHeavy::new(ask.name.clone(), ask.weight, capacity).into());
                }
                // Its time is over at the store, or it was ended: it cannot be granted any more.
                Ok(_) => Box::pin(self.end_attempt(inner, ask, deadline)).await?,
                Err(error) if error.kind() != StoreErrorKind::Unknown => {
                    return Err(Error::from_store(&ask.name, error));
                }
                Err(error) => {
                    let next = now + core.env.jittered(RETRY);
                    if next >= deadline {
                        return Err(Error::from_store(&ask.name, error));
                    }
                    if planted(Bug::RetryIsAnother) {
                        self.work().attempt = None;
                    }
                    // Unknown: the same request again, so that whatever the first one did stays the only thing done.
                    core.env.sleep_until(next).await;
                }
            }
            answer = self.ask(inner, ask, core.env.now()).await;
        }
    }

    /// It is not granted at once. Tenures of this client that are in the way hear of it without a push; but if this very
    /// task has one, it would wait for itself.
    fn must_wait(&self, ask: &Ask) -> Result<(), Relock> {
        let core = &self.core;
        if !ask.may_relock
            && let Some(held_at) = core.lines.held_by(&ask.name, ask.seat.task)
        {
            return Err(Relock::new(
                ask.name.clone(),
                held_at,
                ask.seat.overdue.caller,
            ));
        }
        core.lines.contend(&ask.name);
        Ok(())
    }

    /// Sends the request, at `now`, and with it the end of the tenure before.
    async fn ask(
        &mut self,
        inner: &Inner,
        ask: &Ask,
        now: Moment,
    ) -> Result<(Reply, Term, Moment), StoreError> {
        let core = &inner.core;
        // Pushes must be on before the first enqueue; a free resource costs no subscription.
        let enqueue = ask.wait.is_some() && core.is_listening(ask.name.bucket());
        let behind = self.behind();
        let Work { attempt, ending } = self.work.get_or_insert_default();
        let attempt = attempt.get_or_insert_with(|| Attempt::new(core, ask, now));
        let call = attempt.call(core, ask, enqueue, behind);
        let tenure = (ending.as_deref()).filter(|_| !planted(Bug::TurnEndsNothing));
        let within = core.request_timeout;
        let (has_ending, answer) = if let Some(tenure) = tenure {
            let calls = [core.release_call(tenure, now), call];
            // Boxed: who has nothing to end should not carry the room for two calls.
            let sent =
                Box::pin(async move { core.send_at(now, &inner.store, &calls, within).await });
            (true, sent.await?)
        } else {
            (
                false,
                core.send_at(now, &inner.store, &[call], within).await?,
            )
        };
        let stamp = (answer.sent, answer.now);
        let mut replies = answer.value.into_iter();
        let answered = attempt.answered(&mut replies, has_ending, stamp);
        // The tenure before has not ended, and would be in the way: both again.
        let again = || StoreError::unknown("release", "the store's clock moved on");
        let (reply, term) = answered.ok_or_else(again)?;
        *ending = None;
        Ok((reply, term, answer.received))
    }

    /// Waits for the grant's push, until it is time to ask again. Answers what the push says if it can be dated, and is
    /// not over.
    async fn wait_for_push(&mut self, until: Moment) -> Option<((u64, u64), Term)> {
        let core = Arc::clone(&self.core);
        let attempt = self.work().attempt.as_ref()?;
        let mailbox = attempt.mailbox.as_ref()?;
        let pushed = tokio::select! {
            biased;
            pushed = mailbox.pushed() => pushed?,
            () = core.env.sleep_until(until) => return None,
        };
        let handed = pushed.handed;
        let term = Term {
            sent: core.clock.date(&handed, pushed.receipt)?,
            store_us: handed.granted_us,
            remaining_us: handed.expires_us.saturating_sub(handed.granted_us),
        };
        (!term.is_over(core.env.now())).then_some(((handed.first, handed.end), term))
    }

    /// What it would ask, to be sent along with others: the end of the tenure before, and a request that does not wait.
    pub(super) fn calls(&mut self, ask: &Ask, calls: &mut Vec<LeaseCall>) {
        let core = Arc::clone(&self.core);
        let behind = self.behind();
        let work = self.work();
        if let Some(tenure) = &work.ending {
            calls.push(core.release_call(tenure, core.env.now()));
        }
        let attempt =
            (work.attempt).get_or_insert_with(|| Attempt::new(&core, ask, core.env.now()));
        calls.push(attempt.call(&core, ask, false, behind));
    }

    /// Takes in what was answered to its calls. `None` if that leaves open what came of them.
    pub(super) fn answered(
        &mut self,
        replies: &mut impl Iterator<Item = Reply>,
        stamp: (Moment, Now),
    ) -> Option<(Reply, Term)> {
        let work = self.work();
        let has_ending = work.ending.is_some();
        let answer = (work.attempt.as_mut()?).answered(replies, has_ending, stamp)?;
        work.ending = None;
        Some(answer)
    }

    /// It is granted: a tenure begins, and with it this task's turn.
    pub(super) fn begin(
        mut self,
        ask: &Ask,
        block: (u64, u64),
        claimed: bool,
        contended: bool,
        term: &Term,
        now: Moment,
    ) -> Holding {
        let core = Arc::clone(&self.core);
        let (first, end) = block;
        core.saw(end);
        // The tenure before ended in the step that asked for this one.
        let Work { attempt, .. } = self.work.take().unwrap_or_default();
        let attempt = attempt.expect("what was granted was asked for");
        let grant = Grant {
            name: ask.name.clone(),
            rid: attempt.rid,
            weight: ask.weight,
            end,
            ttl: ask.ttl,
            close_until_us: attempt.close_until_us(),
            asked_until: attempt.until(),
            members: core.members(),
            line: self.line.take(),
            pool: None,
        };
        let tenure = Tenure::new(core.env.clone(), grant, term, claimed);
        if contended {
            // Before others can join it.
            tenure.contend();
        }
        let turn = Turn::begin(&tenure, first, term.sent, ask.seat);
        core.note_fence(&ask.name, first);
        core.lines.begin(&core, &turn, now);
        core.keep_alive(&tenure, now);
        Holding::new(&core, turn)
    }

    /// The store holds nothing of this request: every copy was answered, the last one with "busy".
    pub(super) fn forget(&mut self) {
        let work = self.work();
        if work.attempt.as_ref().is_some_and(Attempt::is_answered) {
            work.attempt = None;
        }
    }

    /// Ends a request that is of no use any more, so that the next one does not find it in its way.
    ///
    /// Once the deadline has passed that is left to the cleaner. Nobody is known to have it, so that is not "busy".
    async fn end_attempt(
        &mut self,
        inner: &Inner,
        ask: &Ask,
        deadline: Moment,
    ) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        let mut error = StoreError::unknown("acquire", "the store answered too late to be of use");
        loop {
            let next = core.env.now() + core.env.jittered(RETRY);
            if next >= deadline {
                return Err(Error::from_store(&ask.name, error));
            }
            let Some(attempt) = &mut self.work().attempt else {
                return Ok(());
            };
            let within = core.request_timeout;
            let release = attempt.release_call(&core, ask, within);
            match core.send(&inner.store, &[release], within).await {
                Ok(answer) => {
                    let reply = answer.value.first();
                    if matches!(reply, Some(Reply::Released { .. })) {
                        self.work().attempt = None;
                        if core.env.now() >= deadline {
                            return Err(Error::from_store(&ask.name, error));
                        }
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == StoreErrorKind::Unknown => error = e,
                Err(e) => return Err(Error::from_store(&ask.name, e)),
            }
            core.env.sleep_until(next).await;
        }
    }

    /// Its wait is over: hands the lead on, or leaves the queue; and learns who was in the way, in one request.
    async fn give_up(mut self, inner: &Inner, ask: &Ask) -> Error {
        let core = Arc::clone(&self.core);
        let is_alone = (self.line.as_ref()).is_none_or(|line| core.lines.waiting_in(line) == 0);
        if !is_alone {
            drop(self);
            return out_of_time(&core, inner, ask).await;
        }
        let mut calls = Vec::with_capacity(2);
        if let Some(attempt) = &mut self.work().attempt {
            calls.push(attempt.release_call(&core, ask, FAREWELL));
        }
        calls.push(look(ask));
        let Ok(answer) = core.send(&inner.store, &calls, FAREWELL).await else {
            return Busy::new(ask.name.clone(), String::new(), 0, 0).into();
        };
        if matches!(answer.value.first(), Some(Reply::Released { .. })) {
            self.work().attempt = None;
        }
        in_the_way(ask, answer.value.last(), answer.now.lease_us)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let _departing = self.core.departs();
        let Some(mut work) = self.work.take() else {
            return;
        };
        if let Some(ended) = work.attempt.take_if(|attempt| attempt.is_ending()) {
            self.core.clean_up(ended.cleanup());
        }
        let left = match &self.line {
            Some(line) => self.core.lines.give_lead_up(&self.core, line, work),
            None => Some(work),
        };
        let Some(Work { attempt, ending }) = left else {
            return;
        };
        if let Some(attempt) = attempt.filter(Attempt::was_sent) {
            self.core.clean_up(attempt.cleanup());
        }
        if let Some(tenure) = ending {
            self.core.clean_up(Cleanup::of(&self.core, &tenure));
        }
    }
}

fn look(ask: &Ask) -> LeaseCall {
    LeaseCall {
        name: ask.name.clone(),
        op: Op::Inspect,
    }
}

/// Why a caller whose wait is over did not get it.
pub(super) async fn out_of_time(core: &Core, inner: &Inner, ask: &Ask) -> Error {
    match core.send(&inner.store, &[look(ask)], FAREWELL).await {
        Ok(answer) => in_the_way(ask, answer.value.first(), answer.now.lease_us),
        // It is not known that anybody has it.
        Err(error) => Error::from_store(&ask.name, error),
    }
}

fn in_the_way(ask: &Ask, reply: Option<&Reply>, now_us: u64) -> Error {
    let holder = match reply {
        Some(Reply::Inspected(Some(record))) => {
            let mut entries = record.entries.iter();
            entries.find(|e: &&Entry| e.holds() && e.expires_us > now_us)
        }
        _ => None,
    };
    let Some(holder) = holder else {
        return Busy::new(ask.name.clone(), String::new(), 0, 0).into();
    };
    let held_us = now_us.saturating_sub(holder.granted_us);
    let remaining_us = holder.expires_us.saturating_sub(now_us);
    Busy::new(
        ask.name.clone(),
        holder.label.clone(),
        held_us,
        remaining_us,
    )
    .into()
}
