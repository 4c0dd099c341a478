//! Watching who leads, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::time::Duration;

use common::{World, ms};
use leasehold_core::store::Faults;
use leasehold_core::{Coordinator, Env, Leadership, Observation, Observer};

const TTL: Duration = Duration::from_secs(15);

fn observe(node: &Coordinator) -> Observer {
    node.election("janitor").unwrap().observe()
}

async fn lead(node: &Coordinator) -> Leadership {
    let election = node.election("janitor").unwrap();
    election.campaign().await.unwrap()
}

/// The next one, and how long it took to come.
async fn next(env: &Env, observer: &mut Observer) -> (Observation, Duration) {
    let start = env.now();
    let next = env.timeout(Duration::from_secs(3600), observer.next());
    let next = next.await.expect("an observation within an hour");
    (next.expect("not shut down"), env.now().since(start))
}

fn is_led_by(seen: &Observation, leadership: &Leadership) -> bool {
    seen.leader().map(|leader| leader.term) == Some(leadership.term())
}

#[tokio::test(start_paused = true)]
async fn the_leader_of_now_comes_first_and_then_each_change_once() {
    let world = World::new();
    let (env, a, b, other) = (
        &world.env,
        world.node("a").await,
        world.node("b").await,
        world.node("other").await,
    );
    let first = lead(&a).await;
    env.sleep(Duration::from_secs(60)).await;
    let mut observer = observe(&other);
    let (seen, took) = next(env, &mut observer).await;
    assert!(is_led_by(&seen, &first), "{seen:?}");
    let leader = seen.leader().unwrap();
    assert_eq!(leader.label, "a");
    assert!(took <= ms(1) && leader.leads_for >= Duration::from_secs(60));
    // An hour of the same leader is no news.
    let quiet = env.timeout(Duration::from_secs(3600), observer.next());
    assert!(quiet.await.is_err());
    first.resign().await.unwrap();
    let (seen, took) = next(env, &mut observer).await;
    assert_eq!(seen, Observation::Vacant);
    assert!(took <= TTL / 3 + TTL / 30, "{took:?}");
    let second = lead(&b).await;
    let (seen, took) = next(env, &mut observer).await;
    assert!(is_led_by(&seen, &second), "{seen:?}");
    // After a change it looks more often.
    assert!(took <= ms(200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_its_own_client_leads_is_seen_at_once_and_costs_no_request() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    let mut observer = observe(&a);
    assert_eq!(next(env, &mut observer).await.0, Observation::Vacant);
    env.sleep(Duration::from_secs(60)).await;
    let waiting = env.spawn(async move {
        let seen = observer.next().await.unwrap();
        (observer, seen)
    });
    env.sleep(Duration::from_secs(61)).await;
    let leadership = lead(&a).await;
    let start = env.now();
    let (mut observer, seen) = waiting.await.unwrap();
    assert!(is_led_by(&seen, &leadership), "{seen:?}");
    assert_eq!(env.now(), start);
    // It is not asked while it leads: an outage is not even noticed here.
    let next_leader = env.spawn(async move { lead(&b).await });
    env.sleep(ms(10)).await;
    assert!(
        env.timeout(Duration::from_secs(600), observer.next())
            .await
            .is_err()
    );
    let start = env.now();
    leadership.resign().await.unwrap();
    let (seen, _) = next(env, &mut observer).await;
    let successor = next_leader.await.unwrap();
    assert!(is_led_by(&seen, &successor), "{seen:?}");
    assert!(
        env.now().since(start) <= ms(1),
        "{:?}",
        env.now().since(start)
    );
}

#[tokio::test(start_paused = true)]
async fn a_leadership_that_its_own_client_drops_is_followed_at_once() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    world.store.set_faults(Faults {
        delay_before: ms(30),
        ..Faults::none()
    });
    let leadership = lead(&a).await;
    let mut observer = observe(&a);
    assert!(is_led_by(&next(env, &mut observer).await.0, &leadership));
    let next_leader = env.spawn(async move { lead(&b).await });
    env.sleep(Duration::from_secs(1)).await;
    // Its release is on its way while the observer looks.
    drop(leadership);
    let (seen, took) = next(env, &mut observer).await;
    assert!(is_led_by(&seen, &next_leader.await.unwrap()), "{seen:?}");
    assert!(took <= ms(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_not_a_vacancy() {
    let world = World::new();
    let (env, a, other) = (&world.env, world.node("a").await, world.node("other").await);
    let leadership = lead(&a).await;
    let mut observer = observe(&other);
    assert!(is_led_by(&next(env, &mut observer).await.0, &leadership));
    world.store.cut(other.node());
    let (seen, _) = next(env, &mut observer).await;
    let Observation::Unknown { why } = &seen else {
        panic!("{seen:?}");
    };
    assert!(why.contains("unavailable"), "{why}");
    assert!(seen.leader().is_none());
    // Said once, however long it lasts.
    assert!(
        env.timeout(Duration::from_secs(600), observer.next())
            .await
            .is_err()
    );
    world.store.heal(other.node());
    let (seen, took) = next(env, &mut observer).await;
    // The same leader: known again.
    assert!(is_led_by(&seen, &leadership), "{seen:?}");
    assert!(took <= Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_seen_when_its_lease_ends() {
    let world = World::new();
    let (env, other) = (&world.env, world.node("other").await);
    let node_env = env.node();
    let builder = Coordinator::builder(world.store.clone(), "test").env(node_env.clone());
    let doomed = builder.connect().await.unwrap();
    let leadership = lead(&doomed).await;
    let election = other.election("janitor").unwrap();
    // Even if it hardly ever looks.
    let mut observer = election.observe().every(Duration::from_secs(3600));
    assert!(is_led_by(&next(env, &mut observer).await.0, &leadership));
    node_env.pause();
    let (seen, took) = next(env, &mut observer).await;
    assert_eq!(seen, Observation::Vacant);
    assert!(took <= TTL + ms(250), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn terms_never_go_backwards() {
    let world = World::new();
    let (env, a) = (&world.env, world.node("a").await);
    // A leader of a time when the store's clock was ahead.
    world.behind.step_wall_clock(600_000_000);
    let first = lead(&a).await;
    world.behind.step_wall_clock(-600_000_000);
    let other = world.node("other").await;
    let mut observer = observe(&other);
    assert!(is_led_by(&next(env, &mut observer).await.0, &first));
    let term = first.term();
    drop(first);
    assert_eq!(next(env, &mut observer).await.0, Observation::Vacant);
    // All is forgotten: a client that saw nothing of it leads under a smaller term.
    world.behind.restart();
    let b = world.node("b").await;
    let second = b.election("janitor").unwrap().try_lead().await.unwrap();
    assert!(second.term() < term);
    let Observation::Unknown { why } = next(env, &mut observer).await.0 else {
        panic!("led by an earlier term");
    };
    assert!(why.contains("an earlier term"), "{why}");
    second.resign().await.unwrap();
    assert_eq!(next(env, &mut observer).await.0, Observation::Vacant);
    // The observer's own client leads after what it saw.
    let third = lead(&other).await;
    assert!(third.term() > term);
    assert!(is_led_by(&next(env, &mut observer).await.0, &third));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_loses_no_observation() {
    let world = World::new();
    let (env, a, other) = (&world.env, world.node("a").await, world.node("other").await);
    world.store.set_faults(Faults {
        delay_before: ms(20),
        delay_after: ms(20),
        ..Faults::none()
    });
    let mut observer = observe(&other);
    let mut seen = Vec::new();
    let leadership = env.spawn(async move { lead(&a).await });
    // Whoever asks gives up again and again, mostly while a look is under way.
    for _ in 0..5000 {
        if let Ok(news) = env.timeout(ms(3), observer.next()).await {
            seen.push(news.unwrap());
        }
    }
    let leadership = leadership.await.unwrap();
    assert!(is_led_by(seen.last().unwrap(), &leadership), "{seen:?}");
    assert!(seen.len() <= 2, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_observer_asks_as_rarely_as_it_says_and_ends_with_its_client() {
    let world = World::new();
    let (env, a, other) = (&world.env, world.node("a").await, world.node("other").await);
    let leadership = lead(&a).await;
    let mut observer = observe(&other);
    assert!(is_led_by(&next(env, &mut observer).await.0, &leadership));
    env.sleep(Duration::from_secs(10)).await;
    let waiting = env.spawn(async move { observer.next().await });
    env.sleep(Duration::from_secs(60)).await;
    let looks = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&looks);
    world.behind.watch(move |step| {
        if let leasehold_core::store::Done::Lease { op, .. } = &step.done
            && matches!(op, leasehold_core::protocol::Op::Inspect)
        {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    env.sleep(Duration::from_secs(600)).await;
    let looks = looks.load(std::sync::atomic::Ordering::Relaxed);
    // One in 5 s, with a tenth of jitter.
    assert!((108..=134).contains(&looks), "{looks}");
    other.shutdown(Duration::ZERO).await;
    assert_eq!(waiting.await.unwrap(), None);
}

/// However short the TTL, 50 ms lie between two looks.
#[tokio::test(start_paused = true)]
async fn an_observer_of_a_short_ttl_does_not_storm_the_store() {
    let world = World::new();
    let node = world.node("a").await;
    let looks = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&looks);
    world.behind.watch(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let mut observer = node.election("e").unwrap().ttl(ms(3)).observe();
    let watching = world
        .env
        .spawn(async move { while observer.next().await.is_some() {} });
    world.env.sleep(Duration::from_secs(1)).await;
    let looks = looks.load(std::sync::atomic::Ordering::Relaxed);
    assert!((10..=25).contains(&looks), "{looks}");
    watching.abort();
}

fn is_a_stream(_: &(impl futures_core::Stream<Item = Observation> + Send + Unpin)) {}

#[tokio::test(start_paused = true)]
async fn an_observer_is_a_stream() {
    let world = World::new();
    let node = world.node("a").await;
    is_a_stream(&observe(&node));
}
