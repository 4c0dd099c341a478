//! What a server said of its limits, and what follows from it for the next calls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{AGE, DATE, HeaderMap, RETRY_AFTER};
use leasehold_core::{Env, Moment};

use crate::fields::{RATE_LIMIT, ServiceLimit, retry_after};

/// More limits of one server than this are not kept in mind.
const WINDOWS: usize = 64;

/// What was heard from a server, for all who call it with one key.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `Retry-After`.
    not_before: Option<Moment>,
    windows: Vec<Window>,
    /// Calls that are not answered: the server may not have counted them in what it says.
    under_way: u64,
}

/// A limit's `r` and `t`, minus the calls since.
#[derive(Debug)]
struct Window {
    name: String,
    partition_key: Option<Vec<u8>>,
    left: u64,
    until: Moment,
}

impl State {
    /// When it may be called, if not now. What has ended is forgotten.
    fn not_before(&mut self, now: Moment) -> Option<Moment> {
        self.not_before = self.not_before.filter(|until| *until > now);
        self.windows.retain(|window| window.until > now);
        let spent = self.windows.iter().filter(|window| window.left == 0);
        let latest = spent.map(|window| window.until).max();
        latest.max(self.not_before)
    }
}

impl Heard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it may be called, if not now.
    pub(super) fn not_before(&self, now: Moment) -> Option<Moment> {
        self.state().not_before(now)
    }

    /// Whether nothing is kept in mind.
    pub(super) fn is_idle(&self, now: Moment) -> bool {
        let mut state = self.state();
        state.not_before(now).is_none() && state.windows.is_empty() && state.under_way == 0
    }

    /// Counts a call that is made now.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.under_way += 1;
        for window in &mut state.windows {
            window.left = window.left.saturating_sub(1);
        }
    }

    /// A call has ended, with or without an answer.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
    }

    /// Takes in an answer. The call it is of has ended.
    pub(super) fn hear(
        &self,
        env: &Env,
        status: StatusCode,
        headers: &HeaderMap,
        longest: Duration,
    ) {
        let is_cached = headers.get(AGE).is_some_and(|age| age.as_bytes() != b"0");
        if is_cached {
            // It says how the limits were (section 7.3 of the draft).
            return;
        }
        let now = env.now();
        // Others heard the same: not all come back at one instant (section 8.5).
        let until = |pause: Duration| {
            let pause = pause.min(longest);
            let most = pause.min(Duration::from_secs(10)) / 10;
            let most_ns = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
            now + pause + Duration::from_nanos(env.random(most_ns.max(1)))
        };
        let refused = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        let retry = headers
            .get(RETRY_AFTER)
            .filter(|_| refused.contains(&status));
        let retry = retry.and_then(|value| {
            let date = headers.get(DATE).map(::http::HeaderValue::as_bytes);
            retry_after(value.as_bytes(), date).ok()
        });
        let limits = limits(headers);
        let mut state = self.state();
        if let Some(pause) = retry.filter(|pause| !pause.is_zero()) {
            state.not_before = state.not_before.max(Some(until(pause)));
            // It takes precedence (section 7).
            return;
        }
        for limit in limits {
            state.windows.retain(|window| {
                window.name != limit.name || window.partition_key != limit.partition_key
            });
            let window_s = limit.window_s.unwrap_or(0);
            if window_s == 0 || state.windows.len() == WINDOWS {
                continue;
            }
            let left = limit.remaining.saturating_sub(state.under_way);
            state.windows.push(Window {
                name: limit.name,
                partition_key: limit.partition_key,
                left,
                until: until(Duration::from_secs(window_s)),
            });
        }
    }
}

/// What the fields say; nothing if they are malformed (section 7).
fn limits(headers: &HeaderMap) -> Vec<ServiceLimit> {
    let lines: Vec<&[u8]> = headers
        .get_all(RATE_LIMIT)
        .iter()
        .map(::http::HeaderValue::as_bytes)
        .collect();
    ServiceLimit::parse_list(&lines.join(&b", "[..])).unwrap_or_default()
}
