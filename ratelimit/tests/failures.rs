//! What users of other rate limiters met, one test a failure, by its number in the list that this project keeps of them.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use leasehold_core::replay;
use leasehold_core::store::Faults;
use leasehold_ratelimit::{Error, LocalShares, Outage, Quota, RateLimiter, Settled, Source};
use support::{World, above, ms, seconds};

/// upstash ratelimit: a number was compared with a string, and keys stayed for ever.
#[tokio::test(start_paused = true)]
async fn r05_no_key_is_left_once_its_burst_is_there_again() {
    let world = World::new();
    let coord = world.client().await;
    let quota = Quota::per_second(10).burst(10);
    let plain = RateLimiter::new(&coord, "plain", quota).unwrap();
    let shares = LocalShares::new();
    let builder = RateLimiter::builder(&coord, "shares", quota).local_shares(shares);
    let shared = builder.keys(100).build().unwrap();
    for key in 0..500 {
        assert!(plain.check_n(key, 10).await.unwrap().is_allowed());
        assert!(!plain.check(key).await.unwrap().is_allowed());
        assert!(shared.check_n(key, 9).await.unwrap().is_allowed());
        drop(plain.reserve(format!("r{key}"), 5).await.unwrap());
        let cancelled = plain.reserve(format!("c{key}"), 5).await.unwrap();
        cancelled.cancel().await.unwrap();
    }
    world.store.collect(&world.env);
    assert!(world.store.quota_keys("test") >= 1500);
    world.pass(seconds(2)).await;
    world.store.collect(&world.env);
    assert_eq!(world.store.quota_keys("test"), 0);
}

/// limitador: checked, then incremented: 106 to 130 were admitted of 100.
#[tokio::test(start_paused = true)]
async fn r08_of_many_who_ask_at_once_as_many_pass_as_may() {
    for seed in 0..20 {
        let world = World::with_seed(seed);
        let mut tasks = Vec::new();
        let mut nodes = Vec::new();
        for _ in 0..5 {
            let coord = world.client().await;
            nodes.push(RateLimiter::new(&coord, "api", Quota::per_hour(1).burst(100)).unwrap());
        }
        world.network.set_faults(Faults {
            delay_before: ms(20),
            delay_after: ms(20),
            ..Faults::none()
        });
        for _ in 0..60 {
            for node in &nodes {
                let node = node.clone();
                tasks.push(world.env.spawn(async move { node.check("a").await }));
            }
        }
        let mut passed = 0;
        for task in tasks {
            passed += u32::from(task.await.unwrap().unwrap().is_allowed());
        }
        assert_eq!(passed, 100);
    }
}

/// bucket4j#404, #603: who lost a compare-and-set tried again, quadratically, and timed out with tokens left.
#[tokio::test(start_paused = true)]
async fn r09_on_a_hot_key_each_request_is_made_once_and_answered() {
    let world = World::new();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        let coord = world.client().await;
        let api = RateLimiter::new(&coord, "api", Quota::per_second(1000).burst(1000)).unwrap();
        assert!(api.check("warm").await.unwrap().is_allowed());
        nodes.push(api);
    }
    let requests = world.requests();
    world.network.set_faults(Faults {
        delay_before: ms(50),
        delay_after: ms(50),
        ..Faults::none()
    });
    let start = world.env.now();
    let mut tasks = Vec::new();
    for _ in 0..200 {
        for node in &nodes {
            let node = node.clone();
            tasks.push(world.env.spawn(async move { node.check("a").await }));
        }
    }
    for task in tasks {
        assert!(
            task.await.unwrap().unwrap().is_allowed(),
            "there were units left"
        );
    }
    assert!(world.env.now().since(start) <= ms(105), "one round trip");
    assert_eq!(requests.count(), 800);
}

/// redis#14826: cost times interval overflowed, and everything was admitted.
#[tokio::test(start_paused = true)]
async fn r10_no_cost_and_no_interval_overflows() {
    let world = World::new();
    let coord = world.client().await;
    let periods = [1, 1_000_000, 3_600_000_000, u64::MAX / 1000, u64::MAX];
    let numbers = [
        1,
        2,
        1000,
        u64::from(u32::MAX),
        1 << 40,
        (1 << 53) - 1,
        1 << 53,
        u64::MAX,
    ];
    let (mut built, mut refused) = (0, 0);
    for period in periods {
        for units in numbers {
            for burst in numbers {
                let quota =
                    Quota::per(units, std::time::Duration::from_micros(period)).burst(burst);
                let class = format!("q{built}");
                let api = match RateLimiter::new(&coord, &class, quota) {
                    Ok(api) => api,
                    Err(error) => {
                        assert!(matches!(error, Error::Quota { .. }), "{error}");
                        refused += 1;
                        continue;
                    }
                };
                built += 1;
                for cost in numbers {
                    let asked = api.check_n("a", cost).await;
                    match asked {
                        Err(Error::TooCostly { .. }) => assert!(cost > burst, "{quota}: {cost}"),
                        Err(error) => panic!("{quota}: {cost}: {error}"),
                        Ok(_) => assert!(cost <= burst, "{quota}: {cost}"),
                    }
                }
                // All of it, once, at one instant.
                let whole = api.check_n("b", burst).await.unwrap();
                assert!(whole.is_allowed(), "{quota}");
                assert_eq!(whole.remaining(), 0, "{quota}");
                let more = api.check_n("b", burst).await.unwrap();
                assert!(!more.is_allowed(), "{quota}");
                // What is charged beyond all measure is so for long, and not for ever less than nothing.
                let reserved = api.reserve("c", 1).await.unwrap();
                assert!(matches!(
                    reserved.settle(u64::MAX).await.unwrap(),
                    Settled::Charged(_)
                ));
                assert!(!api.check("c").await.unwrap().is_allowed(), "{quota}");
            }
        }
    }
    assert!(built > 20 && refused > 20, "{built} {refused}");
}

/// rate-limiter-flexible#337: "limit exceeded" was taken for an outage, and switched the limit off.
#[tokio::test(start_paused = true)]
async fn r11_a_limit_is_never_taken_for_an_outage() {
    let world = World::new();
    for outage in [Outage::Allow, Outage::LocalShare, Outage::Deny] {
        let coord = world.client().await;
        let class = format!("{outage:?}");
        let builder = RateLimiter::builder(&coord, &class, Quota::per_hour(1).burst(5));
        let api = builder.outage(outage).longest_wait(ms(10)).build().unwrap();
        let mut passed = 0;
        for _ in 0..200 {
            let decision = api.check("a").await.unwrap();
            assert_eq!(decision.source(), Source::Store);
            passed += u32::from(decision.is_allowed());
            if !decision.is_allowed() {
                let error = api.until_ready("a").await.unwrap_err();
                assert!(error.is_limited() && !error.is_unavailable(), "{error}");
                let error = api.reserve("a", 1).await.unwrap_err();
                assert!(error.is_limited() && !error.is_unavailable(), "{error}");
            }
        }
        assert_eq!(passed, 5);
    }
}

/// firecrawl#3728, envoy ratelimit#462: a store error was told as 429 after 30 s; fail-open waited 10 s for each request first.
#[tokio::test(start_paused = true)]
async fn r12_an_outage_is_never_taken_for_a_limit_and_nobody_waits_for_it() {
    let world = World::new();
    let limiters = {
        let mut limiters = Vec::new();
        for outage in [Outage::Deny, Outage::Allow, Outage::LocalShare] {
            let coord = world.client().await;
            let quota = Quota::per_second(100_000);
            let builder = RateLimiter::builder(&coord, "api", quota).outage(outage);
            limiters.push((outage, builder.build().unwrap()));
        }
        limiters
    };
    for (_, api) in &limiters {
        assert!(api.check("a").await.unwrap().is_allowed());
    }
    // It takes requests, and answers none.
    world.store.stop();
    for (outage, api) in &limiters {
        let start = world.env.now();
        for i in 0..1000 {
            let asked = world.env.now();
            match api.check("a").await {
                Ok(decision) => {
                    assert!(decision.is_allowed() && *outage != Outage::Deny);
                    assert_eq!(decision.source(), Source::Outage);
                }
                Err(error) => {
                    assert!(error.is_unavailable() && !error.is_limited(), "{error}");
                    assert_eq!(*outage, Outage::Deny);
                }
            }
            let took = world.env.now().since(asked);
            assert!(
                took <= ms(251) && (i < 3 || took.is_zero()),
                "{i}: {took:?}"
            );
        }
        assert!(world.env.now().since(start) <= ms(760));
    }
}

/// litellm#18730, #27001: reservations leaked when the call was rejected; 663 tokens passed a limit of 100.
#[tokio::test(start_paused = true)]
async fn r13_reservations_do_not_leak_and_what_was_used_beyond_them_is_paid_for() {
    let world = World::new();
    let coord = world.client().await;
    let tokens = RateLimiter::new(&coord, "tokens", Quota::per_second(10).burst(100)).unwrap();
    // The call that they were for is rejected.
    for _ in 0..50 {
        let reserved = [
            tokens.reserve("a", 60).await.unwrap(),
            tokens.reserve("a", 40).await.unwrap(),
        ];
        for reservation in reserved {
            assert!(matches!(
                reservation.cancel().await.unwrap(),
                Settled::GivenBack(40 | 60)
            ));
        }
    }
    assert_eq!(tokens.peek("a", 100).await.unwrap().remaining(), 100);
    // One that another limit rejected was never charged.
    let other = RateLimiter::new(&coord, "calls", Quota::per_hour(1)).unwrap();
    let (calls, tokens) = (other.group("o").unwrap(), tokens.group("o").unwrap());
    assert!(calls.check("a").await.unwrap().is_allowed());
    for _ in 0..10 {
        let both = RateLimiter::all().add(&calls, "a", 1).add(&tokens, "a", 90);
        assert!(!both.check().await.unwrap().is_allowed());
    }
    // Ten at once, each of which uses six times as much as was thought.
    let mut uses = Vec::new();
    let mut under_way = Vec::new();
    for _ in 0..20 {
        if let Ok(reservation) = tokens.reserve("a", 10).await {
            under_way.push(reservation);
        }
    }
    assert_eq!(under_way.len(), 10);
    let start = world.env.now();
    for reservation in under_way {
        uses.push(66);
        assert_eq!(reservation.settle(66).await.unwrap(), Settled::Charged(56));
    }
    // 660 of 100: nobody passes until the 560 have been paid for.
    while tokens.reserve("a", 10).await.is_err() {
        world.pass(ms(100)).await;
    }
    let paid = world.env.now().since(start);
    assert!(paid >= seconds(57) && paid <= ms(57_200), "{paid:?}");
    assert_eq!(uses.iter().sum::<u64>(), 660);
}

/// upstash: a sliding window is an approximation, and let 200 pass a limit of 100 in a true window.
#[test]
fn r16_no_true_window_has_more_than_it_may() {
    let quota = Quota::at_most(100, seconds(1));
    replay(0..20, async |seed| {
        let world = World::with_seed(seed);
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let coord = world.client().await;
            nodes.push(RateLimiter::new(&coord, "api", quota).unwrap());
        }
        // Bursts around the boundaries of seconds, where fixed and sliding windows err, and at random.
        let mut uses = Vec::new();
        for _ in 0..40 {
            let now_ms = world.env.now().as_nanos() / 1_000_000;
            let to_boundary = 1000 - now_ms % 1000;
            let pause = match world.env.random(4) {
                0 => to_boundary.saturating_sub(1),
                1 => to_boundary + 1,
                _ => world.env.random(400),
            };
            world.pass(ms(pause)).await;
            for _ in 0..120 {
                let node = &nodes[usize::try_from(world.env.random(3)).unwrap()];
                if node.check("a").await.unwrap().is_allowed() {
                    uses.push(world.env.now().as_nanos() / 1000);
                }
            }
        }
        for (at, first) in uses.iter().enumerate() {
            let within = uses[at..].iter().take_while(|t| **t < first + 1_000_000);
            let within = within.count();
            assert!(within <= 100, "{within} within a second");
        }
        let uses: Vec<_> = uses.into_iter().map(|at| (at, 1)).collect();
        assert!(above(&uses, 91, 1_000_000, 10) <= 0.0);
        assert!(uses.len() > 250, "{}", uses.len());
    });
}
