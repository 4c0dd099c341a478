//! The limiter: decisions, waiting in turn, quotas that change, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::time::Duration;

use leasehold_core::Coordinator;
use leasehold_core::store::MemoryStore;
use leasehold_ratelimit::{Decision, Error, Quota, QuotaError, RateLimiter, Source};
use support::{World, ms, seconds};

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_then_the_rate() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::new(&coord, "api", Quota::per_second(10).burst(4)).unwrap();
    for remaining in [3, 2, 1, 0] {
        let decision = api.check("a").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!((decision.remaining(), decision.limit()), (remaining, 4));
        assert_eq!(decision.source(), Source::Store);
    }
    let Decision::Limited(limited) = api.check("a").await.unwrap() else {
        panic!("five at once of four");
    };
    assert_eq!(
        (limited.retry_after, limited.reset_after),
        (ms(100), ms(400))
    );
    assert_eq!(limited.remaining, 0);
    assert!(api.check("b").await.unwrap().is_allowed(), "another key");
    world.pass(ms(99)).await;
    assert!(!api.check("a").await.unwrap().is_allowed(), "early");
    world.pass(ms(1)).await;
    assert!(api.check("a").await.unwrap().is_allowed());
    assert!(!api.check("a").await.unwrap().is_allowed());
}

#[tokio::test(start_paused = true)]
async fn several_units_are_all_or_none_and_a_refusal_costs_nothing() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::new(&coord, "api", Quota::per_second(1).burst(10)).unwrap();
    assert_eq!(api.peek("a", 10).await.unwrap().remaining(), 10);
    assert!(api.check_n("a", 7).await.unwrap().is_allowed());
    let refused = api.check_n("a", 4).await.unwrap();
    assert_eq!((refused.is_allowed(), refused.remaining()), (false, 3));
    assert_eq!(refused.retry_after(), seconds(1));
    assert_eq!(refused.into_result().unwrap_err().retry_after, seconds(1));
    for _ in 0..20 {
        assert!(!api.check_n("a", 4).await.unwrap().is_allowed());
    }
    assert!(api.check_n("a", 3).await.unwrap().is_allowed());
    let peeked = api.peek("a", 5).await.unwrap();
    assert_eq!(peeked.retry_after(), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn keys_of_clients_and_of_programs_are_the_same() {
    let world = World::new();
    let (one, other) = (world.client().await, world.client().await);
    let quota = Quota::per_second(1).burst(3);
    let api = [&one, &other].map(|coord| RateLimiter::new(coord, "api", quota).unwrap());
    let mut allowed = 0;
    for i in 0..10 {
        allowed += u32::from(api[i % 2].check("a").await.unwrap().is_allowed());
    }
    assert_eq!(allowed, 3);
    let apart = RateLimiter::new(&one, "other", quota).unwrap();
    assert!(apart.check("a").await.unwrap().is_allowed());
    let grouped = api[0].group("org-7").unwrap();
    assert!(grouped.check("a").await.unwrap().is_allowed());
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_with_what_to_do() {
    let world = World::new();
    let coord = world.client().await;
    let build = |quota| RateLimiter::new(&coord, "api", quota).unwrap_err();
    let of = |error: Error| match error {
        Error::Quota { error, .. } => error,
        error => panic!("{error}"),
    };
    assert_eq!(of(build(Quota::per_second(0))), QuotaError::NoUnits);
    assert_eq!(
        of(build(Quota::per_second(5).burst(0))),
        QuotaError::NoBurst
    );
    assert_eq!(
        of(build(Quota::per(5, Duration::ZERO))),
        QuotaError::NoPeriod
    );
    assert_eq!(
        of(build(Quota::per(5, Duration::from_nanos(999)))),
        QuotaError::NoPeriod
    );
    let long = Quota::per(1, Duration::from_secs(u64::MAX)).burst(u64::MAX);
    assert!(matches!(of(build(long)), QuotaError::BurstTooLong { .. }));
    let message = build(Quota::per_second(0)).to_string();
    assert_eq!(
        message,
        "limiter `api`: a quota of 0 units lets nothing pass, ever: give it at least 1"
    );
    let builder = RateLimiter::builder(&coord, "api", Quota::per_second(5));
    let error = builder
        .clone()
        .longest_wait(seconds(3601))
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::LongestWait { .. }), "{error}");
    let error = builder.budget(Duration::ZERO).build().unwrap_err();
    assert!(matches!(error, Error::NoBudget { .. }), "{error}");
    for class in ["", "a/b", "~limit", "x\ny"] {
        let error = RateLimiter::new(&coord, class, Quota::per_second(5)).unwrap_err();
        assert!(matches!(error, Error::Core(_)), "{error}");
    }

    let api = RateLimiter::new(&coord, "api", Quota::per_second(5)).unwrap();
    let requests = world.requests();
    let costly = [
        api.check_n("a", 6).await.unwrap_err(),
        api.until_ready_n("a", u64::MAX).await.unwrap_err(),
        api.peek("a", 6).await.unwrap_err(),
    ];
    for error in costly {
        assert!(
            matches!(error, Error::TooCostly { burst: 5, .. }),
            "{error}"
        );
        assert!(!error.is_limited() && !error.is_unavailable());
        assert!(error.to_string().contains("can never pass"), "{error}");
    }
    let error = api.check_n("a", 0).await.unwrap_err();
    assert!(matches!(error, Error::NoCost { .. }), "{error}");
    let megabyte = "x".repeat(1 << 20);
    for key in ["", "a\u{7}", &megabyte] {
        let error = api.check(key).await.unwrap_err();
        assert!(
            matches!(error, Error::Core(_)) && error.to_string().len() < 200,
            "{error}"
        );
    }
    assert!(api.group("a/b").is_err());
    assert_eq!(requests.count(), 0, "no store was asked for any of them");
}

#[tokio::test]
async fn quotas_say_what_they_promise() {
    let of = |quota: Quota| (quota.units(), quota.period(), quota.burst_units());
    assert_eq!(of(Quota::per_second(100)), (100, seconds(1), 100));
    assert_eq!(of(Quota::per_minute(600)), (600, seconds(60), 10));
    assert_eq!(of(Quota::per_hour(10)), (10, seconds(3600), 1));
    assert_eq!(of(Quota::per_day(10)), (10, seconds(86_400), 1));
    assert_eq!(of(Quota::at_most(100, seconds(1))), (91, seconds(1), 10));
    assert_eq!(of(Quota::at_most(1, seconds(9))), (1, seconds(9), 1));
    assert_eq!(
        of(Quota::at_most(3, seconds(9)).burst(3)),
        (1, seconds(9), 3)
    );
    let coord = Coordinator::builder(MemoryStore::new(), "test");
    let coord = coord.connect().await.unwrap();
    // More than can be at once.
    let most = Quota::at_most(3, seconds(9)).burst(4);
    assert!(RateLimiter::new(&coord, "api", most).is_err());
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_turn_large_and_small_alike() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::new(&coord, "api", Quota::per_second(10).burst(5)).unwrap();
    let start = world.env.now();
    let mut tasks = Vec::new();
    for units in [5, 4, 1, 5, 1] {
        let (api, env) = (api.clone(), world.env.clone());
        tasks.push(world.env.spawn(async move {
            let allowed = api.until_ready_n("a", units).await.unwrap();
            assert_eq!(allowed.source, Source::Store);
            env.now().since(start).as_millis()
        }));
        world.pass(Duration::from_micros(10)).await;
    }
    let mut served = Vec::new();
    for task in tasks {
        served.push(task.await.unwrap());
    }
    // To the ms in which timers count here, and never early.
    for (served, due) in served.into_iter().zip([0, 400, 500, 1000, 1100]) {
        assert!((due..=due + 2).contains(&served), "{served} for {due}");
    }
    // Who does not wait is behind them.
    assert!(!api.check_n("a", 1).await.unwrap().is_allowed());
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_at_once_and_charged_nothing() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::builder(&coord, "api", Quota::per_second(1).burst(1));
    let api = api.longest_wait(seconds(2)).build().unwrap();
    api.until_ready("a").await.unwrap();
    let waiting = [1, 2].map(|_| {
        let api = api.clone();
        world.env.spawn(async move { api.until_ready("a").await })
    });
    world.pass(ms(1)).await;
    let start = world.env.now();
    let error = api.until_ready("a").await.unwrap_err();
    assert_eq!(world.env.now(), start);
    let Error::Limited { limited, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(limited.retry_after, ms(2_999));
    assert!(error.is_limited() && !error.is_unavailable());
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    world.pass(seconds(1)).await;
    assert!(
        api.check("a").await.unwrap().is_allowed(),
        "that one cost nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_gives_back_if_nobody_came_after() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::new(&coord, "api", Quota::per_second(1).burst(1)).unwrap();
    api.until_ready("a").await.unwrap();
    let start = world.env.now();
    let wait = |api: &RateLimiter| {
        let (api, env) = (api.clone(), world.env.clone());
        world.env.spawn(async move {
            api.until_ready("a").await.unwrap();
            env.now().since(start).as_millis()
        })
    };
    let last = wait(&api);
    world.pass(ms(1)).await;
    last.abort();
    world.pass(ms(1)).await;
    // It has the place of the one that left.
    let first = wait(&api);
    world.pass(ms(1)).await;
    let second = wait(&api);
    world.pass(ms(1)).await;
    first.abort();
    world.pass(ms(1)).await;
    // Now somebody came after who left, and keeps its time; so does who comes next.
    let third = wait(&api);
    let served = [second.await.unwrap(), third.await.unwrap()];
    assert!(
        (2000..=2002).contains(&served[0]) && (3000..=3002).contains(&served[1]),
        "{served:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_under_way_leaves_no_charge() {
    let world = World::new();
    let coord = world.client().await;
    let api = RateLimiter::new(&coord, "api", Quota::per_hour(1)).unwrap();
    world.network.set_faults(leasehold_core::store::Faults {
        delay_before: ms(20),
        delay_after: ms(20),
        ..leasehold_core::store::Faults::none()
    });
    let requests = world.requests();
    // Dropped at every instant of its way, until it is answered in time.
    for after in 0..100 {
        let answered = world.env.timeout(ms(after), api.until_ready("a")).await;
        if let Ok(answered) = answered {
            answered.unwrap();
            assert!(requests.charges().len() > 10, "most reached the store");
            return;
        }
        world.pass(ms(400)).await;
        assert!(
            api.peek("a", 1).await.unwrap().is_allowed(),
            "dropped after {after} ms"
        );
    }
    panic!("was never answered");
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_changed_while_the_fleet_runs() {
    let world = World::new();
    let (one, other) = (world.client().await, world.client().await);
    let slow = Quota::per_hour(1);
    let here = RateLimiter::new(&one, "api", slow).unwrap();
    let there = RateLimiter::new(&other, "api", slow).unwrap();
    for limiter in [&here, &there] {
        let _ = limiter.check("a").await.unwrap();
    }
    assert!(!there.check("a").await.unwrap().is_allowed());
    let fast = Quota::per_second(10).burst(10);
    assert_eq!(here.set_quota(fast).await.unwrap(), 1);
    assert_eq!(here.quota(), fast.revision(1));
    assert!(here.check_n("b", 10).await.unwrap().is_allowed());
    // Of a key that is in use the other one hears with its next request, of the rest in some seconds.
    world.pass(seconds(6)).await;
    let _ = there.check("c").await.unwrap();
    world.pass(ms(1)).await;
    assert_eq!(there.quota(), fast.revision(1));
    assert!(there.check_n("d", 10).await.unwrap().is_allowed());
    // A new client goes by it from the first decision on.
    let third = RateLimiter::new(&world.client().await, "api", slow).unwrap();
    assert!(third.check_n("e", 1).await.unwrap().is_allowed());
    assert!(third.check_n("e", 9).await.unwrap().is_allowed());

    // The highest revision counts, also if it is the slower one, and if it is of a program.
    assert_eq!(here.set_quota(Quota::per_second(2)).await.unwrap(), 2);
    let error = there.set_quota(fast.revision(2)).await.unwrap_err();
    assert!(
        matches!(error, Error::Superseded { revision: 2, .. }),
        "{error}"
    );
    let deployed = RateLimiter::new(&one, "api", Quota::per_second(7).revision(3)).unwrap();
    assert!(deployed.check_n("f", 7).await.unwrap().is_allowed());
    world.pass(seconds(1)).await;
    // Whoever has not heard of it goes by it, too, where it is in use.
    assert!(deployed.check_n("f", 7).await.unwrap().is_allowed());
    assert_eq!(there.check("f").await.unwrap().limit(), 7);
    let error = here.set_quota(Quota::per_second(0)).await.unwrap_err();
    assert!(matches!(error, Error::Quota { .. }), "{error}");
}
