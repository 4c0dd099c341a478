//! A leader that fails its health check gives way.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env, LostCause};

const EVERY: Duration = Duration::from_secs(1);

async fn pair() -> (Env, Coordinator, Coordinator) {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let node = |label: &'static str| {
        let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
        async move { builder.label(label).connect().await.unwrap() }
    };
    let (a, b) = (node("a").await, node("b").await);
    (env, a, b)
}

/// Whether the next node leads, once `a`'s leadership is lost.
async fn successor(env: &Env, b: &Coordinator) -> tokio::task::JoinHandle<leasehold_core::Moment> {
    let (election, env) = (b.election("janitor").unwrap(), env.clone());
    let task = env.clone().spawn(async move {
        let an_hour = Duration::from_secs(3601);
        let leadership = election.campaign_timeout(an_hour).await.unwrap();
        let at = env.now();
        std::mem::forget(leadership);
        at
    });
    tokio::task::yield_now().await;
    task
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_ends_the_leadership_and_another_node_leads() {
    let (env, a, b) = pair().await;
    let is_well = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicU64::new(0));
    let election = {
        let (is_well, asked) = (Arc::clone(&is_well), Arc::clone(&asked));
        a.election("janitor").unwrap().health_check(EVERY, move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let is_well = is_well.load(Ordering::Relaxed);
            async move { is_well.then_some(()).ok_or("the disk is full") }
        })
    };
    let leadership = election.campaign().await.unwrap();
    let next = successor(&env, &b).await;
    // Well, it leads for as long as it likes, and is asked each second.
    env.sleep(Duration::from_secs(3000)).await;
    assert!(leadership.is_held() && !next.is_finished());
    assert!((3000..=3001).contains(&asked.load(Ordering::Relaxed)));
    is_well.store(false, Ordering::Relaxed);
    let start = env.now();
    let led = next.await.unwrap();
    assert_eq!(leadership.lost().await, LostCause::Unhealthy);
    // Not after its TTL: as soon as the check says no.
    assert!(led.since(start) <= EVERY, "{:?}", led.since(start));
    let error = leadership.check().unwrap_err().to_string();
    assert!(error.contains("its health check failed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_ends_the_leadership() {
    let (env, a, b) = pair().await;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let election = a.election("janitor").unwrap().health_check(EVERY, move || {
        let hangs = counted.fetch_add(1, Ordering::Relaxed) == 3;
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            true
        }
    });
    let leadership = election.campaign().await.unwrap();
    let (start, next) = (env.now(), successor(&env, &b).await);
    // Asked at 0, 1, 2 and 3 s, and given up at 4 s.
    let took = next.await.unwrap().since(start);
    assert_eq!(leadership.lost().await, LostCause::Unhealthy);
    assert!(
        took >= EVERY * 4 && took <= EVERY * 4 + Duration::from_millis(20),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_ends_the_leadership() {
    let (env, a, b) = pair().await;
    let election = a.election("janitor").unwrap();
    let election = election.health_check(EVERY, || async { "yes".parse::<bool>().unwrap() });
    let leadership = election.campaign().await.unwrap();
    let (start, next) = (env.now(), successor(&env, &b).await);
    assert!(next.await.unwrap().since(start) < EVERY);
    assert_eq!(leadership.lost().await, LostCause::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_leadership() {
    let (env, a, _b) = pair().await;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let election = a.election("janitor").unwrap().health_check(EVERY, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, std::io::Error>(()) }
    });
    for ends in ["resigned", "dropped", "revoked"] {
        let leadership = election.campaign().await.unwrap();
        env.sleep(EVERY * 3).await;
        match ends {
            "resigned" => leadership.resign().await.unwrap(),
            "dropped" => drop(leadership),
            _ => {
                let name = leadership.name().clone();
                a.revoke(&name, "test", Duration::ZERO).await.unwrap();
                // Its first cause stays.
                assert_eq!(leadership.lost().await, LostCause::Revoked);
                env.sleep(EVERY * 3).await;
                assert_eq!(leadership.lost().await, LostCause::Revoked);
                std::mem::forget(leadership);
            }
        }
        let before = asked.load(Ordering::Relaxed);
        env.sleep(Duration::from_secs(60)).await;
        assert_eq!(asked.load(Ordering::Relaxed), before, "{ends}");
    }
}

/// The leader's only thread is stuck: its lease is renewed all the same, on a thread of the client's own, and so is the time
/// that its check takes.
#[test]
fn a_leader_whose_runtime_is_stuck_gives_way_within_its_ttl() {
    let ttl = Duration::from_secs(15);
    let every = Duration::from_millis(200);
    let store = MemoryStore::new();
    let (leads, led) = std::sync::mpsc::channel();
    let (free, stuck) = std::sync::mpsc::channel::<()>();
    let of_leader = store.clone();
    let leader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async move {
            let node = Coordinator::builder(of_leader, "test")
                .connect()
                .await
                .unwrap();
            let election = node.election("janitor").unwrap().ttl(ttl);
            let election = election.health_check(every, || async { true });
            let leadership = election.campaign().await.unwrap();
            // It works, and is well.
            node.env().sleep(every * 4).await;
            assert!(leadership.is_held());
            leads.send(()).unwrap();
            // Stuck until the other one leads, or long enough.
            let _ = stuck.recv_timeout(ttl * 2);
            leadership.lost().await
        })
    });
    led.recv().unwrap();
    let start = Env::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Coordinator::builder(store, "test").connect().await.unwrap();
        let election = node.election("janitor").unwrap().ttl(ttl);
        let leadership = election.campaign_timeout(ttl * 2).await.unwrap();
        assert!(leadership.is_held());
    });
    let took = Env::system().now().since(start);
    free.send(()).unwrap();
    assert_eq!(leader.join().unwrap(), LostCause::Unhealthy);
    assert!(took < ttl / 2, "{took:?}");
}
