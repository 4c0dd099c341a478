//! Several limits at once.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use leasehold_ratelimit::{All, AllDecision, Error, Outage, Quota, RateLimiter};
use support::{World, ms};

async fn limiters(world: &World, outage: Outage) -> [RateLimiter; 3] {
    let coord = world.client().await;
    let limiter = |class, burst| {
        let quota = Quota::per_second(10).burst(burst);
        let builder = RateLimiter::builder(&coord, class, quota).outage(outage);
        builder.build().unwrap().group("org-7").unwrap()
    };
    [limiter("user", 2), limiter("org", 5), limiter("all", 100)]
}

fn together(limiters: &[RateLimiter], user: &str) -> All {
    let all = RateLimiter::all().add(&limiters[0], user, 1);
    all.add(&limiters[1], "o", 2).add(&limiters[2], "g", 3)
}

#[tokio::test(start_paused = true)]
async fn all_are_charged_in_one_request_or_none_is_and_the_answer_says_who_refused() {
    let world = World::new();
    let limiters = limiters(&world, Outage::Deny).await;
    let [user, org, all] = &limiters;
    assert!(
        together(&limiters, "ann")
            .check()
            .await
            .unwrap()
            .is_allowed()
    );
    let requests = world.requests();
    let AllDecision::Allowed(each) = together(&limiters, "ann").check().await.unwrap() else {
        panic!("two are allowed");
    };
    assert_eq!(requests.count(), 1);
    let remaining: Vec<_> = each.iter().map(|one| one.remaining).collect();
    assert_eq!(remaining, [0, 1, 94]);
    let refused = together(&limiters, "ann").check().await.unwrap();
    assert_eq!(refused.retry_after(), ms(100));
    let AllDecision::Limited(by) = refused else {
        panic!("three of two");
    };
    let by: Vec<_> = by
        .iter()
        .map(|one| (one.index, one.class.as_str()))
        .collect();
    assert_eq!(by, [(0, "user"), (1, "org")]);
    // Another user is refused by the organisation's alone.
    let AllDecision::Limited(by) = together(&limiters, "bob").check().await.unwrap() else {
        panic!("six of five");
    };
    assert_eq!((by.len(), by[0].index), (1, 1));
    assert_eq!(by[0].limited.retry_after, ms(100));
    for (limiter, key, left) in [
        (user, "ann", 0),
        (user, "bob", 2),
        (org, "o", 1),
        (all, "g", 94),
    ] {
        assert_eq!(
            limiter.peek(key, 1).await.unwrap().remaining(),
            left,
            "{key}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_charged_together_are_refused() {
    let world = World::new();
    let [user, org, _] = limiters(&world, Outage::Deny).await;
    let requests = world.requests();
    let apart = RateLimiter::all()
        .add(&user, "ann", 1)
        .add(&org.group("org-8").unwrap(), "o", 1);
    let error = apart.check().await.unwrap_err();
    assert!(matches!(error, Error::Apart { .. }), "{error}");
    assert!(error.to_string().contains("limiter.group(tag)"), "{error}");
    let twice = RateLimiter::all().add(&user, "ann", 1).add(&user, "ann", 1);
    let error = twice.check().await.unwrap_err();
    assert!(matches!(error, Error::Twice { .. }), "{error}");
    let [foreign, ..] = limiters(&world, Outage::Deny).await;
    let foreign = RateLimiter::all()
        .add(&user, "ann", 1)
        .add(&foreign, "bob", 1);
    assert!(matches!(foreign.check().await, Err(Error::Apart { .. })));
    let costly = RateLimiter::all().add(&org, "o", 1).add(&user, "ann", 3);
    assert!(matches!(
        costly.check().await,
        Err(Error::TooCostly { burst: 2, .. })
    ));
    assert!(
        RateLimiter::all()
            .add(&user, "\u{7}", 1)
            .check()
            .await
            .is_err()
    );
    assert!(
        RateLimiter::all().check().await.unwrap().is_allowed(),
        "of nothing"
    );
    assert_eq!(requests.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_all_have_a_say() {
    let world = World::new();
    let limiters = limiters(&world, Outage::LocalShare).await;
    world.network.outage();
    let mut passed = 0;
    for _ in 0..10 {
        passed += u32::from(
            together(&limiters, "ann")
                .check()
                .await
                .unwrap()
                .is_allowed(),
        );
    }
    assert_eq!(passed, 2, "user's, of which nobody else is live");
    passed = 0;
    for _ in 0..10 {
        passed += u32::from(
            together(&limiters, "bob")
                .check()
                .await
                .unwrap()
                .is_allowed(),
        );
    }
    assert_eq!(
        passed, 0,
        "the organisation's, 4 of 5, and a bit that came back"
    );
    // One that denies denies it for all.
    world.network.recover();
    let [deny, ..] = self::limiters(&world, Outage::Deny).await;
    world.network.outage();
    let error = RateLimiter::all()
        .add(&deny, "x", 1)
        .check()
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}
