//! Costs that are known afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use leasehold_core::protocol::Settle;
use leasehold_core::store::{Faults, QuotaCall, QuotaReply};
use leasehold_ratelimit::{Error, Outage, Quota, RateLimiter, Settled, Source};
use support::{World, ms, seconds};

async fn tokens(world: &World, quota: Quota) -> RateLimiter {
    RateLimiter::new(&world.client().await, "tokens", quota).unwrap()
}

async fn remaining(limiter: &RateLimiter) -> u64 {
    limiter.peek("a", 1).await.unwrap().remaining()
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_given_back_and_what_was_used_beyond_is_charged() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_second(10).burst(1000)).await;
    let less = limiter.reserve("a", 400).await.unwrap();
    assert_eq!((less.estimate(), less.source()), (400, Source::Store));
    assert_eq!(remaining(&limiter).await, 600);
    assert_eq!(less.settle(150).await.unwrap(), Settled::GivenBack(250));
    assert_eq!(remaining(&limiter).await, 850);
    let right = limiter.reserve("a", 50).await.unwrap();
    assert_eq!(right.settle(50).await.unwrap(), Settled::Kept);
    assert_eq!(remaining(&limiter).await, 800);
    let none = limiter.reserve("a", 300).await.unwrap();
    assert_eq!(none.cancel().await.unwrap(), Settled::GivenBack(300));
    let more = limiter.reserve("a", 800).await.unwrap();
    assert_eq!(more.settle(1000).await.unwrap(), Settled::Charged(200));
    // It has 200 less than nothing.
    let refused = limiter.check("a").await.unwrap();
    assert_eq!(refused.retry_after(), ms(20_100));
    let error = limiter.reserve("a", 1).await.unwrap_err();
    assert!(error.is_limited(), "{error}");
    assert!(matches!(
        limiter.reserve("a", 1001).await,
        Err(Error::TooCostly { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_nobody_settles_stands_as_estimated() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_hour(1).burst(10)).await;
    drop(limiter.reserve("a", 6).await.unwrap());
    world.pass(seconds(1)).await;
    assert_eq!(remaining(&limiter).await, 4);
    // So does one of a process that is gone.
    let env = world.env.node();
    let coord = world.client_of(env.clone()).await;
    let gone = RateLimiter::new(&coord, "tokens", Quota::per_hour(1).burst(10)).unwrap();
    let _reservation = gone.reserve("a", 3).await.unwrap();
    env.pause();
    world.pass(seconds(1)).await;
    assert_eq!(remaining(&limiter).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_came_back_by_itself_is_not_given_back_again() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_second(1).burst(10)).await;
    let reservation = limiter.reserve("a", 10).await.unwrap();
    world.pass(seconds(8)).await;
    // 8 are there again, of which others take 3.
    assert!(limiter.check_n("a", 3).await.unwrap().is_allowed());
    assert_eq!(remaining(&limiter).await, 5);
    // Of the ten, 2 are not there again yet. With all five that were not used, 13 could be had at once.
    assert_eq!(reservation.settle(5).await.unwrap(), Settled::GivenBack(2));
    assert_eq!(remaining(&limiter).await, 7);
    let reservation = limiter.reserve("b", 2).await.unwrap();
    world.pass(seconds(3)).await;
    assert_eq!(reservation.settle(0).await.unwrap(), Settled::Kept);
}

#[tokio::test(start_paused = true)]
async fn an_expired_reservation_gives_nothing_back_and_still_charges_more() {
    let world = World::new();
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "tokens", Quota::per_hour(1).burst(100));
    let limiter = builder.reservation(seconds(30)).build().unwrap();
    let [late, later] = [
        limiter.reserve("a", 20).await.unwrap(),
        limiter.reserve("a", 20).await.unwrap(),
    ];
    world.pass(seconds(31)).await;
    assert_eq!(late.settle(5).await.unwrap(), Settled::Kept);
    assert_eq!(remaining(&limiter).await, 60);
    assert_eq!(later.settle(30).await.unwrap(), Settled::Charged(10));
    assert_eq!(remaining(&limiter).await, 50);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_back_while_others_wait_for_times_they_were_told() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_second(1).burst(4)).await;
    let reservation = limiter.reserve("a", 4).await.unwrap();
    let waiting = {
        let limiter = limiter.clone();
        world
            .env
            .spawn(async move { limiter.until_ready_n("a", 2).await })
    };
    world.pass(ms(1)).await;
    assert_eq!(reservation.cancel().await.unwrap(), Settled::Kept);
    waiting.await.unwrap().unwrap();
}

/// Settlements that took effect at the store.
fn settlements(seen: &[(u64, QuotaCall, QuotaReply)]) -> Vec<(Settle, Settled)> {
    let settled = seen
        .iter()
        .filter_map(|(_, call, reply)| match (call, reply) {
            (QuotaCall::Settle { ask, .. }, QuotaReply::Settled(settled)) => Some((*ask, *settled)),
            _ => None,
        });
    settled.collect()
}

#[tokio::test(start_paused = true)]
async fn a_settlement_whose_answer_is_lost_is_sent_again_and_takes_effect_once() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_hour(1).burst(100)).await;
    let reservation = limiter.reserve("a", 50).await.unwrap();
    let other = limiter.reserve("a", 40).await.unwrap();
    let requests = world.requests();
    world.network.set_faults(Faults {
        lost_replies: 1000,
        ..Faults::none()
    });
    let settling = world.env.spawn(async move { reservation.settle(10).await });
    world.pass(seconds(1)).await;
    assert!(!settling.is_finished());
    world.network.set_faults(Faults::none());
    assert_eq!(settling.await.unwrap().unwrap(), Settled::GivenBack(40));
    let settled = settlements(&requests.take());
    assert!(settled.len() > 3, "{settled:?}");
    assert!(
        settled.iter().all(|one| *one == settled[0]),
        "one and the same: {settled:?}"
    );
    assert_eq!(remaining(&limiter).await, 50);

    // Dropped, it goes on.
    world.network.outage();
    let settling = other.settle(0);
    assert!(world.env.timeout(ms(50), settling).await.is_err());
    world.network.recover();
    world.pass(seconds(1)).await;
    assert_eq!(remaining(&limiter).await, 90);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_makes_a_settlement_unavailable() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_hour(1).burst(100)).await;
    let reservation = limiter.reserve("a", 50).await.unwrap();
    world.network.outage();
    let start = world.env.now();
    let error = reservation.settle(10).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let took = world.env.now().since(start);
    assert!(took > seconds(9) && took < seconds(13), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reserve_gives_back_what_it_was_charged() {
    let world = World::new();
    let limiter = tokens(&world, Quota::per_hour(1).burst(10)).await;
    assert_eq!(remaining(&limiter).await, 10);
    world.network.set_faults(Faults {
        delay_after: ms(50),
        ..Faults::none()
    });
    let requests = world.requests();
    for _ in 0..20 {
        let reserve = limiter.reserve("a", 10);
        if let Ok(reserved) = world.env.timeout(ms(5), reserve).await {
            reserved.unwrap().cancel().await.unwrap();
        }
        world.pass(ms(300)).await;
    }
    assert!(requests.charges().len() == 20, "all were charged");
    world.network.set_faults(Faults::none());
    assert_eq!(remaining(&limiter).await, 10);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_reservation_has_it_as_soon_as_enough_was_given_back() {
    let world = World::new();
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "tokens", Quota::per_second(1).burst(10));
    let limiter = builder.longest_wait(seconds(6)).build().unwrap();
    let first = limiter.reserve("a", 10).await.unwrap();
    let start = world.env.now();
    let second = {
        let limiter = limiter.clone();
        world
            .env
            .spawn(async move { limiter.reserve_when_ready("a", 5).await })
    };
    world.pass(seconds(2)).await;
    assert!(!second.is_finished());
    first.settle(6).await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.estimate(), 5);
    let took = world.env.now().since(start);
    assert!(took <= ms(5100), "{took:?}");
    // Later than the longest wait: told at once.
    drop(limiter.reserve("b", 10).await.unwrap());
    let start = world.env.now();
    let error = limiter.reserve_when_ready("b", 10).await.unwrap_err();
    assert!(error.is_limited() && world.env.now() == start, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_without_the_store_is_not_settled() {
    let world = World::new();
    let coord = world.client().await;
    let builder = RateLimiter::builder(&coord, "tokens", Quota::per_second(1).burst(10));
    let limiter = builder.outage(Outage::Allow).build().unwrap();
    world.network.outage();
    let reservation = limiter.reserve("a", 10).await.unwrap();
    assert_eq!(reservation.source(), Source::Outage);
    world.network.recover();
    let requests = world.requests();
    assert_eq!(reservation.settle(20).await.unwrap(), Settled::Kept);
    assert_eq!(requests.count(), 0);
}
