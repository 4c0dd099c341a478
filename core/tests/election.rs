//! Elections on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env, Error, Leadership};

async fn fleet<const N: usize>() -> (Env, [Coordinator; N]) {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let mut nodes = Vec::new();
    for n in 0..N {
        let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
        nodes.push(builder.label(format!("node-{n}")).connect().await.unwrap());
    }
    (env, nodes.try_into().unwrap())
}

fn campaign(env: &Env, node: &Coordinator) -> tokio::task::JoinHandle<Leadership> {
    let election = node.election("janitor").unwrap();
    env.spawn(async move { election.campaign().await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn a_resignation_hands_over_at_once_and_terms_rise() {
    let (env, [a, b]) = fleet().await;
    let first = campaign(&env, &a).await.unwrap();
    let second = campaign(&env, &b);
    env.sleep(Duration::from_secs(3600)).await;
    assert!(!second.is_finished());
    let (start, term) = (env.now(), first.term());
    first.resign().await.unwrap();
    let second = second.await.unwrap();
    assert_eq!(env.now(), start);
    assert!(second.term() > term);
}

#[tokio::test(start_paused = true)]
async fn everyone_sees_who_leads_and_for_how_long() {
    let (env, [a, b]) = fleet().await;
    let election = b.election("janitor").unwrap();
    assert_eq!(election.leader().await.unwrap(), None);
    let leadership = campaign(&env, &a).await.unwrap();
    env.sleep(Duration::from_secs(90)).await;
    let leader = election.leader().await.unwrap().unwrap();
    assert_eq!(
        (leader.label.as_str(), leader.term),
        ("node-0", leadership.term())
    );
    assert_eq!(leader.leads_for, Duration::from_secs(90));
    let Err(Error::Busy(busy)) = election.try_lead().await else {
        panic!("two leaders");
    };
    assert_eq!(busy.holder, "node-0");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_gone_is_followed() {
    let (env, [a, b]) = fleet().await;
    let leadership = campaign(&env, &a).await.unwrap();
    let next = campaign(&env, &b);
    env.sleep(Duration::from_secs(1)).await;
    drop(leadership);
    let start = env.now();
    let next = next.await.unwrap();
    assert_eq!(env.now(), start);
    assert!(next.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_campaign_leaves_the_queue() {
    let (env, [a, b, c]) = fleet().await;
    let leadership = campaign(&env, &a).await.unwrap();
    let given_up = campaign(&env, &b);
    env.sleep(Duration::from_secs(1)).await;
    let next = campaign(&env, &c);
    env.sleep(Duration::from_secs(1)).await;
    given_up.abort();
    env.sleep(Duration::from_millis(1)).await;
    leadership.resign().await.unwrap();
    let leader = c.election("janitor").unwrap().leader().await.unwrap();
    assert_eq!(leader.unwrap().label, "node-2");
    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn leadership_outlasts_max_hold_and_the_round_of_a_campaign() {
    let (env, [a, b]) = fleet().await;
    let leadership = campaign(&env, &a).await.unwrap();
    let next = campaign(&env, &b);
    env.sleep(Duration::from_secs(48 * 3600)).await;
    assert!(leadership.is_held() && !next.is_finished());
    leadership.resign().await.unwrap();
    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_campaign_with_a_timeout_names_the_leader_and_leaves_the_queue() {
    let (env, [a, b]) = fleet().await;
    let election = b.election("janitor").unwrap();
    let leadership = campaign(&env, &a).await.unwrap();
    let start = env.now();
    let wait = Duration::from_secs(20 * 60);
    let refused = election.campaign_timeout(wait).await;
    let Err(Error::Busy(busy)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(busy.holder, "node-0");
    // Longer than a round in the queue, and no longer than said.
    let took = env.now().since(start);
    assert!(
        took >= wait && took < wait + Duration::from_secs(1),
        "{took:?}"
    );
    leadership.resign().await.unwrap();
    assert_eq!(election.leader().await.unwrap(), None);
    assert!(election.campaign_timeout(wait).await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_campaign_ends_when_its_caller_says_so_and_leaves_the_queue() {
    let (env, [a, b]) = fleet().await;
    let election = b.election("janitor").unwrap();
    let leadership = campaign(&env, &a).await.unwrap();
    let stop = env.sleep(Duration::from_secs(7));
    let stopped = election.campaign_until(stop).await;
    let Err(Error::Cancelled { name }) = &stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(name.as_str(), "~election/janitor");
    env.sleep(Duration::from_millis(1)).await;
    leadership.resign().await.unwrap();
    assert_eq!(election.leader().await.unwrap(), None);
    let never = std::future::pending();
    assert!(election.campaign_until(never).await.unwrap().is_held());
}
