//! The health check of a leader: one that fails it, or does not answer in time, gives way.
//!
//! The check runs in the leader's own runtime, so that a wedged runtime fails it; the time it takes is judged on the
//! client's background thread, which a wedged runtime does not stop.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::{Core, Inner, Turn};
use crate::env::Moment;
use crate::error::LostCause;

/// Checks come no faster than this.
const SHORTEST: Duration = Duration::from_millis(10);

/// What a health check answers: `bool`, or a `Result` whose error says what is wrong.
pub trait Healthy {
    /// What is wrong, if anything is.
    fn problem(self) -> Option<String>;
}

impl Healthy for bool {
    fn problem(self) -> Option<String> {
        (!self).then(|| "it said no".into())
    }
}

impl<E: fmt::Display> Healthy for Result<(), E> {
    fn problem(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

impl<E: fmt::Display> Healthy for Result<bool, E> {
    fn problem(self) -> Option<String> {
        self.map_or_else(|error| Some(error.to_string()), Healthy::problem)
    }
}

type Answer = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// A check, and how often it is made.
#[derive(Clone)]
pub(super) struct HealthCheck {
    every: Duration,
    check: Arc<dyn Fn() -> Answer + Send + Sync>,
}

impl HealthCheck {
    pub(super) fn new<F, A>(every: Duration, check: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output: Healthy> + Send + 'static,
    {
        let check = move || -> Answer {
            let answer = check();
            Box::pin(async move { answer.await.problem() })
        };
        Self {
            every: every.max(SHORTEST),
            check: Arc::new(check),
        }
    }

    /// Checks until what is returned is dropped, or the leadership is lost.
    pub(super) fn attend(&self, inner: &Inner, turn: &Arc<Turn>) -> DropGuard {
        let core = Arc::clone(&inner.core);
        let due = core.env.now() + self.every;
        let watched = Arc::new(Watched {
            turn: Arc::clone(turn),
            due: AtomicU64::new(due.as_nanos()),
        });
        let over = CancellationToken::new();
        let checks = checks(Arc::clone(&core), self.clone(), Arc::clone(&watched));
        let checks = core.env.spawn(checks);
        inner.spawn_behind(watch(core, watched, checks, over.clone()));
        over.drop_guard()
    }
}

struct Watched {
    turn: Arc<Turn>,
    /// When the next answer must be there.
    due: AtomicU64,
}

impl Watched {
    fn due(&self) -> Moment {
        Moment::from_nanos(self.due.load(Ordering::Acquire))
    }
}

/// Ends with the first check that fails, or with the leadership.
async fn checks(core: Arc<Core>, health: HealthCheck, watched: Arc<Watched>) {
    let failed = async {
        loop {
            if let Some(problem) = (health.check)().await {
                return problem;
            }
            let now = core.env.now();
            let due = now + health.every * 2;
            watched.due.store(due.as_nanos(), Ordering::Release);
            core.env.sleep_until(now + health.every).await;
        }
    };
    tokio::select! {
        biased;
        _ = watched.turn.lost() => {}
        problem = failed => {
            let name = &watched.turn.tenure.name;
            tracing::warn!(%name, problem, "a leader failed its health check");
        }
    }
}

/// On the background thread: the leadership is lost once the checks have ended, or one is overdue.
async fn watch(
    core: Arc<Core>,
    watched: Arc<Watched>,
    mut checks: JoinHandle<()>,
    over: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => break,
            () = core.stop.cancelled() => break,
            // Also if a check panicked, or its runtime is gone.
            _ = &mut checks => break,
            () = core.env.sleep_until(watched.due()) => {}
        }
        if core.env.now() >= watched.due() {
            break;
        }
    }
    checks.abort();
    let tenure = &watched.turn.tenure;
    if !over.is_cancelled() && !core.stop.is_cancelled() {
        // It stays lost for what it was lost for before.
        tenure.lose(LostCause::Unhealthy);
        // The renewer ends it at the store: the next in the queue need not wait for its TTL.
        core.renewals.look_at(tenure.rid, core.env.now());
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {:?}", self.every)
    }
}
