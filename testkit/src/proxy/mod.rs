//! A TCP proxy that loses what a test wants lost.

mod flow;
mod weather;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::wait::{holds_within, wait_until};
use flow::{Flow, forward};
pub use weather::Direction;
use weather::{Mode, Weather};

/// As long as a listener may take to come or go on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stands between a client and a server on a port of 127.0.0.1, and does to the connections through it what networks do.
///
/// What is set stays until [`heal`](Self::heal), and the settings combine. A flow that lost bytes never carries later
/// ones, as TCP never does: it is silent until it is cut, which [`heal`](Self::heal) does. It runs on a thread of its
/// own, ends with all its flows when it is dropped, and can be used from blocking and from asynchronous tests.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use leasehold_testkit::{Direction, Proxy, RedisServer};
///
/// let server = RedisServer::start();
/// let proxy = Proxy::start(server.port());
/// let _address = format!("redis://127.0.0.1:{}", proxy.port());
///
/// proxy.delay(Direction::ToClient, Duration::from_millis(200));
/// proxy.swallow_replies();
/// proxy.heal();
/// proxy.cut();
/// ```
#[must_use = "dropping it cuts every flow"]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: Mutex<Option<JoinHandle<()>>>,
    // An `Option` for `drop` to take it out.
    runtime: Option<Runtime>,
}

/// What the flows and the handle share.
struct Shared {
    target: AtomicU16,
    weather: watch::Sender<Weather>,
    flows: Mutex<Flows>,
    lost_bytes: AtomicU64,
}

/// Numbered in the order in which they were made.
#[derive(Default)]
struct Flows {
    made: u64,
    open: BTreeSet<u64>,
}

impl Shared {
    fn target(&self) -> u16 {
        self.target.load(Ordering::SeqCst)
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().expect("nobody panics holding it")
    }
}

impl Proxy {
    /// Starts a proxy to 127.0.0.1:`target`, which needs not listen yet. Everything passes.
    ///
    /// # Panics
    ///
    /// When the machine has no free port, or no thread.
    #[track_caller]
    pub fn start(target: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("the machine has a thread left");
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let proxy = Self {
            port: address.port(),
            shared: Arc::new(Shared {
                target: AtomicU16::new(target),
                weather: watch::Sender::new(Weather::default()),
                flows: Mutex::default(),
                lost_bytes: AtomicU64::new(0),
            }),
            listening: Mutex::new(None),
            runtime: Some(runtime),
        };
        proxy.listen(listener);
        proxy
    }

    /// Where clients connect to, the same all the time.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New flows lead to 127.0.0.1:`target` from now on, as when an address moves to the successor of a server; those
    /// there are stay with theirs.
    pub fn redirect(&self, target: u16) {
        self.shared.target.store(target, Ordering::SeqCst);
    }

    /// Closes every flow there is, towards both ends. New ones are made as before.
    ///
    /// # Panics
    ///
    /// When the machine is too busy to close them within ten seconds.
    #[track_caller]
    pub fn cut(&self) {
        assert!(self.try_cut(), "the flows did not end within {PATIENCE:?}");
    }

    fn try_cut(&self) -> bool {
        let next = self.shared.flows().made;
        self.change(|weather| weather.cut_below = next);
        holds_within(PATIENCE, || {
            self.shared.flows().open.range(..next).next().is_none()
        })
    }

    /// The flows there are stay open and carry nothing any more, as when a router forgot them; new ones pass.
    pub fn freeze(&self) {
        let next = self.shared.flows().made;
        self.change(|weather| weather.frozen_below = next);
    }

    /// Every flow, present and new, stays open and carries nothing: connections are accepted, and nobody answers.
    pub fn black_hole(&self) {
        self.change(|weather| weather.mode = Mode::BlackHole);
    }

    /// Requests arrive and are carried out, and their replies are lost, in present and new flows.
    pub fn swallow_replies(&self) {
        self.change(|weather| weather.mode = Mode::SwallowReplies);
    }

    /// What goes in `direction` arrives `by` later, and in order. A later call also counts for what is under way: a very
    /// long delay holds everything back, and a short one after it lets it arrive late.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.change(|weather| *weather.delay_mut(direction) = by);
    }

    /// New connections are refused; the flows there are go on (for a server that is gone, [`cut`](Self::cut) them too).
    pub fn refuse(&self) {
        let task = self.listening().take();
        if let Some(task) = task {
            task.abort();
            wait_until(PATIENCE, "the proxy's listener to go", || {
                task.is_finished()
            });
        }
    }

    /// Everything passes again, without delay, and connections are accepted. Flows that lost bytes are cut.
    ///
    /// # Panics
    ///
    /// When another process took the port while connections were [refused](Self::refuse), and keeps it.
    #[track_caller]
    pub fn heal(&self) {
        self.change(Weather::heal);
        if self.listening().is_some() {
            return;
        }
        wait_until(PATIENCE, "the proxy's port", || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            TcpListener::bind(address).is_ok_and(|listener| {
                self.listen(listener);
                true
            })
        });
    }

    /// How many flows are open now.
    pub fn open_flows(&self) -> usize {
        self.shared.flows().open.len()
    }

    /// How many flows were made in all.
    pub fn made_flows(&self) -> u64 {
        self.shared.flows().made
    }

    /// How many bytes, of requests and replies, were lost on the way so far.
    pub fn lost_bytes(&self) -> u64 {
        self.shared.lost_bytes.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.shared.weather.send_modify(change);
    }

    fn listening(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.listening.lock().expect("nobody panics holding it")
    }

    fn listen(&self, listener: TcpListener) {
        listener
            .set_nonblocking(true)
            .expect("a fresh listener takes the mode");
        let runtime = self.runtime.as_ref().expect("taken only by `drop`");
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is non-blocking");
        let shared = Arc::clone(&self.shared);
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                let flow = Flow::make(Arc::clone(&shared));
                tokio::spawn(forward(flow, client));
            }
        };
        *self.listening() = Some(runtime.spawn(accepting));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Without a panic, which would hide the test's own: there is nobody left to tell.
        if let Some(task) = self.listening().take() {
            task.abort();
            holds_within(PATIENCE, || task.is_finished());
        }
        self.try_cut();
        if let Some(runtime) = self.runtime.take() {
            // Its tasks have ended; waiting for its thread would panic in an asynchronous test.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("port", &self.port)
            .field("target", &self.shared.target())
            .field("weather", &*self.shared.weather.borrow())
            .field("open_flows", &self.open_flows())
            .finish_non_exhaustive()
    }
}
