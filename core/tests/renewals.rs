//! Renewals, on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::{TTL, World, ms, mutexes};
use leasehold_core::protocol::Op;
use leasehold_core::store::Done;

/// Leases that were taken at different times meet at few instants, so that a batch carries many of them.
#[tokio::test(start_paused = true)]
async fn leases_of_one_ttl_are_renewed_together() {
    let world = World::new();
    let node = world.node("node").await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    world.behind.watch(move |step| {
        if let Done::Lease {
            op: Op::Renew(_), ..
        } = step.done
        {
            noted.lock().unwrap().push(step.now.lease_us);
        }
    });
    let mut guards = Vec::new();
    for id in 0..300 {
        guards.push(mutexes(&node).lock(id).await.unwrap());
        world.env.sleep(ms(3)).await;
    }
    world.env.sleep(TTL * 3).await;
    assert!(guards.iter().all(|guard| guard.is_held()));
    let times = times.lock().unwrap();
    let instants: BTreeSet<_> = times.iter().collect();
    assert!(times.len() > 2000, "{} renewals", times.len());
    // 64 a TTL; requests of several buckets are a few µs apart at the most.
    let most = 64 * 4;
    assert!(
        instants.len() <= most,
        "{} instants for {} renewals",
        instants.len(),
        times.len()
    );
}
