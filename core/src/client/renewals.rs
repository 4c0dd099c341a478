//! What is to be renewed, and when.
//!
//! Callers put tenures in and take them out; the renewer is woken only if it would sleep too long. So a lease that is
//! released before its first renewal costs no hop to another thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Tenure;
use crate::env::Moment;
use crate::protocol::Rid;

#[derive(Debug, Default)]
pub(crate) struct Renewals {
    book: Mutex<Book>,
    sooner: Notify,
}

#[derive(Debug)]
struct Book {
    /// By when they are to be looked at; [`Moment::NEVER`] while that is being done.
    due: BTreeMap<(Moment, Rid), Arc<Tenure>>,
    by_rid: BTreeMap<Rid, Moment>,
    /// When the renewer wakes.
    wake: Moment,
    is_closed: bool,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            by_rid: BTreeMap::new(),
            wake: Moment::NEVER,
            is_closed: false,
        }
    }
}

impl Book {
    fn take(&mut self, rid: Rid) -> Option<Arc<Tenure>> {
        let at = self.by_rid.remove(&rid)?;
        self.due.remove(&(at, rid))
    }

    /// Whether the renewer must be woken for it.
    fn put(&mut self, at: Moment, tenure: Arc<Tenure>) -> bool {
        let rid = tenure.rid;
        self.by_rid.insert(rid, at);
        self.due.insert((at, rid), tenure);
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
        if !book.is_closed && book.put(at, Arc::clone(tenure)) {
            self.sooner.notify_one();
        }
        !book.is_closed
    }

    /// It is not.
    pub(crate) fn remove(&self, tenure: &Tenure) {
        self.book().take(tenure.rid);
    }

    pub(crate) fn find(&self, rid: Rid) -> Option<Arc<Tenure>> {
        let book = self.book();
        let at = book.by_rid.get(&rid)?;
        book.due.get(&(*at, rid)).cloned()
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.book().by_rid.len()
    }

    /// It is to be looked at by then, if not sooner.
    pub(crate) fn look_at(&self, rid: Rid, at: Moment) {
        let mut book = self.book();
        if book.by_rid.get(&rid).is_some_and(|known| at < *known)
            && let Some(tenure) = book.take(rid)
            && book.put(at, tenure)
        {
            self.sooner.notify_one();
        }
    }

    /// It was looked at: again then, or sooner if that was asked for meanwhile. One that was taken out stays out.
    pub(super) fn again(&self, at: Moment, tenure: &Tenure) {
        let mut book = self.book();
        let asked = book.by_rid.get(&tenure.rid).copied().unwrap_or(at);
        if let Some(tenure) = book.take(tenure.rid)
            && book.put(at.min(asked), tenure)
        {
            self.sooner.notify_one();
        }
    }

    /// What is due.
    pub(super) fn take_due(&self, now: Moment) -> Vec<Arc<Tenure>> {
        let mut book = self.book();
        let mut due = Vec::new();
        while let Some(entry) = book.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let tenure = entry.remove();
            book.put(Moment::NEVER, Arc::clone(&tenure));
            due.push(tenure);
        }
        due
    }

    /// When the next one is due. The renewer wakes then: who puts in a sooner one from now on wakes it.
    pub(super) fn next(&self) -> Moment {
        let mut book = self.book();
        let first = book.due.first_key_value();
        let next = first.map_or(Moment::NEVER, |((at, _), _)| *at);
        book.wake = next;
        next
    }

    /// Resolves when something is due sooner than was said.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Nothing is renewed any more; answers what was held.
    pub(super) fn close(&self) -> Vec<Arc<Tenure>> {
        let mut book = self.book();
        book.is_closed = true;
        book.by_rid.clear();
        std::mem::take(&mut book.due).into_values().collect()
    }
}
