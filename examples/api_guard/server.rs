//! The API: counts its calls, and by how many it was called too often.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use leasehold::{Env, Moment};

pub(crate) const AT_ONCE: u32 = 20;
pub(crate) const PER_SECOND: usize = 100;
/// How long a call takes, from and to: so 13 are under way in the mean.
const TAKES_MS: (u64, u64) = (40, 220);
/// But those that come in a spell of 120 ms, which begins 1.5 s after the first call and then each 10 s, take 300 ms: with all
/// who come meanwhile that makes 24, and the semaphore has to hold some back.
const SPELL_TAKES_MS: u64 = 300;
const SPELL_MS: std::ops::Range<u128> = 1500..1620;

#[derive(Clone)]
pub(crate) struct Api {
    env: Env,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    calls: u64,
    violations: u64,
    under_way: u32,
    most: u32,
    first: Option<Moment>,
    /// The latest calls, as many as are allowed in a second.
    latest: VecDeque<Moment>,
}

/// What the API saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) violations: u64,
    pub(crate) most: u32,
    /// From the first call to the last one.
    pub(crate) time: Duration,
}

impl Seen {
    /// How much of what it allows was used, in percent.
    pub(crate) fn use_percent(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "some thousand calls")]
        let (calls, per_second) = (self.calls as f64, PER_SECOND as f64);
        100.0 * calls / (per_second * self.time.as_secs_f64()).max(1.0)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.violations == 0 && self.use_percent() >= 95.0
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, violations) = (self.calls, self.violations);
        let used = self.use_percent().floor();
        write!(
            f,
            "api_guard: calls={calls} violations={violations} use={used}%"
        )
    }
}

impl Api {
    /// Starts it, on a thread of its own: what else this process does delays no call's arrival.
    pub(crate) fn start() -> anyhow::Result<(Self, SocketAddr)> {
        let api = Self {
            env: Env::system(),
            counts: Arc::default(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/charge", get(charge))
            .route("/", get(|| async { "an API" }))
            .with_state(api.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, app).await
        };
        std::thread::Builder::new()
            .name("api".into())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve) {
                    eprintln!("the API has ended: {error}");
                }
            })?;
        Ok((api, address))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> Seen {
        let counts = self.counts();
        let last = counts.latest.back();
        let time = counts
            .first
            .zip(last)
            .map(|(first, last)| last.since(first));
        Seen {
            calls: counts.calls,
            violations: counts.violations,
            most: counts.most,
            time: time.unwrap_or_default(),
        }
    }

    fn arrive(&self) -> (Inside, bool) {
        let now = self.env.now();
        let mut counts = self.counts();
        counts.calls += 1;
        counts.first.get_or_insert(now);
        counts.under_way += 1;
        counts.most = counts.most.max(counts.under_way);
        // A true window: this call, and as many before it as are allowed.
        let is_full = counts.latest.len() == PER_SECOND;
        let oldest = counts.latest.front().filter(|_| is_full);
        let is_too_soon = oldest.is_some_and(|oldest| now.since(*oldest) < Duration::from_secs(1));
        if is_full {
            counts.latest.pop_front();
        }
        counts.latest.push_back(now);
        let is_allowed = !is_too_soon && counts.under_way <= AT_ONCE;
        counts.violations += u64::from(!is_allowed);
        (Inside(self.clone()), is_allowed)
    }

    fn takes(&self) -> Duration {
        let first = self.counts().first.unwrap_or_default();
        let since_ms = self.env.now().since(first).as_millis();
        let (from, to) = TAKES_MS;
        Duration::from_millis(if SPELL_MS.contains(&(since_ms % 10_000)) {
            SPELL_TAKES_MS
        } else {
            from + self.env.random(to - from + 1)
        })
    }
}

/// A call under way, until it has been answered or its caller is gone.
struct Inside(Api);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.counts().under_way -= 1;
    }
}

async fn charge(State(api): State<Api>) -> (StatusCode, &'static str) {
    let (inside, is_allowed) = api.arrive();
    if !is_allowed {
        return (StatusCode::TOO_MANY_REQUESTS, "too often");
    }
    api.env.sleep(api.takes()).await;
    drop(inside);
    (StatusCode::OK, "charged")
}
