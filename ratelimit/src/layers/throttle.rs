//! Clients of an API that has a limit.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::Response;
use leasehold_core::{Env, Moment};
use tower_layer::Layer;
use tower_service::Service;

use super::CallError;
use super::ahead::{Ahead, Boxed};
use super::by::KeyOf;
use super::heard::Heard;
use crate::waiting::Turn;
use crate::{Error, RateLimiter};

/// More keys than this are not kept in mind with what the server said.
const KEYS: usize = 4096;

/// Has calls wait in turn, behind all of the fleet that came before, for as long as the limiter's longest wait: for clients of
/// an API that has a limit.
///
/// It also goes by what the server says: after a `Retry-After` (of a 429 or a 503), and once as many calls were made as its
/// `RateLimit` fields leave, calls wait here, and a call that would wait longer than the limiter's longest wait fails at once
/// ([`CallError::Paused`]). What was heard is known to all clones in this process, and not in others: the fleet keeps within the
/// limiter's quota, which is to be no more than the server's.
///
/// With [one key](Self::new) a turn is had in `poll_ready`: a service that is ready may call. With a key of [each
/// request](Self::by) it is waited for in `call`. In either case the service is called only when its turn has come, so it is
/// `Clone`, as clients of hyper and reqwest are. Answers are `http::Response`s: of reqwest's,
/// `map_response(http::Response::from)` makes some.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "shop").connect().await.unwrap();
/// use http::{Request, Response};
/// use leasehold_ratelimit::layers::ThrottleLayer;
/// use leasehold_ratelimit::{Quota, RateLimiter};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
/// let stripe = RateLimiter::new(&coord, "stripe", Quota::per_second(100).burst(10)).unwrap();
/// let client = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new("charged")));
/// let mut client = ServiceBuilder::new()
///     .layer(ThrottleLayer::new(&stripe, "live"))
///     .service(client);
/// let request = Request::post("/charges").body(()).unwrap();
/// let answer = client.ready().await?.call(request).await?;
/// assert_eq!(answer.into_body(), "charged");
/// # Ok::<(), leasehold_ratelimit::layers::CallError<std::io::Error>>(()) }).unwrap();
/// ```
pub struct ThrottleLayer<K = One> {
    settings: Arc<Settings<K>>,
}

/// One key for all requests.
#[derive(Debug, Clone)]
pub struct One {
    key: Arc<str>,
    units: u64,
}

/// A key of each request.
#[derive(Debug, Clone)]
pub struct Each<K>(K);

struct Settings<K> {
    limiter: RateLimiter,
    key: K,
    use_within: Duration,
    longest_pause: Duration,
    obeys: bool,
    heard: Arc<Mutex<HashMap<String, Arc<Heard>>>>,
}

impl<K: Clone> Clone for Settings<K> {
    fn clone(&self) -> Self {
        Self {
            limiter: self.limiter.clone(),
            key: self.key.clone(),
            heard: Arc::clone(&self.heard),
            ..*self
        }
    }
}

impl ThrottleLayer<One> {
    /// All calls have one key.
    pub fn new(limiter: &RateLimiter, key: impl fmt::Display) -> Self {
        let key = key.to_string().into();
        Self::of(limiter, One { key, units: 1 })
    }

    /// Each call costs so many units.
    pub fn units(self, units: u64) -> Self {
        self.set(|settings| settings.key.units = units)
    }

    /// For how long a service that is ready may call (default 100 ms): after that its turn is given back, and another one waited
    /// for, so that turns which were kept are not all used at once. In any `t` at most `rate x (t + this) + burst` are called.
    pub fn use_within(self, time: Duration) -> Self {
        self.set(|settings| settings.use_within = time)
    }
}

impl<K: Clone> ThrottleLayer<Each<K>> {
    /// Each call has a [key](super::by) of its request. What has none is not limited.
    pub fn by(limiter: &RateLimiter, key: K) -> Self {
        Self::of(limiter, Each(key))
    }
}

impl<K: Clone> ThrottleLayer<K> {
    fn of(limiter: &RateLimiter, key: K) -> Self {
        let settings = Settings {
            limiter: limiter.clone(),
            key,
            use_within: Duration::from_millis(100),
            longest_pause: Duration::from_secs(600),
            obeys: true,
            heard: Arc::default(),
        };
        let settings = Arc::new(settings);
        Self { settings }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings<K>)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// What the server says counts for at most so long (default 10 min): it may be wrong (section 8.5.1 of the draft).
    pub fn longest_pause(self, pause: Duration) -> Self {
        self.set(|settings| settings.longest_pause = pause)
    }

    /// Goes by the limiter alone, whatever the server says.
    pub fn deaf(self) -> Self {
        self.set(|settings| settings.obeys = false)
    }
}

impl<K> Clone for ThrottleLayer<K> {
    fn clone(&self) -> Self {
        let settings = Arc::clone(&self.settings);
        Self { settings }
    }
}

impl<K> fmt::Debug for ThrottleLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThrottleLayer")
            .field(&self.settings.limiter)
            .finish()
    }
}

impl<S, K> Layer<S> for ThrottleLayer<K> {
    type Service = Throttle<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        let settings = Arc::clone(&self.settings);
        Throttle::of(inner, settings)
    }
}

/// A service whose calls wait in turn. Made by [`ThrottleLayer`].
pub struct Throttle<S, K = One> {
    inner: S,
    settings: Arc<Settings<K>>,
    ahead: Ahead<Ready, Refused>,
}

impl<S, K> Throttle<S, K> {
    fn of(inner: S, settings: Arc<Settings<K>>) -> Self {
        let ahead = Ahead::none();
        Self {
            inner,
            settings,
            ahead,
        }
    }
}

/// Shares the limiter, and what was heard; it has no turn yet.
impl<S: Clone, K> Clone for Throttle<S, K> {
    fn clone(&self) -> Self {
        Self::of(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<S: fmt::Debug, K> fmt::Debug for Throttle<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("inner", &self.inner)
            .field("limiter", &self.settings.limiter)
            .finish_non_exhaustive()
    }
}

/// A turn that has come.
struct Ready {
    turn: Turn,
    at: Moment,
    heard: Arc<Heard>,
}

/// Why there is none.
enum Refused {
    Limit(Error),
    Paused(Duration),
}

impl<E> From<Refused> for CallError<E> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(error) => CallError::Limit(error),
            Refused::Paused(left) => CallError::Paused { left },
        }
    }
}

impl<K: Send + Sync> Settings<K> {
    fn env(&self) -> &Env {
        self.limiter.limiter.coord.env()
    }

    /// Whether it may be used now.
    fn is_good(&self, ready: &Ready) -> bool {
        let now = self.env().now();
        now.since(ready.at) <= self.use_within && ready.heard.not_before(now).is_none()
    }

    fn heard(&self, key: &str) -> Arc<Heard> {
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = all.get(key) {
            return Arc::clone(heard);
        }
        if all.len() >= KEYS {
            let now = self.env().now();
            all.retain(|_, heard| Arc::strong_count(heard) > 1 || !heard.is_idle(now));
        }
        let heard = Arc::<Heard>::default();
        if all.len() < KEYS {
            all.insert(key.to_owned(), Arc::clone(&heard));
        }
        heard
    }

    /// Waits until the server wants to hear from us, and then in turn.
    async fn turn(&self, key: &str, units: u64) -> Result<Ready, Refused> {
        let name = self.limiter.name(key);
        let name = name.map_err(|error| Refused::Limit(error.into()))?;
        let (limiter, env) = (&self.limiter.limiter, self.env());
        let heard = self.heard(key);
        let deadline = env.now() + limiter.longest_wait;
        loop {
            while let Some(until) = heard.not_before(env.now()) {
                if until > deadline {
                    return Err(Refused::Paused(until.since(env.now())));
                }
                env.sleep_until(until).await;
            }
            let turn = limiter.turn(name.clone(), units).await;
            let (_, turn) = turn.map_err(Refused::Limit)?;
            let at = env.now();
            if heard.not_before(at).is_none() {
                return Ok(Ready { turn, at, heard });
            }
            // Heard meanwhile: the turn is given back.
        }
    }

    /// Makes the call, whose turn has come, and hears what is answered.
    async fn call<F, B, E>(
        &self,
        ready: Ready,
        call: impl FnOnce() -> F + Send,
    ) -> Result<Response<B>, CallError<E>>
    where
        F: Future<Output = Result<Response<B>, E>> + Send,
        B: Send,
        E: Send,
    {
        let under_way = UnderWay::of(ready.heard);
        ready.turn.used();
        let response = call().await.map_err(CallError::Service)?;
        // The server has counted this one.
        let heard = under_way.ended();
        if self.obeys {
            let (status, headers) = (response.status(), response.headers());
            heard.hear(self.env(), status, headers, self.longest_pause);
        }
        Ok(response)
    }
}

/// A call that is not answered yet.
struct UnderWay(Arc<Heard>);

impl UnderWay {
    fn of(heard: Arc<Heard>) -> Self {
        heard.begin();
        Self(heard)
    }

    fn ended(self) -> Arc<Heard> {
        Arc::clone(&self.0)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<S, R, B> Service<R> for Throttle<S, One>
where
    S: Service<R, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    R: Send + 'static,
    B: Send,
{
    type Response = Response<B>;
    type Error = CallError<S::Error>;
    type Future = Boxed<Result<Response<B>, CallError<S::Error>>>;

    /// The inner service first: no turn is had for a call that cannot be made yet.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.inner.poll_ready(cx)).map_err(CallError::Service)?;
        let settings = &self.settings;
        let ask = || -> Boxed<Result<Ready, Refused>> {
            let settings = Arc::clone(settings);
            Box::pin(async move {
                let One { key, units } = &settings.key;
                settings.turn(key, *units).await
            })
        };
        let polled = self.ahead.poll(cx, |ready| settings.is_good(ready), ask);
        polled.map_err(CallError::from)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let ready = self.ahead.take(|ready| settings.is_good(ready));
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let One { key, units } = &settings.key;
            let ready = match ready {
                Some(ready) => ready,
                None => settings.turn(key, *units).await?,
            };
            settings.call(ready, || inner.call(request)).await
        })
    }
}

impl<S, K, R, B> Service<R> for Throttle<S, Each<K>>
where
    S: Service<R, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    K: KeyOf<R> + Send + Sync + 'static,
    R: Send + 'static,
    B: Send,
{
    type Response = Response<B>;
    type Error = CallError<S::Error>;
    type Future = Boxed<Result<Response<B>, CallError<S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(CallError::Service)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Each(of) = &settings.key;
        let (key, units) = (of.key(&request), of.units(&request));
        Box::pin(async move {
            let Some(key) = key.filter(|_| units > 0) else {
                return inner.call(request).await.map_err(CallError::Service);
            };
            let ready = settings.turn(&key, units).await?;
            settings.call(ready, || inner.call(request)).await
        })
    }
}
