//! What is to be renewed, and when.
//!
//! Callers put tenures in and take them out; the renewer is woken only if it would sleep too long. So a lease that is
//! released before its first renewal costs no hop to another thread.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Tenure;
use crate::env::Moment;
use crate::protocol::Rid;

/// So many pushes are kept for tenures that are not known yet.
const MOST_EARLY: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Renewals {
    book: Mutex<Book>,
    sooner: Notify,
}

/// All are this client's own, so that a request's number says which it is.
#[derive(Debug)]
struct Book {
    held: HashMap<u64, Held>,
    /// Of those that are not being looked at just now.
    due: BTreeSet<(Moment, u64)>,
    /// Those that somebody was said to wait for before they were put in; or after they were taken out.
    early: BTreeSet<u64>,
    /// When the renewer wakes.
    wake: Moment,
    is_closed: bool,
}

#[derive(Debug)]
struct Held {
    tenure: Arc<Tenure>,
    /// By when it is to be looked at; [`Moment::NEVER`] while that is being done.
    at: Moment,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            held: HashMap::new(),
            due: BTreeSet::new(),
            early: BTreeSet::new(),
            wake: Moment::NEVER,
            is_closed: false,
        }
    }
}

impl Book {
    /// Whether the renewer must be woken for it.
    fn put(&mut self, at: Moment, tenure: &Arc<Tenure>) -> bool {
        let seq = tenure.rid.seq;
        let tenure = Arc::clone(tenure);
        self.held.insert(seq, Held { tenure, at });
        self.expect(at, seq)
    }

    fn expect(&mut self, at: Moment, seq: u64) -> bool {
        if at < Moment::NEVER {
            self.due.insert((at, seq));
        }
        let sooner = at < self.wake;
        self.wake = self.wake.min(at);
        sooner
    }
}

impl Renewals {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is renewed, first at `at`; unless the renewer has ended.
    pub(crate) fn add(&self, at: Moment, tenure: &Arc<Tenure>) -> bool {
        let mut book = self.book();
        if book.early.remove(&tenure.rid.seq) {
            tenure.contend();
        }
        if !book.is_closed && book.put(at, tenure) {
            self.sooner.notify_one();
        }
        !book.is_closed
    }

    /// Somebody waits for what this request was granted. That push may overtake the grant's answer: then it is kept.
    pub(crate) fn contended(&self, rid: Rid) {
        let mut book = self.book();
        if let Some(held) = book.held.get(&rid.seq) {
            if let Some(pool) = held.tenure.pool().filter(|_| !held.tenure.is_contended()) {
                pool.tell(held.tenure.env.now());
            }
            held.tenure.contend();
            return;
        }
        book.early.insert(rid.seq);
        if book.early.len() > MOST_EARLY {
            book.early.pop_first();
        }
    }

    /// It is not.
    pub(crate) fn remove(&self, tenure: &Tenure) {
        let (mut book, seq) = (self.book(), tenure.rid.seq);
        if let Some(held) = book.held.remove(&seq) {
            book.due.remove(&(held.at, seq));
        }
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.book().held.len()
    }

    /// It is to be looked at by then, if not sooner.
    pub(crate) fn look_at(&self, rid: Rid, at: Moment) {
        let mut book = self.book();
        let Book { held, due, .. } = &mut *book;
        let Some(held) = held.get_mut(&rid.seq) else {
            return;
        };
        if held.tenure.rid == rid && at < held.at {
            due.remove(&(held.at, rid.seq));
            held.at = at;
            if book.expect(at, rid.seq) {
                self.sooner.notify_one();
            }
        }
    }

    /// It was looked at: again then, or sooner if that was asked for meanwhile. One that was taken out stays out.
    pub(super) fn again(&self, at: Moment, tenure: &Tenure) {
        let (mut book, seq) = (self.book(), tenure.rid.seq);
        let Some(held) = book.held.get_mut(&seq) else {
            return;
        };
        // Asked for meanwhile, it stands in `due` already.
        if at < held.at {
            let before = std::mem::replace(&mut held.at, at);
            book.due.remove(&(before, seq));
            if book.expect(at, seq) {
                self.sooner.notify_one();
            }
        }
    }

    /// What is due.
    pub(super) fn take_due(&self, now: Moment) -> Vec<Arc<Tenure>> {
        let mut book = self.book();
        let Book { held, due, .. } = &mut *book;
        let mut taken = Vec::new();
        while let Some((_, seq)) = due.first().copied().filter(|(at, _)| *at <= now) {
            due.pop_first();
            if let Some(held) = held.get_mut(&seq) {
                held.at = Moment::NEVER;
                taken.push(Arc::clone(&held.tenure));
            }
        }
        taken
    }

    /// When the next one is due. The renewer wakes then: who puts in a sooner one from now on wakes it.
    pub(super) fn next(&self) -> Moment {
        let mut book = self.book();
        let next = book.due.first().map_or(Moment::NEVER, |(at, _)| *at);
        book.wake = next;
        next
    }

    /// Resolves when something is due sooner than was said.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Nothing is renewed any more; answers what was held, in the order it was asked for.
    pub(super) fn close(&self) -> Vec<Arc<Tenure>> {
        let mut book = self.book();
        book.is_closed = true;
        book.due.clear();
        let held = std::mem::take(&mut book.held).into_values();
        let mut held: Vec<_> = held.map(|held| held.tenure).collect();
        held.sort_by_key(|tenure| tenure.rid.seq);
        held
    }
}
