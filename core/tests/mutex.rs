//! The mutex on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::fmt::Write as _;
use std::time::Duration;

use leasehold_core::store::{Faults, FaultyStore, MemoryStore};
use leasehold_core::{Coordinator, Env, Error, LostCause};

const TTL: Duration = Duration::from_secs(3);

async fn connect(store: &MemoryStore, env: &Env) -> Coordinator {
    let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
    builder.connect().await.unwrap()
}

async fn fleet<const N: usize>() -> (Env, [Coordinator; N]) {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(connect(&store, &env).await);
    }
    (env, nodes.try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn fences_rise_from_holder_to_holder() {
    let (_env, [a, b]) = fleet().await;
    let mut last = None;
    for node in [&a, &b, &a, &a, &b] {
        let guard = node.mutexes("m").unwrap().lock(1).await.unwrap();
        assert!(Some(guard.fence()) > last);
        last = Some(guard.fence());
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_mutex_names_its_holder() {
    let (env, [a, b]) = fleet().await;
    let _guard = a
        .mutexes("m")
        .unwrap()
        .label("nightly")
        .lock(1)
        .await
        .unwrap();
    env.sleep(Duration::from_secs(2)).await;
    let Err(Error::Busy(busy)) = b.mutexes("m").unwrap().try_lock(1).await else {
        panic!("not busy");
    };
    assert!(busy.holder.ends_with("nightly"), "{busy}");
    assert!(busy.held_for >= Duration::from_secs(2), "{busy}");
    let start = env.now();
    let wait = Duration::from_secs(5);
    let result = b.mutexes("m").unwrap().lock_timeout(1, wait).await;
    let Err(Error::Busy(busy)) = result else {
        panic!("not busy");
    };
    assert!(busy.holder.ends_with("nightly"), "{busy}");
    assert_eq!(env.now().since(start).as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn renewal_keeps_a_lease_far_beyond_its_ttl() {
    let (env, [a, b]) = fleet().await;
    let guard = a.mutexes("m").unwrap().ttl(TTL).lock(1).await.unwrap();
    for _ in 0..50 {
        env.sleep(Duration::from_secs(1)).await;
        guard.check().unwrap();
        assert!(
            b.mutexes("m")
                .unwrap()
                .try_lock(1)
                .await
                .unwrap_err()
                .is_busy()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_and_a_dropped_wait_leave_nothing() {
    let (env, [a, b]) = fleet().await;
    drop(a.mutexes("m").unwrap().lock(1).await.unwrap());
    env.sleep(Duration::from_millis(1)).await;
    let guard = b.mutexes("m").unwrap().try_lock(1).await.unwrap();
    let (mutexes, waiting) = (a.mutexes("m").unwrap(), Duration::from_secs(1));
    // Dropped in the queue.
    assert!(env.timeout(waiting, mutexes.lock(1)).await.is_err());
    env.sleep(Duration::from_millis(1)).await;
    guard.release().await.unwrap();
    let guard = b.mutexes("m").unwrap().try_lock(1).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_they_came_without_polling() {
    let (env, nodes) = fleet::<6>().await;
    let guard = nodes[5].mutexes("m").unwrap().lock(1).await.unwrap();
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    for (n, node) in nodes.iter().take(5).enumerate() {
        let (node, env, done) = (node.clone(), env.clone(), done.clone());
        let start = env.now() + Duration::from_millis(n as u64 + 1);
        env.clone().spawn(async move {
            env.sleep_until(start).await;
            let guard = node.mutexes("m").unwrap().lock(1).await.unwrap();
            done.send((n, env.now())).unwrap();
            env.sleep(Duration::from_millis(100)).await;
            guard.release().await.unwrap();
        });
    }
    env.sleep(Duration::from_secs(1)).await;
    let start = env.now();
    guard.release().await.unwrap();
    for n in 0..5 {
        let (who, when) = order.recv().await.unwrap();
        assert_eq!(who, n);
        // Each as soon as the one before it let go: no poll lies between.
        assert_eq!(when.since(start).as_millis(), 100 * n as u128);
    }
}

#[tokio::test(start_paused = true)]
async fn max_hold_ends_a_wedged_holder() {
    let (env, [a, b]) = fleet().await;
    let class = a
        .mutexes("m")
        .unwrap()
        .ttl(TTL)
        .max_hold(Duration::from_secs(60));
    let guard = class.lock(1).await.unwrap();
    let start = env.now();
    assert_eq!(guard.lost().await, LostCause::MaxHold);
    assert_eq!(env.now().since(start), Duration::from_secs(60));
    let wait = Duration::from_millis(10);
    drop(b.mutexes("m").unwrap().lock_timeout(1, wait).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn run_stops_its_future_when_the_lease_is_lost() {
    let (env, [a]) = fleet().await;
    let class = a
        .mutexes("m")
        .unwrap()
        .ttl(TTL)
        .max_hold(Duration::from_secs(5));
    let result = class
        .with(1, async |_| std::future::pending::<()>().await)
        .await;
    assert!(result.unwrap_err().is_lost());
    let result = class.with(2, async |lease| lease.fence()).await;
    assert!(result.is_ok());
    drop(env);
}

#[tokio::test(start_paused = true)]
async fn shutdown_releases_what_was_dropped_and_says_lost_to_the_rest() {
    let (_env, [a, b]) = fleet().await;
    let dropped = a.mutexes("m").unwrap().lock(1).await.unwrap();
    let kept = a.mutexes("m").unwrap().lock(2).await.unwrap();
    drop(dropped);
    a.shutdown(Duration::ZERO).await;
    assert_eq!(kept.lost().await, LostCause::ShutDown);
    drop(b.mutexes("m").unwrap().try_lock(1).await.unwrap());
    drop(b.mutexes("m").unwrap().try_lock(2).await.unwrap());
    assert!(matches!(
        a.mutexes("m").unwrap().lock(3).await,
        Err(Error::ShutDown)
    ));
    assert!(!b.members().members.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ttl_that_cannot_be_used_is_refused() {
    let (_env, [a]) = fleet().await;
    for ttl in [
        Duration::ZERO,
        Duration::from_millis(9),
        Duration::from_secs(24 * 3600 + 1),
    ] {
        let error = a.mutexes("m").unwrap().ttl(ttl).lock(1).await.unwrap_err();
        assert!(
            error.to_string().contains("choose one from 20ms to 86400s"),
            "{error}"
        );
    }
}

/// The closure forms compile inside a spawned task that borrows a local (the futures are `Send`).
#[tokio::test(start_paused = true)]
async fn closures_that_borrow_can_be_spawned() {
    let (env, [a]) = fleet().await;
    let sum = env.spawn(async move {
        let local = [1, 2, 3];
        let class = a.mutexes("m").unwrap();
        class
            .with(1, async |lease| {
                lease.check().unwrap();
                tokio::task::yield_now().await;
                local.iter().sum::<i32>()
            })
            .await
            .unwrap()
    });
    assert_eq!(sum.await.unwrap(), 6);
}

#[test]
fn handles_guards_and_futures_can_move_between_threads() {
    fn send_and_sync<T: Send + Sync>() {}
    fn send<T: Send>(_: impl Fn(T) -> bool) {}
    fn future<F: Future + Send>(_: impl Fn(Coordinator) -> F) {}
    send_and_sync::<Coordinator>();
    send_and_sync::<leasehold_core::Mutexes>();
    send_and_sync::<leasehold_core::MutexGuard>();
    send_and_sync::<leasehold_core::Election>();
    send_and_sync::<leasehold_core::Leadership>();
    send_and_sync::<leasehold_core::RegisterHandle>();
    send_and_sync::<Error>();
    future(|c| async move { drop(c.mutexes("m").unwrap().lock(1).await) });
    future(|c| async move { drop(c.mutexes("m").unwrap().try_lock(1).await) });
    future(|c| async move { drop(c.election("e").unwrap().campaign().await) });
    future(|c| async move { drop(c.register("r").unwrap().get().await) });
    future(|c| async move { c.shutdown(Duration::ZERO).await });
    send(|error: Error| error.is_busy());
}

#[tokio::test(start_paused = true)]
async fn a_contended_mutex_leaves_nothing_of_its_ended_requests() {
    let (env, nodes) = fleet::<20>().await;
    let mut tasks = Vec::new();
    for node in &nodes {
        let (env, mutexes) = (env.clone(), node.mutexes("m").unwrap());
        tasks.push(env.clone().spawn(async move {
            for _ in 0..10 {
                let guard = mutexes.lock(1).await.unwrap();
                env.sleep(Duration::from_millis(5)).await;
                guard.release().await.unwrap();
            }
        }));
    }
    env.sleep(Duration::from_millis(200)).await;
    let name = leasehold_core::Class::new("m")
        .unwrap()
        .resource(1)
        .unwrap();
    let record = nodes[0].record(&name).await.unwrap().value.unwrap();
    assert!(record.entries.len() > 10);
    assert_eq!(record.closed, []);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn settings_and_fences_beyond_all_bounds_do_no_harm() {
    let (_env, [a, b]) = fleet().await;
    a.saw(leasehold_core::Fence::new(u64::MAX));
    let forever = a.mutexes("m").unwrap();
    let forever = forever.wait(Duration::MAX).max_hold(Duration::MAX);
    let guard = forever.lock(1).await.unwrap();
    assert!(guard.fence() < leasehold_core::Fence::MAX);
    guard.release().await.unwrap();
    let guard = b.mutexes("m").unwrap().lock(1).await.unwrap();
    let waiting = forever.clone();
    let waiting = a.env().spawn(async move { waiting.lock(1).await.unwrap() });
    b.env().sleep(Duration::from_secs(60)).await;
    guard.release().await.unwrap();
    assert!(waiting.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_the_cause_of_the_loss() {
    let env = Env::simulated(1);
    let store = std::sync::Arc::new(MemoryStore::new());
    let store = FaultyStore::new(store, env.clone(), Faults::none());
    let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
    let coord = builder.connect().await.unwrap();
    let guard = coord.mutexes("m").unwrap().ttl(TTL).lock(1).await.unwrap();
    env.sleep(Duration::from_secs(10)).await;
    store.outage();
    assert_eq!(guard.lost().await, LostCause::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn an_early_warning_comes_before_the_loss_and_only_in_danger() {
    let env = Env::simulated(1);
    let store = std::sync::Arc::new(MemoryStore::new());
    let store = FaultyStore::new(store, env.clone(), Faults::none());
    let builder = Coordinator::builder(store.clone(), "test").env(env.clone());
    let coord = builder.connect().await.unwrap();
    let guard = coord.mutexes("m").unwrap().ttl(TTL).lock(1).await.unwrap();
    let token = guard.token();
    // Renewals keep more than half of it.
    let early = guard.running_out(TTL / 2);
    assert!(env.timeout(Duration::from_secs(600), early).await.is_err());
    store.outage();
    guard.running_out(TTL / 2).await;
    assert!(guard.is_held() && !token.is_cancelled());
    let warned = env.now();
    token.cancelled().await;
    assert!(!guard.is_held());
    // Until the margin of 30 ms that its end is dated early.
    let between = env.now().since(warned);
    assert!(
        between + Duration::from_millis(10) > TTL / 2 && between <= TTL / 2,
        "{between:?}"
    );
}

/// Keeps the text of warnings.
#[derive(Clone, Default)]
struct Warnings(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        let mut visit = |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            write!(text, "{field}={value:?} ").unwrap();
        };
        event.record(&mut visit as &mut dyn tracing::field::Visit);
        self.0.lock().unwrap().push(text);
    }
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_long_hold_is_warned_of_once_with_the_line_that_locked() {
    let warnings = Warnings::default();
    let _default = tracing::subscriber::set_default(warnings.clone());
    let (env, [a]) = fleet().await;
    let class = a
        .mutexes("m")
        .unwrap()
        .warn_if_held_over(Duration::from_secs(5));
    let short = class.lock(1).await.unwrap();
    env.sleep(Duration::from_secs(4)).await;
    short.release().await.unwrap();
    assert_eq!(*warnings.0.lock().unwrap(), [""; 0]);
    let line = line!() + 1;
    let long = class.lock(2).await.unwrap();
    // While it is held, not only at its end.
    env.sleep(Duration::from_secs(6)).await;
    let seen = warnings.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let place = format!("mutex.rs:{line}:");
    assert!(
        seen[0].contains("name=m/2") && seen[0].contains(&place),
        "{seen:?}"
    );
    env.sleep(Duration::from_secs(60)).await;
    long.release().await.unwrap();
    assert_eq!(warnings.0.lock().unwrap().len(), 1);
}
