//! A client's view of a store, without the client.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use leasehold_core::name::{Class, ResourceName};
use leasehold_core::protocol::{Acquire, Capacity, NodeId, Op, Release, Renew, Reply, Rid, Weight};
use leasehold_core::store::{
    Connector, Event, EventSender, LeaseCall, Session, StoreError, StoreHandle,
};
use leasehold_core::{Env, Namespace};
use leasehold_redis::RedisStore;
use tokio::sync::mpsc;

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);
pub(crate) const NEVER: u64 = (1 << 53) - 1;

pub(crate) struct Node {
    pub(crate) store: StoreHandle,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) id: NodeId,
    pub(crate) env: Env,
}

pub(crate) fn session(namespace: &str) -> (Session, mpsc::UnboundedReceiver<Event>) {
    let env = Env::system();
    let (sender, events) = mpsc::unbounded_channel();
    let session = Session {
        namespace: Namespace::new(namespace).unwrap(),
        node: NodeId::new(env.uuid()),
        env,
        events: EventSender::new(sender),
        connect_timeout: Duration::from_secs(1),
        request_timeout: REQUEST_TIMEOUT,
    };
    (session, events)
}

impl Node {
    pub(crate) async fn open(url: &str) -> Self {
        Self::try_open(url).await.unwrap()
    }

    pub(crate) async fn try_open(url: &str) -> Result<Self, StoreError> {
        let (session, events) = session("tests");
        let store = RedisStore::new(url)?.open(&session).await?;
        Ok(Self {
            store,
            events,
            id: session.node,
            env: session.env,
        })
    }

    pub(crate) fn rid(&self, seq: u64) -> Rid {
        Rid { node: self.id, seq }
    }

    pub(crate) async fn call(&self, op: Op) -> Result<Reply, StoreError> {
        let calls = [LeaseCall {
            name: name("a"),
            op,
        }];
        let mut answers = self.store.leases.execute(&calls).await?;
        assert_eq!(answers.value.len(), 1);
        Ok(answers.value.remove(0))
    }

    /// The next push.
    pub(crate) async fn event(&mut self) -> Event {
        let next = self.env.timeout(Duration::from_secs(5), self.events.recv());
        next.await.expect("a push in time").expect("a sender")
    }

    /// Calls until it is answered.
    pub(crate) async fn answered(&self, op: &Op, within: Duration) -> Reply {
        let deadline = self.env.now() + within;
        loop {
            match self.call(op.clone()).await {
                Ok(reply) => return reply,
                Err(error) if self.env.now() > deadline => panic!("{error}"),
                Err(_) => self.env.sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

pub(crate) fn name(id: &str) -> ResourceName {
    Class::new("mutex").unwrap().resource(id).unwrap()
}

pub(crate) fn acquire(rid: Rid) -> Op {
    Op::Acquire(Acquire {
        rid,
        not_after_us: NEVER,
        weight: Weight::All,
        capacity: Capacity::ONE,
        ttl_us: 30_000_000,
        wait: true,
        want: 1,
        seen: 0,
        label: "a test".into(),
    })
}

pub(crate) fn renew(rid: Rid, renewal: u64) -> Op {
    Op::Renew(Renew {
        rid,
        not_after_us: NEVER,
        renewal,
    })
}

pub(crate) fn release(rid: Rid, reply: &Reply) -> Op {
    let used = match reply {
        Reply::Granted { first, .. } => *first,
        _ => 0,
    };
    Op::Release(Release {
        rid,
        not_after_us: NEVER,
        used,
        close_until_us: 0,
    })
}
