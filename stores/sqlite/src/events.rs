//! Pushes: a datagram on the loopback interface to each address of the granted node.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use leasehold_core::Env;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::{Handed, Notice, Rid};
use leasehold_core::store::{Event, EventSender, Events, StoreError};
use sqlx::sqlite::SqliteConnection;
use tokio::net::UdpSocket;

use crate::connection::{Connection, Scope};
use crate::error::Failure;
use crate::poll;
use crate::schema::integer;
use crate::task::AbortOnDrop;
use crate::transaction::Transaction;
use crate::writer::Query;

/// The first word of every datagram: the version of its layout, `2 token kind rid ..`.
const PUSH_FORMAT: &str = "2";
/// The layout before, `1 token rid`: a waiter's id, and no more.
const PUSH_FORMAT_BEFORE: &str = "1";
const GRANTED: &str = "granted";
const CONTENDED: &str = "contended";
const REVOKED: &str = "revoked";
/// For how long an address is kept without being written again. A crash leaves it behind.
const LISTENER_TTL_US: u64 = 10 * 60 * 1_000_000;

/// A session's end of pushes.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Who knows it can read the file. It also tells this session from whoever had its port before.
    token: String,
    /// `None` without a loopback interface: then waiters poll.
    sender: Option<StdUdpSocket>,
    /// Whether an address of this session is in the file.
    announced: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(env: &Env) -> Self {
        let sender = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let sender = sender.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Self {
            token: format!("{:016x}{:016x}", env.random(u64::MAX), env.random(u64::MAX)),
            sender: sender.ok(),
            announced: AtomicBool::new(false),
        }
    }
}

/// Sends pushes. A hint may be lost: whatever fails is passed over.
pub(crate) fn push(scope: &Scope, pushes: &[(SocketAddr, String, Notice)]) {
    let Some(sender) = &scope.endpoint.sender else {
        return;
    };
    for (address, token, notice) in pushes {
        let datagram = format!("{PUSH_FORMAT} {token} {}", text_of(notice));
        if let Err(error) = sender.send_to(datagram.as_bytes(), address) {
            tracing::trace!(%error, %address, "a push was lost");
        }
    }
}

fn text_of(notice: &Notice) -> String {
    match notice {
        Notice::Granted(handed) => {
            let Handed {
                rid,
                first,
                end,
                granted_us,
                expires_us,
            } = handed;
            format!("{GRANTED} {rid} {first} {end} {granted_us} {expires_us}")
        }
        Notice::Contended(rid) => format!("{CONTENDED} {rid}"),
        Notice::Revoked(rid) => format!("{REVOKED} {rid}"),
    }
}

/// What a push says, if the token is the receiver's.
fn parse(datagram: &[u8], token: &str) -> Option<Event> {
    let mut words = std::str::from_utf8(datagram).ok()?.split(' ');
    let format = words.next()?;
    if words.next()? != token {
        return None;
    }
    let kind = match format {
        PUSH_FORMAT => words.next()?,
        PUSH_FORMAT_BEFORE => "",
        _ => return None,
    };
    let rid: Rid = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse().ok();
    let event = match kind {
        GRANTED => Event::Granted(Handed {
            rid,
            first: number()?,
            end: number()?,
            granted_us: number()?,
            expires_us: number()?,
        }),
        CONTENDED => Event::Contended(rid),
        REVOKED => Event::Revoked(rid),
        _ => Event::Look(rid),
    };
    words.next().is_none().then_some(event)
}

impl Transaction<'_> {
    /// Looks up where those listen whom this transaction has something to tell.
    pub(crate) async fn find_listeners(&mut self) -> Result<(), sqlx::Error> {
        for notice in std::mem::take(&mut self.effects.notices) {
            let rid = notice.rid();
            let rows: Vec<(String, String)> = sqlx::query_as(
                "SELECT address, token FROM leasehold_listener
                 WHERE ns = ? AND node = ? AND epoch = ? AND until_us > ?",
            )
            .bind(self.scope.namespace.as_str())
            .bind(rid.node.to_string())
            .bind(integer(self.now.epoch))
            .bind(integer(self.now.lease_us))
            .fetch_all(&mut *self.sql)
            .await?;
            for (address, token) in rows {
                // Only this machine's addresses: whoever writes the file must not make us send elsewhere.
                let local = address.parse().ok();
                if let Some(address) = local.filter(|a: &SocketAddr| a.ip().is_loopback()) {
                    self.effects.pushes.push((address, token, notice));
                }
            }
        }
        Ok(())
    }
}

/// Writes where this session listens.
pub(crate) struct Announce(SocketAddr);

#[async_trait]
impl Query for Announce {
    type Answer = ();
    const OPERATION: &'static str = "listen";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<(), Failure> {
        sqlx::query(
            "INSERT OR REPLACE INTO leasehold_listener (ns, node, token, address, epoch, until_us)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(tx.scope.namespace.as_str())
        .bind(tx.scope.node.to_string())
        .bind(&tx.scope.endpoint.token)
        .bind(self.0.to_string())
        .bind(integer(tx.now.epoch))
        .bind(integer(tx.now.lease_us + LISTENER_TTL_US))
        .execute(&mut *tx.sql)
        .await?;
        tx.scope.endpoint.announced.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes this session's address out of the file, if that can be done at once.
pub(crate) async fn withdraw(scope: &Scope, sql: &mut SqliteConnection) {
    if !scope.endpoint.announced.load(Ordering::Relaxed) {
        return;
    }
    let deleted =
        sqlx::query("DELETE FROM leasehold_listener WHERE ns = ? AND node = ? AND token = ?")
            .bind(scope.namespace.as_str())
            .bind(scope.node.to_string())
            .bind(&scope.endpoint.token)
            .execute(sql)
            .await;
    if let Err(error) = deleted {
        tracing::debug!(%error, "a listener's address was left to be collected");
    }
}

/// The tasks by which a session hears of grants.
#[derive(Debug)]
pub(crate) struct Listening {
    _tasks: Vec<AbortOnDrop<()>>,
}

impl Connection {
    async fn start_listening(&self) -> Result<Listening, StoreError> {
        let bound = self.thread.spawn(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        let bound = bound.await.map_err(|_| {
            StoreError::unknown("listen", "the store's thread ended: open the store again")
        })?;
        let socket = bound.and_then(|socket| socket.local_addr().map(|address| (socket, address)));
        let mut tasks = Vec::new();
        let mut address = None;
        match socket {
            Ok((socket, bound)) => {
                self.ask(Announce(bound)).await?;
                let receiver = receive(socket, Arc::clone(&self.scope), self.events.clone());
                tasks.push(AbortOnDrop::of(self.thread.spawn(receiver)));
                address = Some(bound);
            }
            Err(error) => {
                tracing::warn!(%error, "no loopback socket: waiters find grants by polling");
            }
        }
        let announce = address.map(|address| poll::Announcer::new(address, &self.jobs));
        let poll = poll::run(Arc::clone(&self.scope), self.events.clone(), announce);
        tasks.push(AbortOnDrop::of(self.thread.spawn(poll)));
        Ok(Listening { _tasks: tasks })
    }
}

impl Announce {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(address)
    }
}

async fn receive(socket: UdpSocket, scope: Arc<Scope>, events: EventSender) {
    let mut datagram = [0; 256];
    while !events.is_closed() {
        // An error on a datagram socket is about one datagram.
        let Ok(length) = socket.recv(&mut datagram).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Some(event) = parse(&datagram[..length], &scope.endpoint.token) {
            if let Event::Granted(Handed { rid, .. }) | Event::Look(rid) = event {
                scope.waiters.forget(rid);
            }
            events.send(event);
        }
    }
}

#[async_trait]
impl Events for Connection {
    async fn listen(&self, _bucket: Bucket) -> Result<(), StoreError> {
        // A node's pushes come to one address, of whatever bucket.
        let listening = self.listening.get_or_try_init(|| self.start_listening());
        listening.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pushes_with_the_right_token_count() {
        let rid: Rid = "0198f2a1b3c47d5e8f90a1b2c3d4e5f6.7".parse().expect("a rid");
        let granted = Notice::Granted(Handed {
            rid,
            first: 9_007_199_254_740_990,
            end: 9_007_199_254_740_991,
            granted_us: 5,
            expires_us: 6,
        });
        for notice in [granted, Notice::Contended(rid), Notice::Revoked(rid)] {
            let push = format!("2 secret {}", text_of(&notice));
            let event = Some(Event::from(notice));
            assert_eq!(parse(push.as_bytes(), "secret"), event);
            assert_eq!(parse(push.as_bytes(), "guess"), None);
            assert_eq!(parse(format!("{push} more").as_bytes(), "secret"), None);
            assert_eq!(parse(format!("3{push}").as_bytes(), "secret"), None);
        }
        // As the version before sends them.
        let before = format!("1 secret {rid}");
        assert_eq!(parse(before.as_bytes(), "secret"), Some(Event::Look(rid)));
        for bad in ["2 secret", "2 secret granted", "1 secret", ""] {
            assert_eq!(parse(bad.as_bytes(), "secret"), None, "{bad:?}");
        }
        assert_eq!(parse(&[0xff, 0xfe], "secret"), None);
    }
}
