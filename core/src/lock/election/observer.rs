//! Watching who leads.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::watch;

use super::Leader;
use crate::client::{Inner, Own, Terms, inspect};
use crate::env::Moment;
use crate::fence::Fence;
use crate::name::ResourceName;

/// After a change more may follow: it looks again this soon, and then ever less often.
const SOON: Duration = Duration::from_millis(50);
/// How long it pauses when the store can't be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// Who campaigns asks when the leader's lease is over; who observes, a little later.
const AFTER_THE_END: Duration = Duration::from_millis(100);

/// Who leads, as an [`Observer`] says it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observation {
    /// This one does.
    Led(Leader),
    /// Nobody does.
    Vacant,
    /// The store can't say: whoever led may lead still, or another one does.
    Unknown {
        /// What the request met.
        why: String,
    },
}

impl Observation {
    /// Who is known to lead.
    pub fn leader(&self) -> Option<&Leader> {
        match self {
            Observation::Led(leader) => Some(leader),
            _ => None,
        }
    }

    fn is_as(&self, other: &Observation) -> bool {
        match (self, other) {
            (Observation::Led(one), Observation::Led(other)) => one.term == other.term,
            (Observation::Vacant, Observation::Vacant)
            | (Observation::Unknown { .. }, Observation::Unknown { .. }) => true,
            _ => false,
        }
    }
}

/// Says who leads, and each change of it: made by [`Election::observe`](super::Election::observe).
///
/// It is a `Stream`, and [`next`](Self::next) reads it without one. The first observation is how things stand; each one
/// after that differs from the one before. Terms never go backwards: a store that forgot the latest one, and names a leader
/// of an earlier, is [`Unknown`](Observation::Unknown). It ends when its coordinator is shut down.
///
/// # When a change is seen, and what that costs
/// What this client itself leads is seen at once, and while it leads the store is not asked. Else the store is looked at,
/// with jitter, each third of the election's TTL (5 s by default; see [`every`](Self::every)), when the leader's lease ends
/// without having been renewed, and for some seconds after a change at shorter intervals, since another often follows. So a
/// resignation is seen after 5 s at the latest, and a leader that died when its successor can lead. A look is one read of
/// one record: a thousand observers cost the store 200 reads a second. Nobody looks while nobody polls.
#[must_use = "an observer does nothing unless it is asked for the next observation"]
pub struct Observer {
    at_rest: Option<Box<Watch>>,
    /// Kept when a caller goes away: nothing that was seen is skipped.
    under_way: Option<UnderWay>,
}

type UnderWay = Pin<Box<dyn Future<Output = (Box<Watch>, Option<Observation>)> + Send>>;

impl Observer {
    pub(super) fn new(inner: Arc<Inner>, name: ResourceName, every: Duration) -> Self {
        let watch = Watch {
            own: inner.core.leading.watch(),
            inner,
            name,
            every: every.max(SOON),
            pace: SOON,
            due: Moment::default(),
            said: None,
            latest: None,
        };
        Self {
            at_rest: Some(Box::new(watch)),
            under_way: None,
        }
    }

    /// How often to look at the store (default: a third of the election's TTL; 50 ms at least).
    pub fn every(mut self, every: Duration) -> Self {
        if let Some(watch) = &mut self.at_rest {
            watch.every = every.max(SOON);
        }
        self
    }

    /// The next observation; `None` once the coordinator is shut down.
    ///
    /// # Cancel safety
    /// Cancel safe: the next call goes on where this one was left.
    pub async fn next(&mut self) -> Option<Observation> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Observer {
    type Item = Observation;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Observation>> {
        if let Some(mut watch) = self.at_rest.take() {
            self.under_way = Some(Box::pin(async move {
                let next = watch.next().await;
                (watch, next)
            }));
        }
        let Some(under_way) = &mut self.under_way else {
            return Poll::Ready(None);
        };
        let (watch, next) = ready!(under_way.as_mut().poll(context));
        self.under_way = None;
        self.at_rest = Some(watch);
        Poll::Ready(next)
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = (self.at_rest.as_ref()).and_then(|watch| watch.said.as_ref());
        f.debug_struct("Observer")
            .field("said", &said)
            .finish_non_exhaustive()
    }
}

struct Watch {
    inner: Arc<Inner>,
    name: ResourceName,
    every: Duration,
    /// What this client leads.
    own: watch::Receiver<Terms>,
    /// How long until the next look, if nothing happens.
    pace: Duration,
    due: Moment,
    said: Option<Observation>,
    /// The latest term that was seen.
    latest: Option<Fence>,
}

impl Watch {
    async fn next(&mut self) -> Option<Observation> {
        let core = Arc::clone(&self.inner.core);
        loop {
            if core.is_closing() {
                return None;
            }
            let own = self.own.borrow_and_update().get(&self.name).cloned();
            let own = own.filter(|own| own.turn.check().is_ok());
            let news = match &own {
                Some(own) => self.take_in(Observation::Led(own.leader())),
                None if core.env.now() < self.due => None,
                None => tokio::select! {
                    biased;
                    () = core.closing.cancelled() => return None,
                    news = self.look() => news,
                },
            };
            if news.is_some() {
                return news;
            }
            let leads = own.is_some();
            let lost = async {
                match own {
                    Some(own) => own.turn.lost().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = core.closing.cancelled() => return None,
                _ = self.own.changed() => self.hurry(),
                _ = lost => self.hurry(),
                () = core.env.sleep_until(self.due), if !leads => {}
            }
        }
    }

    /// Something happened here: the store may say something else now, or in a moment.
    fn hurry(&mut self) {
        self.pace = SOON;
        self.due = self.inner.core.env.now();
    }

    /// Looks at the store, and says what is new.
    async fn look(&mut self) -> Option<Observation> {
        let found = inspect(&self.inner, &self.name).await;
        let core = Arc::clone(&self.inner.core);
        let (seen, at_most) = match found {
            Err(error) => {
                let why = error.to_string();
                (Observation::Unknown { why }, PAUSE)
            }
            Ok(found) => match Leader::among(found.holders) {
                None => (Observation::Vacant, Duration::MAX),
                // It is renewed long before, unless it is gone.
                Some((leader, remaining)) => {
                    let after = AFTER_THE_END + core.env.jittered(AFTER_THE_END);
                    (Observation::Led(leader), remaining + after)
                }
            },
        };
        let news = self.take_in(seen);
        if news.is_some() {
            self.pace = SOON;
        }
        self.due = core.env.now() + core.env.jittered(self.pace).min(at_most);
        self.pace = (self.pace * 2).min(self.every);
        news
    }

    /// What is new in it.
    fn take_in(&mut self, seen: Observation) -> Option<Observation> {
        let seen = match seen {
            Observation::Led(leader) if self.latest.is_some_and(|term| leader.term < term) => {
                let why = format!(
                    "the store names a leader of an earlier term, {}: was its data lost?",
                    leader.term
                );
                Observation::Unknown { why }
            }
            seen => seen,
        };
        if let Some(leader) = seen.leader() {
            self.latest = Some(leader.term);
            // Should the store forget it: the terms of this client come after it all the same.
            self.inner.core.saw(leader.term.get());
        }
        if self.said.as_ref().is_some_and(|said| said.is_as(&seen)) {
            return None;
        }
        self.said = Some(seen.clone());
        Some(seen)
    }
}

impl Own {
    fn leader(&self) -> Leader {
        Leader {
            term: Fence::new(self.turn.grant_id.get()),
            label: self.label.clone(),
            leads_for: self.turn.held_for(),
        }
    }
}
