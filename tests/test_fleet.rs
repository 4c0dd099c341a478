//! How one tests code of one's own with `TestFleet`: an invoice that is paid under a lease.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(
    clippy::disallowed_methods,
    reason = "it is a user's: they spawn as they please"
)]

use std::sync::{Arc, Mutex};

use leasehold::prelude::*;
use leasehold::testing::TestFleet;
use leasehold::{LostCause, Put, RegisterReply};

/// The code under test: pays an invoice in two steps, and writes what it did under its fence.
#[derive(Clone)]
struct Payments {
    coord: Coordinator,
    paid: Arc<Mutex<Vec<String>>>,
}

impl Payments {
    fn on(fleet: &TestFleet, node: usize, paid: &Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            coord: fleet.node(node).clone(),
            paid: Arc::clone(paid),
        }
    }

    async fn pay(&self, invoice: u64) -> Result<(), Error> {
        let invoices = self.coord.mutexes("invoice")?.ttl(30.s()).wait(5.mins());
        invoices
            .with(invoice, async |_| {
                // The bank takes a minute.
                self.coord.env().sleep(60.s()).await;
                let done = format!("{} by {}", invoice, self.coord.label());
                self.paid.lock().unwrap().push(done);
            })
            .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_whose_lease_is_lost_stops_and_another_node_pays() {
    let (fleet, paid) = (TestFleet::new(2).await, Arc::default());
    let (one, two) = (
        Payments::on(&fleet, 0, &paid),
        Payments::on(&fleet, 1, &paid),
    );
    let first = tokio::spawn(async move { one.pay(7).await });
    fleet.settle().await;
    let second = tokio::spawn(async move { two.pay(7).await });
    fleet.advance(10.s()).await;
    fleet.lose("invoice/7");
    assert!(first.await.unwrap().unwrap_err().is_lost());
    second.await.unwrap().unwrap();
    assert_eq!(*paid.lock().unwrap(), ["7 by node 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_finds_its_lease_lost_and_its_late_write_refused() {
    let fleet = TestFleet::new(2).await;
    let (one, two) = (fleet.node(0), fleet.node(1));
    let balance = one.register("balance").unwrap();
    let old = one.mutexes("account").unwrap().lock(1).await.unwrap();
    fleet.pause(0);
    fleet.advance(60.s()).await;
    let new = two.mutexes("account").unwrap().lock(1).await.unwrap();
    let put = Put::new("100").fenced(new.fence());
    two.register("balance").unwrap().put(&put).await.unwrap();
    fleet.resume(0);
    assert_eq!(old.lost().await, LostCause::Expired);
    let late = balance
        .put(&Put::new("0").fenced(old.fence()))
        .await
        .unwrap();
    assert!(matches!(late, RegisterReply::Fenced { .. }), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_says_so_in_time_and_comes_back() {
    let fleet = TestFleet::new(3).await;
    let accounts = fleet.node(0).mutexes("account").unwrap();
    let guard = accounts.lock(1).await.unwrap();
    fleet.partition(&[0, 2]);
    let started = fleet.env().now();
    assert_eq!(guard.lost().await, LostCause::Unreachable);
    assert!(fleet.env().now().since(started) <= 30.s());
    assert!(
        fleet
            .node(1)
            .mutexes("account")
            .unwrap()
            .lock(1)
            .await
            .is_ok()
    );
    fleet.heal();
    assert!(accounts.lock(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_waited_for_and_a_store_that_lost_its_data_is_not() {
    let mut fleet = TestFleet::new(2).await;
    let leads = fleet
        .node(0)
        .election("janitor")
        .unwrap()
        .campaign()
        .await
        .unwrap();
    fleet.restart(0).await;
    let started = fleet.env().now();
    let next = fleet.node(1).election("janitor").unwrap();
    let after = next.campaign().await.unwrap();
    assert!(fleet.env().now().since(started) >= 14.s());
    assert!(after.term() > leads.term());
    fleet.advance(2.ms()).await;
    fleet.restart_store();
    let anew = fleet
        .node(0)
        .election("janitor")
        .unwrap()
        .try_lead()
        .await
        .unwrap();
    assert!(anew.term() > after.term());
    assert_eq!(after.lost().await, LostCause::Deleted);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stands_still_makes_nothing_pass() {
    let fleet = TestFleet::new(1).await;
    fleet.stop_store();
    let denied = fleet.node(0).mutexes("account").unwrap().try_lock(1).await;
    assert!(denied.unwrap_err().is_unavailable());
    fleet.start_store();
    fleet.advance(1.s()).await;
    assert!(
        fleet
            .node(0)
            .mutexes("account")
            .unwrap()
            .try_lock(1)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody holds `invoice/8`; held are: invoice/7")]
async fn losing_what_nobody_holds_is_told() {
    let fleet = TestFleet::new(1).await;
    let _guard = fleet
        .node(0)
        .mutexes("invoice")
        .unwrap()
        .lock(7)
        .await
        .unwrap();
    fleet.lose("invoice/8");
}

#[tokio::test]
#[should_panic(expected = "start_paused = true")]
async fn a_test_without_paused_time_is_told() {
    TestFleet::new(1).await;
}
