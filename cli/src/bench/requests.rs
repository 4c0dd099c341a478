//! How many requests the client sends: it says so itself, to whatever recorder the process has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// One value is recorded for each request.
const REQUESTS: &str = "leasehold_store_request_seconds";

static SENT: AtomicU64 = AtomicU64::new(0);

/// Counts from now on.
pub(super) fn record() {
    // A process runs one benchmark.
    drop(metrics::set_global_recorder(Requests(Arc::new(Sent))));
}

/// How many were sent since.
pub(super) fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

struct Requests(Arc<Sent>);

struct Sent;

impl HistogramFn for Sent {
    fn record(&self, _: f64) {
        SENT.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Requests {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == REQUESTS {
            Histogram::from_arc(Arc::clone(&self.0))
        } else {
            Histogram::noop()
        }
    }
}
