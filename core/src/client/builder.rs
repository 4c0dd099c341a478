//! Connecting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::clock::StoreClock;
use super::coordinator::{Coordinator, Inner};
use super::floors::Floors;
use super::health::Pulse;
use super::leading::Leading;
use super::line::Lines;
use super::permits::{self, Pools};
use super::renewals::Renewals;
use super::{Core, cleaner, floors, inbox::Ears, inbox::Inbox, membership, renewer};
use crate::env::Env;
use crate::error::Error;
use crate::metrics;
use crate::name::Namespace;
use crate::protocol::{LONGEST_TTL_US, NodeId};
use crate::store::{Connector, EventSender, Session, StoreError, StoreHandle};

/// No namespace's longest TTL is longer than a year: times in µs stay far below 2^53.
const LONGEST_TTL_CAP: Duration = Duration::from_secs(366 * 24 * 3600);

/// Settings of a client, before it connects. Made by [`Coordinator::builder`].
#[derive(Debug)]
#[must_use = "call `connect` to get a Coordinator"]
pub struct Builder {
    connector: Arc<dyn Connector>,
    namespace: String,
    env: Env,
    label: Option<String>,
    longest_ttl: Duration,
    connect_timeout: Duration,
    request_timeout: Duration,
}

impl Builder {
    pub(super) fn new(connector: Arc<dyn Connector>, namespace: &str) -> Self {
        Self {
            connector,
            namespace: namespace.to_owned(),
            env: Env::system(),
            label: None,
            longest_ttl: Duration::from_micros(LONGEST_TTL_US),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
        }
    }

    /// Who this client is, for people: in `Busy` errors, inspections and the list of members. Default: `host:pid`.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Time, sleep and chance; [`Env::system`] unless a test says otherwise.
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// The longest TTL that leases of this namespace may have (default 24 h, a year at most). All its clients should agree.
    pub fn longest_ttl(mut self, longest: Duration) -> Self {
        self.longest_ttl = longest;
        self
    }

    /// How long connecting may take in all (default 5 s).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request to the store may take before its outcome counts as unknown (default 2 s).
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Connects: checks the namespace and the store, starts the background thread and becomes a member.
    ///
    /// # Errors
    /// Within the connect timeout, naming the store's address without its password.
    ///
    /// # Cancel safety
    /// Cancel safe: what was opened is closed again.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(self) -> Result<Coordinator, Error> {
        metrics::describe();
        let namespace = Namespace::new(&self.namespace)?;
        let env = self.env;
        let node = NodeId::new(env.uuid());
        let (cleanups, cleanup_requests) = mpsc::unbounded_channel();
        let (drives, pools_to_drive) = mpsc::unbounded_channel();
        let address = self.connector.address();
        let core = Arc::new(Core {
            env: env.clone(),
            namespace,
            node,
            label: self.label.unwrap_or_else(default_label).into(),
            address: address.clone(),
            longest_ttl: self.longest_ttl.min(LONGEST_TTL_CAP),
            request_timeout: self.request_timeout,
            clock: StoreClock::default(),
            inbox: Arc::new(Inbox::default()),
            lines: Lines::default(),
            pools: Pools::new(drives),
            leading: Leading::default(),
            renewals: Renewals::default(),
            floors: Floors::default(),
            cleaning: AtomicUsize::new(0),
            departing: AtomicUsize::new(0),
            pulse: Pulse::default(),
            closing: CancellationToken::new(),
            cleanups,
            membership: watch::Sender::new(Arc::default()),
            meta: Mutex::new(BTreeMap::new()),
            meta_changed: Notify::new(),
            stop: CancellationToken::new(),
            listening: Mutex::new(BTreeSet::new()),
            seq: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        });
        let session = Session {
            namespace: core.namespace.clone(),
            node,
            env: env.clone(),
            events: EventSender::new(Ears(Arc::downgrade(&core))),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        };
        let background = env.background()?;
        let connector = Arc::clone(&self.connector);
        let open = {
            let session = session.clone();
            background.spawn(async move { connector.open(&session).await })
        };
        let deadline = env.now() + self.connect_timeout;
        let connected = async {
            let store = self.connector.open(&session).await?;
            // The task ends early only with its runtime, and that lives in `background` here.
            let behind = open.await.map_err(|_| {
                StoreError::unknown("connect", "the background thread stopped while connecting")
            })??;
            membership::beat(&core, &store).await?;
            Ok::<_, StoreError>((store, behind))
        };
        let refused = |error| Error::from_store("connect", error);
        let opened = env.timeout_at(deadline, connected).await;
        let (store, behind): (StoreHandle, StoreHandle) = if let Ok(opened) = opened {
            opened.map_err(refused)?
        } else {
            let text = format!(
                "no connection to {address} within {:?}: is the server there, and reachable from here?",
                self.connect_timeout
            );
            return Err(refused(StoreError::unknown("connect", text)));
        };
        drop(session);

        let renewer = background.spawn(renewer::run(Arc::clone(&core), behind.clone()));
        let floors = background.spawn(floors::run(Arc::clone(&core), behind.clone()));
        let pools = background.spawn(permits::run(
            Arc::clone(&core),
            behind.clone(),
            pools_to_drive,
        ));
        let members = background.spawn(membership::run(Arc::clone(&core), behind.clone()));
        let cleaner = background.spawn(cleaner::run(
            Arc::clone(&core),
            behind,
            cleanup_requests,
            renewer,
        ));
        Ok(Coordinator::new(Inner::new(
            core,
            store,
            background,
            vec![members, floors, pools, cleaner],
        )))
    }
}

fn default_label() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}:{}", std::process::id())
}
