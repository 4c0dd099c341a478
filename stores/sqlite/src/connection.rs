//! A session: how a request gets to its writer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::env::Background;
use leasehold_core::protocol::NodeId;
use leasehold_core::store::{EventSender, Stamped, StoreError};
use leasehold_core::{Env, Namespace};
use tokio::sync::{OnceCell, mpsc};

use crate::clock::Clock;
use crate::events::{Endpoint, Listening};
use crate::file::DataFile;
use crate::waiters::Waiters;
use crate::writer::{Asked, Job, Query};

/// What a session's tasks know of it.
pub(crate) struct Scope {
    pub(crate) namespace: Namespace,
    pub(crate) node: NodeId,
    pub(crate) env: Env,
    pub(crate) file: DataFile,
    pub(crate) clock: Clock,
    /// Held during a transaction: sessions of one process come to the file in turn.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) endpoint: Endpoint,
    pub(crate) request_timeout: Duration,
    /// For how long a request waits for the file's write lock.
    pub(crate) lock_timeout: Duration,
}

impl Scope {
    /// Where the store is, for errors.
    pub(crate) fn address(&self) -> String {
        format!("sqlite:{}", self.file.path.display())
    }
}

/// Where requests go.
pub(crate) type Jobs = mpsc::UnboundedSender<Box<dyn Job>>;

/// An open session. Its tasks end when it is dropped.
pub(crate) struct Connection {
    pub(crate) scope: Arc<Scope>,
    pub(crate) jobs: Jobs,
    pub(crate) events: EventSender,
    pub(crate) listening: OnceCell<Listening>,
    pub(crate) thread: Arc<Background>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = &self.scope;
        write!(f, "SqliteStore({}, {})", scope.address(), scope.namespace)
    }
}

impl Connection {
    pub(crate) fn new(
        scope: Arc<Scope>,
        jobs: Jobs,
        events: EventSender,
        thread: Arc<Background>,
    ) -> Self {
        Self {
            scope,
            jobs,
            events,
            listening: OnceCell::new(),
            thread,
        }
    }

    /// Sends a request to the writer and waits for its answer, within the request timeout.
    pub(crate) async fn ask<Q: Query>(&self, query: Q) -> Result<Stamped<Q::Answer>, StoreError> {
        let scope = &self.scope;
        let sent = scope.env.now();
        let (job, answer) = Asked::job(query, sent + scope.lock_timeout);
        let unknown =
            |what: &str| StoreError::unknown(Q::OPERATION, format!("{}: {what}", scope.address()));
        self.jobs
            .send(job)
            .map_err(|_| unknown("the store's writer has ended"))?;
        match (scope.env)
            .timeout_at(sent + scope.request_timeout, answer)
            .await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unknown("the store's writer has ended")),
            Err(_) => Err(unknown(
                "no answer in time; the disk or the machine is too slow",
            )),
        }
    }
}
