//! The fallback for lost pushes: while this client waits, the file is looked at every 250 ms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::protocol::{self, Phase, Rid};
use leasehold_core::store::{Event, EventSender};
use leasehold_core::{Moment, ResourceName};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use crate::connection::{Jobs, Scope};
use crate::events::Announce;
use crate::schema::{self, Opened};
use crate::writer::{Answer, Asked, Job};

/// What a lost push costs at most.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How often a waiting session writes its address again.
const ANNOUNCE_EVERY: Duration = Duration::from_mins(1);

/// Runs until the session ends. It sleeps while nobody waits.
pub(crate) async fn run(scope: Arc<Scope>, events: EventSender, announcer: Option<Announcer>) {
    let mut announcer = announcer;
    let mut waiting = scope.waiters.subscribe();
    let mut view = View::default();
    let mut arrivals = 0;
    while waiting.wait_for(|state| state.waiting > 0).await.is_ok() && !events.is_closed() {
        scope.env.sleep(POLL_EVERY).await;
        if let Some(announcer) = &mut announcer {
            announcer.announce(&scope, std::mem::take(&mut view.replaced));
        }
        // Waiters that came since the last look may have been granted by a change that was seen then.
        let came = waiting.borrow_and_update().arrivals;
        let fresh = std::mem::replace(&mut arrivals, came) != came;
        match view.moved(&scope, fresh).await {
            Ok(moved) if moved.is_empty() => {}
            Ok(moved) => {
                for rid in moved {
                    scope.waiters.forget(rid);
                    events.send(Event::Look(rid));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a look at the file failed");
                view = View::default();
            }
        }
    }
}

/// A pinned connection, and the version of the file that it saw last.
///
/// `PRAGMA data_version` changes when another connection commits, and compares only within one connection:
/// <https://www.sqlite.org/pragma.html#pragma_data_version>.
#[derive(Debug, Default)]
struct View {
    opened: Option<Opened>,
    version: Option<i64>,
    /// Whether the file was replaced, and with it the session's address lost.
    replaced: bool,
}

impl View {
    /// The waiters that wait no more. Any commit may be another waiter's, so a change alone says nothing: if it were
    /// taken for a hint, clients that check would keep waking each other.
    async fn moved(
        &mut self,
        scope: &Scope,
        fresh: bool,
    ) -> Result<Vec<Rid>, Box<dyn std::error::Error + Send + Sync>> {
        let identity = scope.file.identity();
        let gone = self.opened.take_if(|opened| opened.identity != identity);
        self.replaced |= gone.is_some();
        let opened = match &mut self.opened {
            Some(opened) => opened,
            none => {
                let opening = schema::open(&scope.file, &scope.env);
                let opened = scope.env.timeout(scope.lock_timeout, opening).await??;
                self.version = None;
                none.insert(opened)
            }
        };
        let version = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut opened.sql)
            .await?;
        if self.version.replace(version) == Some(version) && !fresh {
            return Ok(Vec::new());
        }
        let mut moved = Vec::new();
        for (rid, name) in scope.waiters.list(scope.env.now()) {
            if !still_waits(&mut opened.sql, scope, rid, &name).await? {
                moved.push(rid);
            }
        }
        Ok(moved)
    }
}

async fn still_waits(
    sql: &mut SqliteConnection,
    scope: &Scope,
    rid: Rid,
    name: &ResourceName,
) -> Result<bool, sqlx::Error> {
    let record: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT record FROM leasehold_lease WHERE ns = ? AND name = ?")
            .bind(scope.namespace.as_str())
            .bind(name.as_str())
            .fetch_optional(sql)
            .await?;
    // A record that cannot be read is for the waiter to find out.
    let record = record.and_then(|bytes| protocol::decode(&bytes).ok());
    let entry = record.and_then(|record| record.entries.into_iter().find(|e| e.rid == rid));
    Ok(entry.is_some_and(|e| matches!(e.phase, Phase::Waiting | Phase::Dormant)))
}

/// Writes the session's address again, now and then, so that it stays while the session waits.
#[derive(Debug)]
pub(crate) struct Announcer {
    address: SocketAddr,
    // Weak: the writer ends when the session lets go of it.
    jobs: mpsc::WeakUnboundedSender<Box<dyn Job>>,
    last: Option<Moment>,
    answer: Option<Answer<()>>,
}

impl Announcer {
    pub(crate) fn new(address: SocketAddr, jobs: &Jobs) -> Self {
        Self {
            address,
            jobs: jobs.downgrade(),
            last: None,
            answer: None,
        }
    }

    fn announce(&mut self, scope: &Scope, replaced: bool) {
        let now = scope.env.now();
        let last = *self.last.get_or_insert(now);
        let Some(jobs) = self
            .jobs
            .upgrade()
            .filter(|_| replaced || now.since(last) >= ANNOUNCE_EVERY)
        else {
            return;
        };
        self.last = Some(now);
        let announce = Announce::new(self.address);
        let (job, answer) = Asked::job(announce, now + scope.lock_timeout);
        // Kept, or the writer would take it for abandoned.
        self.answer = Some(answer);
        drop(jobs.send(job));
    }
}
