//! A store that loses, delays, repeats and cuts: what the promises are proved under.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    Beat, Capabilities, Connector, Event, EventSender, Events, LeaseCall, Leases, ListQuery,
    Members, Membership, Page, QuotaCall, QuotaReply, Quotas, Registers, Session, Stamped,
    StoreError, StoreErrorKind, StoreHandle, WeakEventSender,
};
use crate::env::Env;
use crate::name::{Bucket, ResourceName};
use crate::protocol::{NodeId, Register, RegisterReply, RegisterWrite, Reply};

/// How often what goes wrong. Rates are of 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// A request is up to this long on its way to the store.
    pub delay_before: Duration,
    /// An answer is up to this long on its way back.
    pub delay_after: Duration,
    /// Requests that never reach the store.
    pub lost_requests: u32,
    /// Requests that take effect and whose answer is lost.
    pub lost_replies: u32,
    /// Of the requests lost either way, those of which a copy reaches the store later. An answered request has none
    /// under way: the connection that answered delivered all of it.
    pub late_copies: u32,
    /// Up to how long after it was sent a late copy arrives.
    pub late_by: Duration,
    /// Of the requests lost either way, those of which nothing is heard until the request timeout; the others fail at
    /// once, as *unknown*.
    pub silences: u32,
    /// Requests that take effect twice, one right after the other, before they are answered.
    pub duplicates: u32,
    /// Requests that the store refuses, typed: nothing is done.
    pub refusals: u32,
    /// Pushes that never arrive.
    pub lost_pushes: u32,
    /// A push is up to this long on its way. So two may change places.
    pub push_delay: Duration,
    /// Pushes that stay on their way up to ten times as long, and so come after many later ones.
    pub late_pushes: u32,
    /// Pushes that arrive twice.
    pub double_pushes: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            delay_before: Duration::ZERO,
            delay_after: Duration::ZERO,
            lost_requests: 0,
            lost_replies: 0,
            late_copies: 0,
            late_by: Duration::ZERO,
            silences: 0,
            duplicates: 0,
            refusals: 0,
            lost_pushes: 0,
            push_delay: Duration::ZERO,
            late_pushes: 0,
            double_pushes: 0,
        }
    }

    /// A network on a bad day: one request of 50 gets lost.
    pub const fn mild() -> Self {
        Self {
            delay_before: Duration::from_millis(5),
            delay_after: Duration::from_millis(5),
            lost_requests: 10,
            lost_replies: 10,
            late_copies: 100,
            late_by: Duration::from_secs(2),
            silences: 300,
            duplicates: 10,
            refusals: 0,
            lost_pushes: 20,
            push_delay: Duration::from_millis(20),
            late_pushes: 20,
            double_pushes: 10,
        }
    }

    /// Worse than any network: one request of four gets lost, and many of those come back later.
    pub const fn wild() -> Self {
        Self {
            delay_before: Duration::from_millis(150),
            delay_after: Duration::from_millis(150),
            lost_requests: 120,
            lost_replies: 130,
            late_copies: 500,
            late_by: Duration::from_secs(8),
            silences: 300,
            duplicates: 100,
            refusals: 0,
            lost_pushes: 300,
            push_delay: Duration::from_millis(800),
            late_pushes: 100,
            double_pushes: 100,
        }
    }
}

/// Any store, behind a network that fails as [`Faults`] say. Clones share it: keep one to change what goes wrong.
///
/// What goes wrong is drawn from [`Env::random`], so that a simulation replays from its seed. A request that its caller
/// has stopped waiting for travels on, as it would on a network. Opening a connection meets cuts and outages, and no
/// other fault.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use leasehold_core::store::{FaultyStore, Faults, MemoryStore};
/// use leasehold_core::{Coordinator, Env};
/// use std::sync::Arc;
///
/// let env = Env::simulated(7);
/// let store = FaultyStore::new(Arc::new(MemoryStore::new()), env.clone(), Faults::none());
/// let coord = Coordinator::builder(store.clone(), "billing").env(env).connect().await?;
/// let guard = coord.mutexes("invoice")?.lock(7).await?;
/// store.cut(coord.node());
/// guard.lost().await;
/// store.heal(coord.node());
/// store.set_faults(Faults::mild());
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Connector>,
    network: Arc<Network>,
}

struct Network {
    env: Env,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    befell: u64,
    cut: BTreeSet<NodeId>,
    outage: bool,
    listeners: Vec<Listener>,
}

impl FaultyStore {
    /// `inner` behind a network with these faults.
    pub fn new(inner: Arc<dyn Connector>, env: Env, faults: Faults) -> Self {
        let state = State {
            faults,
            befell: 0,
            cut: BTreeSet::new(),
            outage: false,
            listeners: Vec::new(),
        };
        let state = Mutex::new(state);
        Self {
            inner,
            network: Arc::new(Network { env, state }),
        }
    }

    /// From now on this goes wrong; what is under way keeps its fate.
    pub fn set_faults(&self, faults: Faults) {
        self.network.state().faults = faults;
    }

    /// Whether nothing goes wrong now.
    pub fn is_calm(&self) -> bool {
        let state = self.network.state();
        state.faults == Faults::none() && state.cut.is_empty() && !state.outage
    }

    /// How many requests and pushes something befell so far that has a rate.
    pub fn befell(&self) -> u64 {
        self.network.state().befell
    }

    /// Nothing passes for `node`, either way, until it is healed. Its requests are lost; what they ask for is not.
    pub fn cut(&self, node: NodeId) {
        self.network.state().cut.insert(node);
    }

    /// Ends a cut. As after a reconnect, the node is told to look again.
    pub fn heal(&self, node: NodeId) {
        let mut state = self.network.state();
        if state.cut.remove(&node) {
            state.recheck(|listener| listener == node);
        }
    }

    /// Nothing passes for anybody until [`recover`](Self::recover).
    pub fn outage(&self) {
        self.network.state().outage = true;
    }

    /// Ends an outage. As after a reconnect, all are told to look again.
    pub fn recover(&self) {
        let mut state = self.network.state();
        if std::mem::take(&mut state.outage) {
            state.recheck(|_| true);
        }
    }
}

impl State {
    fn recheck(&mut self, is_back: impl Fn(NodeId) -> bool) {
        (self.listeners).retain(|listener| listener.to.upgrade().is_some());
        for listener in &self.listeners {
            if is_back(listener.node)
                && let Some(to) = listener.to.upgrade()
            {
                to.send(Event::Recheck);
            }
        }
    }
}

/// A request's fate.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that can happen to it"
)]
struct Fate {
    before: Duration,
    after: Duration,
    reaches: bool,
    is_answered: bool,
    is_silent: bool,
    is_doubled: bool,
    is_refused: bool,
    copy_after: Option<Duration>,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> Faults {
        self.state().faults
    }

    fn passes(&self, node: NodeId) -> bool {
        let state = self.state();
        !state.outage && !state.cut.contains(&node)
    }

    fn chance(&self, of_1000: u32) -> bool {
        let befalls = of_1000 > 0 && self.env.random(1000) < u64::from(of_1000);
        self.state().befell += u64::from(befalls);
        befalls
    }

    fn up_to(&self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.env.random(nanos.saturating_add(1)))
    }

    fn draw(&self) -> Fate {
        let faults = self.faults();
        let reaches = !self.chance(faults.lost_requests);
        let is_answered = reaches && !self.chance(faults.lost_replies);
        let is_copied = !is_answered && self.chance(faults.late_copies);
        Fate {
            before: self.up_to(faults.delay_before),
            after: self.up_to(faults.delay_after),
            reaches,
            is_answered,
            is_silent: self.chance(faults.silences),
            is_doubled: is_answered && self.chance(faults.duplicates),
            is_refused: is_answered && self.chance(faults.refusals),
            copy_after: is_copied.then(|| self.up_to(faults.late_by)),
        }
    }

    /// Takes a push to its node, as often as it arrives.
    fn push(self: &Arc<Self>, to: &Listener, event: &Event) {
        let faults = self.faults();
        let times = if self.chance(faults.lost_pushes) {
            0
        } else {
            1 + u32::from(self.chance(faults.double_pushes))
        };
        for _ in 0..times {
            let longest = if self.chance(faults.late_pushes) {
                faults.push_delay * 10
            } else {
                faults.push_delay
            };
            let after = self.up_to(longest);
            let delivery = Arc::clone(self).deliver(to.clone(), *event, after);
            self.env.spawn(delivery);
        }
    }

    async fn deliver(self: Arc<Self>, listener: Listener, event: Event, after: Duration) {
        self.env.sleep(after).await;
        if self.passes(listener.node) {
            // A node that is paused does not hear it before it resumes.
            listener.env.gated(std::future::ready(())).await;
            if let Some(to) = listener.to.upgrade() {
                to.send(event);
            }
        }
    }
}

/// Where a client's pushes go.
#[derive(Clone)]
struct Listener {
    node: NodeId,
    to: WeakEventSender,
    env: Env,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

struct Connection {
    network: Arc<Network>,
    inner: StoreHandle,
    session: Session,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner.leases)
    }
}

impl Connection {
    /// Sends a request through the network. It travels in a task of its own: a caller that goes away does not call it
    /// back.
    async fn pass<T: Send + 'static>(
        &self,
        operation: &'static str,
        request: impl Fn() -> Answer<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let network = Arc::clone(&self.network);
        let (node, timeout) = (self.session.node, self.session.request_timeout);
        let travel = self.network.env.spawn(async move {
            let (env, fate) = (network.env.clone(), network.draw());
            if let Some(copy_after) = fate.copy_after {
                let (network, copy) = (Arc::clone(&network), request());
                env.spawn(async move {
                    network.env.sleep(copy_after).await;
                    if network.passes(node) {
                        // Nobody hears what became of it.
                        drop(copy.await);
                    }
                });
            }
            let sent = env.now();
            env.sleep(fate.before).await;
            let mut answer = None;
            if fate.reaches && network.passes(node) {
                answer = Some(if fate.is_refused {
                    let kind = StoreErrorKind::Refused;
                    Err(StoreError::new(kind, operation, "refused by the test"))
                } else {
                    let answer = request().await;
                    if fate.is_doubled {
                        // The first one's answer is the one that is heard.
                        drop(request().await);
                    }
                    answer
                });
                env.sleep(fate.after).await;
            }
            match answer {
                Some(answer) if fate.is_answered && network.passes(node) => return answer,
                _ if fate.is_silent => env.sleep_until(sent + timeout).await,
                _ => {}
            }
            Err(StoreError::unknown(operation, "lost on the way"))
        });
        // A node that is paused does not hear the answer before it resumes.
        let travelled = self.session.env.gated(travel).await;
        travelled.unwrap_or_else(|_| Err(StoreError::unknown(operation, "the runtime stopped")))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Connector for FaultyStore {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let node = session.node;
        if !self.network.passes(node) {
            return Err(StoreError::unknown("connect", "the network is down"));
        }
        let (events_in, mut events) = mpsc::unbounded_channel();
        let listener = Listener {
            node,
            to: session.events.downgrade(),
            env: session.env.clone(),
        };
        let network = Arc::clone(&self.network);
        let behind = Session {
            events: EventSender::new(events_in),
            // The store's time is its own, also for a node whose clock drifts.
            env: network.env.clone(),
            ..session.clone()
        };
        let inner = self.inner.open(&behind).await?;
        network.state().listeners.push(listener.clone());
        self.network.env.spawn(async move {
            while let Some(event) = events.recv().await {
                network.push(&listener, &event);
            }
        });
        Ok(StoreHandle::of(Arc::new(Connection {
            network: Arc::clone(&self.network),
            inner,
            session: session.clone(),
        })))
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Leases for Connection {
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        let (leases, calls) = (Arc::clone(&self.inner.leases), Arc::from(calls));
        self.pass("request", move || {
            let (leases, calls): (_, Arc<[LeaseCall]>) = (Arc::clone(&leases), Arc::clone(&calls));
            Box::pin(async move { leases.execute(&calls).await })
        })
        .await
    }

    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError> {
        let (leases, floors) = (Arc::clone(&self.inner.leases), floors.to_vec());
        self.pass("raise floors", move || {
            let (leases, floors) = (Arc::clone(&leases), floors.clone());
            Box::pin(async move { leases.raise_floors(&floors).await })
        })
        .await
    }

    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        let (leases, query) = (Arc::clone(&self.inner.leases), query.clone());
        self.pass("list", move || {
            let (leases, query) = (Arc::clone(&leases), query.clone());
            Box::pin(async move { leases.list(&query).await })
        })
        .await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.leases.capabilities()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Registers for Connection {
    async fn read(
        &self,
        names: &[ResourceName],
    ) -> Result<Stamped<Vec<Option<Register>>>, StoreError> {
        let (registers, names) = (Arc::clone(&self.inner.registers), Arc::from(names));
        self.pass("read", move || {
            let (registers, names): (_, Arc<[ResourceName]>) =
                (Arc::clone(&registers), Arc::clone(&names));
            Box::pin(async move { registers.read(&names).await })
        })
        .await
    }

    async fn write(
        &self,
        name: &ResourceName,
        write: &RegisterWrite,
    ) -> Result<Stamped<RegisterReply>, StoreError> {
        let registers = Arc::clone(&self.inner.registers);
        let (name, write) = (name.clone(), write.clone());
        self.pass("write", move || {
            let (registers, name, write) = (Arc::clone(&registers), name.clone(), write.clone());
            Box::pin(async move { registers.write(&name, &write).await })
        })
        .await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Quotas for Connection {
    async fn quotas(&self, calls: &[QuotaCall]) -> Result<Stamped<Vec<QuotaReply>>, StoreError> {
        let (quotas, calls) = (Arc::clone(&self.inner.quotas), Arc::from(calls));
        self.pass("quota", move || {
            let (quotas, calls): (_, Arc<[QuotaCall]>) = (Arc::clone(&quotas), Arc::clone(&calls));
            Box::pin(async move { quotas.quotas(&calls).await })
        })
        .await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Members for Connection {
    async fn beat(&self, beat: &Beat) -> Result<Stamped<Membership>, StoreError> {
        let (members, beat) = (Arc::clone(&self.inner.members), beat.clone());
        self.pass("heartbeat", move || {
            let (members, beat) = (Arc::clone(&members), beat.clone());
            Box::pin(async move { members.beat(&beat).await })
        })
        .await
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        let members = Arc::clone(&self.inner.members);
        self.pass("leave", move || {
            let members = Arc::clone(&members);
            Box::pin(async move { members.leave(node).await })
        })
        .await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Events for Connection {
    async fn listen(&self, bucket: Bucket) -> Result<(), StoreError> {
        let events = Arc::clone(&self.inner.events);
        self.pass("listen", move || {
            let events = Arc::clone(&events);
            Box::pin(async move { events.listen(bucket).await })
        })
        .await
    }
}
