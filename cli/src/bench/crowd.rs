//! One resource with many holders and many waiters: what an operation on it takes.
//!
//! At the store's contract: a client would keep most of these requests to itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use leasehold::core::protocol::{Acquire, Capacity, Op, Release, Renew, Reply, Rid, Weight};
use leasehold::core::store::{Connector, EventSender, LeaseCall, Leases, Session, StoreError};
use leasehold::core::{Class, Namespace, ResourceName};
use leasehold::{Env, Error, NodeId};
use tokio::sync::mpsc;

use super::progress::Progress;
use super::report::{Report, Times, micros, rounded};
use crate::exit::Failure;
use crate::place::label;

/// Nobody's time is over meanwhile.
const TTL_US: u64 = 3600 * 1_000_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How many there are at any time, and how many of them ask at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) holders: u32,
    pub(super) waiters: u32,
    pub(super) at_once: u32,
}

/// The resource, and who has and who wants it.
pub(super) struct Crowd {
    asker: Arc<Asker>,
    at_once: usize,
    holding: VecDeque<(Rid, u64)>,
    waiting: VecDeque<Rid>,
    seq: u64,
    renewal: u64,
    /// How many waiters have said that they live.
    heard: usize,
    times: Vec<Duration>,
}

impl Crowd {
    pub(super) async fn gather(
        connector: &dyn Connector,
        namespace: &str,
        size: Size,
    ) -> Result<Self, Failure> {
        let mut crowd = Self {
            asker: Arc::new(Asker::open(connector, namespace, size.holders).await?),
            at_once: size.at_once.max(1) as usize,
            holding: VecDeque::new(),
            waiting: VecDeque::new(),
            seq: 0,
            renewal: 0,
            heard: 0,
            times: Vec::new(),
        };
        for rid in crowd.next(size.holders as usize) {
            match crowd.asker.call(crowd.asker.ask(rid)).await?.0 {
                Reply::Granted { first, .. } => crowd.holding.push_back((rid, first)),
                other => return Err(unexpected(&other)),
            }
        }
        // In the order of the list, so one after the other.
        for rid in crowd.next(size.waiters as usize) {
            match crowd.asker.call(crowd.asker.ask(rid)).await?.0 {
                Reply::Queued { .. } => crowd.waiting.push_back(rid),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(crowd)
    }

    /// Rounds of four: some holders go and the first waiters get their places, who claim them; as many come; as many that
    /// wait say that they live.
    pub(super) async fn measure(
        mut self,
        count: u32,
        mut report: Report,
        progress: &Progress,
    ) -> Result<Report, Failure> {
        let env = self.asker.session.env.clone();
        let began = env.now();
        let mut round = 0;
        while self.times.len() < count as usize {
            let left = count as usize - self.times.len();
            let some = self.at_once.min(left);
            match round % 4 {
                0 => self.go(some).await?,
                1 => self.claim(some).await?,
                2 => self.come(some).await?,
                _ => self.live(some).await?,
            }
            round += 1;
            progress.at(self.times.len() as u64);
        }
        let took = env.now().since(began);
        progress.done();
        let (ops, times) = (
            self.times.len(),
            Times::new(std::mem::take(&mut self.times)),
        );
        self.disperse().await?;
        report = report
            .with("ops", ops)
            .with("p50_us", micros(times.percentile(50)))
            .with("p99_us", micros(times.percentile(99)));
        Ok(report.with("secs", rounded(took.as_secs_f64())))
    }

    fn next(&mut self, many: usize) -> Vec<Rid> {
        let seqs = self.seq + 1..=self.seq + many as u64;
        self.seq += many as u64;
        let node = self.asker.session.node;
        seqs.map(|seq| Rid { node, seq }).collect()
    }

    /// All at once. The answers must be as `expected` says.
    async fn call(&mut self, ops: Vec<Op>, expected: fn(&Reply) -> bool) -> Result<(), Failure> {
        let calls: Vec<_> = ops
            .into_iter()
            .map(|op| {
                let asker = Arc::clone(&self.asker);
                (self.asker.session.env).spawn(async move { asker.call(op).await })
            })
            .collect();
        for call in calls {
            let ended = call.await;
            let (reply, took) = ended.map_err(|e| Failure::Io("a task failed", e.into()))??;
            if !expected(&reply) {
                return Err(unexpected(&reply));
            }
            self.times.push(took);
        }
        Ok(())
    }

    async fn go(&mut self, many: usize) -> Result<(), Failure> {
        let going: Vec<_> = (self.holding)
            .drain(..many.min(self.holding.len()))
            .collect();
        let ops = going.iter().map(|(rid, used)| self.asker.end(*rid, *used));
        let ops = ops.collect();
        self.call(ops, |reply| matches!(reply, Reply::Released { .. }))
            .await?;
        // Nobody listens to the pushes: who waits is in turn in the order it came.
        let installed = self.waiting.drain(..going.len().min(self.waiting.len()));
        self.holding.extend(installed.map(|rid| (rid, 0)));
        Ok(())
    }

    async fn claim(&mut self, many: usize) -> Result<(), Failure> {
        self.renewal += 1;
        let newest = self.holding.iter().rev().take(many);
        let ops = newest.map(|(rid, _)| self.asker.renew(*rid, self.renewal));
        let ops = ops.collect();
        self.call(ops, |reply| matches!(reply, Reply::Renewed { .. }))
            .await
    }

    async fn come(&mut self, many: usize) -> Result<(), Failure> {
        // Sent in this order over one connection, and so queued in it.
        let coming = self.next(many);
        let ops = coming.iter().map(|rid| self.asker.ask(*rid)).collect();
        self.waiting.extend(coming);
        self.call(ops, |reply| matches!(reply, Reply::Queued { .. }))
            .await
    }

    async fn live(&mut self, many: usize) -> Result<(), Failure> {
        // Each is heard from in its turn.
        let start = self.heard.checked_rem(self.waiting.len()).unwrap_or(0);
        self.heard = self.heard.wrapping_add(many);
        let some = self.waiting.iter().cycle().skip(start).take(many);
        let ops = some.map(|rid| self.asker.ask(*rid)).collect();
        self.call(ops, |reply| matches!(reply, Reply::Queued { .. }))
            .await
    }

    async fn disperse(&mut self) -> Result<(), Failure> {
        while let Some(rid) = self.waiting.pop_back() {
            self.asker.call(self.asker.end(rid, 0)).await?;
        }
        while let Some((rid, fence)) = self.holding.pop_back() {
            self.asker.call(self.asker.end(rid, fence)).await?;
        }
        Ok(())
    }
}

/// Who asks the store, for all of them.
struct Asker {
    leases: Arc<dyn Leases>,
    name: ResourceName,
    session: Session,
    capacity: Capacity,
    not_after_us: u64,
    label: String,
}

impl Asker {
    async fn open(
        connector: &dyn Connector,
        namespace: &str,
        capacity: u32,
    ) -> Result<Self, Failure> {
        let env = Env::system();
        let (events, _) = mpsc::unbounded_channel();
        let session = Session {
            namespace: Namespace::new(namespace).map_err(Error::from)?,
            node: NodeId::new(env.uuid()),
            env,
            events: EventSender::new(events),
            connect_timeout: REQUEST_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        };
        let store = connector.open(&session).await.map_err(failed)?;
        let class = Class::new("bench").map_err(Error::from)?;
        let id = format!("crowd-{}", std::process::id());
        let mut asker = Self {
            leases: store.leases,
            name: class.resource(id).map_err(Error::from)?,
            session,
            capacity: Capacity {
                size: capacity,
                revision: 0,
            },
            not_after_us: 0,
            label: label(Some("bench")),
        };
        let calls = [asker.of(Op::Inspect)];
        let answer = asker.leases.execute(&calls).await.map_err(failed)?;
        asker.not_after_us = answer.now.lease_us.saturating_add(TTL_US);
        Ok(asker)
    }

    fn of(&self, op: Op) -> LeaseCall {
        LeaseCall {
            name: self.name.clone(),
            op,
        }
    }

    /// The answer, and how long it took.
    async fn call(&self, op: Op) -> Result<(Reply, Duration), Failure> {
        let calls = [self.of(op)];
        let asked = self.session.env.now();
        let mut answer = self.leases.execute(&calls).await.map_err(failed)?;
        Ok((answer.value.remove(0), self.session.env.now().since(asked)))
    }

    fn ask(&self, rid: Rid) -> Op {
        Op::Acquire(Acquire {
            rid,
            not_after_us: self.not_after_us,
            weight: Weight::ONE,
            capacity: self.capacity,
            ttl_us: TTL_US,
            wait: true,
            want: 1,
            seen: 0,
            label: self.label.as_str().into(),
        })
    }

    fn end(&self, rid: Rid, used: u64) -> Op {
        Op::Release(Release {
            rid,
            not_after_us: self.not_after_us,
            used,
            close_until_us: 0,
        })
    }

    fn renew(&self, rid: Rid, renewal: u64) -> Op {
        Op::Renew(Renew {
            rid,
            not_after_us: self.not_after_us,
            renewal,
        })
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::Busy(format!(
        "the crowd got an answer it did not expect: {reply:?}"
    ))
}

fn failed(error: StoreError) -> Failure {
    Error::from_store("the crowd", error).into()
}
