//! So many calls at a time, in the whole fleet.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use leasehold_core::{Permit, Semaphore};
use tower_layer::Layer;
use tower_service::Service;

use super::CallError;
use super::ahead::{Ahead, Boxed};

/// Has calls hold a permit of a [`Semaphore`]: so many are under way at a time, in the whole fleet.
///
/// The permit is had in `poll_ready`, which waits in turn for as long as the semaphore says, and given back when the call has
/// answered, failed or was dropped; unused, when the service is dropped. Of an HTTP answer the body may still be under way then.
/// A permit that is lost stops the call.
///
/// In an axum server, `HandleErrorLayer` makes an answer of the error; [`CallError::status`] tells which.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "shop").connect().await.unwrap();
/// use leasehold_ratelimit::layers::PermitLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
/// let stripe = coord.semaphore("stripe", 20).unwrap();
/// let mut client = ServiceBuilder::new()
///     .layer(PermitLayer::new(&stripe))
///     .service(service_fn(async |charge: u64| Ok::<_, std::io::Error>(charge)));
/// assert_eq!(client.ready().await?.call(7).await?, 7);
/// # Ok::<(), leasehold_ratelimit::layers::CallError<std::io::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct PermitLayer {
    settings: Arc<Settings>,
}

#[derive(Debug)]
struct Settings {
    semaphore: Semaphore,
    permits: u32,
}

impl PermitLayer {
    /// Each call holds one permit.
    pub fn new(semaphore: &Semaphore) -> Self {
        Self::many(semaphore, 1)
    }

    /// Each call holds so many.
    pub fn many(semaphore: &Semaphore, permits: u32) -> Self {
        let semaphore = semaphore.clone();
        let settings = Arc::new(Settings { semaphore, permits });
        Self { settings }
    }
}

impl<S> Layer<S> for PermitLayer {
    type Service = Permits<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Permits::of(inner, Arc::clone(&self.settings))
    }
}

/// A service whose calls hold permits. Made by [`PermitLayer`].
pub struct Permits<S> {
    inner: S,
    settings: Arc<Settings>,
    ahead: Ahead<Permit, leasehold_core::Error>,
}

impl<S> Permits<S> {
    fn of(inner: S, settings: Arc<Settings>) -> Self {
        let ahead = Ahead::none();
        Self {
            inner,
            settings,
            ahead,
        }
    }
}

/// Shares the semaphore; it has no permit yet.
impl<S: Clone> Clone for Permits<S> {
    fn clone(&self) -> Self {
        Self::of(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<S: fmt::Debug> fmt::Debug for Permits<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("inner", &self.inner)
            .field("semaphore", &self.settings.semaphore)
            .finish_non_exhaustive()
    }
}

impl<S, R> Service<R> for Permits<S>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = Boxed<Result<S::Response, CallError<S::Error>>>;

    /// The inner service first: no permit is held for a call that cannot be made yet.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.inner.poll_ready(cx)).map_err(CallError::Service)?;
        let settings = &self.settings;
        let ask = || -> Boxed<Result<Permit, leasehold_core::Error>> {
            Box::pin(settings.semaphore.acquire_many(settings.permits))
        };
        let polled = self.ahead.poll(cx, |permit| permit.is_held(), ask);
        polled.map_err(CallError::Permit)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let permit = self.ahead.take(|permit| permit.is_held());
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let permit = match permit {
                Some(permit) => permit,
                // Lost meanwhile: another one.
                None => (settings.semaphore.acquire_many(settings.permits).await)
                    .map_err(CallError::Permit)?,
            };
            let answer = permit.run(inner.call(request)).await;
            // Given back in the background: an answer waits for no store.
            drop(permit);
            answer
                .map_err(CallError::Permit)?
                .map_err(CallError::Service)
        })
    }
}
