//! How a connection comes to be, and comes back.
//!
//! A lost connection is replaced at once while waiters count on its pushes, else with the next request. The driver's
//! own reconnecting is not used: it waits outside its response timeout, and a timeout does not make it reconnect.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::Moment;
use leasehold_core::name::Bucket;
use leasehold_core::store::{Event, Session, StoreError};
use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};

use crate::error::{connect_kind, describe, is_reset};
use crate::events::{is_acknowledgement, subscribe, take_push};
use crate::keys::Keys;
use crate::link::{Health, Link};
use crate::permission;
use crate::server::Server;

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// A connection that lasted this long was a good one: the next is not waited for.
const GOOD_AFTER: Duration = Duration::from_secs(1);

/// What the keeper and the requests share.
pub(crate) struct Shared {
    pub(crate) session: Session,
    pub(crate) address: String,
    pub(crate) keys: Keys,
    server: Server,
    link: watch::Sender<Option<Arc<Link>>>,
    demand: Notify,
    wanted: Mutex<BTreeSet<Bucket>>,
    last_failure: Mutex<String>,
}

impl Shared {
    pub(crate) fn new(server: Server, session: Session) -> Self {
        Self {
            keys: Keys::new(&session.namespace),
            session,
            address: server.address.clone(),
            server,
            link: watch::Sender::new(None),
            demand: Notify::new(),
            wanted: Mutex::default(),
            last_failure: Mutex::default(),
        }
    }

    /// A live connection, as soon as there is one.
    pub(crate) async fn link(
        &self,
        operation: &'static str,
        deadline: Moment,
    ) -> Result<Arc<Link>, StoreError> {
        let alive = |link: &Option<Arc<Link>>| link.clone().filter(|l| !l.health.is_lost());
        if let Some(link) = alive(&self.link.borrow()) {
            return Ok(link);
        }
        let mut links = self.link.subscribe();
        let waiting = async {
            loop {
                if let Some(link) = alive(&links.borrow_and_update()) {
                    return link;
                }
                self.demand.notify_one();
                if links.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let link = self.session.env.timeout_at(deadline, waiting).await;
        link.map_err(|_| {
            let failure = self.last_failure.lock();
            let failure = failure.unwrap_or_else(PoisonError::into_inner);
            let (address, within) = (&self.address, self.session.request_timeout);
            StoreError::unknown(
                operation,
                format!("{address}: no connection within {within:?}: {failure}"),
            )
        })
    }

    /// Pushes of this bucket are wanted from now on, over every reconnect. Whether they were not before.
    pub(crate) fn want(&self, bucket: Bucket) -> bool {
        self.wanted().insert(bucket)
    }

    /// They are not: the server refused.
    pub(crate) fn want_no_more(&self, bucket: Bucket) {
        self.wanted().remove(&bucket);
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeSet<Bucket>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects once, and subscribes to all that is wanted.
    pub(crate) async fn connect(&self) -> Result<Arc<Link>, StoreError> {
        // A little less than the caller has: what is known of the failure is to be heard before its own deadline.
        let (env, within) = (&self.session.env, self.session.connect_timeout * 9 / 10);
        let connected = env.timeout(within, self.try_connect()).await;
        let connected = connected.unwrap_or_else(|_| {
            // A server that expects no TLS waits for the rest of what it takes for a request.
            let is_tls = self.address.starts_with("rediss:");
            let hint = if is_tls {
                "; does that port speak TLS?"
            } else {
                ""
            };
            let text = format!("{}: no answer within {within:?}{hint}", self.address);
            Err(StoreError::unknown("connect", text))
        });
        if let Err(error) = &connected {
            let mut last = self
                .last_failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last = error.to_string();
        }
        connected
    }

    async fn try_connect(&self) -> Result<Arc<Link>, StoreError> {
        let health = Arc::new(Health::default());
        let config = AsyncConnectionConfig::new()
            // Every request has a deadline of its own.
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_push_sender(self.push_sender(Arc::clone(&health)));
        let client = self.server.client(&self.session).await?;
        let driver = client.get_multiplexed_async_connection_with_config(&config);
        let driver = driver.await.map_err(|error| {
            let is_plain = self.address.starts_with("redis:");
            let hint = if is_plain && is_reset(&error) {
                " (if that is a TLS port, write rediss://)"
            } else {
                ""
            };
            let text = format!("{}: {}{hint}", self.address, describe(&error));
            StoreError::new(connect_kind(&error), "connect", text)
        })?;
        let link = Link::new(driver, health, &self.session.env);
        self.subscribe_again(&link).await?;
        Ok(Arc::new(link))
    }

    async fn subscribe_again(&self, link: &Link) -> Result<(), StoreError> {
        let buckets: Vec<_> = self.wanted().iter().copied().collect();
        if buckets.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for bucket in &buckets {
            let channel = self.keys.channel(*bucket, self.session.node);
            pipeline.add_command(subscribe(&channel));
        }
        let mut driver = link.driver.clone();
        let answers = driver.send_packed_commands(&pipeline, 0, buckets.len());
        let answers = answers.await;
        let answers: &[Value] = answers.as_deref().unwrap_or_default();
        // A subscription that was refused would be a connection on which nobody is woken.
        if answers.len() != buckets.len() || !answers.iter().all(is_acknowledgement) {
            let refusal = answers.iter().find_map(|answer| match answer {
                Value::ServerError(error) => {
                    let (code, detail) = (error.code(), error.details().unwrap_or_default());
                    let permission = permission::refusal(code, detail, &self.keys);
                    Some(format!(" ({})", permission.as_deref().unwrap_or(code)))
                }
                _ => None,
            });
            let refusal = refusal.unwrap_or_default();
            let text = format!("{}: subscribing again failed{refusal}", self.address);
            return Err(StoreError::unknown("connect", text));
        }
        for bucket in buckets {
            link.acknowledged(bucket);
        }
        Ok(())
    }

    /// Runs inside the connection's driver: it must not block.
    fn push_sender(
        &self,
        health: Arc<Health>,
    ) -> impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static {
        let (node, events) = (self.session.node, self.session.events.clone());
        move |push| {
            if push.kind == PushKind::Disconnection {
                health.lose();
            } else {
                health.hear();
                if let Some(event) = take_push(&push, node) {
                    events.send(event);
                }
            }
            Ok(())
        }
    }

    /// Replaces connections for ever, on the runtime that the store was opened on.
    pub(crate) async fn keep(self: Arc<Self>, mut link: Arc<Link>) {
        let env = &self.session.env;
        let mut delay = Duration::ZERO;
        loop {
            self.link.send_replace(Some(Arc::clone(&link)));
            link.health.lost().await;
            self.link.send_replace(None);
            if env.now().since(link.since) >= GOOD_AFTER {
                delay = Duration::ZERO;
            }
            tracing::debug!(address = self.address, "connection lost");
            if self.wanted().is_empty() {
                self.demand.notified().await;
            }
            link = loop {
                env.sleep(env.jittered(delay)).await;
                delay = (delay * 2).clamp(FIRST_DELAY, LONGEST_DELAY);
                match self.connect().await {
                    Ok(link) => break link,
                    Err(error) => tracing::debug!(%error, "no new connection"),
                }
            };
            if !self.wanted().is_empty() {
                // Pushes were missed meanwhile.
                self.session.events.send(Event::Recheck);
            }
        }
    }
}
