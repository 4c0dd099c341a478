//! One resource with many holders and many waiters: what an operation on it takes.
//!
//! At the store's contract: a client would keep most of these requests to itself.

use std::collections::VecDeque;
use std::time::Duration;

use leasehold::core::protocol::{Acquire, Capacity, Op, Release, Renew, Reply, Rid, Weight};
use leasehold::core::store::{Connector, LeaseCall, Leases, Session, StoreError};
use leasehold::core::{Class, Namespace, ResourceName};
use leasehold::{Env, Error, NodeId};
use tokio::sync::mpsc;

use super::progress::Progress;
use super::report::{Report, Times, micros, rounded};
use crate::exit::Failure;

/// Nobody's time is over meanwhile.
const TTL: Duration = Duration::from_hours(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How many there are at any time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) holders: u32,
    pub(super) waiters: u32,
}

/// The resource, and who has and who wants it.
pub(super) struct Crowd {
    leases: std::sync::Arc<dyn Leases>,
    name: ResourceName,
    session: Session,
    capacity: Capacity,
    not_after_us: u64,
    holding: VecDeque<(Rid, u64)>,
    waiting: VecDeque<Rid>,
    seq: u64,
    renewal: u64,
}

impl Crowd {
    pub(super) async fn gather(
        connector: &dyn Connector,
        namespace: &str,
        size: Size,
    ) -> Result<Self, Failure> {
        let env = Env::system();
        let (events, _) = mpsc::unbounded_channel();
        let session = Session {
            namespace: Namespace::new(namespace).map_err(Error::from)?,
            node: NodeId::new(env.uuid()),
            env,
            events,
            connect_timeout: REQUEST_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        };
        let store = connector.open(&session).await.map_err(failed)?;
        let class = Class::new("bench").map_err(Error::from)?;
        let id = format!("crowd-{}", std::process::id());
        let mut crowd = Self {
            leases: store.leases,
            name: class.resource(id).map_err(Error::from)?,
            session,
            capacity: Capacity {
                size: size.holders,
                revision: 0,
            },
            not_after_us: 0,
            holding: VecDeque::new(),
            waiting: VecDeque::new(),
            seq: 0,
            renewal: 0,
        };
        crowd.set_deadline().await?;
        for _ in 0..size.holders {
            let rid = crowd.next();
            match crowd.ask(rid).await? {
                Reply::Granted { first, .. } => crowd.holding.push_back((rid, first)),
                other => return Err(unexpected(&other)),
            }
        }
        for _ in 0..size.waiters {
            crowd.come().await?;
        }
        Ok(crowd)
    }

    /// Turns of four: the oldest holder goes and the first waiter gets its place, which claims it, another comes, and one
    /// that waits says that it lives.
    pub(super) async fn measure(
        mut self,
        count: u32,
        mut report: Report,
        progress: &Progress,
    ) -> Result<Report, Failure> {
        let env = self.session.env.clone();
        let mut times = Vec::with_capacity(count as usize);
        let began = env.now();
        for n in 0..count {
            let asked = env.now();
            match n % 4 {
                0 => self.go().await?,
                1 => self.claim().await?,
                2 => self.come().await?,
                _ => self.live().await?,
            }
            times.push(env.now().since(asked));
            progress.at(n.into());
        }
        let took = env.now().since(began);
        progress.done();
        self.disperse().await?;
        let (ops, times) = (times.len(), Times::new(times));
        report = report
            .with("ops", ops)
            .with("p50_us", micros(times.percentile(50)))
            .with("p99_us", micros(times.percentile(99)));
        Ok(report.with("secs", rounded(took.as_secs_f64())))
    }

    async fn set_deadline(&mut self) -> Result<(), Failure> {
        let calls = [LeaseCall {
            name: self.name.clone(),
            op: Op::Inspect,
        }];
        let answer = self.leases.execute(&calls).await.map_err(failed)?;
        let lasts = u64::try_from(TTL.as_micros()).unwrap_or(u64::MAX);
        self.not_after_us = answer.now.lease_us.saturating_add(lasts);
        Ok(())
    }

    fn next(&mut self) -> Rid {
        self.seq += 1;
        Rid {
            node: self.session.node,
            seq: self.seq,
        }
    }

    async fn call(&self, op: Op) -> Result<Reply, Failure> {
        let calls = [LeaseCall {
            name: self.name.clone(),
            op,
        }];
        let mut answer = self.leases.execute(&calls).await.map_err(failed)?;
        Ok(answer.value.remove(0))
    }

    async fn ask(&self, rid: Rid) -> Result<Reply, Failure> {
        let op = Op::Acquire(Acquire {
            rid,
            not_after_us: self.not_after_us,
            weight: Weight::ONE,
            capacity: self.capacity,
            ttl_us: u64::try_from(TTL.as_micros()).unwrap_or(u64::MAX),
            wait: true,
            want: 1,
            seen: 0,
            label: super::label(Some("bench")),
        });
        self.call(op).await
    }

    async fn come(&mut self) -> Result<(), Failure> {
        let rid = self.next();
        self.waiting.push_back(rid);
        match self.ask(rid).await? {
            Reply::Queued { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn end(&self, rid: Rid, used: u64) -> Result<(), Failure> {
        let op = Op::Release(Release {
            rid,
            not_after_us: self.not_after_us,
            used,
            close_until_us: 0,
        });
        match self.call(op).await? {
            Reply::Released { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn go(&mut self) -> Result<(), Failure> {
        let Some((rid, fence)) = self.holding.pop_front() else {
            return Ok(());
        };
        self.end(rid, fence).await?;
        // Nobody listens to the push that tells it so: they are in turn in the order they came.
        let installed = self.waiting.pop_front();
        self.holding.extend(installed.map(|rid| (rid, 0)));
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        let Some((rid, _)) = self.holding.back().copied() else {
            return Ok(());
        };
        self.renewal += 1;
        let op = Op::Renew(Renew {
            rid,
            not_after_us: self.not_after_us,
            renewal: self.renewal,
        });
        match self.call(op).await? {
            Reply::Renewed { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn live(&mut self) -> Result<(), Failure> {
        // Whoever has waited longest without a word, more or less: each is heard from in its turn.
        let Some(at) = (self.renewal as usize).checked_rem(self.waiting.len()) else {
            return Ok(());
        };
        match self.ask(self.waiting[at]).await? {
            Reply::Queued { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn disperse(&mut self) -> Result<(), Failure> {
        while let Some(rid) = self.waiting.pop_back() {
            self.end(rid, 0).await?;
        }
        while let Some((rid, fence)) = self.holding.pop_back() {
            self.end(rid, fence).await?;
        }
        Ok(())
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::Busy(format!("the crowd got an answer it did not expect: {reply:?}"))
}

fn failed(error: StoreError) -> Failure {
    Error::from_store("the crowd", error).into()
}
