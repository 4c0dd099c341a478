//! The layer for servers, under axum.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![cfg(feature = "tower")]

mod support;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::{Method, Request, Response, StatusCode};
use leasehold_ratelimit::fields::{QuotaPolicy, ServiceLimit};
use leasehold_ratelimit::layers::{RateLimitLayer, by};
use leasehold_ratelimit::{Outage, Quota, RateLimiter};
use support::{World, ms, seconds};
use tower::{Service, ServiceExt};

const QUOTA: Quota = Quota::per_second(2).burst(3);

async fn limiter(world: &World, outage: Outage) -> RateLimiter {
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "api", QUOTA).outage(outage);
    builder.longest_wait(seconds(2)).build().unwrap()
}

fn app() -> Router {
    Router::new().route("/", get(|| async { "served" }).post(|| async { "served" }))
}

fn from(customer: &str) -> Request<Body> {
    let request = Request::get("/").header("x-customer", customer);
    request.body(Body::empty()).unwrap()
}

fn of_nobody() -> Request<Body> {
    Request::get("/").body(Body::empty()).unwrap()
}

async fn ask(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

fn field<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_served_and_what_is_limited_gets_429_and_is_told_when_to_come_back() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    let app = app().layer(RateLimitLayer::new(&api, by::header("x-customer")));
    let policy = r#""api";q=4;w=2;leasehold-burst=3"#;
    for left in [2, 1, 0] {
        let response = ask(&app, from("ann")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(field(&response, "ratelimit-policy"), Some(policy));
        let t = (3_u64 - left).div_ceil(2);
        let limit = format!(r#""api";r={left};t={t}"#);
        assert_eq!(field(&response, "ratelimit"), Some(&*limit));
        assert_eq!(field(&response, "retry-after"), None);
        assert_eq!(text(response).await, "served");
    }
    let refused = ask(&app, from("ann")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(field(&refused, "retry-after"), Some("1"));
    assert_eq!(field(&refused, "ratelimit-policy"), Some(policy));
    assert_eq!(field(&refused, "ratelimit"), Some(r#""api";r=0;t=1"#));
    assert_eq!(
        field(&refused, "content-type"),
        Some("application/problem+json")
    );
    let problem = text(refused).await;
    for part in [
        r#""type":"https://iana.org/assignments/http-problem-types#quota-exceeded""#,
        r#""violated-policies":["api"]"#,
        r#""status":429"#,
    ] {
        assert!(problem.contains(part), "{problem}");
    }
    assert_eq!(
        ask(&app, from("bob")).await.status(),
        StatusCode::OK,
        "another key"
    );
    // Who comes back then is served.
    world.pass(seconds(1)).await;
    assert_eq!(ask(&app, from("ann")).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_503_and_a_limit_stays_429() {
    for outage in [Outage::Deny, Outage::Allow, Outage::LocalShare] {
        let world = World::new();
        let api = limiter(&world, outage).await;
        let app = app().layer(RateLimitLayer::new(&api, by::header("x-customer")));
        while ask(&app, from("ann")).await.status() == StatusCode::OK {}
        world.store.stop();
        let mut seen = Vec::new();
        for i in 0..8 {
            let start = world.env.now();
            let response = ask(&app, from("ann")).await;
            let took = world.env.now().since(start);
            assert!(took <= ms(251), "{outage:?}: {took:?}");
            assert!(i < 3 || took.is_zero(), "nobody waits once it is known");
            assert_eq!(field(&response, "ratelimit"), None, "nobody knows");
            seen.push(response.status().as_u16());
        }
        match outage {
            Outage::Deny => assert_eq!(seen, [503; 8]),
            Outage::Allow => assert_eq!(seen, [200; 8]),
            // Its own count: a burst, and what came back meanwhile; then limited.
            _ => assert_eq!(seen[5..], [429; 3], "{seen:?}"),
        }
        world.store.start();
        let back = world.env.now();
        while ask(&app, from("ann")).await.status() != StatusCode::OK
            || ask(&app, from("ann")).await.status() != StatusCode::TOO_MANY_REQUESTS
        {
            world.pass(ms(20)).await;
            assert!(
                world.env.now().since(back) < seconds(5),
                "{outage:?}: not limited again"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_key_shares_one_and_evades_no_limit() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    let layer = RateLimitLayer::new(&api, by::header("x-customer"));
    let strict = app().layer(layer.clone());
    let long = "x".repeat(600);
    for request in [of_nobody(), from(&long), from("")] {
        assert_eq!(ask(&strict, request).await.status(), StatusCode::OK);
    }
    for request in [of_nobody(), from(&long), from("")] {
        let refused = ask(&strict, request).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    let requests = world.requests();
    let lenient = app().layer(layer.pass_without_key());
    for _ in 0..9 {
        let response = ask(&lenient, of_nobody()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(field(&response, "ratelimit-policy"), None);
    }
    assert_eq!(requests.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_are_headers_paths_addresses_and_closures_and_may_cost_something() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    let requests = world.requests();
    let peer = by::peer(|from: &ConnectInfo<SocketAddr>| from.0.ip());
    let closure = |request: &Request<Body>| Some(request.method().to_string());
    let costing = by::costing(by::path(), |request: &Request<Body>| {
        match *request.method() {
            Method::OPTIONS => 0,
            Method::POST => 4,
            _ => 2,
        }
    });
    let request = |method: Method| {
        let address = SocketAddr::new(IpAddr::from([192, 0, 2, 7]), 1234);
        let request = Request::builder().method(method).uri("/?q=1");
        let request = request.extension(ConnectInfo(address));
        request.body(Body::empty()).unwrap()
    };
    let by_peer = app().layer(RateLimitLayer::new(&api, peer));
    let by_method = app().layer(RateLimitLayer::new(&api, closure));
    let by_cost = app().layer(RateLimitLayer::new(&api, costing));
    ask(&by_peer, request(Method::GET)).await;
    ask(&by_method, request(Method::GET)).await;
    ask(&by_cost, request(Method::GET)).await;
    let free = ask(&by_cost, request(Method::OPTIONS)).await;
    assert_eq!(
        free.status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "what the service says"
    );
    let charges = requests.charges();
    let charges: Vec<_> = charges
        .iter()
        .map(|(_, key, units)| (&**key, *units))
        .collect();
    assert_eq!(
        charges,
        [("api/192.0.2.7", 1), ("api/GET", 1), ("api//", 2)]
    );
    let never = ask(&by_cost, request(Method::POST)).await;
    assert_eq!(
        never.status(),
        StatusCode::BAD_REQUEST,
        "more than ever passes"
    );
    assert!(text(never).await.contains("at most 3 pass at once"));
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_is_served_in_turn_and_gives_back_when_it_leaves() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    let app = app().layer(RateLimitLayer::new(&api, by::header("x-customer")).waits());
    let start = world.env.now();
    let served = |app: &Router| {
        let (app, env) = (app.clone(), world.env.clone());
        world.env.spawn(async move {
            let status = ask(&app, from("ann")).await.status();
            (status, env.now().since(start))
        })
    };
    let mut calls = Vec::new();
    for _ in 0..7 {
        calls.push(served(&app));
        world.pass(ms(1)).await;
    }
    // 3 at once, 4 that wait for up to 2 s: the next one would wait longer.
    let refused = served(&app).await.unwrap();
    assert_eq!(refused.0, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.1 < ms(20), "at once: {:?}", refused.1);
    let last = calls.pop().unwrap();
    last.abort();
    world.pass(ms(5)).await;
    calls.push(served(&app));
    let mut at = Vec::new();
    for call in calls {
        let (status, took) = call.await.unwrap();
        assert_eq!(status, StatusCode::OK);
        at.push(took.as_millis() / 100);
    }
    assert_eq!(
        at,
        [0, 0, 0, 5, 10, 15, 20],
        "the last one took the place of the one that left"
    );
}

#[tokio::test(start_paused = true)]
async fn limits_on_each_other_are_told_in_one_list() {
    let world = World::new();
    let coord = world.client().await;
    let user = RateLimiter::new(&coord, "user", Quota::per_second(10).burst(2)).unwrap();
    let all = RateLimiter::new(&coord, "all", Quota::per_minute(600)).unwrap();
    let by_user = RateLimitLayer::new(&user, by::header("x-customer")).tell_keys();
    let by_all = RateLimitLayer::new(&all, |_: &Request<Body>| Some("all".to_owned()));
    let app = app().layer(by_user).layer(by_all.clone());
    let response = ask(&app, from("ann")).await;
    let lines = |name: &str| {
        let lines = response.headers().get_all(name).iter();
        let lines: Vec<&[u8]> = lines.map(http::HeaderValue::as_bytes).collect();
        lines.join(&b", "[..])
    };
    let limits = ServiceLimit::parse_list(&lines("ratelimit")).unwrap();
    let names: Vec<_> = limits
        .iter()
        .map(|limit| (&*limit.name, limit.remaining))
        .collect();
    assert_eq!(names, [("user", 1), ("all", 9)]);
    assert_eq!(limits[0].partition_key.as_deref(), Some(&b"ann"[..]));
    assert_eq!(limits[1].partition_key, None, "not told unless asked");
    let policies = QuotaPolicy::parse_list(&lines("ratelimit-policy")).unwrap();
    assert_eq!(
        (policies.len(), policies[0].quota, policies[0].burst),
        (2, 10, Some(2))
    );
    let untold = self::app().layer(by_all.untold());
    let response = ask(&untold, from("ann")).await;
    assert_eq!(field(&response, "ratelimit"), None);
    assert_eq!(field(&response, "ratelimit-policy"), None);
}

/// A service whose clones are ready one by one, as those of `tower::limit` are.
#[tokio::test(start_paused = true)]
async fn it_calls_the_service_that_was_ready() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    let env = world.env.clone();
    let inner = tower::service_fn(move |_: Request<Body>| {
        let env = env.clone();
        async move {
            env.sleep(seconds(1)).await;
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        }
    });
    let inner = tower::limit::ConcurrencyLimit::new(inner, 1);
    let layer = RateLimitLayer::new(&api, by::header("x-customer"));
    let mut service = tower::Layer::layer(&layer, inner);
    let first = service.ready().await.unwrap().call(from("ann"));
    let mut other = service.clone();
    let early = poll_fn(|cx| std::task::Poll::Ready(other.poll_ready(cx).is_ready())).await;
    assert!(!early, "one at a time");
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        other
            .ready()
            .await
            .unwrap()
            .call(from("ann"))
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
}
