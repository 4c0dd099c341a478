//! What is recorded, and that no resource's name becomes a label. Alone in its binary: the recorder is global.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, LostCause};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

const SECRET: &str = "jane.doe@example.com";

type Counters = BTreeMap<String, u64>;
type Gauges = BTreeMap<String, f64>;

/// Counters and gauges by name and labels, as in `leasehold_lost_total{cause=expired,class=m}`; and all names.
fn recorded(snapshotter: &Snapshotter) -> (Counters, Gauges, Vec<String>) {
    let (mut counters, mut gauges, mut all) = (Counters::new(), Gauges::new(), Vec::new());
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        let mut labels: Vec<_> = labels
            .iter()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        labels.sort();
        let id = format!("{}{{{}}}", name.as_str(), labels.join(","));
        match value {
            DebugValue::Counter(count) => drop(counters.insert(id.clone(), count)),
            DebugValue::Histogram(values) => assert!(values.iter().all(|v| v.0 >= 0.0)),
            DebugValue::Gauge(value) => drop(gauges.insert(id.clone(), value.into_inner())),
        }
        all.push(id);
    }
    (counters, gauges, all)
}

/// Three readers, of which the later two join the first; the last one outstays its time.
async fn read(coord: &Coordinator, ttl: Duration) {
    let pages = coord.rw_locks("page").unwrap().ttl(ttl);
    let one = pages.read(SECRET).await.unwrap();
    let other = pages.read(SECRET).await.unwrap();
    drop(one);
    let short = pages.max_hold(Duration::from_secs(1));
    let lost = short.read(SECRET).await.unwrap();
    assert_eq!(lost.lost().await, LostCause::MaxHold);
    drop((other, lost));
}

/// Six permits of three guards, of which one outstays its time, and two are lost with their client's entry.
async fn permits(coord: &Coordinator, ttl: Duration) {
    let stripe = coord.semaphores("stripe", 6).unwrap().ttl(ttl);
    let one = stripe.acquire_many(SECRET, 2).await.unwrap();
    let other = stripe.acquire(SECRET).await.unwrap();
    let short = stripe.clone().max_hold(Duration::from_secs(1));
    let short = short.acquire_many(SECRET, 3).await.unwrap();
    assert!(stripe.try_acquire(SECRET).await.is_err());
    assert_eq!(short.lost().await, LostCause::MaxHold);
    let name = stripe.name(SECRET).unwrap();
    coord.revoke(&name, "test", Duration::ZERO).await.unwrap();
    assert_eq!(one.lost().await, LostCause::Revoked);
    assert_eq!(other.lost().await, LostCause::Revoked);
    drop((one, other, short));
}

#[expect(clippy::too_many_lines, reason = "all that one recorder has seen")]
#[tokio::test(start_paused = true)]
async fn acquisitions_losses_and_renewals_are_recorded_by_class_and_never_by_name() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();

    let env = Env::simulated(1);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), env.clone(), Faults::none());
    let connect = || {
        Coordinator::builder(store.clone(), "test")
            .env(env.clone())
            .connect()
    };
    let (a, b) = (connect().await.unwrap(), connect().await.unwrap());
    let ttl = Duration::from_secs(3);
    let users = |coord: &Coordinator| coord.mutexes("user").unwrap().ttl(ttl);

    // Acquired, busy twice (at once, and after a wait), and renewed for a while.
    let guard = users(&a).lock(SECRET).await.unwrap();
    assert!(users(&b).try_lock(SECRET).await.is_err());
    let wait = Duration::from_secs(1);
    assert!(users(&b).lock_timeout(SECRET, wait).await.is_err());
    env.sleep(Duration::from_secs(10)).await;
    // Lost, as its client is cut off; unavailable to it, and granted to the next.
    store.cut(a.node());
    let cause = guard.lost().await;
    assert!(
        users(&a)
            .try_lock(SECRET)
            .await
            .unwrap_err()
            .is_unavailable()
    );
    let next = users(&b).max_hold(wait).lock(SECRET).await.unwrap();
    assert_eq!(next.lost().await, LostCause::MaxHold);
    let tiny = users(&b).ttl(Duration::ZERO).lock(SECRET).await;
    assert!(tiny.is_err());
    drop((guard, next));
    let (mine, kept) = (
        b.election(SECRET).unwrap(),
        users(&b).lock(SECRET).await.unwrap(),
    );
    let leader = mine.campaign().await.unwrap();
    // Turns within a client.
    let shared = users(&b).allow_same_task();
    let first = shared.lock("local").await.unwrap();
    let second = {
        let shared = shared.clone();
        env.spawn(async move { shared.lock("local").await.unwrap() })
    };
    env.sleep(Duration::from_millis(1)).await;
    drop(first);
    drop(second.await.unwrap());
    read(&b, ttl).await;
    permits(&b, ttl).await;
    b.shutdown(Duration::ZERO).await;
    drop((kept, leader));

    let (counters, gauges, all) = recorded(&snapshotter);
    let count = |id: &str| counters.get(id).copied().unwrap_or(0);
    let acquired = |outcome| {
        count(&format!(
            "leasehold_acquisitions_total{{class=user,mode=exclusive,outcome={outcome}}}"
        ))
    };
    assert_eq!(acquired("acquired"), 5, "{counters:#?}");
    assert_eq!(acquired("busy"), 2);
    assert_eq!(acquired("unavailable"), 1);
    assert_eq!(acquired("refused"), 1);
    let lost = |class, cause| {
        count(&format!(
            "leasehold_lost_total{{cause={cause},class={class},mode=exclusive}}"
        ))
    };
    assert_eq!(lost("user", cause.as_str()), 1);
    assert_eq!(lost("user", "max_hold"), 1);
    assert_eq!(lost("user", "shut_down"), 1);
    assert_eq!(lost("~election", "shut_down"), 1);
    assert!(count("leasehold_renewals_total{outcome=renewed}") >= 8);
    assert!(count("leasehold_renewals_total{outcome=unknown}") >= 1);
    assert_eq!(
        count("leasehold_local_turns_total{class=user,mode=exclusive}"),
        1
    );
    let reads = "leasehold_acquisitions_total{class=page,mode=shared,outcome=acquired}";
    assert_eq!(count(reads), 3);
    let lost = "leasehold_lost_total{cause=max_hold,class=page,mode=shared}";
    assert_eq!(count(lost), 1);
    let joined = "leasehold_local_turns_total{class=page,mode=shared}";
    assert_eq!(count(joined), 2);
    let permits = "leasehold_acquisitions_total{class=stripe,mode=permits,outcome=acquired}";
    assert_eq!(count(permits), 3);
    let lost = |cause| {
        count(&format!(
            "leasehold_permits_lost_total{{cause={cause},class=stripe}}"
        ))
    };
    assert_eq!((lost("max_hold"), lost("revoked")), (3, 3));
    // Everything has ended, and everyone has been counted out.
    for id in [
        "leasehold_held{class=user,mode=exclusive}",
        "leasehold_held{class=~election,mode=exclusive}",
        "leasehold_local_waiters{class=user,mode=exclusive}",
        "leasehold_held{class=page,mode=shared}",
        "leasehold_held{class=stripe,mode=permits}",
        "leasehold_permits_in_use{class=stripe}",
        "leasehold_permits_waiting{class=stripe}",
    ] {
        assert_eq!(gauges.get(id), Some(&0.0), "{id} of {gauges:#?}");
    }
    for id in [
        "leasehold_hold_seconds{class=user,mode=exclusive}",
        "leasehold_acquire_seconds{class=user,mode=exclusive,outcome=acquired}",
        "leasehold_store_request_seconds{outcome=ok}",
        "leasehold_store_request_seconds{outcome=error}",
    ] {
        assert!(all.iter().any(|known| known == id), "{id} of {all:#?}");
    }
    for id in &all {
        assert!(!id.contains(SECRET) && !id.contains('@'), "{id}");
    }
}
