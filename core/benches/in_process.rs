//! What runs in process: `cargo bench -p leasehold-core`. On the memory store, with what tests need compiled in: compare
//! these with themselves, before a change and after it.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark fails with the error it met"
)]
#![allow(missing_docs, reason = "each says what it measures by its name")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use leasehold_core::protocol::{Acquire, Capacity, NodeId, Now, Op, Release, Rid, Weight, apply};
use leasehold_core::store::MemoryStore;
use leasehold_core::{Class, Coordinator, Env};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

fn connected() -> (Runtime, Coordinator) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let connecting = Coordinator::builder(MemoryStore::new(), "bench").connect();
    let coord = runtime.block_on(connecting).unwrap();
    (runtime, coord)
}

/// A lock that nobody else wants, and its release.
#[divan::bench]
fn lock_and_release(bencher: Bencher<'_, '_>) {
    let (runtime, coord) = connected();
    let mutexes = coord.mutexes("bench").unwrap();
    bencher.bench_local(|| {
        runtime.block_on(async { mutexes.lock(1).await.unwrap().release().await.unwrap() });
    });
}

/// A reader beside another one of its client, and its end: no store is asked.
#[divan::bench]
fn join_a_share_and_leave(bencher: Bencher<'_, '_>) {
    let (runtime, coord) = connected();
    let locks = coord.rw_locks("bench").unwrap();
    let other = runtime.block_on(locks.read(1)).unwrap();
    bencher.bench_local(|| {
        runtime.block_on(async { locks.read(1).await.unwrap().release().await.unwrap() });
    });
    drop(other);
}

/// Ten thousand turns of so many tasks of one client, handed on among them.
#[divan::bench(args = [2, 16, 256])]
fn ten_thousand_turns(bencher: Bencher<'_, '_>, tasks: usize) {
    let (runtime, coord) = connected();
    let mutexes = coord.mutexes("bench").unwrap();
    let env = coord.env().clone();
    bencher.bench_local(|| {
        runtime.block_on(async {
            let turns = 10_000 / tasks;
            let take_turns = |_| {
                let (mutexes, env) = (mutexes.clone(), env.clone());
                env.clone().spawn(async move {
                    for _ in 0..turns {
                        let guard = mutexes.lock(1).await.unwrap();
                        // The others come and wait for it.
                        env.give_way().await;
                        guard.release().await.unwrap();
                    }
                })
            };
            let running: Vec<_> = (0..tasks).map(take_turns).collect();
            for task in running {
                task.await.unwrap();
            }
        });
    });
}

/// A lock among so many that the same client holds, and its release.
#[divan::bench(args = [10, 10_000])]
fn lock_beside_others(bencher: Bencher<'_, '_>, held: usize) {
    let (runtime, coord) = connected();
    let mutexes = coord.mutexes("bench").unwrap();
    let guards = runtime.block_on(async {
        let mut guards = Vec::new();
        for id in 0..held {
            guards.push(mutexes.lock(format!("held-{id}")).await.unwrap());
        }
        guards
    });
    bencher.bench_local(|| {
        runtime.block_on(async { mutexes.lock(1).await.unwrap().release().await.unwrap() });
    });
    drop(guards);
}

/// A name from its class and id.
#[divan::bench]
fn name() {
    thread_local! { static CLASS: Class = Class::new("invoice").unwrap(); }
    CLASS.with(|class| black_box(class.resource(black_box(123_456)).unwrap()));
}

fn ask(node: NodeId, seq: u64, wait: bool) -> (Rid, Op) {
    let rid = Rid { node, seq };
    let ask = Acquire {
        rid,
        not_after_us: 60_000_000,
        weight: Weight::All,
        capacity: Capacity::UNBOUNDED,
        ttl_us: 30_000_000,
        wait,
        want: 33,
        seen: 0,
        label: Arc::from("host:1"),
    };
    (rid, Op::Acquire(ask))
}

/// The pure protocol: an acquire of what is free, behind so many waiters that come and go with it.
#[divan::bench(args = [0, 8, 64])]
fn apply_acquire_and_release(bencher: Bencher<'_, '_>, waiters: u64) {
    let node = NodeId::new(Env::system().uuid());
    let now = Now {
        lease_us: 1_000_000,
        wall_us: 1_700_000_000_000_000,
        epoch: 0,
    };
    let mut record = None;
    for seq in 0..=waiters {
        record = apply(record, 0, &ask(node, seq, true).1, now).record;
    }
    let (rid, acquire) = ask(node, waiters + 1, true);
    let release = Op::Release(Release {
        rid,
        not_after_us: 60_000_000,
        used: 0,
        close_until_us: 0,
    });
    bencher
        .with_inputs(|| record.clone())
        .bench_local_values(|record| {
            let held = apply(record, 0, &acquire, now).record;
            apply(held, 0, &release, now)
        });
}
