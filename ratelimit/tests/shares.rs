//! Local shares, and denials that are kept in mind.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use leasehold_core::store::Faults;
use leasehold_ratelimit::{
    Builder, Error, LocalShares, Outage, Quota, RateLimiter, Source, Unavailable,
};
use support::{World, above, ms, seconds};

async fn hot(world: &World, quota: Quota, set: impl FnOnce(Builder) -> Builder) -> RateLimiter {
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "hot", quota).local_shares(LocalShares::new());
    set(builder).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_is_decided_here_with_few_requests_and_never_over() {
    let world = World::new();
    let quota = Quota::per_second(10_000).burst(1_000);
    let nodes = [
        hot(&world, quota, |b| b).await,
        hot(&world, quota, |b| b).await,
    ];
    let requests = world.requests();
    let (start, mut uses) = (world.env.now(), Vec::new());
    let mut from_shares = 0;
    while world.env.now().since(start) < seconds(2) {
        for node in &nodes {
            for _ in 0..7 {
                let decision = node.check("a").await.unwrap();
                if decision.is_allowed() {
                    uses.push((world.env.now().as_nanos() / 1000, 1));
                    from_shares += u32::from(decision.source() == Source::Share);
                }
            }
        }
        world.pass(ms(1)).await;
    }
    // 14,000 a second were asked for.
    assert!(above(&uses, 10_000, 1_000_000, 1_000) <= 0.0);
    let most = 10_000 * 2 + 1_000;
    assert!(uses.len() > most * 9 / 10, "{}", uses.len());
    assert!(
        requests.count() < uses.len() / 5,
        "{} requests",
        requests.count()
    );
    assert!(from_shares as usize > uses.len() * 3 / 4, "{from_shares}");
}

#[tokio::test(start_paused = true)]
async fn units_are_not_used_once_their_share_is_too_old() {
    let world = World::new();
    let quota = Quota::per_second(1_000).burst(1_000);
    let node = hot(&world, quota, |b| b).await;
    // A demand that makes shares large.
    for _ in 0..600 {
        assert!(node.check("a").await.unwrap().is_allowed());
    }
    let decision = node.check("a").await.unwrap();
    assert!(decision.source() == Source::Share && decision.remaining() > 10);
    let requests = world.requests();
    world.pass(ms(49)).await;
    assert_eq!(node.check("a").await.unwrap().source(), Source::Share);
    world.pass(ms(1)).await;
    assert_eq!(node.check("a").await.unwrap().source(), Source::Store);
    assert_eq!(requests.count(), 1);
    // Who asks seldom takes no more than it needs.
    for _ in 0..20 {
        world.pass(ms(60)).await;
        assert!(node.check("a").await.unwrap().is_allowed());
    }
    let last = requests.charges().last().cloned().unwrap();
    assert_eq!(last.2, 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_counts_from_before_it_was_asked_for() {
    let world = World::new();
    let quota = Quota::per_second(1_000).burst(1_000);
    let node = hot(&world, quota, |b| b).await;
    for _ in 0..600 {
        assert!(node.check("a").await.unwrap().is_allowed());
    }
    world.pass(ms(100)).await;
    // The request takes 40 ms of the 50.
    world.store.stop();
    let asking = {
        let node = node.clone();
        world.env.spawn(async move { node.check("a").await })
    };
    world.pass(ms(40)).await;
    world.store.start();
    let decision = asking.await.unwrap().unwrap();
    assert!(decision.is_allowed() && decision.remaining() > 10);
    let requests = world.requests();
    world.pass(ms(8)).await;
    assert_eq!(node.check("a").await.unwrap().source(), Source::Share);
    world.pass(ms(4)).await;
    assert_eq!(node.check("a").await.unwrap().source(), Source::Store);
    assert_eq!(requests.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_further_away_than_shares_last_is_said_to_be() {
    let world = World::new();
    let quota = Quota::per_second(1_000).burst(1_000);
    let node = hot(&world, quota, |b| b).await;
    assert!(node.check("a").await.unwrap().is_allowed());
    world.network.set_faults(Faults {
        delay_before: ms(140),
        delay_after: ms(140),
        ..Faults::none()
    });
    let mut late = 0;
    for _ in 0..20 {
        world.pass(seconds(2)).await;
        let start = world.env.now();
        let decided = node.check("a").await;
        assert!(world.env.now().since(start) <= ms(251), "within its time");
        if let Err(error) = decided {
            assert!(error.is_unavailable(), "{error}");
            let Error::Unavailable { why, .. } = error else {
                unreachable!()
            };
            late += u32::from(matches!(why, Unavailable::TooLate { .. }));
        }
    }
    assert!(late > 0);
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_kept_in_mind_until_it_may_pass() {
    let world = World::new();
    for shares in [true, false] {
        let coord = world.client().await;
        let class = if shares { "hot" } else { "plain" };
        let builder = RateLimiter::builder(&coord, class, Quota::per_second(1).burst(4));
        let builder = if shares {
            builder.local_shares(LocalShares::new())
        } else {
            builder.cache_denials()
        };
        let node = builder.build().unwrap();
        while node.check("a").await.unwrap().is_allowed() {}
        let requests = world.requests();
        for _ in 0..90 {
            world.pass(ms(10)).await;
            let decision = node.check("a").await.unwrap();
            assert_eq!(
                (decision.is_allowed(), decision.source()),
                (false, Source::Share)
            );
            assert!(decision.retry_after() <= seconds(1) && decision.limit() > 0);
        }
        assert_eq!(requests.count(), 0);
        assert!(
            node.check("b").await.unwrap().is_allowed(),
            "of this key alone"
        );
        world.pass(ms(101)).await;
        assert!(node.check("a").await.unwrap().is_allowed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_many_is_none_of_few_and_ends_with_the_quota() {
    let world = World::new();
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "api", Quota::per_minute(1).burst(4));
    let node = builder.cache_denials().build().unwrap();
    assert!(node.check_n("a", 2).await.unwrap().is_allowed());
    assert!(!node.check_n("a", 4).await.unwrap().is_allowed());
    assert!(!node.check_n("a", 4).await.unwrap().is_allowed());
    assert!(node.check("a").await.unwrap().is_allowed());
    assert!(node.check("a").await.unwrap().is_allowed());
    assert!(!node.check("a").await.unwrap().is_allowed());
    let other = RateLimiter::new(&world.client().await, "api", Quota::per_hour(1)).unwrap();
    let more = Quota::per_minute(1).burst(100);
    other.set_quota(more).await.unwrap();
    // It looks for another quota though all it says is no.
    let mut waited = 0;
    while !node.check("a").await.unwrap().is_allowed() {
        world.pass(ms(100)).await;
        waited += 1;
        assert!(waited < 70, "not heard of");
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_ask_at_once_ask_the_store_for_all() {
    let world = World::new();
    let node = hot(&world, Quota::per_second(1_000).burst(1_000), |b| b).await;
    for _ in 0..300 {
        let _ = node.check("a").await.unwrap();
    }
    world.pass(ms(100)).await;
    let requests = world.requests();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let node = node.clone();
            world
                .env
                .spawn(async move { node.check("a").await.unwrap().is_allowed() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert!(requests.count() <= 2, "{} requests", requests.count());
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_tasks_of_one_key_wait_no_longer_than_one_of_them() {
    let world = World::new();
    let node = hot(&world, Quota::per_second(1_000).burst(1_000), |b| {
        b.outage(Outage::Allow)
    })
    .await;
    assert!(node.check("a").await.unwrap().is_allowed());
    world.pass(ms(100)).await;
    world.store.stop();
    let start = world.env.now();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let node = node.clone();
            world
                .env
                .spawn(async move { node.check("a").await.unwrap().source() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Source::Outage);
    }
    assert!(world.env.now().since(start) <= ms(251));
}

#[tokio::test(start_paused = true)]
async fn what_leaves_nothing_of_the_burst_is_refused_with_what_to_change() {
    let world = World::new();
    let coord = world.client().await;
    let build = |quota, shares| {
        RateLimiter::builder(&coord, "hot", quota)
            .local_shares(shares)
            .build()
    };
    let quota = Quota::per_second(1_000).burst(50);
    let error = build(quota, LocalShares::new()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Shares {
                kept_back: 50,
                burst: 50,
                ..
            }
        ),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("raise the burst") && text.contains("`lasting`"),
        "{text}"
    );
    build(quota.burst(51), LocalShares::new()).unwrap();
    build(quota, LocalShares::new().lasting(ms(49))).unwrap();
    let node = build(quota, LocalShares::new().overshoot(10)).unwrap();
    // One that would leave nothing is not announced either.
    let error = node
        .set_quota(Quota::per_second(10_000).burst(100))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Shares { .. }), "{error}");
    let costly = node.check_n("a", 11).await.unwrap_err();
    assert!(
        matches!(costly, Error::TooCostly { burst: 10, .. }),
        "{costly}"
    );
    assert!(matches!(
        node.check_n("a", 0).await,
        Err(Error::NoCost { .. })
    ));
    assert!(matches!(node.check("x\ny").await, Err(Error::Core(_))));
}
