//! What a decision costs in process: `cargo bench -p leasehold-ratelimit`. One hot key from several threads, beside `governor`,
//! which limits one process alone: compare what one run says of both.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark fails with the error it met"
)]
#![allow(missing_docs, reason = "each says what it measures by its name")]

use std::num::NonZeroU32;

use divan::{Bencher, black_box};
use governor::{DefaultKeyedRateLimiter, Quota as Governed};
use leasehold_core::Coordinator;
use leasehold_core::store::MemoryStore;
use leasehold_ratelimit::{LocalShares, Quota, RateLimiter};
use tokio::runtime::{Builder, Runtime};

const KEY: &str = "org-4711";
const THREADS: [usize; 3] = [1, 2, 4];

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

fn limiter(
    runtime: &Runtime,
    quota: Quota,
    set: fn(leasehold_ratelimit::Builder) -> leasehold_ratelimit::Builder,
) -> RateLimiter {
    runtime.block_on(async {
        let coord = Coordinator::builder(MemoryStore::new(), "bench");
        let coord = coord.connect().await.unwrap();
        set(RateLimiter::builder(&coord, "bench", quota))
            .build()
            .unwrap()
    })
}

/// More than can be asked for.
const PLENTY: Quota = Quota::per_second(500_000_000).burst(100_000_000);

/// Allowed, from a share.
#[divan::bench(threads = THREADS, sample_size = 10_000)]
fn share(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let api = limiter(&runtime, PLENTY, |b| b.local_shares(LocalShares::new()));
    bencher.bench(|| {
        let decision = runtime.block_on(api.check(black_box(KEY))).unwrap();
        assert!(decision.is_allowed());
    });
}

/// The same, in one task a sample: without what it costs to enter a runtime.
#[divan::bench(threads = THREADS, sample_size = 10)]
fn share_a_thousand(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let api = limiter(&runtime, PLENTY, |b| b.local_shares(LocalShares::new()));
    bencher.bench(|| {
        runtime.block_on(async {
            for _ in 0..1000 {
                assert!(api.check(black_box(KEY)).await.unwrap().is_allowed());
            }
        });
    });
}

#[divan::bench(threads = THREADS, sample_size = 10)]
fn governor_a_thousand(bencher: Bencher<'_, '_>) {
    let most = NonZeroU32::new(500_000_000).unwrap();
    let api: DefaultKeyedRateLimiter<String> =
        governor::RateLimiter::keyed(Governed::per_second(most));
    bencher.bench(|| {
        for _ in 0..1000 {
            assert!(api.check_key(&black_box(KEY).to_owned()).is_ok());
        }
    });
}

/// Refused, as is known here.
#[divan::bench(threads = THREADS, sample_size = 10)]
fn denied_a_thousand(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let api = limiter(
        &runtime,
        Quota::per_day(1),
        leasehold_ratelimit::Builder::cache_denials,
    );
    let _ = runtime.block_on(api.check(KEY)).unwrap();
    bencher.bench(|| {
        runtime.block_on(async {
            for _ in 0..1000 {
                assert!(!api.check(black_box(KEY)).await.unwrap().is_allowed());
            }
        });
    });
}

#[divan::bench(threads = THREADS, sample_size = 10)]
fn governor_denied_a_thousand(bencher: Bencher<'_, '_>) {
    let day = std::time::Duration::from_secs(86_400);
    let api: DefaultKeyedRateLimiter<String> =
        governor::RateLimiter::keyed(Governed::with_period(day).unwrap());
    assert!(api.check_key(&KEY.to_owned()).is_ok());
    bencher.bench(|| {
        for _ in 0..1000 {
            assert!(api.check_key(&black_box(KEY).to_owned()).is_err());
        }
    });
}

/// Each decision the store's, in memory: what the client adds.
#[divan::bench(threads = [1])]
fn exact(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let api = limiter(&runtime, PLENTY, |b| b);
    bencher.bench(|| {
        runtime
            .block_on(api.check(black_box(KEY)))
            .unwrap()
            .is_allowed()
    });
}
