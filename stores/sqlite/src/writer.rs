//! The writer: one task with its own connection a session. Requests that arrive together share a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use leasehold_core::Moment;
use leasehold_core::protocol::Now;
use leasehold_core::store::{LeaseCall, Stamped, StoreError};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use crate::connection::Scope;
use crate::error::{Failure, Verdict, result_code};
use crate::events;
use crate::garbage::Garbage;
use crate::schema::{self, Opened, execute};
use crate::transaction::{Effects, Transaction};

/// At most so many requests share a transaction.
const GROUP: usize = 64;

/// A request, as SQL.
#[async_trait]
pub(crate) trait Query: Send + Sync + 'static {
    /// What it answers.
    type Answer: Send + 'static;
    /// Its name, for errors.
    const OPERATION: &'static str;
    /// Whether it needs the write lock.
    const WRITES: bool = true;

    /// The leases it needs; the transaction has read them when it runs.
    fn calls(&self) -> &[LeaseCall] {
        &[]
    }

    /// Does it. It may be called again, if the transaction failed.
    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Self::Answer, Failure>;
}

/// A request of any kind, and its caller.
#[async_trait]
pub(crate) trait Job: Send {
    fn writes(&self) -> bool;
    fn calls(&self) -> &[LeaseCall];
    /// When to stop waiting for the write lock.
    fn deadline(&self) -> Moment;
    /// Whether nobody waits for the answer any more; then it need not be done.
    fn is_abandoned(&self) -> bool;
    /// Runs it and keeps its answer. An error is the transaction's, not the job's.
    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), sqlx::Error>;
    fn committed(self: Box<Self>, now: Now);
    fn failed(self: Box<Self>, verdict: &Verdict);
}

/// Where a request's answer comes.
pub(crate) type Answer<T> = oneshot::Receiver<Result<Stamped<T>, StoreError>>;
/// Where it goes.
type AnswerTo<T> = oneshot::Sender<Result<Stamped<T>, StoreError>>;

/// A request and its caller.
pub(crate) struct Asked<Q: Query> {
    query: Q,
    deadline: Moment,
    to: AnswerTo<Q::Answer>,
    answer: Option<Result<Q::Answer, StoreError>>,
}

impl<Q: Query> Asked<Q> {
    /// A request that waits for the write lock until `deadline`, and where its answer comes.
    pub(crate) fn job(query: Q, deadline: Moment) -> (Box<dyn Job>, Answer<Q::Answer>) {
        let (to, answer) = oneshot::channel();
        let asked = Self {
            query,
            deadline,
            to,
            answer: None,
        };
        (Box::new(asked), answer)
    }
}

#[async_trait]
impl<Q: Query> Job for Asked<Q> {
    fn writes(&self) -> bool {
        Q::WRITES
    }

    fn calls(&self) -> &[LeaseCall] {
        self.query.calls()
    }

    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.to.is_closed()
    }

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), sqlx::Error> {
        self.answer = Some(match self.query.run(tx).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Format(error)) => Err(error.into()),
            Err(Failure::Sql(error)) => return Err(error),
        });
        Ok(())
    }

    fn committed(self: Box<Self>, now: Now) {
        if let Some(answer) = self.answer {
            // A caller that went away needs no answer.
            drop(self.to.send(answer.map(|value| Stamped { now, value })));
        }
    }

    fn failed(self: Box<Self>, verdict: &Verdict) {
        drop(self.to.send(Err(verdict.to_error(Q::OPERATION))));
    }
}

/// A session's writer.
pub(crate) struct Writer {
    scope: Arc<Scope>,
    /// `None` after a failure that may have left the connection in an unknown state.
    connection: Option<Opened>,
    garbage: Garbage,
}

impl Writer {
    pub(crate) fn new(scope: Arc<Scope>, connection: Opened) -> Self {
        Self {
            garbage: Garbage::new(&scope.env),
            scope,
            connection: Some(connection),
        }
    }

    /// Serves until the session is dropped.
    pub(crate) async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Box<dyn Job>>) {
        let mut group: Vec<Box<dyn Job>> = Vec::new();
        loop {
            if group.is_empty() {
                match inbox.recv().await {
                    Some(job) => group.push(job),
                    None => break,
                }
            }
            while group.len() < GROUP {
                let Ok(job) = inbox.try_recv() else { break };
                group.push(job);
            }
            group.retain(|job| !job.is_abandoned());
            if !group.is_empty() {
                group = self.turn(group).await;
            }
        }
        self.close().await;
    }

    /// Serves a group; those that met a locked file, and have time left, are returned.
    async fn turn(&mut self, mut group: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        // Sessions of one process take turns here instead of all polling for the file's lock.
        let scope = Arc::clone(&self.scope);
        let _gate = scope.gate.lock().await;
        match self.transact(&mut group).await {
            Ok((now, effects)) => {
                self.announce(&effects);
                for job in group {
                    job.committed(now);
                }
                self.collect_garbage().await;
                Vec::new()
            }
            Err(verdict) if verdict.is_busy() || group.len() == 1 => self.settle(group, &verdict),
            // One that does not fit on the disk fails no other: each is tried alone.
            Err(_) => {
                let mut left = Vec::new();
                for job in group {
                    let mut alone = vec![job];
                    match self.transact(&mut alone).await {
                        Ok((now, effects)) => {
                            self.announce(&effects);
                            for job in alone {
                                job.committed(now);
                            }
                        }
                        Err(verdict) => left.extend(self.settle(alone, &verdict)),
                    }
                }
                left
            }
        }
    }

    /// Tells a failed group, but for those that may still get the lock.
    fn settle(&self, group: Vec<Box<dyn Job>>, verdict: &Verdict) -> Vec<Box<dyn Job>> {
        let now = self.scope.env.now();
        let has_time = |job: &dyn Job| verdict.is_busy() && job.deadline() > now;
        let mut left = Vec::new();
        for job in group {
            if has_time(&*job) {
                left.push(job);
            } else {
                job.failed(verdict);
            }
        }
        left
    }

    async fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<(Now, Effects), Verdict> {
        let scope = Arc::clone(&self.scope);
        // The file may have been deleted or replaced: its leases are gone, and the new one has another incarnation.
        if self
            .connection
            .as_ref()
            .is_none_or(|c| c.identity != scope.file.identity())
        {
            self.connection = None;
            let reopened = schema::open(&scope.file, &scope.env);
            let reopened = scope.env.timeout(scope.lock_timeout, reopened).await;
            let reopened = reopened
                .map_err(|_| StoreError::unknown("open", format!("{}: no answer", scope.address())))
                .flatten()?;
            self.connection = Some(reopened);
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(StoreError::unknown("open", scope.address()).into());
        };
        let sql = &mut connection.sql;
        match run(sql, &scope, group).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let verdict = Verdict::of(&error, &scope.file.path);
                // "Nothing to roll back" (code 1): nothing had begun, or SQLite has rolled back by itself.
                let rolled_back = execute(sql, "ROLLBACK").await;
                if rolled_back.is_err_and(|e| result_code(&e) != Some(1)) {
                    self.connection = None;
                }
                Err(verdict)
            }
        }
    }

    fn announce(&self, effects: &Effects) {
        self.scope
            .waiters
            .update(&effects.waiting, self.scope.env.now());
        events::push(&self.scope, &effects.pushes);
    }

    async fn collect_garbage(&mut self) {
        let (Some(connection), scope) = (self.connection.as_mut(), &self.scope) else {
            return;
        };
        if !self.garbage.is_due(&scope.env) {
            return;
        }
        // It is retried at the next occasion.
        if let Err(error) = self.garbage.collect(&mut connection.sql, scope.clock).await {
            tracing::debug!(%error, "spent records were not collected");
            drop(execute(&mut connection.sql, "ROLLBACK").await);
        }
    }

    async fn close(mut self) {
        if let Some(mut connection) = self.connection.take() {
            events::withdraw(&self.scope, &mut connection.sql).await;
            drop(sqlx::Connection::close(connection.sql).await);
        }
    }
}

async fn run(
    sql: &mut SqliteConnection,
    scope: &Scope,
    group: &mut [Box<dyn Job>],
) -> Result<(Now, Effects), sqlx::Error> {
    let mut tx = if group.iter().any(|job| job.writes()) {
        let calls = group.iter().flat_map(|job| job.calls());
        let names = calls.map(|call| call.name.clone()).collect();
        Transaction::begin(sql, scope, &names).await?
    } else {
        Transaction::read_only(sql, scope)
    };
    let now = tx.now;
    for job in group {
        job.run(&mut tx).await?;
    }
    Ok((now, tx.commit().await?))
}
