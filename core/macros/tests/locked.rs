//! What a locked function does, on the memory store and in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold::testing::TestFleet;
use leasehold::{Coordinator, Env, Error, Fence, LostCause};
use leasehold_macros::locked;

#[derive(Debug, thiserror::Error)]
enum PayError {
    #[error(transparent)]
    Lease(#[from] Error),
    #[error("no money")]
    Poor,
}

/// How many are in the body, and the most there ever were.
#[derive(Default)]
struct Room {
    inside: AtomicU64,
    most: AtomicU64,
}

impl Room {
    async fn stay(&self, env: &Env) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        env.sleep(Duration::from_millis(20)).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[locked("invoice/{id}", ttl = "20s", wait = "1m", lease)]
async fn pay(coord: &Coordinator, room: &Room, id: u64) -> Result<Fence, PayError> {
    room.stay(coord.env()).await;
    if id == 13 {
        return Err(PayError::Poor);
    }
    lease.check().map_err(Error::from)?;
    assert_eq!(lease.name().as_str(), format!("invoice/{id}"));
    Ok(lease.fence())
}

#[tokio::test(start_paused = true)]
async fn it_excludes_all_that_lock_the_same_and_nobody_else() {
    let fleet = TestFleet::new(2).await;
    let room = Arc::new(Room::default());
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let (coord, room) = (fleet.node(n % 2).clone(), Arc::clone(&room));
            fleet
                .env()
                .spawn(async move { pay(&coord, &room, 7).await.unwrap() })
        })
        .collect();
    let mut fences = Vec::new();
    for task in tasks {
        fences.push(task.await.unwrap());
    }
    assert_eq!(room.most.load(Ordering::SeqCst), 1);
    fences.sort();
    fences.dedup();
    assert_eq!(fences.len(), 10);
    // Another id is another lock, and a program that locks by hand is kept out like any other.
    let (coord, room) = (fleet.node(0), Room::default());
    let both = tokio::join!(pay(coord, &room, 1), pay(coord, &room, 2));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(room.most.load(Ordering::SeqCst), 2);
    let guard = fleet
        .node(1)
        .mutexes("invoice")
        .unwrap()
        .lock(7)
        .await
        .unwrap();
    let start = fleet.env().now();
    let locked = fleet
        .env()
        .timeout(Duration::from_secs(3), pay(coord, &room, 7));
    assert!(locked.await.is_err() && fleet.env().now() > start);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_is_returned_as_it_is_and_the_lock_released() {
    let fleet = TestFleet::new(1).await;
    let (coord, room) = (fleet.node(0), Room::default());
    assert!(matches!(pay(coord, &room, 13).await, Err(PayError::Poor)));
    let seen = coord.mutexes("invoice").unwrap().peek(13).await.unwrap();
    assert!(seen.holders.is_empty(), "{seen:?}");
}

#[locked("invoice/{id}", shared, lease)]
async fn look(coord: &Coordinator, room: &Room, id: u64) -> Result<u64, PayError> {
    room.stay(coord.env()).await;
    Ok(lease.grant_id().get())
}

#[tokio::test(start_paused = true)]
async fn shared_ones_run_together_but_not_beside_one_that_is_alone() {
    let fleet = TestFleet::new(2).await;
    let (a, b, room) = (fleet.node(0), fleet.node(1), Room::default());
    let looked = tokio::join!(look(a, &room, 7), look(b, &room, 7));
    assert!(looked.0.unwrap() > 0 && looked.1.is_ok());
    assert_eq!(room.most.load(Ordering::SeqCst), 2);
    let room = Room::default();
    let both = tokio::join!(look(a, &room, 7), pay(b, &room, 7));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(room.most.load(Ordering::SeqCst), 1);
}

#[locked("invoice/{id}", wait = "0s", coord = coord)]
async fn at_once(coord: Arc<Coordinator>, id: &str) -> Result<u8, Error> {
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_who_has_it() {
    let fleet = TestFleet::new(2).await;
    let invoices = fleet.node(1).mutexes("invoice").unwrap();
    let guard = invoices.lock("a").await.unwrap();
    let (coord, start) = (Arc::new(fleet.node(0).clone()), fleet.env().now());
    let Err(Error::Busy(busy)) = at_once(Arc::clone(&coord), "a").await else {
        panic!("not busy");
    };
    assert_eq!((busy.holder.as_str(), fleet.env().now()), ("node 1", start));
    guard.release().await.unwrap();
    assert_eq!(at_once(coord, "a").await.unwrap(), 7);
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicU64>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[locked("invoice/{id}")]
async fn for_ever(coord: &Coordinator, id: u64, dropped: Dropped) -> Result<(), PayError> {
    std::future::pending::<()>().await;
    drop(dropped);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_the_body() {
    let fleet = TestFleet::new(1).await;
    let (coord, dropped) = (fleet.node(0).clone(), Arc::new(AtomicU64::new(0)));
    let body = Dropped(Arc::clone(&dropped));
    let task = (fleet.env()).spawn(async move { for_ever(&coord, 7, body).await });
    fleet.advance(Duration::from_secs(60)).await;
    assert!(!task.is_finished());
    fleet.lose("invoice/7");
    let Err(PayError::Lease(Error::Lost(lost))) = task.await.unwrap() else {
        panic!("not lost");
    };
    assert_eq!(lost.cause, LostCause::Deleted);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[locked("invoice/{id}")]
async fn loses_it(coord: &Coordinator, fleet: &TestFleet, id: u64) -> Result<(), PayError> {
    // Nobody hears of it before the body has ended.
    fleet.lose(&format!("invoice/{id}"));
    if id == 13 {
        Err(PayError::Poor)
    } else {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_gone_at_the_end_is_an_error_but_not_in_place_of_the_bodys_own() {
    let fleet = TestFleet::new(1).await;
    let done = loses_it(fleet.node(0), &fleet, 7).await;
    assert!(
        matches!(done, Err(PayError::Lease(Error::Lost(_)))),
        "{done:?}"
    );
    let done = loses_it(fleet.node(0), &fleet, 13).await;
    assert!(matches!(done, Err(PayError::Poor)), "{done:?}");
}

#[locked("invoice/{id}", ttl = "1s", max_hold = "5s")]
async fn long(coord: &Coordinator, id: u64) -> Result<(), Error> {
    coord.env().sleep(Duration::from_secs(600)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settings_are_those_of_the_class() {
    let fleet = TestFleet::new(1).await;
    let (coord, start) = (fleet.node(0), fleet.env().now());
    let Err(Error::Lost(lost)) = long(coord, 7).await else {
        panic!("not lost");
    };
    let took = fleet.env().now().since(start);
    assert_eq!((lost.cause, took.as_secs()), (LostCause::MaxHold, 5));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing() {
    let fleet = TestFleet::new(1).await;
    let (coord, dropped) = (fleet.node(0), Arc::new(AtomicU64::new(0)));
    let body = Dropped(Arc::clone(&dropped));
    let call = fleet
        .env()
        .timeout(Duration::from_secs(1), for_ever(coord, 7, body));
    assert!(call.await.is_err());
    fleet.settle().await;
    assert!(coord.list("", 10).await.unwrap().resources.is_empty());
    assert_eq!(coord.health().lines, 0);
}

#[locked("invoice/{id}")]
async fn bad(coord: &Coordinator, id: &str) -> Result<(), Error> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_only_known_at_run_time_is_checked_then() {
    let fleet = TestFleet::new(1).await;
    for id in ["a\nb", "", &"x".repeat(513)] {
        let refused = bad(fleet.node(0), id).await;
        assert!(matches!(refused, Err(Error::Name(_))), "{refused:?}");
    }
}

/// A service that has its coordinator, as most do.
struct Service {
    coord: Coordinator,
    shard: (u8, &'static str),
}

impl Service {
    #[locked("shard/{self.shard.0}/{self.shard.1}", coord = self.coord, lease = held)]
    async fn sweep(&self) -> Result<String, Error> {
        Ok(held.name().to_string())
    }

    /// Documentation stays.
    #[must_use = "attributes, too"]
    #[locked("shard/{{{shard}}}", coord = self.coordinator())]
    pub(crate) async fn count<'a, T>(
        &'a mut self,
        shard: T,
        log: &'a mut Vec<String>,
    ) -> Result<&'a str, Error>
    where
        T: Display + Send + Sync,
    {
        self.shard.0 += 1;
        log.push(format!("{shard} {}", self.shard.0));
        Ok(log.last().map_or("", String::as_str))
    }

    fn coordinator(&self) -> Coordinator {
        self.coord.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn methods_generics_lifetimes_and_fields_work() {
    let fleet = TestFleet::new(1).await;
    let mut service = Service {
        coord: fleet.node(0).clone(),
        shard: (3, "east"),
    };
    assert_eq!(service.sweep().await.unwrap(), "shard/3/east");
    let mut log = Vec::new();
    assert_eq!(service.count("x", &mut log).await.unwrap(), "x 4");
}

struct Order {
    key: String,
}

#[locked("order/{order.key}-{n}")]
async fn by_impl(
    coord: Coordinator,
    Order { key }: &Order,
    order: Order,
    n: impl Display + Send + Sync,
    mut left: u8,
) -> Result<impl Display, Error> {
    // A body of its own: names, loops, early ends.
    let (guard, ended, mutexes) = (1, 2, 3);
    while left > 0 {
        left -= 1;
        if left == 2 {
            return Ok(format!(
                "{key} {} {n} {}",
                order.key,
                guard + ended + mutexes
            ));
        }
    }
    Ok(String::new())
}

#[locked("order/{guard}", lease)]
async fn with_names_of_the_macro(
    coord: Coordinator,
    guard: u8,
    mutexes: u8,
    locked: u8,
    output: u8,
    ended: u8,
    error: u8,
) -> Result<u8, Error> {
    lease.check()?;
    assert!(coord.health().is_ready);
    Ok(guard + mutexes + locked + output + ended + error)
}

#[locked("order/{id}")]
async fn boxed(
    coord: &Coordinator,
    id: u8,
) -> Result<Box<dyn Display + Send>, Box<dyn std::error::Error + Send + Sync>> {
    let parsed: u8 = "7".parse()?;
    if parsed == id {
        return Ok(Box::new(parsed));
    }
    Err("another".into())
}

#[tokio::test(start_paused = true)]
async fn patterns_impl_trait_and_results_of_all_kinds_work() {
    let fleet = TestFleet::new(1).await;
    let order = |key: &str| Order { key: key.into() };
    let first = order("a");
    let call = by_impl(fleet.node(0).clone(), &first, order("b"), 5, 4);
    assert_eq!(call.await.unwrap().to_string(), "a b 5 6");
    let coord = fleet.node(0).clone();
    let sum = with_names_of_the_macro(coord, 1, 2, 3, 4, 5, 6).await;
    assert_eq!(sum.unwrap(), 21);
    assert_eq!(boxed(fleet.node(0), 7).await.unwrap().to_string(), "7");
    let error = boxed(fleet.node(0), 8).await.err().unwrap();
    assert_eq!(error.to_string(), "another");
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[tokio::test(start_paused = true)]
async fn its_future_is_send_and_may_be_spawned() {
    let fleet = TestFleet::new(1).await;
    let (coord, room) = (fleet.node(0), Room::default());
    is_send(pay(coord, &room, 7)).await.unwrap();
    let service = Service {
        coord: coord.clone(),
        shard: (1, "w"),
    };
    is_send(service.sweep()).await.unwrap();
    let spawned = fleet.env().spawn(at_once(Arc::new(coord.clone()), "b"));
    assert_eq!(spawned.await.unwrap().unwrap(), 7);
}

#[locked("invoice/{id}")]
async fn outer(coord: &Coordinator, id: u64) -> Result<(), Error> {
    bad(coord, &id.to_string()).await
}

#[tokio::test(start_paused = true)]
async fn a_task_that_locks_twice_is_told_where() {
    let fleet = TestFleet::new(1).await;
    let coord = fleet.node(0).clone();
    let task = fleet.env().spawn(async move { outer(&coord, 7).await });
    let Err(Error::Relock(relock)) = task.await.unwrap() else {
        panic!("not told");
    };
    for at in [relock.held_at, relock.asked_at] {
        assert!(at.file().ends_with("tests/locked.rs"), "{at}");
    }
    assert_ne!(relock.held_at.line(), relock.asked_at.line());
}
