//! The address, and opening sessions on it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use leasehold_core::Env;
use leasehold_core::env::Background;
use leasehold_core::protocol::NodeId;
use leasehold_core::store::{Connector, Session, StoreError, StoreErrorKind, StoreHandle};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::connection::{Connection, Scope};
use crate::events::Endpoint;
use crate::file::DataFile;
use crate::schema;
use crate::task::AbortOnDrop;
use crate::waiters::Waiters;
use crate::writer::Writer;

/// A SQLite file. Clones share its thread.
///
/// The file and its tables (named `leasehold_…`) are created when it is first opened.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use leasehold_core::store::Connector;
/// use leasehold_sqlite::SqliteStore;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("leases.db");
/// let store = SqliteStore::new(&path).max_bytes(64 << 20);
/// assert_eq!(store.address(), format!("sqlite:{}", path.display()));
/// # Ok::<(), std::io::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore {
    file: DataFile,
    shared: Arc<Shared>,
}

/// What this process's sessions on the file share. No connection: each has its own.
#[derive(Debug, Default)]
struct Shared {
    /// The thread that drives their transactions. A caller's runtime must not: a body that blocks it would keep the
    /// file's write lock from everyone.
    thread: Mutex<Weak<Background>>,
    gate: Arc<tokio::sync::Mutex<()>>,
    waiters: Mutex<HashMap<(String, NodeId), Weak<Waiters>>>,
}

impl SqliteStore {
    /// The store in this file, which need not exist yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            file: DataFile {
                path: path.into(),
                max_bytes: None,
            },
            shared: Arc::default(),
        }
    }

    /// Lets this process's sessions fail, typed, rather than make the file larger than this.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.file.max_bytes = Some(bytes);
        self
    }
}

impl Shared {
    fn thread(&self, env: &Env) -> std::io::Result<Arc<Background>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = thread.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(env.background()?);
        *thread = Arc::downgrade(&started);
        Ok(started)
    }

    /// What the sessions of a client wait for, together: one enqueues, another hears of the grant.
    fn waiters(&self, session: &Session) -> Arc<Waiters> {
        let mut all = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiters| waiters.strong_count() > 0);
        let key = (session.namespace.as_str().to_owned(), session.node);
        let entry = all.entry(key).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Waiters::default());
            *entry = Arc::downgrade(&fresh);
            fresh
        })
    }
}

#[async_trait]
impl Connector for SqliteStore {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let file = DataFile {
            path: self.file.absolute()?,
            ..self.file.clone()
        };
        let failed = |what: &str, e: std::io::Error| {
            StoreError::new(StoreErrorKind::Refused, "open", what).with_source(e)
        };
        let clock = Clock::of_this_boot().map_err(|e| {
            failed(
                "the machine does not say which boot this is; mount /proc",
                e,
            )
        })?;
        let thread = (self.shared.thread(&session.env))
            .map_err(|e| failed("no thread can be started", e))?;
        let scope = Arc::new(Scope {
            namespace: session.namespace.clone(),
            node: session.node,
            env: session.env.clone(),
            endpoint: Endpoint::new(&session.env),
            file,
            clock,
            gate: Arc::clone(&self.shared.gate),
            waiters: self.shared.waiters(session),
            request_timeout: session.request_timeout,
            // What is left is for the statements and the way back.
            lock_timeout: session.request_timeout / 4 * 3,
        });
        let (jobs, inbox) = mpsc::unbounded_channel();
        // There, too, since a dead disk stops whoever looks at it.
        let opening = thread.spawn({
            let (scope, thread) = (Arc::clone(&scope), Arc::clone(&thread));
            async move {
                let opened = schema::open(&scope.file, &scope.env).await?;
                let writer = Writer::new(Arc::clone(&scope), opened);
                // The thread outlives the writer, which says farewell to the file.
                drop(scope.env.spawn(async move {
                    writer.serve(inbox).await;
                    drop(thread);
                }));
                Ok::<_, StoreError>(())
            }
        });
        let opened = AbortOnDrop::of(opening);
        match session.env.timeout(session.connect_timeout, opened).await {
            Ok(Ok(done)) => done?,
            Ok(Err(_)) => return Err(StoreError::unknown("open", "the store's thread ended")),
            Err(_) => {
                let context = format!(
                    "{}: not open within {:?}; another process keeps it locked, or the disk does not answer",
                    self.address(),
                    session.connect_timeout
                );
                return Err(StoreError::unknown("open", context));
            }
        }
        let events = session.events.clone();
        let connection = Connection::new(scope, jobs, events, thread);
        Ok(StoreHandle::of(Arc::new(connection)))
    }

    fn address(&self) -> String {
        let path = self.file.absolute().unwrap_or(self.file.path.clone());
        format!("sqlite:{}", path.display())
    }
}
