//! A store, the network before it, and clients.

#![allow(dead_code, reason = "each test's binary uses its part of this")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::store::{Done, Faults, FaultyStore, MemoryStore, QuotaCall, QuotaReply, Step};
use leasehold_core::{Coordinator, Env};

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) store: MemoryStore,
    pub(crate) network: FaultyStore,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_seed(1)
    }

    pub(crate) fn with_seed(seed: u64) -> Self {
        let (env, store) = (Env::simulated(seed), MemoryStore::new());
        let network = FaultyStore::new(Arc::new(store.clone()), env.clone(), Faults::none());
        Self {
            env,
            store,
            network,
        }
    }

    /// A process.
    pub(crate) async fn client(&self) -> Coordinator {
        self.client_of(self.env.node()).await
    }

    pub(crate) async fn client_of(&self, env: Env) -> Coordinator {
        let coord = Coordinator::builder(self.network.clone(), "test").env(env);
        coord.connect().await.unwrap()
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.env.sleep(time).await;
    }

    /// Requests about quotas that reach the store from now on.
    pub(crate) fn requests(&self) -> Requests {
        let requests = Requests::default();
        let seen = Arc::clone(&requests.0);
        self.store.watch(move |step: &Step<'_>| {
            if let Done::Quota { call, reply } = step.done {
                let seen = &mut *seen.lock().unwrap();
                seen.push((step.now.wall_us, call.clone(), reply.clone()));
            }
        });
        requests
    }
}

type Seen = Vec<(u64, QuotaCall, QuotaReply)>;

/// What reached the store.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Seen>>);

impl Requests {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Units that the store gave, by key, and when (µs).
    pub(crate) fn charges(&self) -> Vec<(u64, String, u64)> {
        let mut charges = Vec::new();
        for (now_us, call, reply) in self.0.lock().unwrap().iter() {
            let (QuotaCall::Take(take), QuotaReply::Taken { charged, .. }) = (call, reply) else {
                continue;
            };
            for ((name, _), charged) in take.charges.iter().zip(charged) {
                if charged.units > 0 {
                    charges.push((now_us + charged.wait_us, name.to_string(), charged.units));
                }
            }
        }
        charges
    }
}

/// By how much the uses (instant in µs, units) are above `rate x t + burst` in the worst of all windows; the rate is `units`
/// in `period_us`.
#[allow(clippy::cast_precision_loss, reason = "how far, for people")]
pub(crate) fn above(uses: &[(u64, u64)], units: u64, period_us: u64, burst: u64) -> f64 {
    let mut uses = uses.to_vec();
    uses.sort_unstable();
    // In parts of 1/period: exact.
    let (mut level, mut last, mut most) = (0_u128, 0, 0_u128);
    for (at, used) in uses {
        let drained = u128::from(at - last) * u128::from(units);
        level = level.saturating_sub(drained) + u128::from(used) * u128::from(period_us);
        last = at;
        most = most.max(level);
    }
    let over = most.saturating_sub(u128::from(burst) * u128::from(period_us));
    over as f64 / period_us as f64
}
