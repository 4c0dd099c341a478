//! A store that counts its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use leasehold_core::name::Bucket;
use leasehold_core::protocol::Reply;
use leasehold_core::store::{
    Capabilities, Connector, LeaseCall, Leases, ListQuery, Page, Session, Stamped, StoreError,
    StoreHandle,
};
use leasehold_core::{Coordinator, Env};

/// Around another store.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    behind: Arc<dyn Connector>,
    requests: Arc<AtomicU64>,
}

impl Counting {
    pub(crate) fn new(behind: impl Connector + 'static) -> Self {
        Self {
            behind: Arc::new(behind),
            requests: Arc::default(),
        }
    }

    pub(crate) async fn node(&self, env: &Env, label: &str) -> Coordinator {
        let builder = Coordinator::builder(self.clone(), "test").env(env.clone());
        builder.label(label).connect().await.unwrap()
    }

    /// How many there were, of leases.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Connector for Counting {
    async fn open(&self, session: &Session) -> Result<StoreHandle, StoreError> {
        let mut handle = self.behind.open(session).await?;
        handle.leases = Arc::new(Counted {
            behind: handle.leases,
            requests: Arc::clone(&self.requests),
        });
        Ok(handle)
    }

    fn address(&self) -> String {
        self.behind.address()
    }
}

#[derive(Debug)]
struct Counted {
    behind: Arc<dyn Leases>,
    requests: Arc<AtomicU64>,
}

#[async_trait]
impl Leases for Counted {
    async fn execute(&self, calls: &[LeaseCall]) -> Result<Stamped<Vec<Reply>>, StoreError> {
        assert!((1..=128).contains(&calls.len()), "{} calls", calls.len());
        let buckets = calls.iter().map(|call| call.name.bucket());
        assert!(
            buckets
                .clone()
                .all(|bucket| bucket == calls[0].name.bucket())
        );
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.behind.execute(calls).await
    }

    async fn raise_floors(&self, floors: &[(Bucket, u64)]) -> Result<(), StoreError> {
        self.behind.raise_floors(floors).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        self.behind.list(query).await
    }

    fn capabilities(&self) -> Capabilities {
        self.behind.capabilities()
    }
}
