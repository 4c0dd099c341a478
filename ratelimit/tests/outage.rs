//! What a limiter says while the store is away.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use leasehold_core::store::Faults;
use leasehold_ratelimit::{Error, Outage, Quota, RateLimiter, Source, Unavailable};
use support::{World, ms, seconds};

const QUOTA: Quota = Quota::per_second(10).burst(10);

/// A limiter that has heard from the store.
async fn limiter(world: &World, outage: Outage) -> RateLimiter {
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "api", QUOTA).outage(outage);
    let api = builder.build().unwrap();
    assert!(api.check("a").await.unwrap().is_allowed());
    api
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_unavailable_and_never_limited() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    world.store.stop();
    for i in 0..5 {
        let start = world.env.now();
        let error = match i % 2 {
            0 => api.check("a").await.unwrap_err(),
            _ => api.until_ready("a").await.unwrap_err(),
        };
        assert!(error.is_unavailable() && !error.is_limited(), "{error}");
        let took = world.env.now().since(start);
        // Three failures, each within the budget; after that nobody waits.
        let (budget, is_open) = (if i < 3 { ms(250) } else { ms(0) }, i >= 3);
        assert!(took <= budget + ms(1), "{i}: {took:?}");
        let Error::Unavailable { why, .. } = error else {
            unreachable!()
        };
        assert_eq!(
            matches!(why, Unavailable::BreakerOpen { .. }),
            is_open,
            "{why}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_look_at_a_store_that_is_away_and_it_is_asked_again_once_back() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    world.store.stop();
    for _ in 0..3 {
        api.check("a").await.unwrap_err();
    }
    for _ in 0..50 {
        world.pass(ms(100)).await;
        let start = world.env.now();
        api.check("a").await.unwrap_err();
        assert_eq!(world.env.now(), start);
    }
    world.store.start();
    let back = world.env.now();
    while api.check("a").await.is_err() {
        world.pass(ms(10)).await;
        assert!(world.env.now().since(back) < ms(1300), "not asked again");
    }
    let decision = api.check("a").await.unwrap();
    assert_eq!(decision.source(), Source::Store);
}

#[tokio::test(start_paused = true)]
async fn what_should_go_on_passes_and_says_that_nobody_was_asked() {
    let world = World::new();
    let api = limiter(&world, Outage::Allow).await;
    world.network.outage();
    for _ in 0..30 {
        let decision = api.check("a").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!(decision.source(), Source::Outage);
        assert_eq!(api.until_ready("a").await.unwrap().source, Source::Outage);
    }
    // A cost that can never pass does not pass now either.
    assert!(matches!(
        api.check_n("a", 11).await,
        Err(Error::TooCostly { .. })
    ));
    world.network.recover();
    world.pass(ms(1300)).await;
    assert!(api.check("a").await.unwrap().is_allowed());
    world.pass(ms(300)).await;
    assert_eq!(api.check("a").await.unwrap().source(), Source::Store);
}

#[tokio::test(start_paused = true)]
async fn each_node_has_its_share_of_the_quota_while_the_store_is_away() {
    let world = World::new();
    let (one, other) = (
        limiter(&world, Outage::LocalShare).await,
        limiter(&world, Outage::LocalShare).await,
    );
    // Until both have heard that there are two.
    world.pass(seconds(6)).await;
    world.network.outage();
    for api in [&one, &other] {
        for i in 0..20 {
            let decision = api.check("a").await.unwrap();
            assert_eq!(decision.source(), Source::Outage);
            assert_eq!(decision.is_allowed(), i < 5, "{i}");
        }
    }
    let (start, mut passed) = (world.env.now(), 0);
    while world.env.now().since(start) < seconds(10) {
        for api in [&one, &other] {
            passed += u32::from(api.check("a").await.unwrap().is_allowed());
        }
        world.pass(ms(10)).await;
    }
    assert!((95..=112).contains(&passed), "{passed} of 100");
    let error = one.check_n("a", 6).await.unwrap_err();
    let is_too_small = |error: &Error| {
        let Error::Unavailable { why, .. } = error else {
            return false;
        };
        matches!(why, Unavailable::ShareTooSmall { cost: 6, burst: 5 })
    };
    assert!(is_too_small(&error), "{error}");
    // Waiting in turn goes on, too.
    let start = world.env.now();
    for _ in 0..5 {
        one.until_ready("b").await.unwrap();
    }
    one.until_ready("b").await.unwrap();
    assert!(world.env.now().since(start) >= ms(200));
    let peeked = one.peek("a", 1).await.unwrap();
    assert_eq!(peeked.source(), Source::Outage);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_store_is_an_outage_and_a_limit_is_none() {
    let world = World::new();
    let api = limiter(&world, Outage::Deny).await;
    world.network.set_faults(Faults {
        refusals: 1000,
        ..Faults::none()
    });
    let error = api.check("a").await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    world.network.set_faults(Faults::none());
    for _ in 0..100 {
        let _ = api.check("a").await.unwrap();
    }
    assert_eq!(api.check("a").await.unwrap().source(), Source::Store);
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_what_is_counted_in_an_outage_are_refused_as_unavailable() {
    let world = World::new();
    let coord = world.client().await;
    let quota = Quota::per_minute(1);
    let builder = RateLimiter::builder(&coord, "api", quota).outage(Outage::LocalShare);
    let api = builder.build().unwrap();
    let _ = api.check("x").await.unwrap();
    world.network.outage();
    let mut full = 0;
    for key in 0..16_500 {
        match api.check(key).await {
            Ok(decision) => assert!(decision.is_allowed()),
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                full += 1;
            }
        }
    }
    assert_eq!(full, 16_500 - 16_384);
    assert!(!api.check(0).await.unwrap().is_allowed(), "it is counted");
    // Those whose burst is there again are forgotten.
    world.pass(seconds(61)).await;
    assert!(api.check(16_499).await.unwrap().is_allowed());
}
