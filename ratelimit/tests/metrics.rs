//! What is counted.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod support;

use std::collections::BTreeMap;

use leasehold_ratelimit::{LocalShares, Outage, Quota, RateLimiter};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use support::{World, ms, seconds};

#[test]
fn decisions_waits_shares_and_the_breaker_are_counted_by_class() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let read = || {
        let mut read = BTreeMap::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().map(metrics::Label::value).collect();
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Gauge(gauge) => gauge.to_string(),
                DebugValue::Histogram(values) => format!("{} values", values.len()),
            };
            read.insert(format!("{} {}", key.key().name(), labels.join(" ")), value);
        }
        read
    };
    metrics::with_local_recorder(&recorder, || {
        leasehold_core::testing::in_virtual_time(async {
            let world = World::new();
            let coord = world.client().await;
            let quota = Quota::per_second(10).burst(4);
            let builder = RateLimiter::builder(&coord, "api", quota).outage(Outage::Allow);
            let api = builder.build().unwrap();
            let _ = api.check_n("a", 3).await.unwrap();
            let _ = api.check_n("a", 2).await.unwrap();
            api.until_ready_n("a", 2).await.unwrap();
            let quota = Quota::per_second(1_000).burst(100);
            let shares = LocalShares::new().overshoot(30);
            let builder = RateLimiter::builder(&coord, "hot", quota).local_shares(shares);
            let hot = builder.build().unwrap();
            for _ in 0..70 {
                assert!(hot.check("a").await.unwrap().is_allowed());
            }
            world.pass(ms(60)).await;
            assert!(hot.check("a").await.unwrap().is_allowed());
            world.store.stop();
            for _ in 0..5 {
                assert!(api.check("a").await.unwrap().is_allowed());
                drop(hot.check("b").await);
            }
            world.pass(seconds(1)).await;
            drop(hot);
        });
    });
    let read = read();
    let of = |name: &str| read.get(name).map_or("", String::as_str);
    assert_eq!(of("leasehold_limit_allowed_units_total api store"), "5");
    assert_eq!(of("leasehold_limit_allowed_units_total api outage"), "5");
    assert_eq!(of("leasehold_limit_denied_total api store"), "1");
    assert_eq!(of("leasehold_limit_wait_seconds api"), "1 values");
    assert_eq!(of("leasehold_limit_breaker api"), "2");
    assert_eq!(of("leasehold_limit_unavailable_total hot"), "5");
    assert_eq!(of("leasehold_limit_allowed_units_total hot share"), "71");
    assert_eq!(of("leasehold_limit_share_units_total hot used"), "71");
    let number = |name: &str| of(name).parse::<f64>().unwrap();
    let taken = number("leasehold_limit_share_units_total hot taken");
    let wasted = number("leasehold_limit_share_units_total hot wasted");
    assert!((taken - wasted - 71.0).abs() < 0.1, "{taken} {wasted}");
    assert!(number("leasehold_limit_overshoot_units hot") >= 0.0);
    // No key is in any of them.
    assert!(
        read.keys()
            .all(|key| !key.ends_with(" a") && !key.contains("hot/a")),
        "{read:?}"
    );
}
