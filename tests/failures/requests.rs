//! Requests whose answer is lost, late, refused or not waited for.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use leasehold::{Coordinator, Error};
use leasehold_testkit::{Proxy, RedisServer, wait_until};

use crate::world::{LONG, REQUEST_TIMEOUT, connect, free_within, millis, mutexes};

/// The cleaner's time on a busy machine; what it did not end would last for [`LONG`].
const CLEANED: Duration = Duration::from_secs(5);

/// redisson#4706, #4822: a retried acquire counted twice, so that one release did not free the lock.
#[tokio::test(flavor = "multi_thread")]
async fn l07_an_acquire_that_was_sent_twice_is_held_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let coord = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let other = connect(&server.url()).await;
    for id in 0..5 {
        // Connected: a new connection would not come about without replies.
        let warm = mutexes(&coord, LONG).lock(100).await.unwrap();
        warm.release().await.unwrap();
        proxy.swallow_replies();
        let lock = mutexes(&coord, LONG).lock_timeout(id, LONG);
        let locking = coord.env().spawn(lock);
        // It took effect, and its reply is lost; the same request comes again.
        let key = format!("*m/{id}");
        wait_until(CLEANED, "the acquire to take effect", || {
            !server.command(&["KEYS", &key]).is_empty()
        });
        proxy.heal();
        let guard = locking.await.unwrap().unwrap();
        guard.release().await.unwrap();
        let guard = mutexes(&other, LONG).try_lock(id).await.unwrap();
        guard.release().await.unwrap();
    }
}

/// redis-py#3847: a release that was cancelled half-way left the lock stuck.
#[tokio::test(flavor = "multi_thread")]
async fn l11_a_release_that_was_dropped_half_way_is_ended() {
    let server = RedisServer::start();
    let (coord, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut dropped = 0;
    for id in 0..200 {
        let guard = mutexes(&coord, LONG).lock(id).await.unwrap();
        // By polls, not by time: a release takes less than a timer can tell.
        let (mut release, mut polls) = (Box::pin(guard.release()), rng.u32(1..4));
        let ended = poll_fn(|context| match release.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => {
                polls -= 1;
                if polls == 0 {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                }
            }
        });
        dropped += u32::from(ended.await.is_none());
    }
    // Also one that was never polled.
    let guard = mutexes(&coord, LONG).lock(200).await.unwrap();
    drop(guard.release());
    for id in 0..=200 {
        free_within(&other, id, CLEANED)
            .await
            .release()
            .await
            .unwrap();
    }
    assert!(dropped > 20, "{dropped} of 200 were dropped half-way");
}

/// redsync, open-match#1576: the clean-up ran on the context that had just been cancelled, so it did nothing.
#[test]
fn l12_what_a_cancelled_context_left_is_cleaned_up_without_it() {
    let server = RedisServer::start();
    let home = tokio::runtime::Runtime::new().unwrap();
    let (coord, other) =
        home.block_on(async { (connect(&server.url()).await, connect(&server.url()).await) });
    let mut rng = fastrand::Rng::with_seed(12);
    let mut id = 0;
    for _ in 0..20 {
        // Its runtime is all of the caller's context, and goes with every task in it.
        let context = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        for _ in 0..10 {
            let lock = mutexes(&coord, LONG);
            id += 1;
            context.spawn(async move {
                let guard = lock.lock(id / 2).await.unwrap();
                std::future::pending::<()>().await;
                drop(guard);
            });
        }
        std::thread::sleep(Duration::from_micros(rng.u64(0..3000)));
        context.shutdown_background();
    }
    home.block_on(async {
        for id in 0..=id / 2 {
            free_within(&other, id, CLEANED)
                .await
                .release()
                .await
                .unwrap();
        }
    });
}

/// redlock (node) #296, #283: a lock was returned to its caller already expired.
#[tokio::test(flavor = "multi_thread")]
async fn l13_no_lock_is_returned_expired() {
    const TTL: Duration = millis(200);
    let server = RedisServer::start();
    let coord = connect(&server.url()).await;
    let env = coord.env().clone();
    for id in 0..5 {
        // Its server answers, and grants, when the TTL has passed on the caller's clock.
        server.stop();
        let lock = mutexes(&coord, TTL).lock_timeout(id, LONG);
        let locking = env.spawn(async move {
            let guard = lock.await?;
            Ok::<_, Error>((guard.is_held(), guard.remaining(), guard))
        });
        env.sleep(TTL + millis(50)).await;
        server.resume();
        let (is_held, remaining, _guard) = locking.await.unwrap().unwrap();
        assert!(is_held && !remaining.is_zero(), "{remaining:?} left");
    }
}

/// rslock 0.10: whatever the error was, the acquire was repeated until its wait was over.
#[tokio::test(flavor = "multi_thread")]
async fn l16_a_refused_acquire_is_told_at_once_and_not_repeated() {
    let mut server = RedisServer::start();
    let coord = connect(&server.url()).await;
    let env = coord.env().clone();
    let waiting = mutexes(&coord, LONG).wait(LONG);
    drop(waiting.lock(1).await.unwrap());
    server.command(&["ACL", "SETUSER", "default", "-@scripting"]);
    let start = env.now();
    let error = waiting.lock(1).await.unwrap_err();
    let took = env.now().since(start);
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    server.command(&["ACL", "SETUSER", "default", "+@all"]);

    // A server that is gone may come back: that is waited for, and no longer than the caller said.
    server.kill();
    let start = env.now();
    let wait = millis(1500);
    let error = waiting.lock_timeout(1, wait).await.unwrap_err();
    let took = env.now().since(start);
    assert!(error.is_unavailable(), "{error:?}");
    let latest = wait + REQUEST_TIMEOUT + Duration::from_secs(1);
    assert!(took <= latest, "{took:?}");
}

/// curator#1121: a new session took the former one's node for its own.
#[tokio::test(flavor = "multi_thread")]
async fn l22_a_new_client_does_not_take_over_a_former_ones_grant() {
    const TTL: Duration = Duration::from_secs(2);
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let labelled = async |url: &str| {
        let builder = Coordinator::builder_dyn(leasehold::store(url).unwrap(), "test");
        let builder = builder.label("app-1").request_timeout(REQUEST_TIMEOUT);
        builder.connect().await.unwrap()
    };
    let former = labelled(&url).await;
    let guard = mutexes(&former, TTL).lock(1).await.unwrap();
    // The former session is cut off; the new one has its name, host and process.
    proxy.black_hole();
    let new = labelled(&server.url()).await;
    let error = mutexes(&new, TTL).try_lock(1).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    let next = mutexes(&new, TTL).lock_timeout(1, TTL * 3).await.unwrap();
    assert!(next.fence() > guard.fence() && !guard.is_held());
    // Nor does the former one end what is not its own.
    proxy.heal();
    drop(guard);
    former.shutdown(CLEANED).await;
    assert!(next.is_held());
    next.release().await.unwrap();
}

/// curator#1193: the client forgot its lock although the delete had failed.
#[tokio::test(flavor = "multi_thread")]
async fn l22_a_release_that_failed_is_not_forgotten() {
    let server = RedisServer::start();
    let (coord, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let guard = mutexes(&coord, LONG).lock(1).await.unwrap();
    server.stop();
    let error = guard.release().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    // Long enough for what was sent so far to be refused as too late.
    coord.env().sleep(REQUEST_TIMEOUT * 2).await;
    server.resume();
    free_within(&other, 1, CLEANED)
        .await
        .release()
        .await
        .unwrap();
}
