//! What a trace shows of acquires, releases and renewals.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env};
use tracing::field::{Field, Visit};

/// Names of spans with their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
        tracing::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

#[tokio::test(start_paused = true)]
async fn acquires_releases_and_renewals_are_spans_with_class_and_name() {
    let spans = Spans::default();
    let _recording = tracing::subscriber::set_default(spans.clone());
    let env = Env::simulated(1);
    let builder = Coordinator::builder(MemoryStore::new(), "test").env(env.clone());
    let coord = builder.connect().await.unwrap();
    let mutexes = coord
        .mutexes("invoice")
        .unwrap()
        .ttl(Duration::from_secs(3));
    let guard = mutexes.lock(7).await.unwrap();
    env.sleep(Duration::from_secs(2)).await;
    guard.release().await.unwrap();
    let seen = spans.0.lock().unwrap().clone();
    let id = "class=\"invoice\" name=invoice/7";
    for span in [
        format!("acquire {id}"),
        "renew leases=1".into(),
        format!("release {id}"),
    ] {
        assert!(seen.contains(&span), "{span} of {seen:?}");
    }
}
