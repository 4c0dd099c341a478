//! Renewals: that they end with the hold, and that a lost one ends nothing.

use std::time::Duration;

use leasehold::{Error, LostCause};
use leasehold_testkit::{Proxy, RedisServer, wait_until};

use crate::world::{LONG, connect, free_within, millis, mutexes};

/// redisson#7272, #1626: the release raced a renewal that was under way, and the key was renewed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn l01_a_renewal_that_lost_the_race_against_its_release_revives_nothing() {
    const NAMES: u64 = 100;
    const ROUNDS: u64 = 20;
    const TTL: Duration = millis(300);
    let server = RedisServer::start();
    let coord = connect(&server.url()).await;
    let mut races = Vec::new();
    for id in 0..NAMES {
        let (coord, env) = (coord.clone(), coord.env().clone());
        races.push(coord.env().clone().spawn(async move {
            for round in 0..ROUNDS {
                // Nobody else wants it: what is in the way is what was released.
                let guard = mutexes(&coord, TTL).try_lock(id).await.unwrap();
                // Renewals go out at a third of the TTL, less or more by a tenth of that.
                let at = millis(89) + Duration::from_micros((id * 7 + round * 31) % 220 * 100);
                env.sleep(at).await;
                match guard.release().await {
                    // On a busy machine 300 ms are short; that is another matter.
                    Ok(()) | Err(Error::Lost(_) | Error::Unavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    for race in races {
        race.await.unwrap();
    }
    let keys = || server.command(&["KEYS", "*m/*"]);
    wait_until(Duration::from_secs(5), "the last key to go", || {
        keys().is_empty()
    });
}

/// redisson#3521, #5115, RedLock.net#68: the watchdog renewed for a holder that was wedged or had died, without end.
#[tokio::test(flavor = "multi_thread")]
async fn l02_nothing_renews_for_a_wedged_or_a_dead_holder_without_end() {
    const MAX_HOLD: Duration = millis(1200);
    const TTL: Duration = millis(400);
    let server = RedisServer::start();
    let (coord, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let class = mutexes(&coord, TTL).max_hold(MAX_HOLD);

    let wedged = class.lock(1).await.unwrap();
    let granted = coord.env().now();
    // Renewed until then: the TTL alone would have ended it long before.
    let early = mutexes(&other, TTL).lock_timeout(1, TTL * 2).await;
    assert!(early.unwrap_err().is_busy());
    drop(free_within(&other, 1, Duration::from_secs(5)).await);
    let took = other.env().now().since(granted);
    assert!(took <= MAX_HOLD + TTL + millis(500), "{took:?}");
    assert_eq!(wedged.lost().await, LostCause::MaxHold);

    // Nobody has the guard any more, and nobody dropped it.
    std::mem::forget(class.lock(2).await.unwrap());
    drop(free_within(&other, 2, MAX_HOLD + TTL + millis(500)).await);

    // Its task died.
    let long = mutexes(&coord, LONG);
    let task = coord.env().spawn(async move {
        let _guard = long.lock(3).await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    drop(free_within(&other, 3, Duration::from_secs(2)).await);
}

/// redis-lock (Rust): milliseconds were passed where the server takes seconds, and a lock lasted 1000 times too long.
#[tokio::test(flavor = "multi_thread")]
async fn l19_the_servers_expiry_is_the_asked_ttl_in_its_own_unit() {
    /// How much longer than the lease its key stays, as garbage: a minute, and what a late copy of its acquire may take,
    /// which is twice the wait and a request.
    const SLACK: Duration = Duration::from_secs(60 + 2 + 2);
    let server = RedisServer::start();
    let (coord, other) = (connect(&server.url()).await, connect(&server.url()).await);
    for seconds in [5, 90, 3600] {
        let ttl = Duration::from_secs(seconds);
        let class = mutexes(&coord, ttl).wait(Duration::from_secs(1));
        let guard = class.lock(seconds).await.unwrap();
        let keys = server.command(&["KEYS", &format!("*m/{seconds}")]);
        assert_eq!(keys.lines().count(), 1, "{keys}");
        let pttl = server.command(&["PTTL", &keys]).parse().unwrap();
        let pttl = Duration::from_millis(pttl);
        assert!(
            pttl + Duration::from_secs(2) > ttl && pttl <= ttl + SLACK,
            "{pttl:?} for {ttl:?}"
        );
        let Err(Error::Busy(busy)) = mutexes(&other, ttl).try_lock(seconds).await else {
            panic!("not busy");
        };
        assert!(
            busy.remaining + Duration::from_secs(2) > ttl && busy.remaining <= ttl,
            "{busy}"
        );
        guard.release().await.unwrap();
    }
}

/// dynamolock#280: a heartbeat succeeded, its reply was lost, and the holder destroyed its own lock.
#[tokio::test(flavor = "multi_thread")]
async fn l23_a_renewal_whose_reply_was_lost_costs_no_lease() {
    const TTL: Duration = Duration::from_secs(2);
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let coord = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let other = connect(&server.url()).await;
    let guard = mutexes(&coord, TTL).lock(1).await.unwrap();
    let env = coord.env().clone();
    let rescued = env.now() + TTL * 3;
    env.sleep(millis(500)).await;
    let before = proxy.lost_bytes();
    proxy.swallow_replies();
    // The renewal goes out at a third of the TTL.
    let deadline = env.now() + TTL;
    while proxy.lost_bytes() == before {
        assert!(env.now() < deadline, "no renewal");
        env.sleep(millis(5)).await;
    }
    env.sleep(millis(100)).await;
    proxy.heal();
    while env.now() < rescued {
        guard.check().unwrap();
        let taken = mutexes(&other, TTL).try_lock(1).await;
        assert!(taken.unwrap_err().is_busy());
        env.sleep(millis(20)).await;
    }
    guard.release().await.unwrap();
}
