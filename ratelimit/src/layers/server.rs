//! Servers: a key of each request.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use leasehold_core::ResourceName;
use tower_layer::Layer;
use tower_service::Service;

use super::ahead::Boxed;
use super::answer;
use super::by::KeyOf;
use crate::fields::{QuotaPolicy, ServiceLimit, whole_seconds};
use crate::waiting::Turn;
use crate::{Decision, Error, RateLimiter};

/// The key of all requests that have none.
const NO_KEY: &str = "-";

/// Limits the requests that a server serves, by a key of each.
///
/// - What passes is served; its answer gets the fields `RateLimit-Policy` and `RateLimit` (see [`fields`](crate::fields)).
/// - What is limited is answered with 429, `Retry-After` and the fields. Nothing was charged for it.
/// - What cannot be decided since the store is away is as the limiter's [`Outage`](crate::Outage) policy says: served, or
///   answered with 503. Never with 429: a client that believes it is limited blames itself.
/// - A request without a key shares one with all others that have none: who leaves out a header evades no limit.
///
/// The body of answers is made of a text (`From<String>`), as axum's, hyper's `Full<Bytes>` and `String` are. Layers may be put
/// on each other; but what the outer one charged stays charged when the inner one refuses.
///
/// A caller that goes away while it [waits](Self::waits) gives its turn back.
#[derive(Clone)]
pub struct RateLimitLayer<K> {
    settings: Arc<Settings<K>>,
}

struct Settings<K> {
    limiter: RateLimiter,
    key: K,
    waits: bool,
    passes_without_key: bool,
    tells: Tells,
}

/// What clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Nothing,
    Limits,
    LimitsAndKeys,
}

impl<K: Clone> Clone for Settings<K> {
    fn clone(&self) -> Self {
        Self {
            limiter: self.limiter.clone(),
            key: self.key.clone(),
            ..*self
        }
    }
}

impl<K: Clone> RateLimitLayer<K> {
    /// Limits by a [key](super::by).
    pub fn new(limiter: &RateLimiter, key: K) -> Self {
        let settings = Settings {
            limiter: limiter.clone(),
            key,
            waits: false,
            passes_without_key: false,
            tells: Tells::Limits,
        };
        let settings = Arc::new(settings);
        Self { settings }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings<K>)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Waits in turn, as [`until_ready`](RateLimiter::until_ready) does, and refuses only who would have to wait longer than the
    /// limiter's longest wait.
    pub fn waits(self) -> Self {
        self.set(|settings| settings.waits = true)
    }

    /// Serves requests that have no key, without limit.
    pub fn pass_without_key(self) -> Self {
        self.set(|settings| settings.passes_without_key = true)
    }

    /// Writes neither `RateLimit-Policy` nor `RateLimit`: where clients are not to know how much a server can do.
    pub fn untold(self) -> Self {
        self.set(|settings| settings.tells = Tells::Nothing)
    }

    /// Writes each request's key into the fields, as their partition key, for clients that use several. Not if it is a secret.
    pub fn tell_keys(self) -> Self {
        self.set(|settings| settings.tells = Tells::LimitsAndKeys)
    }
}

impl<K> fmt::Debug for RateLimitLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimitLayer")
            .field(&self.settings.limiter)
            .finish()
    }
}

impl<S, K> Layer<S> for RateLimitLayer<K> {
    type Service = RateLimit<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        let settings = Arc::clone(&self.settings);
        RateLimit { inner, settings }
    }
}

/// A service whose requests are limited. Made by [`RateLimitLayer`].
pub struct RateLimit<S, K> {
    inner: S,
    settings: Arc<Settings<K>>,
}

impl<S: Clone, K> Clone for RateLimit<S, K> {
    fn clone(&self) -> Self {
        let settings = Arc::clone(&self.settings);
        let inner = self.inner.clone();
        Self { inner, settings }
    }
}

impl<S: fmt::Debug, K> fmt::Debug for RateLimit<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("limiter", &self.settings.limiter)
            .finish()
    }
}

/// A request's key, and what it costs.
struct Asked {
    key: String,
    name: ResourceName,
    units: u64,
}

impl<K: Send + Sync> Settings<K> {
    /// What is to be asked; nothing if it is not limited.
    fn asked<R>(&self, request: &R) -> Option<Result<Asked, Error>>
    where
        K: KeyOf<R>,
    {
        let units = self.key.units(request);
        if units == 0 {
            return None;
        }
        let named = self.key.key(request).and_then(|key| {
            let name = self.limiter.name(&key).ok()?;
            Some((key, name))
        });
        let (key, name) = match named {
            Some(named) => named,
            None if self.passes_without_key => return None,
            None => match self.limiter.name(NO_KEY) {
                Ok(name) => (NO_KEY.to_owned(), name),
                Err(error) => return Some(Err(error.into())),
            },
        };
        Some(Ok(Asked { key, name, units }))
    }

    /// The decision, and the turn that has come if it was waited for.
    async fn decide(&self, asked: &Asked) -> Result<(Decision, Option<Turn>), Error> {
        let limiter = &self.limiter.limiter;
        if !self.waits {
            let decision = self.limiter.check_n(&asked.key, asked.units).await?;
            return Ok((decision, None));
        }
        match limiter.turn(asked.name.clone(), asked.units).await {
            Ok((allowed, turn)) => Ok((Decision::Allowed(allowed), Some(turn))),
            Err(Error::Limited { limited, .. }) => Ok((Decision::Limited(limited), None)),
            Err(error) => Err(error),
        }
    }

    fn tell<B>(&self, response: &mut Response<B>, asked: &Asked, decision: &Decision) {
        if self.tells == Tells::Nothing {
            return;
        }
        let class = self.limiter.class();
        let mut policy = QuotaPolicy::of(class, self.limiter.quota());
        let mut limit = ServiceLimit::of(class, decision);
        if self.tells == Tells::LimitsAndKeys {
            policy = policy.partition_key(asked.key.as_bytes());
            limit = limit.map(|limit| limit.partition_key(asked.key.as_bytes()));
        }
        answer::tell(response.headers_mut(), &policy, limit.as_ref());
    }

    fn refusal<B: From<String>>(&self, error: &Error) -> Response<B> {
        match error {
            Error::TooCostly { cost, burst, .. } => answer::too_costly(*cost, *burst),
            error => {
                tracing::debug!(limiter = self.limiter.class(), %error, "a request is refused, undecided");
                answer::unavailable()
            }
        }
    }
}

impl<S, K, Q, B> Service<Request<Q>> for RateLimit<S, K>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    K: KeyOf<Request<Q>> + Send + Sync + 'static,
    Q: Send + 'static,
    B: From<String>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Boxed<Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Some(asked) = self.settings.asked(&request) else {
            return Box::pin(self.inner.call(request));
        };
        let settings = Arc::clone(&self.settings);
        // The one that is ready is this one; the clone is not yet.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let asked = match asked {
                Ok(asked) => asked,
                Err(error) => return Ok(settings.refusal(&error)),
            };
            let (decision, turn) = match settings.decide(&asked).await {
                Ok(decided) => decided,
                Err(error) => return Ok(settings.refusal(&error)),
            };
            if let Some(turn) = turn {
                turn.used();
            }
            let mut response = match &decision {
                Decision::Allowed(_) => inner.call(request).await?,
                Decision::Limited(limited) => {
                    let retry_s = whole_seconds(limited.retry_after);
                    answer::limited(settings.limiter.class(), retry_s)
                }
            };
            settings.tell(&mut response, &asked, &decision);
            Ok(response)
        })
    }
}
