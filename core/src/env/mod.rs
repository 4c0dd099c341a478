//! The only source of time, sleep, spawning and chance.
//!
//! In production time is `CLOCK_BOOTTIME` (it goes on while a laptop sleeps, which `Instant` on Linux does not). In a
//! simulation it is tokio's paused clock and everything runs on the one runtime, so that a seed replays exactly.

#[cfg(feature = "test-util")]
mod gate;

use std::fmt;
use std::future::Future;
use std::ops::Add;
#[cfg(feature = "test-util")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;

#[cfg(feature = "test-util")]
use gate::Gate;

/// An instant on [`Env`]'s clock, in nanoseconds since an origin that means nothing. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// A moment that never comes.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// From nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The last whole multiple of `step` since the origin.
    pub fn round_down(self, step: Duration) -> Self {
        Self(self.0 - self.0 % nanos(step).max(1))
    }

    /// This moment less `duration`; the origin at the least.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The deadline came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within the deadline")]
pub struct Elapsed;

/// Time, sleep, spawning and chance. Cheap to clone.
#[derive(Clone)]
pub struct Env(Arc<Inner>);

struct Inner {
    clock: Clock,
    rng: Arc<Mutex<fastrand::Rng>>,
    #[cfg(feature = "test-util")]
    gate: Option<Arc<Gate>>,
    /// Nanoseconds that were leapt over: they passed for tokio, and not here.
    #[cfg(feature = "test-util")]
    leapt: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Clock {
    System,
    /// tokio's, which may be paused; `drift_ppm` is how much faster than it this node's runs.
    #[cfg(feature = "test-util")]
    Paused {
        origin: tokio::time::Instant,
        drift_ppm: i32,
    },
}

/// Parts of a million.
#[cfg(feature = "test-util")]
const MILLION: u64 = 1_000_000;

/// How fast a clock with this drift runs, in parts of a million.
#[cfg(feature = "test-util")]
fn speed(drift_ppm: i32) -> u64 {
    MILLION.saturating_add_signed(drift_ppm.into())
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.clock {
            Clock::System => "Env(system)",
            #[cfg(feature = "test-util")]
            Clock::Paused { .. } => "Env(simulated)",
        })
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::system()
    }
}

// The one place in which the banned clocks, sleeps and spawns are wrapped.
#[allow(clippy::disallowed_methods)]
impl Env {
    /// The real clock, threads and chance.
    pub fn system() -> Self {
        Self(Arc::new(Inner {
            clock: Clock::System,
            rng: Arc::new(Mutex::new(fastrand::Rng::new())),
            #[cfg(feature = "test-util")]
            gate: None,
            #[cfg(feature = "test-util")]
            leapt: Arc::default(),
        }))
    }

    /// tokio's own clock (paused in a `start_paused` test) and chance from a seed; nothing leaves the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "test-util")]
    pub fn simulated(seed: u64) -> Self {
        Self(Arc::new(Inner {
            clock: Clock::Paused {
                origin: tokio::time::Instant::now(),
                drift_ppm: 0,
            },
            rng: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            gate: None,
            leapt: Arc::default(),
        }))
    }

    /// The environment of one node of a simulation: shares this one's clock and chance, and what it spawns or sleeps in
    /// stands still between [`pause`](Self::pause) and [`resume`](Self::resume). Give it to that node's client.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// use leasehold_core::Env;
    /// use std::time::Duration;
    ///
    /// let env = Env::simulated(7);
    /// let node = env.node();
    /// let start = env.now();
    /// node.pause();
    /// let nap = {
    ///     let node = node.clone();
    ///     env.spawn(async move { node.sleep(Duration::from_secs(1)).await })
    /// };
    /// env.sleep(Duration::from_secs(60)).await;
    /// node.resume();
    /// nap.await.unwrap();
    /// assert!(env.now().since(start) >= Duration::from_secs(60));
    /// # });
    /// ```
    #[cfg(feature = "test-util")]
    pub fn node(&self) -> Self {
        self.node_with_drift(0)
    }

    /// As [`node`](Self::node), with a monotonic clock that runs faster than the others' by `drift_ppm` millionths of
    /// it. Its moments are not comparable with those of another node.
    #[cfg(feature = "test-util")]
    pub fn node_with_drift(&self, drift_ppm: i32) -> Self {
        let clock = match self.0.clock {
            Clock::System => Clock::System,
            Clock::Paused { origin, .. } => Clock::Paused { origin, drift_ppm },
        };
        Self(Arc::new(Inner {
            clock,
            rng: Arc::clone(&self.0.rng),
            gate: Some(Arc::default()),
            leapt: Arc::clone(&self.0.leapt),
        }))
    }

    /// Stops a [`node`](Self::node), as SIGSTOP does: its tasks are not polled, its sleeps do not end. Its requests
    /// that are under way travel on. Has no effect on what is no node.
    #[cfg(feature = "test-util")]
    pub fn pause(&self) {
        if let Some(gate) = &self.0.gate {
            gate.shut();
        }
    }

    /// Ends a pause. Timers that were due meanwhile fire now.
    #[cfg(feature = "test-util")]
    pub fn resume(&self) {
        if let Some(gate) = &self.0.gate {
            gate.open();
        }
    }

    /// Whether this is a node that is paused.
    #[cfg(feature = "test-util")]
    pub fn is_paused(&self) -> bool {
        self.0.gate.as_ref().is_some_and(|gate| gate.is_shut())
    }

    /// Lets `by` pass for tokio, at once, and not on this clock nor on those of its nodes: what sleeps here goes on
    /// sleeping. `leapt` is called in that instant, before any task runs.
    ///
    /// # Panics
    /// If time is not paused.
    #[cfg(feature = "test-util")]
    pub(crate) async fn leap(&self, by: Duration, leapt: impl FnOnce()) {
        let mut advanced = std::pin::pin!(tokio::time::advance(by));
        let mut leapt = Some(leapt);
        std::future::poll_fn(|context| {
            // Its first poll moves tokio's clock, and then gives way.
            let polled = advanced.as_mut().poll(context);
            if let Some(leapt) = leapt.take() {
                self.0.leapt.fetch_add(nanos(by), Ordering::Relaxed);
                leapt();
            }
            polled
        })
        .await;
    }

    /// `future`, not polled while this node is paused.
    #[cfg(feature = "test-util")]
    pub async fn gated<F: Future>(&self, future: F) -> F::Output {
        match &self.0.gate {
            Some(gate) => gate.hold(future).await,
            None => future.await,
        }
    }

    /// Whether time is simulated.
    pub fn is_simulated(&self) -> bool {
        !matches!(self.0.clock, Clock::System)
    }

    /// The monotonic time.
    pub fn now(&self) -> Moment {
        match &self.0.clock {
            Clock::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let (seconds, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
                Moment(seconds * 1_000_000_000 + nanos)
            }
            // A second's start keeps "some time before the simulation began" representable.
            #[cfg(feature = "test-util")]
            Clock::Paused { origin, drift_ppm } => {
                let leapt = self.0.leapt.load(Ordering::Relaxed);
                let elapsed = u128::from(nanos(origin.elapsed()).saturating_sub(leapt))
                    * u128::from(speed(*drift_ppm));
                let elapsed = u64::try_from(elapsed / u128::from(MILLION)).unwrap_or(u64::MAX);
                Moment(1_000_000_000_u64.saturating_add(elapsed))
            }
        }
    }

    /// Waits until `moment`. Looks at the clock at least every second, since a suspended machine stops timers, not time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn sleep_until(&self, moment: Moment) {
        self.sleep_from(self.now(), moment).await;
    }

    /// The same, for who has just looked at the clock.
    async fn sleep_from(&self, mut now: Moment, moment: Moment) {
        loop {
            let left = moment.since(now);
            if left.is_zero() {
                break;
            }
            let step = match self.0.clock {
                Clock::System => left.min(Duration::from_secs(1)),
                // A drifting clock needs another look at the end.
                #[cfg(feature = "test-util")]
                Clock::Paused { .. } => left.min(Duration::from_secs(86_400)),
            };
            tokio::time::sleep(step).await;
            now = self.now();
        }
        // Also what was spawned past the gate stands still at its next sleep.
        #[cfg(feature = "test-util")]
        self.gated(std::future::ready(())).await;
    }

    /// Waits for `duration`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Runs `future` until `deadline`.
    ///
    /// # Cancel safety
    /// As `future`.
    pub async fn timeout_at<F: Future>(
        &self,
        deadline: Moment,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep_until(deadline) => Err(Elapsed),
        }
    }

    /// As [`timeout_at`](Self::timeout_at), for who has just looked at the clock.
    ///
    /// # Cancel safety
    /// As `future`.
    pub async fn timeout_from<F: Future>(
        &self,
        now: Moment,
        deadline: Moment,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep_from(now, deadline) => Err(Elapsed),
        }
    }

    /// Runs `future` for at most `duration`.
    pub async fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let now = self.now();
        self.timeout_from(now, now + duration, future).await
    }

    /// Spawns on the caller's runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        #[cfg(feature = "test-util")]
        if let Some(gate) = self.0.gate.clone() {
            return tokio::spawn(async move { gate.hold(future).await });
        }
        tokio::spawn(future)
    }

    /// Spawns on that runtime, whichever the caller's is: for what must go on when the caller's is not run any more.
    pub fn spawn_on<F>(&self, runtime: &tokio::runtime::Handle, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        #[cfg(feature = "test-util")]
        if let Some(gate) = self.0.gate.clone() {
            return runtime.spawn(async move { gate.hold(future).await });
        }
        runtime.spawn(future)
    }

    /// Lets those tasks run that are ready now. (Not `tokio::task::yield_now`, which comes back after a look at the network,
    /// and of several who wait for that the last one first.)
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn give_way(&self) {
        let mut gave = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut gave, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A number in `0..bound` (0 for a bound of 0).
    pub fn random(&self, bound: u64) -> u64 {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.u64(0..bound.max(1))
    }

    /// `duration`, more or less by up to a tenth.
    pub fn jittered(&self, duration: Duration) -> Duration {
        let tenth = nanos(duration) / 10;
        let shift = self.random(tenth.saturating_mul(2).saturating_add(1));
        Duration::from_nanos(nanos(duration).saturating_sub(tenth).saturating_add(shift))
    }

    /// A new identity for a client.
    pub fn uuid(&self) -> uuid::Uuid {
        match self.0.clock {
            Clock::System => uuid::Uuid::now_v7(),
            #[cfg(feature = "test-util")]
            Clock::Paused { .. } => {
                let (high, low) = (self.random(u64::MAX), self.random(u64::MAX));
                uuid::Uuid::from_u64_pair(high, low)
            }
        }
    }

    /// The thread on which a client's renewals run: busy workers of the caller's runtime cost it no lease.
    pub fn background(&self) -> std::io::Result<Background> {
        if self.is_simulated() {
            return Ok(Background {
                runtime: tokio::runtime::Handle::current(),
                #[cfg(feature = "test-util")]
                env: self.clone(),
                _stop: None,
            });
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (built, handle) = std::sync::mpsc::sync_channel(1);
        // Built in its thread: a runtime must not be dropped on another one, should the thread not start.
        std::thread::Builder::new()
            .name("leasehold".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
                let handle =
                    handle.map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
                // The caller waits for exactly this.
                drop(built.send(handle));
                if let Ok(runtime) = runtime {
                    runtime.block_on(async { drop(stopped.await) });
                }
            })?;
        let ended = || std::io::Error::other("the thread ended before it began");
        Ok(Background {
            runtime: handle.recv().map_err(|_| ended())??,
            #[cfg(feature = "test-util")]
            env: self.clone(),
            _stop: Some(stop),
        })
    }
}

/// A thread with a runtime of its own; it ends, with its tasks, when this is dropped.
#[derive(Debug)]
pub struct Background {
    runtime: tokio::runtime::Handle,
    #[cfg(feature = "test-util")]
    env: Env,
    _stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Background {
    /// Spawns on it.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        #[cfg(feature = "test-util")]
        if self.env.0.gate.is_some() {
            let env = self.env.clone();
            return self.runtime.spawn(async move { env.gated(future).await });
        }
        self.runtime.spawn(future)
    }

    /// Lets `tasks` end by themselves, and then ends the thread.
    pub fn finish(self, tasks: Vec<JoinHandle<()>>) -> JoinHandle<()> {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            for task in tasks {
                // It ended, one way or another.
                drop(task.await);
            }
            drop(self);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_replays_from_its_seed() {
        let (a, b) = (Env::simulated(7), Env::simulated(7));
        assert_eq!(a.uuid(), b.uuid());
        let start = a.now();
        a.sleep(Duration::from_secs(3600)).await;
        assert_eq!(a.now().since(start), Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_node_stands_still_and_its_timers_fire_late() {
        let env = Env::simulated(7);
        let (node, other) = (env.node(), env.node());
        let seconds = |env: &Env| {
            let (env, start) = (env.clone(), env.now());
            async move {
                env.sleep(Duration::from_secs(1)).await;
                env.now().since(start).as_secs()
            }
        };
        let background = node.background().unwrap();
        let tasks = [
            node.spawn(seconds(&node)),
            background.spawn(seconds(&node)),
            // Not spawned on the node, but it sleeps there.
            env.spawn(seconds(&node)),
        ];
        let elsewhere = other.spawn(seconds(&other));
        env.sleep(Duration::from_millis(500)).await;
        node.pause();
        assert!(node.is_paused() && !other.is_paused());
        env.sleep(Duration::from_secs(9)).await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        assert_eq!(elsewhere.await.unwrap(), 1);
        node.resume();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 9);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drifting_clock_runs_at_its_own_speed() {
        let env = Env::simulated(7);
        let (fast, slow) = (env.node_with_drift(10_000), env.node_with_drift(-10_000));
        let starts = [fast.now(), slow.now()];
        env.sleep(Duration::from_secs(100)).await;
        assert_eq!(fast.now().since(starts[0]), Duration::from_secs(101));
        assert_eq!(slow.now().since(starts[1]), Duration::from_secs(99));
        let start = env.now();
        slow.sleep(Duration::from_secs(99)).await;
        let took = env.now().since(start);
        assert!(took >= Duration::from_secs(100) && took <= Duration::from_millis(100_002));
    }

    #[tokio::test]
    async fn the_background_thread_ends_with_its_handle() {
        let background = Env::system().background().unwrap();
        let name = background
            .spawn(async { std::thread::current().name().map(str::to_owned) })
            .await
            .unwrap();
        assert_eq!(name.as_deref(), Some("leasehold"));
        let stuck = background.spawn(std::future::pending::<()>());
        drop(background);
        assert!(stuck.await.unwrap_err().is_cancelled());
    }
}
