//! What a function under a permit does, on the memory store and in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold::testing::TestFleet;
use leasehold::{Coordinator, Env, Error, LostCause, Permit};
use leasehold_macros::permit;

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

    fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

#[permit("stripe", 3, wait = "1m")]
async fn charge(coord: &Coordinator, room: &Room) -> Result<(), Error> {
    room.stay(coord.env()).await;
    Ok(())
}

const OF_TENANT: u32 = 4;

#[permit("tenant/{id}", OF_TENANT, permits = weight, wait = "0s", permit = held)]
async fn export(coord: &Coordinator, id: u64, weight: u32) -> Result<u32, Error> {
    coord.env().sleep(Duration::from_millis(20)).await;
    let held: &Permit = held;
    assert_eq!(held.name().as_str(), format!("tenant/{id}"));
    Ok(held.permits())
}

struct Service {
    coord: Coordinator,
    size: u32,
}

impl Service {
    #[permit("pool", self.size, revision = 7, coord = self.coord, permit)]
    async fn of_self(&self) -> Result<u32, Error> {
        Ok(permit.permits())
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_a_time_in_the_whole_fleet() {
    let fleet = TestFleet::new(2).await;
    let room = Arc::new(Room::default());
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let (coord, room) = (fleet.node(n % 2).clone(), Arc::clone(&room));
            fleet
                .env()
                .spawn(async move { charge(&coord, &room).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(room.most(), 3);
    // It is the semaphore of that name.
    let stripe = fleet.node(0).semaphore("stripe", 3).unwrap();
    let all = stripe.acquire_many(3).await.unwrap();
    let mut call = Box::pin(charge(fleet.node(1), &room));
    let waits = fleet.env().timeout(Duration::from_secs(5), &mut call).await;
    assert!(waits.is_err());
    drop(all);
    call.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_id_has_its_permits_and_a_call_holds_as_many_as_it_says() {
    let fleet = TestFleet::new(1).await;
    let coord = fleet.node(0);
    let (one, other) = (export(coord, 1, 3), export(coord, 2, 4));
    let late = async {
        coord.env().sleep(Duration::from_millis(5)).await;
        tokio::join!(export(coord, 1, 2), export(coord, 1, 1))
    };
    let (one, other, (busy, fits)) = tokio::join!(one, other, late);
    assert_eq!((one.unwrap(), other.unwrap(), fits.unwrap()), (3, 4, 1));
    assert!(busy.unwrap_err().is_busy());
    let error = export(coord, 1, 5).await.unwrap_err();
    assert!(matches!(error, Error::TooHeavy(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_method_says_its_number_and_announces_it() {
    let fleet = TestFleet::new(1).await;
    let coord = fleet.node(0).clone();
    let service = Service { coord, size: 2 };
    assert_eq!(service.of_self().await.unwrap(), 1);
    let none = Service { size: 0, ..service };
    let error = none.of_self().await.unwrap_err();
    assert!(matches!(error, Error::Permits(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_lost_stops_the_body() {
    #[permit("slow", 1, ttl = "2s")]
    async fn slow(coord: &Coordinator) -> Result<(), Error> {
        coord.env().sleep(Duration::from_secs(600)).await;
        Ok(())
    }
    let fleet = TestFleet::new(1).await;
    let coord = fleet.node(0).clone();
    let call = fleet.env().spawn(async move { slow(&coord).await });
    fleet.settle().await;
    fleet.lose("slow/slow");
    let Error::Lost(lost) = call.await.unwrap().unwrap_err() else {
        panic!("it was lost");
    };
    assert_eq!(lost.cause, LostCause::Deleted);
}
