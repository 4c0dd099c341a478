//! The layers for clients: what is ready is reserved, what is not used is given back, what the server says counts.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![cfg(feature = "tower")]

mod support;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use leasehold_core::{Env, Moment};
use leasehold_ratelimit::layers::{CallError, PermitLayer, ThrottleLayer, by};
use leasehold_ratelimit::{Quota, RateLimiter};
use support::{World, above, ms, seconds};
use tower::{Layer, Service, ServiceExt};

type Failed = CallError<Infallible>;

/// A server: answers as it is told to, else plainly, and notes when it was called.
#[derive(Clone)]
struct Server {
    env: Env,
    calls: Arc<Mutex<Vec<Moment>>>,
    answers: Arc<Mutex<VecDeque<Response<()>>>>,
    takes: Duration,
    most: Arc<Mutex<(u32, u32)>>,
}

impl Server {
    fn new(world: &World) -> Self {
        Self {
            env: world.env.clone(),
            calls: Arc::default(),
            answers: Arc::default(),
            takes: Duration::ZERO,
            most: Arc::default(),
        }
    }

    fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    fn will_answer(&self, status: u16, fields: &[(&'static str, &'static str)]) {
        let mut answer = Response::new(());
        *answer.status_mut() = status.try_into().unwrap();
        for (name, value) in fields {
            answer.headers_mut().append(*name, value.parse().unwrap());
        }
        self.answers.lock().unwrap().push_back(answer);
    }

    fn calls(&self) -> Vec<Moment> {
        self.calls.lock().unwrap().clone()
    }

    /// Times of calls, in ms from the first.
    fn gaps(&self) -> Vec<u64> {
        let calls = self.calls();
        let ms = |at: &Moment| u64::try_from(at.since(calls[0]).as_millis()).unwrap();
        calls.iter().map(ms).collect()
    }

    /// How many were under way at once, at most.
    fn most(&self) -> u32 {
        self.most.lock().unwrap().1
    }
}

/// A call under way, also if it is dropped.
struct Inside(Arc<Mutex<(u32, u32)>>);

impl Inside {
    fn of(most: &Arc<Mutex<(u32, u32)>>) -> Self {
        let mut counts = most.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Self(Arc::clone(most))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

impl Service<Request<()>> for Server {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<()>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.calls.lock().unwrap().push(self.env.now());
        let answer = self.answers.lock().unwrap().pop_front();
        let inside = Inside::of(&self.most);
        let (env, takes) = (self.env.clone(), self.takes);
        Box::pin(async move {
            env.sleep(takes).await;
            drop(inside);
            Ok(answer.unwrap_or_default())
        })
    }
}

async fn limiter(world: &World, quota: Quota) -> RateLimiter {
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "api", quota);
    builder.longest_wait(seconds(5)).build().unwrap()
}

fn get() -> Request<()> {
    Request::get("/").body(()).unwrap()
}

async fn call<S>(service: &mut S) -> Result<Response<()>, Failed>
where
    S: Service<Request<()>, Response = Response<()>, Error = Failed>,
{
    service.ready().await?.call(get()).await
}

/// Polls once.
async fn is_ready<S>(service: &mut S) -> bool
where
    S: Service<Request<()>, Error = Failed>,
{
    poll_fn(|cx| Poll::Ready(matches!(service.poll_ready(cx), Poll::Ready(Ok(()))))).await
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_has_reserved_and_clones_share_the_limit() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(10).burst(3)).await;
    let requests = world.requests();
    let server = Server::new(&world);
    let layer = ThrottleLayer::new(&api, "stripe").use_within(seconds(9));
    let first = layer.layer(server.clone());
    let mut clones: Vec<_> = (0..8).map(|_| first.clone()).collect();
    for _ in 0..20 {
        for clone in &mut clones {
            is_ready(clone).await;
        }
        world.pass(ms(2)).await;
    }
    let mut ready = 0;
    for clone in &mut clones {
        ready += u32::from(is_ready(clone).await);
    }
    // Of eight that asked before any of them called.
    assert_eq!(ready, 3);
    assert_eq!(requests.charges().len(), 8, "each has a turn of its own");
    let mut calls = Vec::new();
    for mut clone in clones {
        calls.push(world.env.spawn(async move { call(&mut clone).await }));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let at = |moment: &Moment| (moment.as_nanos() / 1000, 1);
    let uses: Vec<_> = server.calls().iter().map(at).collect();
    assert_eq!(uses.len(), 8);
    // Turns were kept for up to 40 ms, in which 0.4 come.
    assert!(above(&uses, 10, 1_000_000, 3) <= 0.4, "{:?}", server.gaps());
    assert_eq!(requests.charges().len(), 8, "and none was charged twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_and_dropped_uncalled_is_given_back() {
    let world = World::new();
    let api = limiter(&world, Quota::per_minute(20).burst(2)).await;
    let layer = ThrottleLayer::new(&api, "stripe");
    let left = async || {
        world.pass(ms(20)).await;
        api.peek("stripe", 1).await.unwrap().remaining()
    };
    // Ready.
    let mut service = layer.layer(Server::new(&world));
    service.ready().await.unwrap();
    assert_eq!(left().await, 1);
    drop(service);
    assert_eq!(left().await, 2);
    // Asked for, and dropped before the store has answered.
    let mut service = layer.layer(Server::new(&world));
    assert!(!is_ready(&mut service).await);
    drop(service);
    assert_eq!(left().await, 2);
    // A call that is dropped at once: its turn is used, since it may have reached the server.
    let mut service = layer.layer(Server::new(&world).takes(seconds(1)));
    service.ready().await.unwrap();
    let mut under_way = service.call(get());
    poll_fn(|cx| Poll::Ready(under_way.as_mut().poll(cx).is_pending())).await;
    drop(under_way);
    assert_eq!(left().await, 1);
    // One that was never polled was not made.
    service.ready().await.unwrap();
    drop(service.call(get()));
    assert_eq!(left().await, 1);
    // A place in the line.
    call(&mut service).await.unwrap();
    assert_eq!(left().await, 0);
    let mut waiting = service.clone();
    let got = world.env.timeout(seconds(1), waiting.ready()).await;
    assert!(got.is_err(), "the next one comes in 3 s");
    drop(waiting);
    assert_eq!(left().await, 0);
    let soon = api.peek("stripe", 1).await.unwrap().retry_after();
    assert!(soon < seconds(3), "nobody stands in the line: {soon:?}");
}

#[tokio::test(start_paused = true)]
async fn turns_that_were_kept_are_not_all_used_at_once() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(10).burst(1)).await;
    let (server, requests) = (Server::new(&world), world.requests());
    let first = ThrottleLayer::new(&api, "stripe").layer(server.clone());
    let mut clones: Vec<_> = (0..10).map(|_| first.clone()).collect();
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    world.pass(seconds(1)).await;
    let mut calls = Vec::new();
    for clone in &mut clones {
        calls.push(world.env.spawn(clone.call(get())));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let gaps = server.gaps();
    assert_eq!(gaps.len(), 10);
    // One that is asked again whether it is ready has a new turn when it says so.
    let mut again = first.clone();
    again.ready().await.unwrap();
    let charged = requests.charges().len();
    world.pass(seconds(1)).await;
    again.ready().await.unwrap();
    assert_eq!(requests.charges().len(), charged + 1);
    let closest = gaps.windows(2).map(|two| two[1] - two[0]).min().unwrap();
    assert!(closest >= 99, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn limited_and_unavailable_are_different_errors() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::builder(&coord, "api", Quota::per_second(1).burst(1));
    let api = api.longest_wait(ms(500)).build().unwrap();
    let server = Server::new(&world);
    let mut service = ThrottleLayer::new(&api, "stripe").layer(server.clone());
    call(&mut service).await.unwrap();
    let error = call(&mut service).await.unwrap_err();
    assert!(error.is_limited() && !error.is_unavailable(), "{error}");
    assert_eq!(error.status().unwrap(), 429);
    world.store.stop();
    let error = call(&mut service).await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_limited(), "{error}");
    assert_eq!(error.status().unwrap(), 503);
    assert_eq!(server.calls().len(), 1, "nothing else reached the server");
    world.store.start();
    world.pass(seconds(2)).await;
    call(&mut service).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_wait_as_the_server_says() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(1000)).await;
    let server = Server::new(&world);
    let service = ThrottleLayer::new(&api, "stripe").layer(server.clone());
    let (mut one, mut other) = (service.clone(), service.clone());
    let paused = |from: u64, to: u64, pause: std::ops::RangeInclusive<u64>| {
        let gaps = server.gaps();
        let gap = gaps[usize::try_from(to).unwrap()] - gaps[usize::try_from(from).unwrap()];
        assert!(pause.contains(&gap), "{gap} ms of {gaps:?}");
    };
    // Retry-After, in seconds and as a date; it takes precedence. Up to a tenth comes on top.
    server.will_answer(
        429,
        &[("retry-after", "2"), ("ratelimit", r#""a";r=0;t=60"#)],
    );
    call(&mut one).await.unwrap();
    call(&mut other).await.unwrap();
    paused(0, 1, 2000..=2250);
    let then = ("retry-after", "Mon, 05 Aug 2019 09:27:03 GMT");
    server.will_answer(503, &[("date", "Mon, 05 Aug 2019 09:27:00 GMT"), then]);
    call(&mut one).await.unwrap();
    call(&mut one).await.unwrap();
    paused(2, 3, 3000..=3350);
    // Nothing is left of one of two limits.
    server.will_answer(200, &[("ratelimit", r#""a";r=9;t=60, "b";r=0;t=2"#)]);
    call(&mut one).await.unwrap();
    call(&mut other).await.unwrap();
    paused(4, 5, 2000..=2250);
    // What is left is used, and no more; another answer counts instead.
    server.will_answer(200, &[("ratelimit", r#""a";r=2;t=3"#)]);
    for _ in 0..2 {
        call(&mut one).await.unwrap();
        call(&mut other).await.unwrap();
    }
    paused(6, 8, 0..=50);
    paused(6, 9, 3000..=3350);
    server.will_answer(200, &[("ratelimit", r#""a";r=0;t=3"#)]);
    server.will_answer(200, &[]);
    call(&mut one).await.unwrap();
    call(&mut one).await.unwrap();
    paused(10, 11, 3000..=3350);
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_or_meant_otherwise_is_ignored() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(1000)).await;
    let server = Server::new(&world);
    let mut service = ThrottleLayer::new(&api, "stripe").layer(server.clone());
    server.will_answer(200, &[("ratelimit", "limit=10, remaining=0, reset=9")]);
    server.will_answer(200, &[("ratelimit", r#""a";r=0;t=9"#), ("ratelimit", "b")]);
    server.will_answer(200, &[("ratelimit", r#""a";r=0;t=9"#), ("age", "7")]);
    server.will_answer(200, &[("ratelimit", r#""a";r=0"#)]);
    server.will_answer(429, &[("retry-after", "soon")]);
    server.will_answer(301, &[("retry-after", "9")]);
    for _ in 0..7 {
        call(&mut service).await.unwrap();
    }
    assert!(server.gaps()[6] < 100, "{:?}", server.gaps());
    server.will_answer(429, &[("retry-after", "9")]);
    let mut deaf = ThrottleLayer::new(&api, "stripe")
        .deaf()
        .layer(server.clone());
    call(&mut deaf).await.unwrap();
    call(&mut deaf).await.unwrap();
    assert!(server.gaps()[8] < 100, "{:?}", server.gaps());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_limiter_allows_for_a_server_that_says_so() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(1000)).await;
    let server = Server::new(&world);
    let layer = ThrottleLayer::new(&api, "stripe").longest_pause(seconds(60));
    let mut service = layer.layer(server.clone());
    let other_key = ThrottleLayer::by(&api, by::path()).layer(server.clone());
    server.will_answer(429, &[("retry-after", "1000000")]);
    call(&mut service).await.unwrap();
    let start = world.env.now();
    let error = call(&mut service).await.unwrap_err();
    assert_eq!(world.env.now(), start, "at once");
    let CallError::Paused { left } = error else {
        panic!("{error}");
    };
    assert!(left > seconds(59) && left < seconds(67), "{left:?}");
    assert!(error.is_limited());
    let mut other_key = other_key;
    call(&mut other_key).await.unwrap();
    world.pass(seconds(67)).await;
    call(&mut service).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_with_a_key_each_wait_in_its_line() {
    let world = World::new();
    let api = limiter(&world, Quota::per_second(10).burst(1)).await;
    let server = Server::new(&world);
    let key = |request: &Request<()>| match request.uri().path() {
        "/free" => None,
        path => Some(path.to_owned()),
    };
    let service = ThrottleLayer::by(&api, key).layer(server.clone());
    let mut calls = Vec::new();
    for path in ["/a", "/a", "/a", "/b", "/b", "/free", "/free"] {
        let mut service = service.clone();
        let request = Request::get(path).body(()).unwrap();
        let call = async move { service.ready().await?.call(request).await };
        calls.push(world.env.spawn(call));
        world.pass(ms(1)).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // What the server says counts for the key that it was said to.
    server.will_answer(429, &[("retry-after", "60")]);
    let mut service = service;
    let mut path = async |path| {
        let request = Request::get(path).body(()).unwrap();
        service.ready().await?.call(request).await
    };
    path("/c").await.unwrap();
    assert!(path("/c").await.unwrap_err().is_limited());
    path("/d").await.unwrap();
    let gaps = &server.gaps()[..7];
    let in_tenths: Vec<_> = gaps.iter().map(|gap| (gap + 20) / 100).collect();
    assert_eq!(in_tenths, [0, 0, 0, 0, 1, 1, 2], "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_under_way_at_a_time_and_what_is_dropped_gives_its_permit_back() {
    let world = World::new();
    let (here, there) = (world.client().await, world.client().await);
    let server = Server::new(&world).takes(ms(100));
    let layers = [here, there].map(|coord| PermitLayer::new(&coord.semaphore("api", 3).unwrap()));
    let mut calls = Vec::new();
    for i in 0..12 {
        let mut service = layers[i % 2].layer(server.clone());
        calls.push(world.env.spawn(async move { call(&mut service).await }));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((server.calls().len(), server.most()), (12, 3));
    // Ready means reserved: the fourth is not.
    let service = layers[0].layer(server.clone());
    let mut clones: Vec<_> = (0..3).map(|_| service.clone()).collect();
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    let mut fourth = layers[1].layer(server.clone());
    let got = world.env.timeout(seconds(1), fourth.ready()).await;
    assert!(got.is_err());
    // One that is dropped uncalled, and one whose call is dropped.
    clones.pop();
    fourth.ready().await.unwrap();
    let mut fifth = layers[1].layer(server.clone());
    let mut under_way = clones[0].call(get());
    poll_fn(|cx| Poll::Ready(under_way.as_mut().poll(cx).is_pending())).await;
    assert!(world.env.timeout(ms(50), fifth.ready()).await.is_err());
    drop(under_way);
    fifth.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_lost_stops_the_call_and_one_that_was_lost_before_is_replaced() {
    let world = World::new();
    let coord = world.client().await;
    let semaphore = coord.semaphore("api", 1).unwrap().ttl(seconds(2));
    let busy = semaphore.clone().wait(ms(100));
    let server = Server::new(&world).takes(seconds(60));
    let layer = PermitLayer::new(&semaphore);
    let mut service = layer.layer(server.clone());
    service.ready().await.unwrap();
    let call = world.env.spawn(service.call(get()));
    world.pass(ms(100)).await;
    let refused = self::call(&mut PermitLayer::new(&busy).layer(server.clone()))
        .await
        .unwrap_err();
    assert!(
        refused.is_limited() && refused.status().unwrap() == 429,
        "{refused}"
    );
    world.store.stop();
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, CallError::Permit(error) if error.is_lost()),
        "{error}"
    );
    assert!(!error.is_limited());
    world.store.start();
    world.pass(seconds(4)).await;
    let mut service = layer.layer(Server::new(&world));
    service.ready().await.unwrap();
    world.store.stop();
    world.pass(seconds(4)).await;
    world.store.start();
    service.call(get()).await.unwrap();
}
